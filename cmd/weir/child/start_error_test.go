package child

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStartErrorsAreTheOnesOfAShell(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	t.Chdir(dir)
	t.Setenv("PATH", "."+string(os.PathListSeparator)+bin)
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("here", "#!/bin/sh\n", 0o755)
	write("plain", "#!/bin/sh\n", 0o644)
	write("noshebang.sh", "echo hello\n", 0o755)
	write("garbage", "\x7fELF\x02\x01\x01 of another machine", 0o755)
	write("badinterpreter", "#!/no/such/interpreter\n", 0o755)
	write("bin/inert", "#!/bin/sh\n", 0o644)

	for _, test := range []struct {
		name string
		argv []string
		code int
		text []string
	}{
		{"no command", nil, 127, []string{"no command", "after --"}},
		{"empty command", []string{""}, 127, []string{"no command", "after --"}},
		{"not on PATH", []string{"nosuchcommand", "-x"}, 127, []string{"nosuchcommand -x", "PATH", bin, "check the name"}},
		{"no such file", []string{"./nosuchfile"}, 127, []string{"no such file under " + dir, "check the path"}},
		{"no such absolute file", []string{dir + "/nosuchfile"}, 127, []string{"no such file;"}},
		{"below a file", []string{"./plain/x"}, 127, []string{"no such file"}},
		{"in the current directory", []string{"here"}, 127, []string{"write ./here"}},
		{"not executable", []string{"./plain"}, 126, []string{"not executable", "chmod +x ./plain"}},
		{"not executable on PATH", []string{"inert"}, 126, []string{"not executable", "chmod +x " + bin + "/inert"}},
		{"a directory", []string{"./bin"}, 126, []string{"is a directory"}},
		{"no #! line", []string{"./noshebang.sh"}, 126, []string{"#! line", "weir run -- sh ./noshebang.sh"}},
		{"for another machine", []string{"./garbage"}, 126, []string{"neither a program for this machine"}},
		{"no interpreter", []string{"./badinterpreter"}, 126, []string{"interpreter of its #! line"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Start(test.argv, Options{})
			var start *StartError
			if c != nil || !errors.As(err, &start) {
				t.Fatalf("Start returned %v, %v; want a *StartError", c, err)
			}
			if start.ExitCode() != test.code {
				t.Errorf("exit code %d, want %d", start.ExitCode(), test.code)
			}
			if start.Unwrap() == nil {
				t.Error("the system's error is not there")
			}
			for _, part := range test.text {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
		})
	}
}
