package config

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"text/template"
)

// TestDocuments keeps docs/ equal to the tables.
func TestDocuments(t *testing.T) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	mistake, err := os.ReadFile("testdata/invalid-max-inflight-word.golden")
	if err != nil {
		t.Fatal(err)
	}
	checkDocument(t, "configuration.md", map[string]any{
		"ConfigUsage":  configUsage,
		"Settings":     settingRows(),
		"Routes":       routeRows(),
		"MaxDuration":  formatDuration(maxDuration),
		"MaxFileSize":  "1 MiB",
		"MaxRoutes":    maxRoutes,
		"Example":      string(example),
		"ErrorExample": strings.TrimSpace(strings.ReplaceAll(string(mistake), "testdata/invalid-max-inflight-word.yaml", "weir.yaml")),
	})
	if formatSize(maxFileSize) != "1MiB" {
		t.Error("the document tells another size of the file")
	}
	var marks []string
	for _, v := range watchdogVariables {
		if v.marks {
			marks = append(marks, v.names...)
		}
	}
	checkDocument(t, "of-watchdog.md", map[string]any{"Marks": code(marks...), "Variables": watchdogRows()})
}

func checkDocument(t *testing.T, name string, data any) {
	t.Helper()
	tmpl, err := template.New(name + ".tmpl").Option("missingkey=error").ParseFiles("testdata/docs/" + name + ".tmpl")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, data); err != nil {
		t.Fatal(err)
	}
	golden(t, "../docs/"+name, b.String())
}

// code gives texts as code in a list.
func code(texts ...string) string { return "`" + strings.Join(texts, "`, `") + "`" }

// cell keeps a text inside of its table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func settingRows() []map[string]any {
	var rows []map[string]any
	for _, s := range settings {
		typ := string(s.value.kind)
		switch {
		case s.value.kind == kindChoice:
			choices := s.value.choices
			if choices[0] == "" {
				choices = choices[1:] // nothing needs no name
			}
			typ = code(choices...)
		case s.value.unit != "":
			typ += " of " + s.value.unit
		}
		def := code(s.def)
		switch {
		case s.derive != nil:
			def = s.def
		case s.def == "":
			def = ""
		}
		flag := code("--" + s.flag)
		if s.secret {
			flag = ""
		}
		rows = append(rows, map[string]any{
			"Flag": flag, "Variable": s.variable(), "Key": s.key, "Type": cell(typ), "Default": cell(def),
			"Fixed": s.fixed, "Usage": cell(s.usage),
		})
	}
	return rows
}

func routeRows() []map[string]any {
	var rows []map[string]any
	for _, s := range routeSettings {
		typ := string(s.kind)
		if s.kind == kindChoice {
			typ = code(s.choices...)
		}
		rows = append(rows, map[string]any{"Key": s.key, "Type": typ, "Usage": cell(s.usage)})
	}
	return rows
}

func watchdogRows() []map[string]any {
	var rows []map[string]any
	for _, v := range watchdogVariables {
		var sets []string
		for _, target := range v.to {
			sets = append(sets, target.key)
		}
		row := map[string]any{"Names": code(v.names...), "Sets": "", "Theirs": cell(v.theirs), "Ours": cell(v.ours)}
		if len(sets) > 0 {
			row["Sets"] = code(sets...)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestTheExampleOfTheDocumentIsValid and does what its comment says.
func TestTheExampleOfTheDocumentIsValid(t *testing.T) {
	loaded := mustLoad(t, Source{File: "testdata/example.yaml"})
	c := loaded.Config
	if c.Limits.MaxInflight != 8 || c.Limits.Overflow != OverflowWait || len(c.Routes) != 2 || c.Routes[0].Path != "/reports" {
		t.Errorf("the example gives %+v", c)
	}
}
