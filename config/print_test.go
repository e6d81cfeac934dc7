package config

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
)

func printed(t testing.TB, l *Loaded) string {
	t.Helper()
	var b bytes.Buffer
	if err := l.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPrint shows one value of each origin.
func TestPrint(t *testing.T) {
	content, err := os.ReadFile("testdata/print.yaml")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := load(Source{
		File:    "weir.yaml",
		Environ: []string{"WEIR_LISTEN=127.0.0.1:8088", "fprocess=node index.js --token=hunter2", "mode=http", "exec_timeout=30", "port=8081"},
		Flags:   parseFlags(t, "--max-inflight=20", "--trusted-proxies=10.0.0.0/8,fd00::/8", "--access-log=off"),
	}, content, nil, settings)
	if err != nil {
		t.Fatal(err)
	}
	got := printed(t, loaded)
	golden(t, "testdata/print.golden", got)
	if strings.Contains(got, "hunter2") {
		t.Error("an argument of COMMAND is printed")
	}
	reread(t, loaded)
}

// reread loads what Print wrote, which must have the same effect.
func reread(t testing.TB, loaded *Loaded) {
	t.Helper()
	text := printed(t, loaded)
	again, err := load(Source{File: "printed.yaml"}, []byte(text), nil, settings)
	if err != nil {
		t.Fatalf("what was printed is no configuration: %v\n%s", err, text)
	}
	want := *loaded.Config
	want.Command = nil
	if !reflect.DeepEqual(again.Config, &want) {
		t.Errorf("printed and read again:\n%+v, was\n%+v\n%s", again.Config, &want, text)
	}
	for _, s := range settings {
		if again.Origins[s.key].From != FromFile {
			t.Errorf("%s is not printed", s.key)
		}
	}
}

func TestPrintedIsAValidFile(t *testing.T) {
	reread(t, mustLoad(t, Source{}))
	reread(t, mustLoad(t, Source{File: "testdata/valid-full.yaml"}))
	reread(t, mustLoad(t, Source{Flags: parseFlags(t, "--max-inflight=0", "--listen=[::1]:0", "--upstream=unix:///run/it's 1: \"x\".sock", "--function-version=1e3")}))
	reread(t, mustLoad(t, Source{Flags: parseFlags(t, "--function=true", "--function-version=null", "--ready-path=/a?b=c&d:e")}))
	routes := `routes:
- {path: "/a,b:{c}[d]'e\"&*!|>@` + "`" + `", methods: ["NULL", "TRUE", "1E3", "*X", "&Y", "!", "'", "%"]}
- {path: /, timeout: 0, full_duplex: true}
`
	reread(t, mustLoad(t, Source{File: writeFile(t, routes)}))
}

// TestSecretsAreNotShown adds a secret to the table: there is none yet.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "hunter2"
	token := &setting{
		flag: "token", key: "function.token", usage: "a secret", secret: true, fixed: true,
		value: value{
			kind: kindText,
			set: func(c *Config, text string) error {
				if strings.HasSuffix(text, "!") {
					return notValue(text, "ends with an exclamation mark")
				}
				c.Function.Version = text
				return nil
			},
			get: func(c *Config) string { return c.Function.Version },
		},
	}
	var table []*setting
	for _, s := range settings {
		if s.key == "function.version" {
			s = token
		}
		table = append(table, s)
	}
	from := func(content string, environ ...string) (*Loaded, error) {
		return load(Source{File: "weir.yaml", Environ: environ}, []byte(content), nil, table)
	}

	loaded, err := from("{}", "WEIR_TOKEN="+secret)
	if err != nil || loaded.Config.Function.Version != secret {
		t.Fatalf("the secret is not taken: %v", err)
	}
	var b bytes.Buffer
	if err := loaded.print(&b, table); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.Contains(got, secret) || !strings.Contains(got, "  # token: (secret) # WEIR_TOKEN\n") {
		t.Errorf("printed:\n%s", got)
	}
	if _, err := load(Source{File: "printed.yaml"}, b.Bytes(), nil, table); err != nil {
		t.Errorf("what was printed is no configuration: %v", err)
	}

	for _, content := range []string{"function: {token: hunter2!}", "function: {token: [hunter2!]}", "function: {token: {hunter2!: 1}}"} {
		if _, err := from(content); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", content, err)
		}
	}
	if _, err := from("{}", "WEIR_TOKEN=hunter2!"); err == nil || err.Error() != "config: function.token: the value ends with an exclamation mark (WEIR_TOKEN)" {
		t.Errorf("%v", err)
	}

	other, err := from("{}", "WEIR_TOKEN=another")
	if err != nil {
		t.Fatal(err)
	}
	if got := differences(loaded.Config, other.Config, table); len(got) != 1 || got[0] != (Change{Key: "function.token"}) {
		t.Errorf("differences are %+v", got)
	}
	if err := needsRestart(loaded, other, table); err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "another") {
		t.Errorf("restart: %v", err)
	}
}
