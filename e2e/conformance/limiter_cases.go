package conformance

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The limit itself: never exceeded, never leaked, refusals honest.

func limiterCases() []Case {
	return slices.Concat(limitCases(), releaseCases(), stormCases())
}

// full fills weir's limit with held requests.
func full(t testing.TB, s *Stage) (release func()) {
	t.Helper()
	gate := s.Function.Hold("/hold")
	var calls []*Call
	var held []*Held
	for range s.limit {
		calls = append(calls, s.Go(t, "GET /hold", nil))
		held = append(held, gate.Next(t))
	}
	return func() {
		t.Helper()
		for _, h := range held {
			h.Release()
		}
		for _, call := range calls {
			call.Response(t).wantBody(t, 200, "held")
		}
		s.awaitMetric(t, 0, "weir_inflight_requests")
	}
}

func limitCases() []Case {
	limit := func(n string) Settings { return Settings{Flags: Flags{"max-inflight": n}} }
	return []Case{
		{
			Name: "limiter/a refusal is complete",
			With: limit("10"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				for _, line := range []string{"GET /", "POST /", "DELETE /a/b?c"} {
					wantRefusal(t, s.roundTrip(t, line), 429, "max_inflight", 10)
				}
				release()
				s.Do(t, "GET /", nil).want(t, 200)
				for _, seen := range s.Function.Seen() {
					if seen.Method == "POST" || seen.Method == "DELETE" {
						t.Errorf("the function saw the refused %s", seen.Method)
					}
				}
			},
		},
		{
			Name: "limiter/a refusal of a HEAD has no body",
			With: limit("1"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				resp := s.roundTrip(t, "HEAD /")
				wantMade(t, resp, 429)
				if len(resp.Body) > 0 || resp.Get("Weir-Throttled") != "max_inflight" || resp.Get("Retry-After") == "" {
					t.Errorf("fields %v, body %q", resp.Fields, resp.Body)
				}
				release()
			},
		},
		{
			Name: "limiter/a refusal comes before the body is sent",
			With: limit("1"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				if s.Carrier.H2 {
					st := s.Frames(t).Open(false, s.request("POST /", "content-length: 1000000")...)
					st.Began()
					resp, err := st.TryResponse()
					if err != nil {
						t.Fatal(err)
					}
					resp.BodyErr = nil // it may be reset, the body being unwanted (RFC 9113 8.1)
					wantRefusal(t, resp, 429, "max_inflight", 1)
				} else {
					wantRefusal(t, s.Dial(t).Exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"), 429, "max_inflight", 1)
				}
				release()
			},
		},
		{
			Name: "limiter/a refusal reaches a client that is sending its body",
			With: limit("1"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				resp, err := s.Go(t, "POST /", strings.NewReader(strings.Repeat("x", 200<<10))).Outcome(t)
				if err != nil {
					t.Fatalf("the client saw no refusal: %v", err)
				}
				wantRefusal(t, resp, 429, "max_inflight", 1)
				release()
			},
		},
		{
			Name: "limiter/a refused connection is kept",
			Over: http1Carriers, With: limit("1"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				c := s.Dial(t)
				for range 3 {
					wantRefusal(t, c.Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 429, "max_inflight", 1)
				}
				release()
				c.Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").want(t, 200)
			},
		},
		{
			Name: "limiter/all up to the limit are let in, and no more",
			With: limit("5"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				if v := s.Metric(t, "weir_inflight_requests"); v != 5 {
					t.Errorf("%v in flight, want 5", v)
				}
				if v := s.Metric(t, "weir_inflight_limit"); v != 5 {
					t.Errorf("weir_inflight_limit %v, want 5", v)
				}
				wantRefusal(t, s.Do(t, "GET /", nil), 429, "max_inflight", 5)
				release()
			},
		},
		{
			Name: "limiter/in flight never above the limit",
			With: limit("4"),
			Run: func(t testing.TB, s *Stage) {
				statuses := make(chan int)
				var clients sync.WaitGroup
				for range 16 {
					clients.Go(func() {
						for range 20 {
							resp, err := send(s.Client(), s.Request(t.Context(), "POST /echo", "x"))
							if err != nil {
								t.Errorf("no response: %v", err)
								statuses <- 0
								continue
							}
							statuses <- resp.Status
						}
					})
				}
				go func() {
					clients.Wait()
					close(statuses)
				}()
				count := map[int]int{}
				for status := range statuses {
					count[status]++
				}
				if count[200]+count[429] != 320 || count[200] == 0 {
					t.Errorf("statuses %v, want only 200 and 429", count)
				}
				s.awaitMetric(t, float64(count[429]), "weir_throttles_total", "reason", "max_inflight")
				s.awaitMetric(t, float64(count[200]), "weir_requests_total", "code_class", "2xx", "origin", "function")
			},
		},
		{
			Name: "limiter/refused requests take no slots of others",
			With: limit("2"),
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				// One slot is free. However many ask for it at once, one gets it.
				for range 20 {
					var calls []*Call
					for range 8 {
						calls = append(calls, s.Go(t, "POST /echo", "x"))
					}
					served := 0
					for _, call := range calls {
						if call.Response(t).Status == 200 {
							served++
						}
					}
					if served == 0 {
						t.Fatalf("8 requests for a free slot, and all were refused")
					}
				}
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "limiter/a limit of 0 only meters",
			With: limit("0"),
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				var calls []*Call
				var held []*Held
				for range 150 {
					calls = append(calls, s.Go(t, "GET /hold", nil))
				}
				for range 150 {
					held = append(held, gate.Next(t))
				}
				if v := s.Metric(t, "weir_inflight_requests"); v != 150 {
					t.Errorf("%v in flight, want 150", v)
				}
				for _, h := range held {
					h.Release()
				}
				for _, call := range calls {
					call.Response(t).wantBody(t, 200, "held")
				}
			},
		},
		{
			Name: "limiter/a user agent is no proof of being a probe",
			With: limit("1"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				for _, agent := range []string{"kube-probe/1.33", "Knative-Activator-Probe", "GoogleHC/1.0", "ELB-HealthChecker/2.0"} {
					wantRefusal(t, s.Do(t, "GET /healthz", nil, "User-Agent: "+agent, "K-Network-Probe: queue"), 429, "max_inflight", 1)
				}
				release()
			},
		},
		{
			Name: "limiter/a refusal is neither an invocation nor an error",
			With: limit("1"),
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				for range 3 {
					s.Do(t, "GET /", nil).want(t, 429)
				}
				release()
				s.awaitMetric(t, 3, "weir_throttles_total", "reason", "max_inflight")
				s.awaitMetric(t, 1, "weir_requests_total", "origin", "function")
				if v := s.Metric(t, "weir_request_duration_seconds_count"); v != 1 {
					t.Errorf("%v requests in the duration histogram, want 1: refusals do not belong there", v)
				}
				if v := s.Metric(t, "weir_requests_total", "code_class", "5xx"); v != 0 {
					t.Errorf("%v errors", v)
				}
			},
		},
		{
			Name: "limiter/overflow is by route",
			With: Settings{
				Flags:  Flags{"max-inflight": "1", "queue-timeout": "60s"},
				Routes: []Route{{Path: "/wait", Overflow: "wait", Methods: []string{"GET"}}},
			},
			Run: func(t testing.TB, s *Stage) {
				release := full(t, s)
				waiting := s.Go(t, "GET /wait/a", nil)
				s.awaitMetric(t, 1, "weir_waiting_requests")
				wantRefusal(t, s.Do(t, "GET /other", nil), 429, "max_inflight", 1)
				wantRefusal(t, s.Do(t, "POST /wait/a", nil), 429, "max_inflight", 1)
				release()
				waiting.Response(t).echoed(t)
			},
		},
	}
}

// releases is a case that something frees its slot: it is done several times
// with a limit of 1, and each time the slot must come back.
func releases(name string, play func(t testing.TB, s *Stage)) Case {
	return Case{
		Name: "limiter/" + name,
		With: Settings{Flags: Flags{"max-inflight": "1"}},
		Run: func(t testing.TB, s *Stage) {
			for range 5 {
				play(t, s)
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
			}
			s.Do(t, "GET /", nil).want(t, 200)
			if v := s.Metric(t, "weir_throttles_total"); v != 0 {
				t.Errorf("%v requests were refused, though the slot was free each time", v)
			}
		},
	}
}

func releaseCases() []Case {
	return []Case{
		releases("aborted SSE releases its slot", func(t testing.TB, s *Stage) {
			s.Function.Handle("/sse", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: 1\n\n") //nolint:errcheck // seen by the case
				flush(w)
				s.Function.linger(r)
			})
			resp, leave := s.OpenCancel(t, "GET /sse", nil)
			readSome(t, resp.Body, len("data: 1\n\n"))
			leave()
		}),
		releases("an aborted upload releases its slot", func(t testing.TB, s *Stage) {
			abortUpload(t, s, "/echo", "part")
		}),
		releases("an aborted wait for the response releases its slot", func(t testing.TB, s *Stage) {
			gate := s.Function.Hold("/hold")
			call := s.Go(t, "GET /hold", nil)
			gate.Next(t)
			call.Cancel()
		}),
		releases("a panic of the function releases its slot", func(t testing.TB, s *Stage) {
			s.Function.Handle("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			s.Do(t, "POST /panic", nil).want(t, 502)
		}),
		releases("a panic in the middle of a body releases its slot", func(t testing.TB, s *Stage) {
			s.Function.Handle("/panic", func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "begun") //nolint:errcheck // seen by the case
				flush(w)
				panic(http.ErrAbortHandler)
			})
			cutAtOnce(t, s, "/panic", "begun")
		}),
		releases("an interim response releases no slot before the final one", func(t testing.TB, s *Stage) {
			release := make(chan struct{})
			s.Function.Handle("/early", func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(103)
				s.Function.wait(release)
				early(200)(w, r)
			})
			call := s.Go(t, "GET /early", nil)
			s.awaitMetric(t, 1, "weir_inflight_requests")
			close(release)
			call.Response(t).wantBody(t, 200, "final")
		}),
	}
}

func stormCases() []Case {
	return []Case{
		{
			// The function is asked to finish, and nothing is timed out, so that
			// what it sees is exactly what weir let in.
			Name: "limiter/a storm of aborts never exceeds the limit where requests are finished",
			With: Settings{Flags: Flags{"max-inflight": "8", "on-client-abort": "finish"}},
			Run:  func(t testing.TB, s *Stage) { storm(t, s, false) },
		},
		{
			Name: "limiter/in flight is exactly 0 after a storm of aborts, panics, upgrades and timeouts", RunsOn: true,
			With: Settings{
				Flags:  Flags{"max-inflight": "8", "overflow": "wait", "queue-depth": "16", "queue-timeout": "200ms"},
				Routes: []Route{{Path: "/hang", Timeout: "20ms"}},
			},
			Run: func(t testing.TB, s *Stage) { storm(t, s, true) },
		},
	}
}
