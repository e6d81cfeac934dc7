package metrics

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"weir/limits"
)

func newMetrics(t *testing.T, compat bool) (*Metrics, *limits.Gate) {
	t.Helper()
	g, err := limits.NewGate(limits.Policy{MaxInflight: 7})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Function: "f", FunctionVersion: "v3", BuildVersion: "1.2.3", OpenFaaS: compat, Gate: g.Snapshot, Async: func() AsyncSnapshot { return AsyncSnapshot{Up: true} }, Leases: func() []LeaseSnapshot { return []LeaseSnapshot{{Scope: "function"}} }, Traces: func() TraceSnapshot { return TraceSnapshot{} }}), g
}

func gather(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

func TestNamesAndHelpsPassPrometheusOwnLinter(t *testing.T) {
	m, _ := newMetrics(t, true)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestTheCatalogueIsExportedWholeAndNothingElseIs(t *testing.T) {
	m, _ := newMetrics(t, false)
	families := gather(t, m)
	for _, d := range Catalogue() {
		f := families[d.Name]
		if f == nil {
			t.Errorf("%s is in the catalogue but is not exported before the first request", d.Name)
			continue
		}
		if got := strings.ToLower(f.GetType().String()); got != string(d.Type) {
			t.Errorf("%s is a %s, the catalogue says %s", d.Name, got, d.Type)
		}
		want := append([]string{"function"}, d.Labels...)
		slices.Sort(want)
		for _, metric := range f.Metric {
			var got []string
			for _, l := range metric.Label {
				got = append(got, l.GetName())
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s has labels %v, want %v", d.Name, got, want)
			}
		}
	}
	for name := range families {
		if strings.HasPrefix(name, "weir_") && !slices.ContainsFunc(catalogue, func(d Definition) bool { return d.Name == name }) {
			t.Errorf("%s is exported but is not in the catalogue", name)
		}
	}
}

func TestAnEndedRequestIsCountedOnceWithItsOrigin(t *testing.T) {
	m, _ := newMetrics(t, false)
	m.Ended(Request{Status: 200, Origin: OriginFunction, Admitted: true, Duration: 2 * time.Second, Waited: time.Second, Upstream: 900 * time.Millisecond})
	m.Ended(Request{Status: 502, Origin: OriginWeir, Admitted: true, Duration: time.Second})
	m.Ended(Request{Status: 400, Origin: OriginWeir})
	m.LeftQueue("GET", 3*time.Second)
	m.Throttled(&limits.Throttle{Reason: limits.ReasonQueueTimeout, Waited: 5 * time.Second}, "GET", 429)
	m.Throttled(&limits.Throttle{Reason: limits.ReasonMaxInflight}, "GET", 429)

	for labels, want := range map[[3]string]float64{
		{"sync", "2xx", "function"}: 1, {"sync", "5xx", "weir"}: 1, {"sync", "4xx", "weir"}: 1,
		{"sync", "4xx", "client"}: 1, {"sync", "5xx", "function"}: 0, {"async", "2xx", "function"}: 0,
	} {
		got := find(t, gather(t, m)[nameRequests], map[string]string{"mode": labels[0], "code_class": labels[1], "origin": labels[2]}).GetCounter().GetValue()
		if got != want {
			t.Errorf("%s%v = %v, want %v", nameRequests, labels, got, want)
		}
	}
	for name, want := range map[string]struct {
		count uint64
		sum   float64
	}{
		nameRequestDuration:  {2, 3},
		nameUpstreamDuration: {1, .9},
		nameQueueWait:        {3, 9}, // the admitted, the one that left, the one that timed out
		nameProxyOverhead:    {2, 1.1},
	} {
		h := gather(t, m)[name].Metric[0].GetHistogram()
		if h.GetSampleCount() != want.count || abs(h.GetSampleSum()-want.sum) > 1e-9 {
			t.Errorf("%s: count %d sum %v, want %d and %v", name, h.GetSampleCount(), h.GetSampleSum(), want.count, want.sum)
		}
	}
	for reason, want := range map[string]float64{"queue_timeout": 1, "max_inflight": 1, "queue_full": 0, "draining": 0} {
		if got := find(t, gather(t, m)[nameThrottles], map[string]string{"reason": reason}).GetCounter().GetValue(); got != want {
			t.Errorf("throttles %s = %v, want %v", reason, got, want)
		}
	}
}

func TestGateIsReadAtScrapeTime(t *testing.T) {
	m, g := newMetrics(t, false)
	var a, b limits.Slot
	for _, s := range []*limits.Slot{&a, &b} {
		if err := g.Enter(t.Context(), &limits.Call{}, s); err != nil {
			t.Fatal(err)
		}
	}
	a.Leave(limits.Succeeded)
	f := gather(t, m)
	for name, want := range map[string]float64{nameInflight: 1, nameLimit: 7, nameRunning: 1, nameHighWater: 2, nameWaiting: 0} {
		if got := f[name].Metric[0].GetGauge().GetValue(); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if got := f[nameConcurrency].Metric[0].GetCounter().GetValue(); got <= 0 {
		t.Errorf("%s = %v with a request running", nameConcurrency, got)
	}
	b.Leave(limits.Succeeded)
}

func TestHistogramsAreClassicAndNative(t *testing.T) {
	m, _ := newMetrics(t, false)
	m.Ended(Request{Status: 200, Admitted: true, Duration: time.Second})
	h := gather(t, m)[nameRequestDuration].Metric[0].GetHistogram()
	if len(h.Bucket) != len(buckets) || h.Schema == nil || len(h.PositiveSpan) == 0 {
		t.Errorf("%d classic buckets, native schema %v, %d spans", len(h.Bucket), h.Schema, len(h.PositiveSpan))
	}
}

func TestScrapeSpeaksOpenMetricsWhereAsked(t *testing.T) {
	m, _ := newMetrics(t, false)
	m.Reloaded(time.UnixMilli(1_700_000_000_500), true)
	m.Reloaded(time.UnixMilli(1_800_000_000_000), false)
	m.UpstreamUp(true)
	srv := httptest.NewServer(m.Handler(slog.New(slog.DiscardHandler)))
	defer srv.Close()
	for accept, want := range map[string]string{
		"": "text/plain", "application/openmetrics-text; version=1.0.0": "application/openmetrics-text",
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if ct := res.Header.Get("Content-Type"); !strings.HasPrefix(ct, want) {
			t.Errorf("Accept %q gives %q, want %q", accept, ct, want)
		}
		for _, line := range []string{
			`weir_upstream_up{function="f"} 1`,
			`weir_config_last_reload_successful{function="f"} 0`,
			`weir_config_last_reload_success_timestamp_seconds{function="f"} 1.7000000005e+09`,
			`version="1.2.3"`,
		} {
			if !strings.Contains(strings.ReplaceAll(string(body), ".0\n", "\n"), line) {
				t.Errorf("Accept %q: no %s", accept, line)
			}
		}
	}
}

func TestOpenFaaSNamesCountRefusedRequestsAndBoundTheMethod(t *testing.T) {
	m, _ := newMetrics(t, true)
	m.Ended(Request{Status: 200, Admitted: true, Method: "GET", Duration: time.Second})
	m.Ended(Request{Status: 200, Admitted: true, Method: "BREW", Duration: time.Second})
	m.Throttled(&limits.Throttle{Reason: limits.ReasonMaxInflight}, "GET", 429)
	f := gather(t, m)
	for labels, want := range map[[2]string]float64{{"200", "GET"}: 1, {"200", "OTHER"}: 1, {"429", "GET"}: 1} {
		if got := find(t, f["http_requests_total"], map[string]string{"code": labels[0], "method": labels[1]}).GetCounter().GetValue(); got != want {
			t.Errorf("%v = %v, want %v", labels, got, want)
		}
	}
	if f["http_request_duration_seconds"] == nil || f["http_requests_in_flight"] == nil {
		t.Error("of-watchdog's other metrics are missing")
	}
}

// TestOpenFaaSSeriesAreBounded: a function may invent statuses, a client methods.
func TestOpenFaaSSeriesAreBounded(t *testing.T) {
	m, _ := newMetrics(t, true)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "BREW", "get", "PURGE"}
	for status := range 1000 {
		for _, method := range methods {
			m.Ended(Request{Status: status, Method: method})
		}
	}
	f := gather(t, m)
	codes := map[string]float64{}
	for _, s := range f["http_requests_total"].GetMetric() {
		for _, l := range s.GetLabel() {
			if l.GetName() == "code" {
				codes[l.GetValue()] += s.GetCounter().GetValue()
			}
		}
	}
	const registered, theirClasses = 62, 5
	if len(codes) > registered+1+theirClasses+1 {
		t.Errorf("%d values of code: %v", len(codes), codes)
	}
	for _, name := range []string{"http_requests_total", "http_request_duration_seconds"} {
		if got, most := len(f[name].GetMetric()), 10*len(codes); got > most {
			t.Errorf("%d series of %s, want %d at most", got, name, most)
		}
	}
	for code, statuses := range map[string]int{"200": 1, "404": 1, "499": 1, "other": 500} {
		if got, want := codes[code], float64(statuses*len(methods)); got != want {
			t.Errorf("%v requests with code %q, want %v", got, code, want)
		}
	}
	if codes["5xx"] == 0 || codes["599"] != 0 || codes["418"] == 0 {
		t.Errorf("%v", codes)
	}
}

func TestCountingARequestAllocatesNothing(t *testing.T) {
	m, _ := newMetrics(t, false)
	r := Request{Status: 200, Admitted: true, Duration: 20 * time.Millisecond, Upstream: 19 * time.Millisecond}
	if n := testing.AllocsPerRun(1000, func() { m.Ended(r) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkEnded(b *testing.B) {
	m := New(Options{Gate: func() limits.Snapshot { return limits.Snapshot{} }})
	r := Request{Status: 200, Admitted: true, Duration: 20 * time.Millisecond, Upstream: 19 * time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Ended(r)
	}
}

func find(t *testing.T, f *dto.MetricFamily, labels map[string]string) *dto.Metric {
	t.Helper()
	for _, m := range f.GetMetric() {
		matched := 0
		for _, l := range m.Label {
			if labels[l.GetName()] == l.GetValue() && labels[l.GetName()] != "" {
				matched++
			}
		}
		if matched == len(labels) {
			return m
		}
	}
	t.Fatalf("%s has no series %v", f.GetName(), labels)
	return nil
}

func abs(f float64) float64 {
	if f < 0 {
		return -f
	}
	return f
}

var _ prometheus.Collector = (*gateCollector)(nil)
