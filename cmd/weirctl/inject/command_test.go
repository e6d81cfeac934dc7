package inject

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type ended struct {
	err            error
	stdout, stderr string
}

func weirctl(stdin string, args ...string) ended {
	var stdout, stderr bytes.Buffer
	c := Command("weir:1.2.3")
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(append([]string{}, args...)) // never nil: cobra would take those of the tests
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&stdout)
	c.SetErr(&stderr)
	err := c.Execute()
	return ended{err, stdout.String(), stderr.String()}
}

func TestCommandReadsAndWrites(t *testing.T) {
	in := load(t, "testdata/plain.yaml").Text
	want, err := os.ReadFile("testdata/plain.golden")
	if err != nil {
		t.Fatal(err)
	}
	e := weirctl(in)
	if e.err != nil || e.stdout != string(want) || !strings.HasPrefix(e.stderr, "stdin:21: deployment/cart: ") {
		t.Errorf("%v: %s", e.err, e.stderr)
	}
	if back := weirctl(e.stdout, "--uninject"); back.err != nil || back.stdout != in || back.stderr != "" {
		t.Errorf("uninject: %v\n%s", back.err, back.stdout)
	}
	diff := weirctl("", "-f", "testdata/plain.yaml", "--diff")
	for _, line := range []string{"--- testdata/plain.yaml\n", "+++ testdata/plain.yaml with weir\n", "-              port: http\n", "+              port: http-fn\n", "+      initContainers:\n"} {
		if !strings.Contains(diff.stdout, line) {
			t.Errorf("the diff lacks %q:\n%s", line, diff.stdout)
		}
	}
	if strings.Contains(diff.stdout, "\n       name: cart\n") || strings.Contains(diff.stdout, "replicas") {
		t.Errorf("the diff shows what is not near a change:\n%s", diff.stdout)
	}
}

// Two files are one stream of documents.
func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "without-newline.yaml")
	if err := os.WriteFile(name, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}"), 0o644); err != nil {
		t.Fatal(err)
	}
	e := weirctl("", "-f", name, "-f", "testdata/classic.yaml")
	if e.err != nil || !strings.HasPrefix(e.stdout, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: apps/v1\n") {
		t.Errorf("%v: %s", e.err, e.stdout)
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"-f", "testdata/nothing.yaml"}, "testdata/nothing.yaml", 2},
		{[]string{"-f", "testdata/invalid/no-port.yaml"}, "testdata/invalid/no-port.yaml:9: ", 2},
		{[]string{"--ports", "moved"}, `"moved" is not name, service, move`, 0},
		{[]string{"--set", "max-inflight"}, "is not NAME=VALUE", 0},
		{[]string{"--set", "listen=:80"}, `the setting "listen" cannot be injected: see listen-port`, 0},
		{[]string{"--memory-limit", "lots"}, `"lots" is no quantity`, 0},
		{[]string{"--run-as-user", "0"}, `"0" is no user`, 0},
		{[]string{"deployment.yaml"}, `unknown command "deployment.yaml"`, 0},
	} {
		e := weirctl("", c.args...)
		var coded interface{ ExitCode() int }
		if e.err == nil || !strings.Contains(e.err.Error(), c.want) || e.stdout != "" {
			t.Errorf("%v: %v, want %s", c.args, e.err, c.want)
		} else if c.code != 0 && (!errors.As(e.err, &coded) || coded.ExitCode() != c.code) {
			t.Errorf("%v: want exit code %d", c.args, c.code)
		}
	}
}
