package grafana

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite dashboards/files/grafana/dashboards")

const directory = "../files/grafana/dashboards"

// build gives all dashboards, with the runbook as it is.
func build(t testing.TB) []Dashboard {
	t.Helper()
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := All(string(runbook))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDashboardsAreAsCommitted keeps the files what the definitions say, with
// none left over.
func TestDashboardsAreAsCommitted(t *testing.T) {
	known := map[string]bool{}
	for _, d := range build(t) {
		name := d.UID + ".json"
		known[name] = true
		path := filepath.Join(directory, name)
		if *update {
			if err := os.WriteFile(path, d.JSON, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if string(committed) != string(d.JSON) {
			t.Errorf("%s is not what the definitions and docs/runbook.md say: go test ./dashboards/{grafana,rules} -update", path)
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("%s/%s is no dashboard of weir's: remove it", directory, e.Name())
		}
	}
}
