package e2e

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// shown is something that has to have data: a query of a panel, a variable, an
// annotation or a rule.
type shown struct {
	where string
	// queries ask for one choice of the reader's after the other; one of them has to
	// give something.
	queries []string
	target  boardTarget // how a panel asks; empty for all else
	label   string      // of a variable: the label whose values are asked for
	records string      // of a recording rule: the name of what it records
	late    bool        // is an alert, whose turn comes when the rest has been looked at
}

// chosenOn gives the functions that are chosen on each dashboard, one after the other;
// "" is all of them.
func chosenOn() map[string][]string {
	return map[string][]string{
		"weir-fleet.json":    {""},
		"weir-function.json": {"counted", "cart", "report", "flaky", "down", "leaving", "restarted", "shared"},
		"weir-async.json":    {"mail", "queueless"},
	}
}

func choose(function string) choice {
	if function == "" {
		return all()
	}
	return all().with("function", function)
}

// everythingShown is all that a Prometheus is asked for on the dashboards, and the
// rules that it has loaded: those that record before those that use it.
func everythingShown(t testing.TB, p *prometheus) []shown {
	t.Helper()
	var list []shown
	for _, name := range slices.Sorted(maps.Keys(chosenOn())) {
		b := readBoard(t, name)
		in := func(expr string) []string {
			var queries []string
			for _, function := range chosenOn()[name] {
				queries = append(queries, choose(function).in(t, expr))
			}
			return queries
		}
		for _, panel := range b.Panels {
			for _, target := range panel.Targets {
				list = append(list, shown{where: fmt.Sprintf("%s: panel %q, %s", b.Title, panel.Title, target.RefID), queries: in(target.Expr), target: target})
			}
		}
		for _, v := range b.Templating.List {
			if v.Type == "query" {
				selector, label := labelValues(t, v.Query)
				// Only cart has versions.
				list = append(list, shown{where: fmt.Sprintf("%s: variable %s", b.Title, v.Name), queries: []string{choose("cart").in(t, selector)}, label: label})
			}
		}
		for _, a := range b.Annotations.List {
			list = append(list, shown{where: fmt.Sprintf("%s: annotation %q", b.Title, a.Name), queries: []string{all().with("function", "flaky").in(t, a.Expr)}})
		}
	}
	var alerts []shown
	for _, r := range p.rules(t) {
		switch {
		case r.Type == "recording":
			list = append(list, shown{where: "rule " + r.Name, queries: []string{r.Query}, records: r.Name})
		case r.Name == "WeirAbsent":
			// It has data where there is no weir: TestAbsenceIsNoticed.
		default:
			where := "alert " + r.Name
			if w := r.Labels["window"]; w != "" {
				where += " over " + w
			}
			alerts = append(alerts, shown{where: where, queries: []string{r.Query}, late: true})
		}
	}
	return append(list, alerts...)
}

// lost names what has no data although it should. With names of metrics, it is what
// would have none if Prometheus knew these by other names: the same queries ask for
// them by names that do not exist.
func (p *prometheus) lost(t testing.TB, list []shown, from, to time.Time, renamed ...string) []string {
	t.Helper()
	gone := map[string]bool{}
	for _, name := range renamed {
		gone[name] = true
	}
	var lost []string
	for _, s := range list {
		found, touched := false, len(renamed) == 0
		for _, expr := range s.queries {
			expr, asksFor := withoutStandIn(t, expr, gone)
			touched = touched || asksFor
			if found = touched && p.hasData(t, s, expr, from, to); found {
				break
			}
			if !touched {
				break // all of them ask for the same metrics
			}
		}
		if touched && !found {
			lost = append(lost, s.where)
			if s.records != "" && len(renamed) > 0 {
				gone[s.records] = true
			}
		}
	}
	return lost
}

func (p *prometheus) hasData(t testing.TB, s shown, expr string, from, to time.Time) bool {
	t.Helper()
	if s.late {
		to = time.Now()
	}
	if s.label != "" {
		return len(p.values(t, expr, s.label, from, to)) > 0
	}
	return slices.ContainsFunc(p.run(t, s.target, expr, from, to), func(s series) bool {
		return slices.ContainsFunc(s.numbers(t), func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) })
	})
}

// withoutStandIn gives an expression without the 0 that a panel shows where there is
// no data, and with metrics that are gone asked for by names that nothing has. It
// says whether it asks for one of these.
func withoutStandIn(t testing.TB, text string, gone map[string]bool) (string, bool) {
	t.Helper()
	expr, err := parser.ParseExpr(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if or, ok := expr.(*parser.BinaryExpr); ok && or.Op == parser.LOR {
		if zero, ok := or.RHS.(*parser.Call); ok && zero.Func.Name == "vector" {
			expr = or.LHS
		}
	}
	asksFor := false
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok || !gone[s.Name] {
			return nil
		}
		asksFor = true
		for _, m := range s.LabelMatchers {
			if m.Name == labels.MetricName {
				m.Value = "renamed_" + s.Name
			}
		}
		s.Name = "renamed_" + s.Name
		return nil
	})
	return expr.String(), asksFor
}

