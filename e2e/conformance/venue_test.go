package conformance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// extras plays weir: it counts how often it was started and ended, and how often it
// was asked.
type extras struct {
	metrics               *httptest.Server
	started, ended, asked int
}

func (e *extras) Launch(t testing.TB, _ Settings) *Instance {
	e.started++
	t.Cleanup(func() { e.ended++ })
	return &Instance{MetricsAddr: strings.TrimPrefix(e.metrics.URL, "http://"), log: &logBook{}}
}

func TestCasesWithTheSameSettingsShareAVenue(t *testing.T) {
	e := &extras{}
	e.metrics = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		e.asked++
		fmt.Fprintf(w, "weir_requests_total %d\nweir_inflight_limit 100\n", 10*e.asked)
	}))
	defer e.metrics.Close()
	c := &Case{Name: "a/b", Run: func(testing.TB, *Stage) {}}
	other := &Case{Name: "a/c", With: Settings{Flags: Flags{"max-inflight": "1"}}, Run: c.Run}
	var keys []string
	for range 4 {
		keys = append(keys, c.venueKey(H1))
	}
	v := newVenues(append(keys, other.venueKey(H1)))
	play := func(c *Case, run func(t testing.TB, s *Stage)) {
		j := &judge{TB: t}
		j.try(func(t testing.TB) { run(t, v.take(t, c, e, nil, H1)) })
		if want := strings.Contains(j.account(), "as it should"); j.Failed() != want {
			t.Errorf("failed: %v, want %v; it said %q", j.Failed(), want, j.account())
		}
	}
	want := func(started, ended int) {
		t.Helper()
		if e.started != started || e.ended != ended {
			t.Errorf("%d were started and %d ended, want %d and %d", e.started, e.ended, started, ended)
		}
	}

	var first *Function
	play(c, func(_ testing.TB, s *Stage) {
		first = s.Function
		s.Function.Handle("/", func(http.ResponseWriter, *http.Request) {})
		s.Weir.log.add("from the first")
	})
	want(1, 0)
	play(other, func(testing.TB, *Stage) {}) // nobody comes after it
	want(2, 1)
	play(c, func(t testing.TB, s *Stage) {
		if s.Function != first || len(s.Function.handlers) != 0 || s.Weir.Log() != "" {
			t.Errorf("the second plays elsewhere, or finds what the first left: %v, %q", s.Function.handlers, s.Weir.Log())
		}
		if n := s.Metric(t, "weir_requests_total"); n != 10 {
			t.Errorf("weir counted %v requests, want those since the case began", n)
		}
		if n := s.Metric(t, "weir_inflight_limit"); n != 100 {
			t.Errorf("a gauge is %v, want it as it is", n)
		}
		t.Error("as it should")
	})
	want(2, 2) // one that failed is left to nobody
	play(c, func(t testing.TB, s *Stage) {
		s.Weir.log.add("WARNING: DATA RACE")
		t.Log("fails as it should")
	})
	want(3, 3)
	play(c, func(testing.TB, *Stage) {})
	want(4, 4)
}
