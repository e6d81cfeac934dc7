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

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	recorded = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func TestExemplarsAreSeldom(t *testing.T) {
	var e exemplars
	now := time.Unix(1_000_000, 0)
	if e.labels("00-"+traceID+"-00f067aa0ba902b7-00", now) != nil {
		t.Error("one for a trace that is not recorded")
	}
	if got := e.labels(recorded, now); got["trace_id"] != traceID || len(got) != 1 {
		t.Errorf("labels %v", got)
	}
	if e.labels(recorded, now.Add(exemplarEvery-1)) != nil {
		t.Error("another one at once")
	}
	if e.labels(recorded, now.Add(exemplarEvery)) == nil {
		t.Error("none after a while")
	}
}

func TestExemplarsAreExposed(t *testing.T) {
	gate, err := limits.NewGate(limits.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	m := New(Options{Function: "f", Gate: gate.Snapshot})
	m.Ended(Request{Status: 200, Method: "GET", Admitted: true, Duration: 300 * time.Millisecond, Upstream: 200 * time.Millisecond, Traceparent: recorded})
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`weir_request_duration_seconds_bucket{function="f",le="0.5"} 1 # {trace_id="` + traceID + `"} 0.3`,
		`weir_upstream_duration_seconds_bucket{function="f",le="0.25"} 1 # {trace_id="` + traceID + `"} 0.2`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if n := strings.Count(string(text), "trace_id"); n != 2 {
		t.Errorf("%d exemplars, want 2", n)
	}
}

func BenchmarkEndedWithATrace(b *testing.B) {
	gate, err := limits.NewGate(limits.Policy{})
	if err != nil {
		b.Fatal(err)
	}
	m := New(Options{Function: "f", Gate: gate.Snapshot})
	r := Request{Status: 200, Method: "GET", Admitted: true, Duration: 3 * time.Millisecond, Upstream: 2 * time.Millisecond, Traceparent: recorded}
	b.ReportAllocs()
	for b.Loop() {
		m.Ended(r)
	}
}
