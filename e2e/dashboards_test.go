package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Dashboards, rules and alerts on real parts: a fleet of weirs in trouble of every
// kind, Prometheus with the rules, Alertmanager. `make test-dashboards` runs it.
var (
	withDashboards = flag.Bool("dashboards", false, "run the proof of dashboards and alerts, which takes some minutes")
	dashboardData  = flag.String("dashboards-out", "", "write what the panels' queries gave to this file, for the pictures")
)

// TestDashboards shows every panel, variable, annotation, rule and alert with data,
// and the main figures as they are.
func TestDashboards(t *testing.T) {
	if !*withDashboards {
		t.Skip("make test-dashboards runs it: it takes some minutes")
	}
	f := startFleet(t)
	t.Run("figures", f.figures)
	// From when on rates have a whole window; for the pictures a minute of it.
	samples, err := f.prometheus.query(time.Now(), `weir_concurrency_seconds_total{job="counted"}[1h]`)
	if err != nil {
		t.Fatal(err)
	}
	from := samples[0].at.Add(rateWindow)
	if *dashboardData != "" {
		eventually(t, "a minute's course", func() (bool, string) {
			return time.Since(from) > 50*time.Second, "only " + time.Since(from).String()
		})
	}
	to := time.Now()
	list := everythingShown(t, f.prometheus)
	t.Run("variables", func(t *testing.T) { f.variables(t, from, to) })
	t.Run("annotations", func(t *testing.T) { f.annotations(t, from, to) })
	t.Run("panels", func(t *testing.T) { f.panels(t, from, to) })
	t.Run("exemplars", func(t *testing.T) { f.exemplars(t, f.loaded, to) })
	t.Run("rules", f.rules)
	t.Run("alerts", f.alerts)
	t.Run("data", func(t *testing.T) {
		for _, where := range f.prometheus.lost(t, list, from, to) {
			t.Errorf("%s has no data", where)
		}
		t.Logf("%d queries and rules have data", len(list))
	})
	t.Run("renamed", func(t *testing.T) { f.renamed(t, list, from, to) })
}

// figures compares what panels show with what the load generator counted.
func (f *fleet) figures(t *testing.T) {
	functionBoard, fleetBoard, asyncBoard := readBoard(t, "weir-function.json"), readBoard(t, "weir-fleet.json"), readBoard(t, "weir-async.json")
	refused := f.countedClients.answered(http.StatusTooManyRequests)
	share := func(s span) float64 {
		return s.increase(refused) / (s.increase(refused) + s.increase(f.counted.ended))
	}
	rate := func(of *course) func(span) float64 {
		return func(s span) float64 { return s.increase(of) / s.seconds() }
	}
	mean := func(s span) float64 { return s.mean(f.counted.running) }
	for _, c := range []struct {
		board     board
		panel     string
		target    int
		job       string
		truth     func(span) float64
		line, why string // line: "" where there is one, "sum" for all of them, or the matcher of one
	}{
		{functionBoard, "Requests", 0, "counted", rate(f.counted.ended), "", "the function's own count"},
		{functionBoard, "Refused", 0, "counted", share, "", "the callers' count of 429"},
		{functionBoard, "Refused, by reason", 0, "counted", rate(refused), `reason="max_inflight"`, "the callers' count of 429"},
		{functionBoard, "Mean concurrency: exact, and rate times duration", 0, "counted", mean, "", "the function's own integral"},
		{
			functionBoard, "5xx of the function, by instance", 0, "flaky",
			rate(f.flakyClients.answered(http.StatusInternalServerError)), "", "the callers' count of 500",
		},
		{asyncBoard, "Accepted and ended", 0, "mail", rate(f.mailClients.answered(http.StatusAccepted)), "", "the callers' count of 202"},
		{asyncBoard, "Attempts, by outcome", 0, "mail", func(s span) float64 { return s.increase(f.mail.ended) / s.seconds() }, "sum", "the function's own count"},
		{asyncBoard, "Receivers told, by result", 0, "mail", rate(f.told.ended), "", "the receiver's own count"},
		{fleetBoard, "Saturation, by function", 0, "counted", func(s span) float64 { return mean(s) / 12 }, "", "the function's own integral"},
		{fleetBoard, "Refused, by function", 0, "counted", share, "", "the callers' count of 429"},
		{fleetBoard, "Requests, by function", 0, "counted", rate(f.counted.ended), "", "the function's own count"},
	} {
		t.Run(c.board.UID+"_"+strings.ReplaceAll(c.panel, " ", "_"), func(t *testing.T) {
			target := c.board.panel(t, c.panel).Targets[c.target]
			expr := all().with("job", c.job).with("function", c.job).in(t, target.Expr)
			switch c.line {
			case "":
			case "sum":
				expr = "sum(" + expr + ")"
			default:
				expr = strings.Replace(expr, `instance=~".+"`, `instance=~".+", `+c.line, 1)
			}
			f.prometheus.compare(t, figure{c.panel + " (" + c.why + ")", c.job, expr, c.truth}, f.loaded)
		})
	}
	t.Run("high_water", func(t *testing.T) {
		target := functionBoard.panel(t, "Limit, running, high water, waiting").Targets[2]
		got := f.prometheus.value(t, time.Now(), all().with("function", "counted").in(t, target.Expr))
		if want := f.counted.running.highest(); got != float64(want) {
			t.Errorf("high water is %v, the function saw %d at once", got, want)
		}
	})
	t.Run("duration", func(t *testing.T) {
		// A quarter each of 0.3, 0.5, 0.8 and 1.2 s: p95 lies in the bucket from 1 to 2.5 s.
		target := functionBoard.panel(t, "p95 duration").Targets[0]
		if got := f.prometheus.value(t, time.Now(), all().with("function", "counted").in(t, target.Expr)); got < 1 || got > 2.5 {
			t.Errorf("p95 is %v s, of durations up to 1.2 s", got)
		}
	})
}

