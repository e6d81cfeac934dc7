package dashboards

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"weir/limits"
	"weir/metrics"
)

// fromScrape are labels that Prometheus adds.
var fromScrape = []string{"job", "instance", "namespace"}

// exportedMetrics is every metric that a weir exports, with its labels: those of the
// catalogue, and the standard ones of the Go runtime and of the process. up is
// Prometheus' own.
func exportedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	m := metrics.New(metrics.Options{Function: "f", Gate: func() limits.Snapshot { return limits.Snapshot{} }, Async: func() metrics.AsyncSnapshot { return metrics.AsyncSnapshot{Up: true} }, Leases: func() []metrics.LeaseSnapshot { return []metrics.LeaseSnapshot{{Scope: "function"}} }, Traces: func() metrics.TraceSnapshot { return metrics.TraceSnapshot{} }})
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"up": nil}
	for _, f := range families {
		var names []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			all[f.GetName()] = names
			continue
		}
		all[f.GetName()+"_sum"], all[f.GetName()+"_count"] = names, names
		all[f.GetName()+"_bucket"] = append(slices.Clone(names), "le")
	}
	return all
}

// Every metric that is asked for is one that is exported, with the labels that it
// is selected by, or one that a rule records.
func TestEveryMetricNamedExists(t *testing.T) {
	known := exportedMetrics(t)
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "" {
				known[r.Record] = []string{"function"}
			}
		}
	}
	all := expressions(t)
	if len(all) < 50 {
		t.Fatalf("only %d expressions were found", len(all))
	}
	for _, e := range all {
		found := selectors(t, e)
		if len(found) == 0 {
			t.Errorf("%s asks for no metric: %s", e.where, e.text)
		}
		for _, s := range found {
			have, ok := known[s.Name]
			if !ok {
				t.Errorf("%s: there is no metric %s", e.where, s.Name)
				continue
			}
			for _, l := range matched(s) {
				if !slices.Contains(have, l) && !slices.Contains(fromScrape, l) {
					t.Errorf("%s: %s has no label %s, only %v", e.where, s.Name, l, have)
				}
			}
		}
	}
}

// Every metric of the catalogue is on a panel or in a rule: one that nobody looks at
// is not worth its series.
func TestEveryMetricIsShown(t *testing.T) {
	shown := map[string]bool{}
	for _, e := range expressions(t) {
		for _, s := range selectors(t, e) {
			shown[s.Name] = true
		}
	}
	for _, d := range metrics.Catalogue() {
		used := shown[d.Name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			used = used || d.Type == metrics.Histogram && shown[d.Name+suffix]
		}
		if !used {
			t.Errorf("%s is on no panel and in no rule: add it to a row in dashboards/grafana (or to dashboards/rules), then go test ./dashboards/{grafana,rules} -update", d.Name)
		}
	}
}

// Dashboards do not depend on recording rules, which not everybody loads.
func TestDashboardsNeedNoRules(t *testing.T) {
	for _, e := range expressions(t) {
		if strings.HasPrefix(e.where, "rule ") {
			continue
		}
		for _, s := range selectors(t, e) {
			if strings.Contains(s.Name, ":") {
				t.Errorf("%s asks for %s, which a rule records", e.where, s.Name)
			}
		}
	}
}

// Each reason of a refusal is explained where refusals are shown, and counts for the
// alerts as missing capacity or does not: a new one has to be thought about.
func TestEveryReasonIsAccountedFor(t *testing.T) {
	capacity := map[limits.Reason]bool{
		limits.ReasonMaxInflight: true, limits.ReasonQueueFull: true, limits.ReasonQueueTimeout: true, limits.ReasonPriority: true, limits.ReasonRamp: true,
		limits.ReasonFunction: true, limits.ReasonAccount: true,
		limits.ReasonRate:   false,
		limits.ReasonCaller: false, limits.ReasonLoop: false, limits.ReasonDraining: false,
	}
	var counted *labels.Matcher
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if r.Record != "function:weir_throttles:ratio_rate5m" {
				continue
			}
			for _, s := range selectors(t, expression{r.Record, r.Expr}) {
				for _, m := range s.LabelMatchers {
					if m.Name == "reason" {
						counted = m
					}
				}
			}
		}
	}
	if counted == nil {
		t.Fatal("the recorded share of refusals does not choose by reason")
	}
	for _, reason := range limits.Reasons() {
		missing, known := capacity[reason]
		if !known {
			t.Errorf("does %s mean that capacity is missing? Say so here and in dashboards/rules/recording.go", reason)
		} else if counted.Matches(string(reason)) != missing {
			t.Errorf("%s counts as missing capacity: %v, want %v", reason, !missing, missing)
		}
		for path, b := range boards(t) {
			for _, p := range b.Panels {
				if p.Title == "Refused, by reason" && !strings.Contains(p.Description, string(reason)) {
					t.Errorf("%s: panel %q does not say what to do about %s", path, p.Title, reason)
				}
			}
		}
	}
}
