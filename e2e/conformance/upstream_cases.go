package conformance

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What weir says when the function cannot be reached, and how it recovers.

func upstreamCases() []Case {
	return []Case{
		{
			Name: "upstream/down is 502 with connection_refused, and recovers without a restart", Behind: Nothing,
			Run: func(t testing.TB, s *Stage) {
				resp := s.Do(t, "GET /", nil)
				wantMade(t, resp, http.StatusBadGateway)
				if got := resp.Get("Proxy-Status"); !strings.Contains(got, "error=connection_refused") {
					t.Errorf("Proxy-Status %q, want connection_refused", got)
				}
				wantMade(t, s.Do(t, "POST /", "body"), http.StatusBadGateway)
				s.awaitMetric(t, 2, "weir_requests_total", "code_class", "5xx", "origin", "weir")
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.OpenUpstream(t)
				s.Do(t, "GET /", nil).wantBody(t, 200, "ok")
			},
		},
		{
			Name: "upstream/one that does not accept is 504 with connection_timeout", Behind: Nothing,
			With: Settings{Flags: Flags{"upstream-connect-timeout": "500ms"}},
			Run: func(t testing.TB, s *Stage) {
				fillBacklog(t, s.reserved)
				resp := s.Do(t, "POST /", "body")
				wantMade(t, resp, http.StatusGatewayTimeout)
				if got := resp.Get("Proxy-Status"); !strings.Contains(got, "error=connection_timeout") {
					t.Errorf("Proxy-Status %q, want connection_timeout", got)
				}
			},
		},
		{
			Name: "upstream/over a Unix socket", Behind: FunctionUnix,
			Run: func(t testing.TB, s *Stage) {
				if seen := s.Do(t, "POST /a%2Fb", "hello", "Host: example.com").echoed(t); seen.Body != "hello" || seen.Target != "/a%2Fb" || seen.Host != "example.com" {
					t.Errorf("the function got %+v", seen)
				}
			},
		},
		{
			Name: "upstream/over h2c", Behind: FunctionH2C,
			Run: func(t testing.TB, s *Stage) {
				seen := s.Do(t, "POST /a%2Fb;c?d", "hello", "Host: example.com", "X-A: b").echoed(t)
				if seen.Body != "hello" || seen.Target != "/a%2Fb;c?d" || seen.Host != "example.com" || seen.Proto != "HTTP/2.0" || seen.Header.Get("X-A") != "b" {
					t.Errorf("the function got %+v", seen)
				}
			},
		},
		{
			Name: "upstream/over h2c many at once share few connections", Behind: FunctionH2C,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				var calls []*Call
				var held []*Held
				for range 50 {
					calls = append(calls, s.Go(t, "GET /hold", nil))
				}
				for range 50 {
					held = append(held, gate.Next(t))
				}
				if n := s.Function.Conns(); n > 10 {
					t.Errorf("50 requests at once took %d connections to the function", n)
				}
				for _, h := range held {
					h.Release()
				}
				for _, call := range calls {
					call.Response(t).wantBody(t, 200, "held")
				}
			},
		},
	}
}

// fillBacklog listens on the port, accepts nothing, and takes every place in its
// backlog, so that further connects are neither accepted nor refused.
func fillBacklog(t testing.TB, port *reservedPort) {
	t.Helper()
	if err := port.listenWith(0); err != nil {
		t.Fatalf("listening with a backlog of 0: %v", err)
	}
	for range 16 {
		conn, err := net.DialTimeout("tcp", port.addr, 300*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatalf("a backlog of 0 took 16 connections")
}

// The timeouts of weir (--timeout, --response-start-timeout, --idle-timeout):
// 504 before the response started, the connection aborted after.

// startThenSilence answers with "begun" and then nothing more.
func (s *Stage) startThenSilence(path string) {
	s.Function.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun") //nolint:errcheck // seen by the case
		flush(w)
		s.Function.linger(r)
	})
}

// timedOut asserts that weir gave a held request up.
func timedOut(t testing.TB, s *Stage, line string) {
	t.Helper()
	gate := s.Function.Hold(strings.Fields(line)[1])
	call := s.Go(t, line, nil)
	held := gate.Next(t)
	resp := call.Response(t)
	wantMade(t, resp, http.StatusGatewayTimeout)
	if got := resp.Get("Proxy-Status"); !strings.Contains(got, "error=http_response_timeout") {
		t.Errorf("Proxy-Status %q, want http_response_timeout", got)
	}
	held.AwaitCanceled(t)
	s.awaitMetric(t, 1, "weir_requests_total", "code_class", "5xx", "origin", "weir")
	s.awaitMetric(t, 0, "weir_inflight_requests")
}

