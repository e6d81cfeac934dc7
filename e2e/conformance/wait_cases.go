package conformance

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// The wait queue: bounded, first in first out, left at once by who leaves.

func waiting(flags Flags) Settings {
	all := Flags{"max-inflight": "1", "overflow": "wait", "queue-timeout": "60s"}
	for name, value := range flags {
		all[name] = value
	}
	return Settings{Flags: all}
}

func waitCases() []Case {
	return []Case{
		{
			Name: "wait/first in, first out",
			With: waiting(nil),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				var calls []*Call
				var want []string
				for i := range 10 {
					target := fmt.Sprintf("/q?%d", i)
					want = append(want, target)
					calls = append(calls, s.Go(t, "GET "+target, nil))
					s.awaitMetric(t, float64(i+1), "weir_waiting_requests")
				}
				release()
				for _, call := range calls {
					call.Response(t).want(t, 200)
				}
				var got []string
				for _, seen := range s.Function.Seen()[1:] {
					got = append(got, seen.Target)
				}
				if !slices.Equal(got, want) {
					t.Errorf("the function saw %v, want %v", got, want)
				}
			},
		},
		{
			Name: "wait/a newcomer cannot pass those who wait",
			With: waiting(nil),
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				var calls []*Call
				join := func(i int) { calls = append(calls, s.Go(t, fmt.Sprintf("GET /hold?%d", i), nil)) }
				join(0)
				held := gate.Next(t)
				const waiters = 4
				for i := range waiters {
					join(i + 1)
					s.awaitMetric(t, float64(i+1), "weir_waiting_requests")
				}
				next := waiters + 1
				var want, got []string
				for i := range 3 * waiters {
					// At the very moment that a slot comes free, somebody asks for it.
					held.Release()
					join(next)
					next++
					held = gate.Next(t)
					got = append(got, held.Target)
					want = append(want, fmt.Sprintf("/hold?%d", i+1))
					s.awaitMetric(t, waiters, "weir_waiting_requests")
				}
				if !slices.Equal(got, want) {
					t.Errorf("served %v, want %v", got, want)
				}
				for range waiters {
					held.Release()
					held = gate.Next(t)
				}
				held.Release()
				for _, call := range calls {
					call.Response(t).wantBody(t, 200, "held")
				}
			},
		},
		{
			Name: "wait/a queue that is full refuses with queue_full",
			With: waiting(Flags{"queue-depth": "2"}),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				one := s.Go(t, "GET /1", nil)
				two := s.Go(t, "GET /2", nil)
				s.awaitMetric(t, 2, "weir_waiting_requests")
				wantRefusal(t, s.Do(t, "GET /3", nil), 429, "queue_full", 1)
				s.awaitMetric(t, 1, "weir_throttles_total", "reason", "queue_full")
				release()
				one.Response(t).want(t, 200)
				two.Response(t).want(t, 200)
			},
		},
		{
			Name: "wait/one that waited too long is refused with queue_timeout, not before",
			With: waiting(Flags{"queue-timeout": "700ms"}),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				start := time.Now()
				resp := s.Do(t, "GET /", nil)
				if waited := time.Since(start); waited < 700*time.Millisecond {
					t.Errorf("refused after %v, before the queue's 700 ms", waited)
				}
				wantRefusal(t, resp, 429, "queue_timeout", 1)
				s.awaitMetric(t, 1, "weir_throttles_total", "reason", "queue_timeout")
				s.awaitMetric(t, 0, "weir_waiting_requests")
				release()
			},
		},
		{
			Name: "wait/a client that leaves leaves the queue at once",
			With: waiting(Flags{"queue-depth": "2"}),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				one := s.Go(t, "GET /1", nil)
				s.awaitMetric(t, 1, "weir_waiting_requests")
				two := s.Go(t, "GET /2", nil)
				s.awaitMetric(t, 2, "weir_waiting_requests")
				one.Cancel()
				s.awaitMetric(t, 1, "weir_waiting_requests")
				three := s.Go(t, "GET /3", nil) // has the place
				s.awaitMetric(t, 2, "weir_waiting_requests")
				release()
				two.Response(t).want(t, 200)
				three.Response(t).want(t, 200)
				for _, seen := range s.Function.Seen() {
					if seen.Target == "/1" {
						t.Errorf("the function saw the request of the client that left")
					}
				}
			},
		},
		{
			Name: "wait/a client that resets leaves the queue at once, its body unread",
			Over: http1Carriers,
			With: waiting(nil),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				c := s.Dial(t)
				c.Send("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
				s.awaitMetric(t, 1, "weir_waiting_requests")
				c.Abort()
				s.awaitMetric(t, 0, "weir_waiting_requests")
				release()
			},
		},
		{
			Name: "wait/one that waits is not in flight, and its wait is no part of its duration",
			With: waiting(nil),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				call := s.Go(t, "GET /1", nil)
				s.awaitMetric(t, 1, "weir_waiting_requests")
				start := time.Now()
				if v := s.Metric(t, "weir_inflight_requests"); v != 1 {
					t.Errorf("%v in flight, want 1: one waits", v)
				}
				<-time.After(700 * time.Millisecond) // the wait to be measured
				waited := time.Since(start).Seconds()
				release()
				call.Response(t).want(t, 200)
				s.awaitMetric(t, 0, "weir_inflight_requests")
				if v := s.Metric(t, "weir_queue_wait_seconds_sum"); v < waited {
					t.Errorf("weir_queue_wait_seconds_sum %v, want at least the %v waited", v, waited)
				}
			},
		},
		{
			Name: "wait/the body of one that waited arrives whole",
			With: waiting(nil),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				call := s.Go(t, "POST /1", noise(1<<20))
				s.awaitMetric(t, 1, "weir_waiting_requests")
				release()
				if seen := call.Response(t).echoed(t); seen.Length != 1<<20 || seen.SHA256 != noiseSum(1<<20) {
					t.Errorf("the function got %d bytes, %s", seen.Length, seen.Error)
				}
			},
		},
	}
}
