package metrics

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/limits"
)

// TestTheLargestScrape fills every histogram with all the buckets that it may have: no
// traffic makes a scrape of weir's own metrics larger. How many series of-watchdog's names
// have is up to the statuses that the function answers.
func TestTheLargestScrape(t *testing.T) {
	gate, err := limits.NewGate(limits.Policy{MaxInflight: 10})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("f", 128) // as long as names may be
	m := New(Options{
		Function: long, FunctionVersion: long, BuildVersion: "v1.2.3-dirty", Gate: gate.Snapshot,
		Async:  func() AsyncSnapshot { return AsyncSnapshot{Up: true} },
		Leases: func() []LeaseSnapshot { return []LeaseSnapshot{{Scope: "function"}, {Scope: "account"}} },
		Traces: func() TraceSnapshot { return TraceSnapshot{} },
	})
	m.exemplars.next.Store(0)
	// Each a tenth longer than the one before, from a microsecond to 15 minutes.
	for d := float64(time.Microsecond); d < float64(15*time.Minute); d *= 1.08 {
		m.exemplars.next.Store(0) // each bucket gets an exemplar
		m.Ended(Request{
			Status: 200, Method: "GET", Admitted: true, Duration: time.Duration(2 * d), Waited: time.Duration(d), Upstream: time.Duration(d), Traceparent: recorded,
		})
		m.proxyOverhead.Observe(d / 1e9)
	}
	for name, accept := range map[string]string{
		"text": "", "OpenMetrics": "application/openmetrics-text; version=1.0.0",
		"protobuf": "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
		b, err := io.ReadAll(w.Result().Body)
		if err != nil || w.Code != 200 {
			t.Fatal(w.Code, err)
		}
		t.Logf("%-12s %d bytes", name, len(b))
		if len(b) > 150_000 {
			t.Errorf("%s has %d bytes", name, len(b))
		}
	}
}