// variables executes each variable's query with everything chosen, and, where it
// depends on others, with one of their values.
func (f *fleet) variables(t *testing.T, from, to time.Time) {
	for _, name := range []string{"weir-fleet.json", "weir-function.json", "weir-async.json"} {
		b := readBoard(t, name)
		for _, v := range b.Templating.List {
			if v.Type != "query" {
				continue
			}
			for _, c := range []choice{all().with("function", "cart"), all().with("job", "shop").with("namespace", "shop").with("function", "cart")} {
				selector, label := labelValues(t, v.Query)
				found := f.prometheus.values(t, c.in(t, selector), label, from, to)
				if len(found) == 0 {
					t.Errorf("%s: %s with %v gives nothing: %s", b.Title, v.Name, c, v.Query)
				}
				if v.Name == "version" && !slices.Equal(found, []string{"v1", "v2"}) {
					t.Errorf("%s: the versions are %v, want v1 and v2", b.Title, found)
				}
			}
		}
		// A version chosen leaves the one instance that has it.
		instances := b.Templating.List[len(b.Templating.List)-1]
		selector, label := labelValues(t, instances.Query)
		if found := f.prometheus.values(t, all().with("function", "cart").with("version", "v2").in(t, selector), label, from, to); len(found) != 1 {
			t.Errorf("%s: version v2 runs on %v, want one instance", b.Title, found)
		}
	}
}

func (f *fleet) annotations(t *testing.T, from, to time.Time) {
	for _, name := range []string{"weir-fleet.json", "weir-function.json", "weir-async.json"} {
		b := readBoard(t, name)
		for _, a := range b.Annotations.List {
			found := f.prometheus.run(t, boardTarget{}, all().with("function", "flaky").in(t, a.Expr), from, to)
			if len(found) == 0 {
				t.Errorf("%s: annotation %s finds nothing: %s", b.Title, a.Name, a.Expr)
			}
			for _, s := range found {
				if s.Metric["function"] == "" || s.Metric["instance"] == "" {
					t.Errorf("%s: annotation %s cannot say where: %v", b.Title, a.Name, s.Metric)
				}
			}
		}
	}
}

