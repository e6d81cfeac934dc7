package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A module with every way in which tests end; go test itself runs it.
var module = map[string]string{
	"go.mod": "module example\n\ngo 1.26\n",
	"good/good_test.go": `package good
import "testing"
func TestGood(t *testing.T) { t.Log("a secret of the good"); t.Run("sub", func(t *testing.T) {}) }
func TestSkipped(t *testing.T) { t.Log("first"); t.Skip("no moon\ntonight") }
func TestSilent(t *testing.T) { t.SkipNow() }
`,
	"bad/bad_test.go": `package bad
import ("fmt"; "testing")
func TestBad(t *testing.T) { fmt.Println("printed"); t.Run("sub", func(t *testing.T) { t.Error("is wrong") }) }
func TestFine(t *testing.T) { t.Log("not shown") }
`,
	"panics/panics_test.go": `package panics
import "testing"
func TestPanics(t *testing.T) { panic("at the disco") }
`,
	"exits/exits_test.go": `package exits
import ("fmt"; "os"; "testing")
func TestMain(m *testing.M) { m.Run(); fmt.Println("left a mess"); os.Exit(1) }
func TestFine(t *testing.T) {}
`,
	"broken/broken_test.go": "package broken\nimport \"testing\"\nfunc TestBroken(t *testing.T) { undefined() }\n",
	"empty/empty.go":        "package empty\n",
}

func TestGotest(t *testing.T) {
	dir := t.TempDir()
	for name, content := range module {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "gotest")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	gotest := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}

	t.Run("failures", func(t *testing.T) {
		out, code := gotest("-vet=off", "./...")
		if code != 1 {
			t.Errorf("exit code %d, want go test's 1", code)
		}
		for _, want := range []string{
			"ok  \texample/good\t",
			"FAIL\texample/bad\t",
			"?   \texample/empty\t[no test files]\n",
			"\n--- failed: example/bad TestBad\nprinted\n",
			"\n--- failed: example/bad TestBad/sub\n    bad_test.go:3: is wrong\n",
			"\n--- failed: example/panics TestPanics",
			"at the disco",
			"left a mess\n",
			"undefined: undefined",
			"\nSkipped, and why:\n  example/good TestSkipped: no moon tonight\n  example/good TestSilent: no reason given\n",
			"  example/bad TestBad/sub\n  example/bad TestBad\n",
			"  example/exits (outside its tests)\n",
			"  example/broken (does not build)\n",
			"  example/panics TestPanics",
			"\n4 passed, 5 failed, 2 skipped\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the output lacks %q", want)
			}
		}
		for _, noise := range []string{"a secret of the good", "not shown", "=== RUN", `"Action"`} {
			if strings.Contains(out, noise) {
				t.Errorf("the output has %q", noise)
			}
		}
		if t.Failed() {
			t.Log(out)
		}
	})

	t.Run("success", func(t *testing.T) {
		out, code := gotest("./good", "./empty")
		want := regexp.MustCompile(`\A(ok  \texample/good\t.*\n|\?   \texample/empty\t\[no test files\]\n){2}
Skipped, and why:
  example/good TestSkipped: no moon tonight
  example/good TestSilent: no reason given

2 passed, 0 failed, 2 skipped
\z`)
		if code != 0 || !want.MatchString(out) {
			t.Errorf("exit code %d, output:\n%s", code, out)
		}
	})

	t.Run("some alone", func(t *testing.T) {
		out, code := gotest("-alone=./bad,./exits", "-vet=off", "-count=1", "-p", "2", "./...")
		verdicts := regexp.MustCompile(`(?m)^(?:ok  |FAIL|\?   )\texample/(\w+)\t`).FindAllStringSubmatch(out, -1)
		if n := len(verdicts); n < 2 || verdicts[n-2][1] != "bad" || verdicts[n-1][1] != "exits" {
			t.Errorf("the packages ended as %q, want bad and exits last", verdicts)
		}
		if code != 1 || strings.Count(out, "\texample/good\t") != 1 || !strings.HasSuffix(out, "\n4 passed, 5 failed, 2 skipped\n") {
			t.Errorf("exit code %d, output:\n%s", code, out)
		}
		if out, code := gotest("-alone=./bad,./exits", "./good"); code != 0 || !strings.HasSuffix(out, "\n2 passed, 0 failed, 2 skipped\n") {
			t.Errorf("those alone are not asked for: exit code %d, output:\n%s", code, out)
		}
		if out, code := gotest("-alone=./good", "-run", "Good"); code != 1 || !strings.Contains(out, "no packages") {
			t.Errorf("no packages: exit code %d, output:\n%s", code, out)
		}
	})

	t.Run("no such package", func(t *testing.T) {
		if out, code := gotest("./nosuchpackage"); code != 1 || !strings.Contains(out, "nosuchpackage") {
			t.Errorf("exit code %d, output:\n%s", code, out)
		}
	})
}

// What the race detector, the Go command or a crash prints between events.
func TestLinesThatAreNoEventsArePassedOn(t *testing.T) {
	var out bytes.Buffer
	s := newSummary(&out)
	if err := s.read(strings.NewReader("go: downloading x\n{\"Action\":\"run\",\"Package\":\"p\",\"Test\":\"TestX\"}\n{broken\nno newline")); err != nil {
		t.Fatal(err)
	}
	s.conclude()
	if want := "go: downloading x\n{broken\nno newline\n0 passed, 0 failed, 0 skipped\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	if s.failed != 0 {
		t.Errorf("%d failed, want 0", s.failed)
	}
}

func TestWriteErrorIsNotSwallowed(t *testing.T) {
	s := newSummary(fullDisk{})
	if err := s.read(strings.NewReader("line\n")); err != nil || s.err == nil {
		t.Errorf("read: %v, write: %v; want an error of writing", err, s.err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }
