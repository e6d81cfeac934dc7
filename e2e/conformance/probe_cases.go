package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Probes have a port of their own, take no slot, and a full instance is not a
// dead one.

func probeCases() []Case {
	cases := []Case{
		{
			Name: "probes/take no slot and answer while every slot is taken",
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				s.ready(t, 200)
				release := full(t, s)
				for range 5 {
					for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
						if status, body := s.Probe(t, path); status != 200 {
							t.Errorf("%s answers %d: %.200q", path, status, body)
						}
					}
				}
				if v := s.Metric(t, "weir_inflight_requests"); v != 1 {
					t.Errorf("%v in flight, want 1", v)
				}
				release()
				s.awaitMetric(t, 1, "weir_requests_total")
			},
		},
		{
			Name: "probes/where asked, a full instance is not ready; it lives all the same",
			With: Settings{Flags: Flags{"max-inflight": "1", "ready-fail-on-overload": "true"}},
			Run: func(t testing.TB, s *Stage) {
				s.ready(t, 200)
				release := full(t, s)
				if status, body := s.Probe(t, "/readyz"); status != 503 || !strings.Contains(body, "overloaded") {
					t.Errorf("/readyz answers %d: %.200q, want 503 while every slot is taken", status, body)
				}
				if status, body := s.Probe(t, "/healthz"); status != 200 {
					t.Errorf("/healthz answers %d: %.200q", status, body)
				}
				release()
				s.ready(t, 200)
			},
		},
		{
			Name: "probes/an upstream that is down fails readiness, not liveness, and recovers", Behind: Nothing,
			Run: func(t testing.TB, s *Stage) {
				s.ready(t, 503)
				if status, _ := s.Probe(t, "/healthz"); status != 200 {
					t.Errorf("/healthz answers %d", status)
				}
				s.awaitMetric(t, 0, "weir_upstream_up")
				s.OpenUpstream(t)
				s.ready(t, 200)
				s.awaitMetric(t, 1, "weir_upstream_up")
			},
		},
		{
			Name: "probes/readiness by a path of the function's",
			With: Settings{Flags: Flags{"max-inflight": "1", "ready-path": "/am-i-ready"}},
			Run: func(t testing.TB, s *Stage) {
				s.ready(t, 200)
				s.Function.Handle("/am-i-ready", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
				s.ready(t, 503)
				s.Function.Handle("/am-i-ready", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
				s.ready(t, 200)
				if v := s.Metric(t, "weir_requests_total"); v != 0 {
					t.Errorf("probes were counted as %v requests", v)
				}
				if v := s.Metric(t, "weir_inflight_high_water"); v != 0 {
					t.Errorf("probes were metered: high water %v", v)
				}
			},
			RunsOn: true, // probes come beside the requests
		},
		{
			Name: "probes/the metrics are in a format that Prometheus reads",
			Run: func(t testing.TB, s *Stage) {
				resp, err := probeClient.Get("http://" + s.Weir.MetricsAddr + "/metrics")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
					t.Errorf("Content-Type %q", got)
				}
				for _, sample := range s.Samples(t) {
					if strings.HasPrefix(sample.Name, "weir_") && sample.Name != "weir_build_info" && sample.Labels["function"] != "function" &&
						!strings.HasPrefix(sample.Name, "weir_config_") {
						t.Errorf("%s has no label function: %v", sample.Name, sample.Labels)
					}
				}
			},
		},
		{
			Name: "probes/nothing else is on their port",
			Run: func(t testing.TB, s *Stage) {
				for _, path := range []string{"/", "/echo", "/debug/pprof/", "/v1/state", "/metrics/x"} {
					if status, _ := s.Probe(t, path); status != 404 {
						t.Errorf("%s answers %d on the metrics port, want 404", path, status)
					}
				}
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw a request of the metrics port")
				}
			},
		},
	}
	for i := range cases {
		cases[i].Over = []Carrier{H1}
	}
	return append(cases, Case{
		Name: "probes/their paths on the data port are the function's",
		Run: func(t testing.TB, s *Stage) {
			for _, path := range []string{"/healthz", "/readyz", "/metrics", "/_/health", "/_/ready", "/debug/pprof/"} {
				if seen := s.Do(t, "GET "+path, nil).echoed(t); seen.Target != path {
					t.Errorf("%s reached the function as %s", path, seen.Target)
				}
			}
		},
	})
}

// ready polls /readyz until it answers so.
func (s *Stage) ready(t testing.TB, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("/readyz answering %d", want), func() (bool, string) {
		status, body, err := s.probe("/readyz")
		return err == nil && status == want, fmt.Sprintf("%d %.200q %v", status, body, err)
	})
}
