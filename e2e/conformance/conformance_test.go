package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"weir/e2e/conformance"
)

var (
	binary = flag.String("conformance.weir", "", "the weir executable to test; built from ./cmd/weir when empty")
	racy   = flag.Bool("conformance.race", raceEnabled, "build weir with the race detector, or say that -conformance.weir was; as the tests are, unless said otherwise")
)

// parallel is how many cases run at once, unless -parallel says otherwise: they
// mostly wait.
const parallel = "16"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", parallel); err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			return 1
		}
	}
	if os.Getenv("GORACE") == "" {
		// A weir with the detector would wait a second before it ends, in each case.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=50"); err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			return 1
		}
	}
	if *binary == "" && !testing.Short() {
		dir, err := os.MkdirTemp("", "conformance")
		if err != nil {
			fmt.Fprintln(os.Stderr, "conformance:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		if *binary, err = build(dir); err != nil {
			fmt.Fprintln(os.Stderr, "conformance: building weir:", err)
			return 1
		}
	}
	return m.Run()
}

// build compiles ./cmd/weir into dir.
func build(dir string) (string, error) {
	out := filepath.Join(dir, "weir")
	args := []string{"build", "-o", out}
	if *racy {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "weir/cmd/weir")...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, output)
	}
	return out, nil
}

// weir launches the weir of this repository.
func weir(t *testing.T, engine string) conformance.Binary {
	t.Helper()
	if *binary == "" {
		t.Skip("conformance: a suite of minutes: skipped with -short")
	}
	return conformance.Binary{Path: *binary, Args: []string{"run"}, Race: *racy, Flags: conformance.Flags{"http-engine": engine}}
}

// TestOwnEngine runs the whole suite over weir as it is by default: HTTP/1.1 by
// its own engine, HTTP/2 by net/http.
func TestOwnEngine(t *testing.T) {
	conformance.Run(t, weir(t, "own"), conformance.Carriers(), conformance.OwnEngine())
}

// TestNetHTTP runs it over HTTP/1.1 by net/http. HTTP/2 is net/http's in both and
// is run once, above; only how a drain begins differs, and is not run here.
func TestNetHTTP(t *testing.T) {
	conformance.Run(t, weir(t, "nethttp"), conformance.HTTP1Carriers(), conformance.NetHTTP())
}
