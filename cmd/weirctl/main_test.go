package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// ended is how a command line ended.
type ended struct {
	code           int
	stdout, stderr string
}

func weirctl(args ...string) ended { return weirctlWith(nil, args...) }

// weirctlWith runs a command line with variables.
func weirctlWith(env map[string]string, args ...string) ended {
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, func(name string) string { return env[name] }, strings.NewReader(""), &stdout, &stderr)
	return ended{code, stdout.String(), stderr.String()}
}

func TestVersion(t *testing.T) {
	e := weirctl("version")
	if e.code != exitOK || e.stderr != "" || !regexp.MustCompile(`^weirctl \S+ go\S+ \w+/\w+\n$`).MatchString(e.stdout) {
		t.Errorf("%+v", e)
	}
	e = weirctl("version", "-o", "json")
	var v map[string]string
	if err := json.Unmarshal([]byte(e.stdout), &v); err != nil || e.code != exitOK || v["version"] == "" || !strings.HasPrefix(v["go"], "go") || !strings.Contains(v["platform"], "/") {
		t.Errorf("%v: %+v", err, e)
	}
}

func TestMistakesInWhatWasTyped(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"vresion"}, `weirctl: unknown command "vresion" for "weirctl"`},
		{[]string{"version", "now"}, `weirctl: unknown command "now" for "weirctl version"`},
		{[]string{"version", "-o", "yaml"}, `"yaml" is not table or json`},
		{[]string{"version", "--loud"}, "weirctl: unknown flag: --loud\nSee 'weirctl version --help'"},
	} {
		if e := weirctl(c.args...); e.code != exitUsage || e.stdout != "" || !strings.Contains(e.stderr, c.want) {
			t.Errorf("%v: %+v, want code %d and %s", c.args, e, exitUsage, c.want)
		}
	}
}

// codedError is what a command of another package returns.
type codedError struct{ error }

func (codedError) ExitCode() int { return 7 }

func TestExitCodes(t *testing.T) {
	plain := errors.New("it did not work")
	for _, c := range []struct {
		err  error
		want int
	}{
		{plain, exitFailed},
		{codedError{plain}, 7},
		{usageError("there is no %d", 3), exitUsage},
	} {
		root := &cobra.Command{Use: "weirctl", SilenceErrors: true, SilenceUsage: true}
		root.AddCommand(noun(&cobra.Command{Use: "thing"}, &cobra.Command{Use: "do", RunE: func(*cobra.Command, []string) error { return c.err }}))
		codeFailures(root)
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs([]string{"thing", "do"})
		var coded interface{ ExitCode() int }
		if err := root.Execute(); !errors.As(err, &coded) || coded.ExitCode() != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v: got %v, want code %d", c.err, err, c.want)
		}
		for _, args := range [][]string{{"thing"}, {"thing", "undo"}} {
			root.SetArgs(args)
			if err := root.Execute(); !errors.As(err, &coded) || coded.ExitCode() != exitUsage {
				t.Errorf("%v: got %v, want code %d", args, err, exitUsage)
			}
		}
	}
}
