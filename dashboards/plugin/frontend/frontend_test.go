package frontend

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

var (
	answers = flag.String("answers", "", "directory with what the backend answered, by -record")
	out     = flag.String("out", "", "directory to write the pictures to")
)

// node runs a script, and gives what it said.
func node(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("no node is installed (on Debian: apt-get install nodejs npm): %v", err)
	}
	if _, err := os.Stat("node_modules/@grafana/ui"); err != nil {
		t.Skipf("Grafana's packages are not there (scripts/install-deps plugin): %v", err)
	}
	said, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return string(said)
}

func TestTypes(t *testing.T) {
	node(t, "node_modules/typescript/bin/tsc", "--noEmit")
}

func TestUnits(t *testing.T) {
	if said := node(t, "test/unit.mjs"); !regexp.MustCompile(`(?m)^# pass [1-9]\d*$`).MatchString(said) {
		t.Errorf("no test was run:\n%s", said)
	}
}

func TestInBrowser(t *testing.T) {
	if *answers == "" || *out == "" {
		t.Skip("make test-plugin runs it, on what the backend answered in front of a real weir")
	}
	chromium := "chromium"
	if given := os.Getenv("CHROMIUM"); given != "" {
		chromium = given
	}
	browser, err := exec.LookPath(chromium)
	if err != nil {
		t.Skipf("no Chromium is installed (on Debian: apt-get install chromium; elsewhere name it in CHROMIUM): %v", err)
	}
	t.Setenv("CHROMIUM", browser)
	dist := t.TempDir()
	node(t, "build.mjs", dist)
	said := node(t, "test/draw.mjs", dist, *answers, *out)
	if !regexp.MustCompile(`(?m)^[1-9]\d* scenes were played, 0 faults$`).MatchString(said) {
		t.Errorf("it does not say what was drawn:\n%s", said)
	}
	t.Logf("%s", said)
}