// recorded is what the pictures are drawn from: a panel's queries and what they gave.
type recorded struct {
	Board    string         `json:"board"` // the dashboard's uid
	Panel    int            `json:"panel"`
	Function string         `json:"function"` // that was chosen; empty for all
	From     int64          `json:"from"`     // milliseconds since the epoch
	To       int64          `json:"to"`
	Results  []targetResult `json:"results"`
}

type targetResult struct {
	RefID  string   `json:"refId"`
	Series []series `json:"series"`
}

// legendLabel is {{label}} in a legend.
var legendLabel = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// panels executes every target of every panel: all functions at once on the fleet's
// dashboard, one after the other on the function's. Each target gives a series for
// one of them at least; no series is without a number, and each has the labels that its
// legend names.
func (f *fleet) panels(t *testing.T, from, to time.Time) {
	var out []recorded
	for name, chosen := range chosenOn() {
		b := readBoard(t, name)
		for _, p := range b.Panels {
			with := map[string]int{} // series by target, over all functions
			for _, function := range chosen {
				c := choose(function)
				r := recorded{Board: b.UID, Panel: p.ID, Function: function, From: from.UnixMilli(), To: to.UnixMilli()}
				for _, target := range p.Targets {
					found := f.prometheus.run(t, target, c.in(t, target.Expr), from, to)
					with[target.RefID] += len(found)
					for _, s := range found {
						f.judge(t, b, p, target, s)
					}
					r.Results = append(r.Results, targetResult{target.RefID, found})
				}
				if len(p.Targets) > 0 {
					out = append(out, r)
				}
			}
			for _, target := range p.Targets {
				if with[target.RefID] == 0 {
					t.Errorf("%s, %s, %s gives no series: %s", b.Title, p.Title, target.RefID, target.Expr)
				}
			}
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s, %s has no query", b.Title, p.Title)
			}
		}
	}
	if *dashboardData != "" {
		text, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, *dashboardData, string(text))
	}
	t.Logf("%d panels were executed", len(out))
}

func (f *fleet) judge(t *testing.T, b board, p boardPanel, target boardTarget, s series) {
	t.Helper()
	where := fmt.Sprintf("%s, %s, %s %v", b.Title, p.Title, target.RefID, s.Metric)
	numbers := s.numbers(t)
	if !slices.ContainsFunc(numbers, func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }) {
		t.Errorf("%s has no number among %d values", where, len(numbers))
	}
	for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
		// The scrape of counted adds no namespace, and only cart has versions.
		optional := m[1] == "namespace" && s.Metric["function"] == "counted" || m[1] == "version"
		if s.Metric[m[1]] == "" && !optional {
			t.Errorf("%s has no label %s, which the legend names", where, m[1])
		}
	}
}

// exemplars shows that each graph which asks for them leads to the trace that the
// callers' requests belong to.
func (f *fleet) exemplars(t *testing.T, from, to time.Time) {
	n := 0
	for _, name := range []string{"weir-fleet.json", "weir-function.json"} {
		b := readBoard(t, name)
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				if !target.Exemplar {
					continue
				}
				n++
				// It refuses some, and lets others wait: it has something of each kind.
				expr := all().with("function", "report").in(t, target.Expr)
				found := f.prometheus.exemplars(t, expr, "trace_id", from, to)
				if len(found) == 0 || slices.ContainsFunc(found, func(id string) bool { return id != traceID }) {
					t.Errorf("%s, %s, %s: the exemplars lead to %v, want %s", b.Title, p.Title, target.RefID, found, traceID)
				}
			}
		}
	}
	if n < 7 {
		t.Errorf("only %d queries ask for exemplars", n)
	}
}

