package conformance

import (
	"net/http"
	"testing"
	"time"
)

// What weir measures is what the function and the client saw. The figures are
// held between bounds that no load on the machine can move: weir's interval of a
// request lies around the function's, and within the client's.

func meterCases() []Case {
	return []Case{
		{
			Name: "meter/the integral of concurrency lies between the function's and the client's",
			Run: func(t testing.TB, s *Stage) {
				const n = 5
				gate := s.Function.Hold("/hold")
				var calls []*Call
				var held []*Held
				var starts []time.Time
				for range n {
					starts = append(starts, time.Now())
					calls = append(calls, s.Go(t, "GET /hold", nil))
					held = append(held, gate.Next(t))
				}
				<-time.After(time.Second) // time to be measured
				running := s.Function.Count().Integral.Seconds()
				if v := s.Metric(t, "weir_concurrency_seconds_total"); v < running {
					t.Errorf("with %d running: weir's integral is %v, below the function's %v", n, v, running)
				}
				for _, h := range held {
					h.Release()
				}
				for _, call := range calls {
					call.Response(t).wantBody(t, 200, "held")
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
				var upper time.Duration
				for _, start := range starts {
					upper += time.Since(start)
				}
				between(t, s, s.Function.Count().Integral.Seconds(), upper.Seconds())
			},
		},
		{
			Name: "meter/the integral counts calls of a millisecond in full",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/short", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) }) // work
				start := time.Now()
				for range 200 {
					s.Do(t, "GET /short", nil).want(t, 200)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
				// One after another: the integral cannot be above the time that passed.
				between(t, s, s.Function.Count().Integral.Seconds(), time.Since(start).Seconds())
				if v := s.Metric(t, "weir_request_duration_seconds_count"); v != 200 {
					t.Errorf("%v requests in the duration histogram, want 200", v)
				}
			},
		},
		{
			Name: "meter/the high-water mark is the most at once, and outlives a scrape",
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				var calls []*Call
				var held []*Held
				for range 7 {
					calls = append(calls, s.Go(t, "GET /hold", nil))
					held = append(held, gate.Next(t))
				}
				for _, h := range held {
					h.Release()
				}
				for _, call := range calls {
					call.Response(t).wantBody(t, 200, "held")
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				for range 3 {
					if v := s.Metric(t, "weir_inflight_high_water", "window", "1m"); v != 7 {
						t.Errorf("high water %v, want 7", v)
					}
				}
			},
		},
		{
			Name: "meter/running and in flight are the same for requests that run",
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				var calls []*Call
				var held []*Held
				for i := range 3 {
					calls = append(calls, s.Go(t, "GET /hold", nil))
					held = append(held, gate.Next(t))
					for _, gauge := range []string{"weir_running_instances", "weir_inflight_requests"} {
						if v := s.Metric(t, gauge); v != float64(i+1) {
							t.Errorf("%s %v, want %d", gauge, v, i+1)
						}
					}
				}
				for i, h := range held {
					h.Release()
					calls[i].Response(t).wantBody(t, 200, "held")
				}
			},
		},
		{
			Name: "meter/durations hold what the function took",
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				start := time.Now()
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				<-time.After(500 * time.Millisecond) // time to be measured
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.awaitMetric(t, 1, "weir_request_duration_seconds_count")
				passed := time.Since(start).Seconds()
				for _, name := range []string{"weir_request_duration_seconds_sum", "weir_upstream_duration_seconds_sum"} {
					if v := s.Metric(t, name); v < 0.5 || v > passed {
						t.Errorf("%s %v, want between 0.5 and %v", name, v, passed)
					}
				}
			},
		},
	}
}

// between asserts weir's integral of concurrency.
func between(t testing.TB, s *Stage, lower, upper float64) {
	t.Helper()
	if v := s.Metric(t, "weir_concurrency_seconds_total"); v < lower || v > upper {
		t.Errorf("weir's integral of concurrency is %v s, want between the function's %v and the client's %v", v, lower, upper)
	}
}