func timeoutCases() []Case {
	set := func(flag, value string) Settings { return Settings{Flags: Flags{flag: value}} }
	both := []Behind{FunctionHTTP, FunctionH2C}
	return forBehind(both, []Case{
		{
			Name: "timeout/of the request before the response is 504",
			With: set("timeout", "1s"),
			Run:  func(t testing.TB, s *Stage) { timedOut(t, s, "GET /slow") },
		},
		{
			Name: "timeout/of the response's start is 504",
			With: set("response-start-timeout", "1s"),
			Run:  func(t testing.TB, s *Stage) { timedOut(t, s, "GET /slow") },
		},
		{
			Name: "timeout/of idleness before the response is 504",
			With: set("idle-timeout", "1s"),
			Run:  func(t testing.TB, s *Stage) { timedOut(t, s, "GET /slow") },
		},
		{
			Name: "timeout/of the request after the response started aborts it",
			With: set("timeout", "2s"),
			Run: func(t testing.TB, s *Stage) {
				s.startThenSilence("/begin")
				cutShort(t, s.roundTrip(t, "GET /begin"), "begun")
			},
		},
		{
			Name: "timeout/of idleness after the response started aborts it",
			With: set("idle-timeout", "2s"),
			Run: func(t testing.TB, s *Stage) {
				s.startThenSilence("/begin")
				cutShort(t, s.roundTrip(t, "GET /begin"), "begun")
			},
		},
		{
			Name: "timeout/of the response's start does not cut its body",
			With: set("response-start-timeout", "1500ms"),
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/long", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "begun") //nolint:errcheck // seen by the case
					flush(w)
					<-time.After(2500 * time.Millisecond) // longer than the timeout: the point of the case
					io.WriteString(w, " ended")           //nolint:errcheck // seen by the case
				})
				s.roundTrip(t, "GET /long").wantBody(t, 200, "begun ended")
			},
		},
		{
			Name: "timeout/of idleness does not cut what trickles",
			With: set("idle-timeout", "2s"),
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/trickle", func(w http.ResponseWriter, _ *http.Request) {
					tick := time.NewTicker(300 * time.Millisecond)
					defer tick.Stop()
					for range 10 { // longer than the timeout in all: the point of the case
						<-tick.C
						io.WriteString(w, ".") //nolint:errcheck // seen by the case
						flush(w)
					}
				})
				s.roundTrip(t, "GET /trickle").wantBody(t, 200, "..........")
			},
		},
		{
			Name: "timeout/of idleness does not cut an upload that trickles",
			With: set("idle-timeout", "2s"),
			Run: func(t testing.TB, s *Stage) {
				pr, pw := io.Pipe()
				call := s.Go(t, "POST /echo", pr)
				tick := time.NewTicker(300 * time.Millisecond)
				defer tick.Stop()
				for range 10 {
					<-tick.C
					if _, err := io.WriteString(pw, "."); err != nil {
						break // the outcome says why
					}
				}
				pw.Close()
				if seen := call.Response(t).echoed(t); seen.Body != ".........." {
					t.Errorf("the function got %q, %s", seen.Body, seen.Error)
				}
			},
		},
		{
			Name: "timeout/of a route instead of the general one",
			With: Settings{Flags: Flags{"timeout": "1s"}, Routes: []Route{{Path: "/patient", Timeout: "1m"}, {Path: "/patient/hasty", Timeout: "800ms"}}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/patient/x")
				call := s.Go(t, "GET /patient/x", nil)
				held := gate.Next(t)
				wait := s.Function.Hold("/patient/hasty")
				other := s.Go(t, "GET /patient/hasty", nil)
				wait.Next(t)
				wantMade(t, other.Response(t), http.StatusGatewayTimeout)
				third := s.Function.Hold("/patients") // not below /patient by whole segments
				last := s.Go(t, "GET /patients", nil)
				third.Next(t)
				wantMade(t, last.Response(t), http.StatusGatewayTimeout)
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "timeout/counts from admission, not from the queue",
			With: Settings{
				Flags:  Flags{"max-inflight": "1", "overflow": "wait", "queue-timeout": "60s", "timeout": "1500ms"},
				Routes: []Route{{Path: "/hold", Timeout: "1m"}},
			},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				first := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				second := s.Go(t, "GET /echo", nil)
				s.awaitMetric(t, 1, "weir_waiting_requests")
				<-time.After(2 * time.Second) // longer than the timeout: the point of the case
				held.Release()
				first.Response(t).wantBody(t, 200, "held")
				second.Response(t).echoed(t)
			},
		},
	})
}
