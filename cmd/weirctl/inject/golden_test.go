package inject

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the golden files anew")

// arguments are those that a manifest of testdata is injected with.
var arguments = map[string][]string{
	"classic":  {"--classic", "--hook", "exec", "--run-as-user", ""},
	"hostport": {"--set", "access-log=errors", "--memory-limit", ""},
	"json":     {"--timeout", "10s", "--image-pull-policy", "Always"},
	"list":     {"--ports", "service"},
	"openfaas": {"--ports", "move", "--max-inflight", "5"},
	"several":  {"--hook", "sleep"},
	"async":    {"--memory-limit", "512Mi"},
}

func request(t testing.TB, args ...string) Request {
	t.Helper()
	r := Request{Options: Defaults("weir:1.2.3")}
	fs := pflag.NewFlagSet("inject", pflag.ContinueOnError)
	optionFlags(fs, &r.Options)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", name, got)
	}
}

func manifests(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%v: %d files", err, len(names))
	}
	return names
}

func load(t testing.TB, name string) File {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return File{filepath.Base(name), string(text)}
}

func TestManifests(t *testing.T) {
	names := manifests(t, "testdata/*.yaml")
	if len(names) < 12 {
		t.Errorf("%d manifests", len(names))
	}
	for _, path := range names {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			in, r := load(t, path), request(t, arguments[name]...)
			out, notes, err := Add([]File{in}, r)
			if err != nil {
				t.Fatal(err)
			}
			var told strings.Builder
			for _, n := range notes {
				told.WriteString(n.Error() + "\n")
			}
			golden(t, "testdata/"+name+".golden", out[0].Text)
			golden(t, "testdata/"+name+".notes", told.String())
			if out[0].Text == in.Text {
				t.Error("nothing was injected")
			}

			again, _, err := Add(out, r)
			if err != nil || again[0].Text != out[0].Text {
				t.Errorf("a second time: %v\n%s", err, again[0].Text)
			}
			other := r
			other.Image = "weir:other"
			changed, _, err := Add(out, other)
			if err != nil || !strings.Contains(changed[0].Text, "weir:other") || strings.Contains(changed[0].Text, r.Image) {
				t.Errorf("with another image: %v\n%s", err, changed[0].Text)
			}
			for _, injected := range [][]File{out, changed} {
				back, err := Strip(injected, false)
				if err != nil || back[0].Text != in.Text {
					t.Errorf("uninject: %v\n%q\nwant\n%q", err, back[0].Text, in.Text)
				}
			}
		})
	}
	for name := range arguments {
		if !slices.Contains(names, "testdata/"+name+".yaml") {
			t.Errorf("arguments for %s, which is not there", name)
		}
	}
}
