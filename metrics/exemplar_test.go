package metrics

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"weir/limits"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	recorded = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func TestRecordedTrace(t *testing.T) {
	for _, c := range []struct {
		field   string
		id      string
		sampled bool
	}{
		{recorded, traceID, true},
		{"00-" + traceID + "-00f067aa0ba902b7-03", traceID, true},
		{"00-" + traceID + "-00f067aa0ba902b7-00", traceID, false},
		{"01-" + traceID + "-00f067aa0ba902b7-01-what-comes-later", traceID, true},
		{"01-" + traceID + "-00f067aa0ba902b7-01", traceID, true},
		{"", "", false},
		{"00-" + traceID + "-00f067aa0ba902b7-01-what-comes-later", "", false},
		{"01-" + traceID + "-00f067aa0ba902b7-01.", "", false},
		{"ff-" + traceID + "-00f067aa0ba902b7-01", "", false},
		{"00-" + strings.ToUpper(traceID) + "-00f067aa0ba902b7-01", "", false},
		{"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "", false},
		{"00-" + traceID + "-0000000000000000-01", "", false},
		{"00_" + traceID + "-00f067aa0ba902b7-01", "", false},
		{"00-" + traceID + "-00f067aa0ba902b7-0g", "", false},
		{recorded[:54], "", false},
	} {
		if id, sampled := recordedTrace(c.field); id != c.id || sampled != c.sampled {
			t.Errorf("%q: %q, %v", c.field, id, sampled)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(recorded)
	f.Add("01-" + traceID + "-00f067aa0ba902b7-01-x")
	valid := regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)
	f.Fuzz(func(t *testing.T, field string) {
		id, sampled := recordedTrace(field)
		if id == "" {
			if sampled {
				t.Error("a trace without an identity is recorded")
			}
			return
		}
		if m := valid.FindStringSubmatch(strings.ReplaceAll(field, "\n", " ")); m == nil || m[1] != id {
			t.Errorf("%q: %q", field, id)
		}
	})
}

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
