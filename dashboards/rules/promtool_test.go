package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// testFile is the part of promtool's format that is counted here.
type testFile struct {
	Tests []struct {
		Name  string `yaml:"name"`
		Cases []struct {
			Alert    string `yaml:"alertname"`
			At       string `yaml:"eval_time"`
			Expected []struct {
				Labels map[string]string `yaml:"exp_labels"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	} `yaml:"tests"`
}

func testFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the rules: %v", err)
	}
	return files
}

func TestRulesByPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("no promtool is installed (on Debian: apt-get install prometheus): %v", err)
	}
	for _, args := range [][]string{
		{"check", "rules", plainFile},
		append([]string{"test", "rules"}, testFiles(t)...),
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// Each alert, by severity where it has two, fires in some test, is over later in the
// same one, and does not fire at all in another.
func TestEachAlertIsTested(t *testing.T) {
	type kind struct{ alert, severity string }
	fires, resolves, silent := map[kind]bool{}, map[kind]bool{}, map[string]bool{}
	for _, path := range testFiles(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file testFile
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, test := range file.Tests {
			fired, asked := map[kind]bool{}, map[string]bool{}
			ever := map[string]bool{}
			for _, c := range test.Cases {
				asked[c.Alert] = true
				var now []kind
				for _, e := range c.Expected {
					now = append(now, kind{c.Alert, e.Labels["severity"]})
				}
				for k := range fired {
					if k.alert == c.Alert && !slices.Contains(now, k) {
						resolves[k] = true
					}
				}
				for _, k := range now {
					fired[k], fires[k], ever[k.alert] = true, true, true
				}
			}
			for name := range asked {
				silent[name] = silent[name] || !ever[name]
			}
		}
	}
	for _, g := range alerts() {
		for _, r := range g.Rules {
			a := r.(alert)
			k := kind{a.Alert, a.Labels["severity"]}
			if !fires[k] || !resolves[k] || !silent[k.alert] {
				t.Errorf("%s (%s): a test in which it fires: %v, and is over later: %v; one in which it never fires: %v",
					k.alert, k.severity, fires[k], resolves[k], silent[k.alert])
			}
		}
	}
}
