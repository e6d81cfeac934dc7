package conformance

import (
	"slices"
	"testing"
)

// What bounds some requests and not others: callers, rates, priorities, deadlines,
// the ramp; and the dry run, which bounds nothing.

// wantThrottled asserts a refusal by a limit that is not the number of slots.
func wantThrottled(t testing.TB, resp *Response, reason string) {
	t.Helper()
	wantMade(t, resp, 429)
	if got := resp.Get("Weir-Throttled"); got != reason {
		t.Errorf("Weir-Throttled %q, want %q", got, reason)
	}
	if resp.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func callerCases() []Case {
	trusting := func(flags Flags) Settings {
		flags["trusted-proxies"] = "127.0.0.0/8"
		return Settings{Flags: flags}
	}
	return []Case{
		{
			Name: "callers/one at its limit is refused, another is not",
			With: trusting(Flags{"max-inflight": "10", "caller-key": "header:X-Tenant", "caller-max-inflight": "1"}),
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				one := s.Go(t, "GET /hold", nil, "X-Tenant: one")
				held := gate.Next(t)
				wantThrottled(t, s.Do(t, "GET /", nil, "X-Tenant: one"), "caller")
				s.Do(t, "GET /", nil, "X-Tenant: two").want(t, 200)
				held.Release()
				one.Response(t).wantBody(t, 200, "held")
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Do(t, "GET /", nil, "X-Tenant: one").want(t, 200)
			},
		},
		{
			Name: "callers/who is not trusted has no name of its own",
			With: Settings{Flags: Flags{"max-inflight": "10", "caller-key": "header:X-Tenant", "caller-max-inflight": "1", "trusted-proxies": "192.0.2.0/24"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				one := s.Go(t, "GET /hold", nil, "X-Tenant: one")
				held := gate.Next(t)
				wantThrottled(t, s.Do(t, "GET /", nil, "X-Tenant: two"), "caller")
				held.Release()
				one.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "callers/a rate of each",
			With: trusting(Flags{"caller-key": "header:X-Tenant", "caller-rate": "2/m"}),
			Run: func(t testing.TB, s *Stage) {
				for range 2 {
					s.Do(t, "GET /", nil, "X-Tenant: one").want(t, 200)
				}
				wantThrottled(t, s.Do(t, "GET /", nil, "X-Tenant: one"), "rate")
				s.Do(t, "GET /", nil, "X-Tenant: two").want(t, 200)
			},
		},
		{
			Name: "rate/the third of two a minute is refused",
			With: Settings{Flags: Flags{"rate": "2/m"}},
			Run: func(t testing.TB, s *Stage) {
				for range 2 {
					s.Do(t, "GET /", nil).want(t, 200)
				}
				wantThrottled(t, s.Do(t, "GET /", nil), "rate")
				s.awaitMetric(t, 1, "weir_throttles_total", "reason", "rate")
			},
		},
		{
			Name: "priority/the higher is served first",
			With: trusting(Flags{"max-inflight": "1", "overflow": "wait", "queue-timeout": "60s", "priority-header": "X-Priority"}),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				low := s.Go(t, "GET /low", nil, "X-Priority: sheddable")
				s.awaitMetric(t, 1, "weir_waiting_requests")
				high := s.Go(t, "GET /high", nil, "X-Priority: critical-plus")
				s.awaitMetric(t, 2, "weir_waiting_requests")
				release()
				low.Response(t).want(t, 200)
				high.Response(t).want(t, 200)
				var got []string
				for _, seen := range s.Function.Seen()[1:] {
					got = append(got, seen.Target)
				}
				if want := []string{"/high", "/low"}; !slices.Equal(got, want) {
					t.Errorf("the function saw %v, want %v", got, want)
				}
			},
		},
		{
			Name: "deadline/one whose client waits no longer is refused",
			With: Settings{Flags: Flags{"max-inflight": "1", "overflow": "wait", "queue-timeout": "60s", "deadline-header": "X-Wait"}},
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				wantThrottled(t, s.Do(t, "GET /", nil, "X-Wait: 200ms"), "queue_timeout")
				s.awaitMetric(t, 0, "weir_waiting_requests")
				release()
			},
		},
		{
			Name: "ramp/no more at once than it lets grow",
			With: Settings{Flags: Flags{"max-inflight": "10", "ramp": "1"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				one := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				wantThrottled(t, s.Do(t, "GET /", nil), "ramp")
				held.Release()
				one.Response(t).wantBody(t, 200, "held")
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Do(t, "GET /", nil).want(t, 200) // what was used of late may be used again
			},
		},
		{
			Name: "dry run/counts, and refuses nothing",
			With: Settings{Flags: Flags{"max-inflight": "1", "enforce": "false"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				one := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				s.Do(t, "GET /", nil).want(t, 200)
				s.awaitMetric(t, 1, "weir_throttles_dry_run_total", "reason", "max_inflight")
				held.Release()
				one.Response(t).wantBody(t, 200, "held")
			},
			RunsOn: true, // more run than the limit says
		},
	}
}