// asksFor gives the metrics that the expressions name.
func asksFor(t testing.TB, list []shown) map[string]bool {
	t.Helper()
	named := map[string]bool{}
	for _, s := range list {
		for _, text := range s.queries {
			expr, err := parser.ParseExpr(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if s, ok := n.(*parser.VectorSelector); ok {
					named[s.Name] = true
				}
				return nil
			})
		}
	}
	return named
}

// catalogued matches the row of a metric in docs/metrics.md.
var catalogued = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (counter|gauge|histogram) \\|")

// catalogue gives the series' names of each metric that weir has, a histogram being
// three.
func catalogue(t testing.TB) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	families := map[string][]string{}
	for _, m := range catalogued.FindAllStringSubmatch(string(text), -1) {
		families[m[1]] = []string{m[1]}
		if m[2] == "histogram" {
			families[m[1]] = []string{m[1] + "_bucket", m[1] + "_sum", m[1] + "_count"}
		}
	}
	if len(families) < 35 {
		t.Fatalf("docs/metrics.md has only %d metrics", len(families))
	}
	return families
}

// underOtherNames are metrics that a second Prometheus has under other names, and
// something of each kind that it cannot show for it: one of the fleet's dashboard, of
// the function's and of the asynchronous calls', an annotation, and rules.
var underOtherNames = map[string]string{
	"weir_throttles_total":                 "rule function:weir_throttles:ratio_rate5m",
	"weir_inflight_high_water":             `weir / function: panel "Limit, running, high water, waiting", C`,
	"weir_async_dead_lettered_total":       "alert WeirDeadLetters",
	"weir_upstream_up":                     "alert WeirUpstreamDown",
	"weir_config_last_reload_successful":   `weir / fleet: annotation "Failed reloads"`,
	"weir_request_duration_seconds_bucket": `weir / function: panel "p95 duration", A`,
}

// renamed shows that a metric which changes its name is missed: for each one that weir
// has, by asking for everything with that name changed, and for some with a Prometheus
// that has them under other names. Both ways have to come to the same.
func (f *fleet) renamed(t *testing.T, list []shown, from, to time.Time) {
	used := asksFor(t, list)
	families := catalogue(t)
	for name := range used {
		// What is not of the catalogue: the runtime's, the process'. up is made by
		// Prometheus itself.
		ofCatalogue := slices.ContainsFunc(slices.Collect(maps.Values(families)), func(names []string) bool { return slices.Contains(names, name) })
		if !ofCatalogue && name != "up" && !strings.Contains(name, ":") {
			families[name] = []string{name}
		}
	}
	var table strings.Builder
	for _, family := range slices.Sorted(maps.Keys(families)) {
		lost := f.prometheus.lost(t, list, from, to, families[family]...)
		if len(lost) == 0 {
			t.Errorf("%s: if it is renamed, nothing is missed", family)
		}
		fmt.Fprintf(&table, "%s: %d\n", family, len(lost))
		for _, where := range lost {
			fmt.Fprintf(&table, "\t%s\n", where)
		}
	}
	if *dashboardData != "" {
		writeFile(t, filepath.Join(filepath.Dir(*dashboardData), "renamed.txt"), table.String())
	}
	t.Logf("%d metrics were renamed, one after the other", len(families))

	names := slices.Sorted(maps.Keys(underOtherNames))
	want := f.prometheus.lost(t, list, from, to, names...)
	got := f.renaming.lost(t, everythingShown(t, f.renaming), from, to)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("with %v renamed in Prometheus, without data are\n%s\nwant\n%s", names, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for name, where := range underOtherNames {
		if !slices.Contains(got, where) {
			t.Errorf("%s is renamed in Prometheus, and %s has data", name, where)
		}
	}
	t.Logf("without %v, %d of %d have no data", names, len(got), len(list))
}

// promRule is a rule as Prometheus has loaded it.
type promRule struct {
	Name, Type, Query, Health, LastError string
	Labels                               map[string]string
}

func (p *prometheus) rules(t testing.TB) []promRule {
	t.Helper()
	var data struct {
		Groups []struct{ Rules []promRule }
	}
	if err := p.ask("/api/v1/rules", url.Values{}, &data); err != nil {
		t.Fatal(err)
	}
	var all []promRule
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all
}
