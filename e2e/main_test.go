package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/faults"
)

// patience bounds every wait for something that must happen. It is generous,
// since a busy machine must not fail a test, and is never itself a result.
const patience = 60 * time.Second

// parallel is how many tests run at once, unless -parallel says otherwise: half
// the time they wait.
const parallel = "4"

// roleVariable makes this test binary be something else: the function of a test
// in which weir starts it. weir hands its environment on, less its own WEIR_*.
const roleVariable = "E2E_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	if os.Getenv("GORACE") == "" {
		// Whatever has the detector in it would wait a second before it ends.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=50"); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(1)
		}
	}
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", parallel); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			os.Exit(1)
		}
	}
	if flag.Lookup("test.list").Value.String() == "" {
		// Now, and not by the first test that wants it: its duration, and that of all which
		// run beside it, would be the build's. Whoever wants it says what went wrong.
		built.once.Do(func() { built.path, built.err = build() })
	}
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			code = max(code, 1)
		}
	}
	if err := faults.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// built is the executable under test.
var built struct {
	once sync.Once
	dir  string // where it was built, to be removed
	path string
	err  error
}

// binary gives the path of weir's executable, built once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.path, built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func build() (string, error) {
	if path := os.Getenv("WEIR_BINARY"); path != "" {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("e2e: WEIR_BINARY=%s: tests run in their own directory; give the absolute path", path)
		}
		_, err := exec.LookPath(path)
		return path, err
	}
	var err error
	if built.dir, err = os.MkdirTemp("", "weir-e2e-"); err != nil {
		return "", err
	}
	path := filepath.Join(built.dir, "weir")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "weir/cmd/weir")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("e2e: go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return path, nil
}

// engines carry HTTP/1.x within weir: its own, and Go's for what that does not
// carry. What is promised of a request may not depend on which one it was.
var engines = []string{"own", "nethttp"}

// eachEngine runs a test with the flag that chooses each of the engines.
func eachEngine(t *testing.T, test func(t *testing.T, flag string)) {
	for _, name := range engines {
		t.Run(name, func(t *testing.T) { test(t, "--http-engine="+name) })
	}
}

// eventually polls until cond holds, and fails the test when it never does.
// cond says what it saw, for the failure's message.
func eventually(t testing.TB, what string, cond func() (ok bool, saw string)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, saw := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not come to hold within %v: %s", what, patience, saw)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// await receives from c, and fails the test when nothing comes.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("%s: it never will", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %v", what, patience)
		panic("unreachable")
	}
}
