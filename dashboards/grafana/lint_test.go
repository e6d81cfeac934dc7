package grafana

import (
	"strings"
	"testing"

	"github.com/grafana/dashboard-linter/lint"
)

// TestLinterFindsNothing runs every rule of Grafana's dashboard linter over the
// dashboards with queries. Warnings count.
func TestLinterFindsNothing(t *testing.T) {
	rules := lint.NewRuleSet()
	if len(rules.Rules()) < 17 {
		t.Fatalf("the linter has %d rules, want all of its 17", len(rules.Rules()))
	}
	for _, d := range build(t) {
		if d.UID == RunbookUID {
			continue // words alone: nothing that a data source could be for
		}
		t.Run(d.UID, func(t *testing.T) {
			for _, fault := range faults(t, rules, d.JSON) {
				t.Error(fault)
			}
		})
	}
}

// faults lints one dashboard.
func faults(t *testing.T, rules lint.RuleSet, text []byte) []string {
	t.Helper()
	d, err := lint.NewDashboard(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.GetPanels()) == 0 {
		t.Fatal("the linter sees no panel")
	}
	results, err := rules.Lint([]lint.Dashboard{d})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, c := range results.ByRule() {
		for _, r := range c {
			for _, one := range r.Result.Results {
				if one.Severity == lint.Error || one.Severity == lint.Warning {
					found = append(found, r.Rule.Name()+": "+one.Message)
				}
			}
		}
	}
	return found
}

// TestLinterFindsFaults shows that a fault in a dashboard would be seen.
func TestLinterFindsFaults(t *testing.T) {
	for _, d := range build(t) {
		if d.UID == RunbookUID {
			continue
		}
		for _, fault := range []struct{ from, to, rule string }{
			{`[$__rate_interval]`, `[5m]`, "target-rate-interval-rule"},
			{`job=~\"$job\"`, `job!=\"\"`, "target-job-rule"},
			{`"editable": false`, `"editable": true`, "uneditable-dashboard"},
			{`"unit": "reqps"`, `"unit": "requests"`, "panel-units-rule"},
		} {
			broken := strings.ReplaceAll(string(d.JSON), fault.from, fault.to)
			found := strings.Join(faults(t, lint.NewRuleSet(), []byte(broken)), "\n")
			if !strings.Contains(found, fault.rule) {
				t.Errorf("%s: with %s for %s the linter finds %q, want a fault by %s", d.UID, fault.to, fault.from, found, fault.rule)
			}
		}
	}
}
