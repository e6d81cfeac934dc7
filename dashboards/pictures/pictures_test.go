package pictures

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

var (
	results = flag.String("results", "", "what the panels' queries gave, from the proof of the dashboards")
	out     = flag.String("out", "", "directory to write the pictures to")
)

func TestPictures(t *testing.T) {
	if *results == "" || *out == "" {
		t.Skip("make test-dashboards runs it, on what the proof of the dashboards recorded")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("no node is installed (on Debian: apt-get install nodejs npm): %v", err)
	}
	chromium := "chromium"
	if given := os.Getenv("CHROMIUM"); given != "" {
		chromium = given
	}
	browser, err := exec.LookPath(chromium)
	if err != nil {
		t.Skipf("no Chromium is installed (on Debian: apt-get install chromium; elsewhere name it in CHROMIUM): %v", err)
	}
	if _, err := os.Stat("node_modules/@grafana/ui"); err != nil {
		t.Skipf("Grafana's components are not there (scripts/install-deps dashboards): %v", err)
	}
	if _, err := os.Stat(*results); err != nil {
		t.Skipf("the proof recorded nothing: %v", err)
	}
	cmd := exec.Command(node, "draw.mjs", *results, *out)
	cmd.Env = append(os.Environ(), "CHROMIUM="+browser)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !regexp.MustCompile(`(?m)^[1-9]\d* panels were drawn on [1-9]\d* pictures, 0 faults$`).Match(said) {
		t.Errorf("it does not say that panels were drawn:\n%s", said)
	}
	t.Logf("%s", said)
}
