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
	racy   = flag.Bool("conformance.race", raceEnabled, "build weir with the race detector too, or say that -conformance.weir was; as the tests are, unless said otherwise")
)

// The executables to test, the same one where the race detector is not asked for.
var plain, watched string

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
	if testing.Short() {
		return m.Run()
	}
	if *binary != "" {
		plain, watched = *binary, *binary
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	plain = filepath.Join(dir, "weir")
	err = build(plain)
	if watched = plain; err == nil && *racy {
		watched = filepath.Join(dir, "weir-race")
		err = build(watched, "-race")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance: building weir:", err)
		return 1
	}
	return m.Run()
}

// build compiles ./cmd/weir to out.
func build(out string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), "weir/cmd/weir")...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// weir launches the weir of this repository. Where the tests run under the race
// detector, so does a weir that is to be watched.
func weir(t *testing.T, engine string, watch bool) conformance.Binary {
	t.Helper()
	if plain == "" {
		t.Skip("conformance: a suite of minutes: skipped with -short")
	}
	b := conformance.Binary{Path: plain, Args: []string{"run"}, Race: *racy && plain == watched, Flags: conformance.Flags{"http-engine": engine}}
	if watch {
		b.Path, b.Race = watched, *racy
	}
	return b
}

// TestOwnEngine runs the suite over weir as it is by default, HTTP/1.1 by its own
// engine and HTTP/2 by net/http: watched by the race detector in the clear, whose
// paths TLS shares.
func TestOwnEngine(t *testing.T) {
	t.Parallel()
	conformance.Run(t, weir(t, "own", true), []conformance.Carrier{conformance.H1, conformance.H2C}, conformance.OwnEngine())
}

// TestOwnEngineOverTLS runs it over the rest.
func TestOwnEngineOverTLS(t *testing.T) {
	t.Parallel()
	conformance.Run(t, weir(t, "own", false), []conformance.Carrier{conformance.H1TLS, conformance.H2TLS}, conformance.OwnEngine())
}

// TestNetHTTP runs it over HTTP/1.1 by net/http. HTTP/2 is net/http's in both and
// is run once, above; only how a drain begins differs, and is not run here.
func TestNetHTTP(t *testing.T) {
	t.Parallel()
	conformance.Run(t, weir(t, "nethttp", false), []conformance.Carrier{conformance.H1, conformance.H1TLS}, conformance.NetHTTP())
}
