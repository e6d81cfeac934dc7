package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// Every page on ways to run weir is in the list of them, and these and the first ones
// that a reader opens lead to what is there.
func TestPagesLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../docs/deploy/*.md")
	if err != nil || len(pages) < 8 {
		t.Fatalf("%v: %d pages", err, len(pages))
	}
	pages = append(pages, "../README.md", "../docs/getting-started.md", "../docs/dashboards.md", "../docs/grafana-plugin.md")
	index, err := os.ReadFile("../docs/deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if name := filepath.Base(page); filepath.Base(filepath.Dir(page)) == "deploy" && name != "README.md" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s leads to %s: %v", page, m[1], err)
			}
		}
	}
}

// Settings that the pages name in code are weir's.
func TestPagesNameSettingsOfWeir(t *testing.T) {
	migration, err := os.ReadFile("../docs/deploy/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	reference, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	column := regexp.MustCompile("(?m)^\\| .* \\| (`[^|]*) \\|$")
	named := 0
	for _, row := range column.FindAllStringSubmatch(string(migration), -1) {
		for _, m := range regexp.MustCompile("`([a-z-]+)(?:: \\w+)?`").FindAllStringSubmatch(row[1], -1) {
			named++
			if !strings.Contains(string(reference), "`--"+m[1]+"`") {
				t.Errorf("migration.md names %q, which is no setting", m[1])
			}
		}
	}
	if named < 15 {
		t.Errorf("%d settings found, so that little was tested", named)
	}
}