// rules asks Prometheus how each rule fared.
func (f *fleet) rules(t *testing.T) {
	loaded := f.prometheus.rules(t)
	for _, r := range loaded {
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
		}
		if r.Type != "recording" {
			continue
		}
		found := f.prometheus.run(t, boardTarget{Instant: true}, r.Name, time.Time{}, time.Now())
		if len(found) == 0 {
			t.Errorf("%s records nothing: %s", r.Name, r.Query)
		}
		for _, s := range found {
			f.judge(t, board{Title: "rules"}, boardPanel{Title: r.Name}, boardTarget{}, s)
			if s.Metric["function"] == "" || s.Metric["job"] == "" {
				t.Errorf("%s cannot say of what: %v", r.Name, s.Metric)
			}
		}
	}
	if len(loaded) < 20 {
		t.Errorf("Prometheus has %d rules", len(loaded))
	}
}

// alerts waits until whoever is on call has been told of each alert, and until two of
// them are over.
func (f *fleet) alerts(t *testing.T) {
	for _, want := range [][]string{
		{"WeirThrottling", "function", "counted", "severity", "warning"},
		{"WeirThrottlingHigh", "function", "counted", "severity", "critical"},
		{"WeirThrottlingBudgetBurn", "function", "counted", "severity", "critical", "window", "1h"},
		{"WeirThrottlingBudgetBurn", "function", "counted", "severity", "warning", "window", "6h"},
		{"WeirNearLimit", "function", "counted"},
		{"WeirWaitingTooLong", "function", "report", "namespace", "shop"},
		{"WeirUpstreamDown", "function", "down"},
		{"WeirUpstreamDownEverywhere", "function", "down", "severity", "critical"},
		{"WeirUpstreamErrorsBurn", "function", "down", "severity", "critical"},
		{"WeirUpstreamErrorsBurn", "function", "flaky", "severity", "warning"},
		{"WeirReloadFailed", "function", "flaky"},
		{"WeirRestarting", "function", "restarted"},
		{"WeirDown", "job", "leaving"},
		{"WeirAsyncBacklog", "function", "mail"},
		{"WeirDeadLetters", "function", "mail"},
		{"WeirCallbackFailures", "function", "mail"},
		{"WeirQueueDown", "function", "queueless", "severity", "critical"},
		{"WeirLeasesUnreachable", "function", "shared"},
	} {
		n := f.alertmanager.await(t, want[0], "firing", want[1:]...)
		for _, key := range []string{"summary", "description", "runbook_url"} {
			if text := n.Annotations[key]; text == "" || strings.Contains(text, "{{") || strings.Contains(text, "<no value>") {
				t.Errorf("%s: %s is %q", want[0], key, text)
			}
		}
		t.Logf("%s: %s: %s", want[0], n.Annotations["summary"], n.Annotations["description"])
	}
	// What is mended ends its alert.
	writeFile(t, f.flakyFile, "limits: {max_inflight: 50}\n")
	f.alertmanager.await(t, "WeirReloadFailed", "resolved", "function", "flaky")
	ln, err := net.Listen("tcp", f.downAddr)
	if err != nil {
		t.Fatal(err)
	}
	serveFunction(t, ln, http.HandlerFunc(takes))
	f.alertmanager.await(t, "WeirUpstreamDown", "resolved", "function", "down")
	f.alertmanager.await(t, "WeirUpstreamDownEverywhere", "resolved", "function", "down")
	for _, quiet := range []string{"cart", "restarted"} {
		if told := f.alertmanager.of("WeirUpstreamDown", "firing", "function", quiet); len(told) > 0 {
			t.Errorf("somebody was told that %s is down: %v", quiet, told)
		}
	}
	if told := f.alertmanager.of("WeirAbsent", "firing"); len(told) > 0 {
		t.Errorf("somebody was told that there is no weir: %v", told)
	}
}

// TestAbsenceIsNoticed has no weir at all.
func TestAbsenceIsNoticed(t *testing.T) {
	if !*withDashboards {
		t.Skip("make test-dashboards runs it, with the rest of the alerts")
	}
	a := startAlertmanager(t)
	startFleetPrometheus(t, a, []scraped{{"weir", "", []string{freePort(t)}}})

	n := a.await(t, "WeirAbsent", "firing")
	if n.Annotations["runbook_url"] != "docs/runbook.md#weirabsent" {
		t.Errorf("it leads to %q", n.Annotations["runbook_url"])
	}
}
