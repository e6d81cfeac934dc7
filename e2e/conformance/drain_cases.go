package conformance

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// An orderly stop: SIGTERM, nothing new is let in, everything begun is ended.

// drain sends SIGTERM and waits until newcomers are refused. Those that come
// before may still be let in, or wait; they go away again.
func drain(t testing.TB, s *Stage) *Response {
	t.Helper()
	s.Weir.Signal(t, syscall.SIGTERM)
	s.ready(t, http.StatusServiceUnavailable)
	var last *Response
	eventually(t, "newcomers being refused", func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		resp, err := send(s.newClient(), s.Request(ctx, "GET /newcomer", nil))
		if err != nil {
			return false, err.Error()
		}
		last = resp
		return resp.Status == http.StatusServiceUnavailable, fmt.Sprintf("status %d", resp.Status)
	})
	return last
}

// ended asserts that weir went away in order.
func ended(t testing.TB, s *Stage) {
	t.Helper()
	if code, ok := s.Weir.Wait(); !ok || code != 0 {
		t.Errorf("weir ended: %v, with code %d; want 0 once nothing is in flight", ok, code)
	}
}

func drainCases() []Case {
	return []Case{
		{
			Name: "drain/what runs finishes, newcomers get 503, readyz fails, exit 0",
			With: Settings{Flags: Flags{"max-inflight": "7"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				var calls []*Call
				var held []*Held
				for range 3 {
					calls = append(calls, s.Go(t, "GET /hold", nil))
					held = append(held, gate.Next(t))
				}
				wantRefusal(t, drain(t, s), 503, "draining", 7)
				if status, _ := s.Probe(t, "/readyz"); status != 503 {
					t.Errorf("/readyz answers %d, want 503", status)
				}
				if status, _ := s.Probe(t, "/healthz"); status != 200 {
					t.Errorf("/healthz answers %d, want 200: a draining instance is no dead one", status)
				}
				if v := s.Metric(t, "weir_throttles_total", "reason", "draining"); v < 1 {
					t.Errorf("weir_throttles_total{reason=draining} is %v", v)
				}
				for i, h := range held {
					if h.Canceled() {
						t.Errorf("request %d was cancelled", i)
					}
					h.Release()
					calls[i].Response(t).wantBody(t, 200, "held")
				}
				ended(t, s)
			},
		},
		{
			Name: "drain/an idle weir ends at once",
			Run: func(t testing.TB, s *Stage) {
				s.Do(t, "GET /", nil).want(t, 200) // leaves a kept connection on both sides
				s.Weir.Signal(t, syscall.SIGTERM)
				ended(t, s) // well within the drain timeout of 30 s
			},
		},
		{
			Name: "drain/SIGINT is as good as SIGTERM",
			Run: func(t testing.TB, s *Stage) {
				s.Weir.Signal(t, syscall.SIGINT)
				ended(t, s)
			},
		},
		{
			Name: "drain/a kept connection is told to close",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				c := s.Dial(t)
				c.Send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
				held := gate.Next(t)
				drain(t, s)
				held.Release()
				resp := c.Response("GET").wantBody(t, 200, "held")
				if got := resp.Get("Connection"); got != "close" {
					t.Errorf("Connection %q on the last response of a connection, want close", got)
				}
				c.AwaitClose()
				ended(t, s)
			},
		},
		{
			Name: "drain/GOAWAY over HTTP/2, and begun streams end",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				f := s.Frames(t)
				st := f.Open(true, s.request("GET /hold")...)
				held := gate.Next(t)
				s.Weir.Signal(t, syscall.SIGTERM)
				await(t, "GOAWAY", f.goAway)
				if first := f.GoAways()[0]; first.LastStreamID < st.ID || first.ErrCode != 0 {
					t.Errorf("GOAWAY with last stream %d, %v; want stream %d spared, NO_ERROR", first.LastStreamID, first.ErrCode, st.ID)
				}
				held.Release()
				st.Response().wantBody(t, 200, "held")
				await(t, "weir closing the connection", f.closed)
				ended(t, s)
			},
		},
		{
			Name: "drain/a gRPC newcomer gets UNAVAILABLE",
			Over: http2Carriers, Behind: FunctionH2C,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				drain(t, s)
				wantGRPCRefusal(t, s.Frames(t).Open(true, s.grpcFields(emptyCall)...), int(codes.Unavailable), "draining")
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
				ended(t, s)
			},
		},
		{
			Name: "drain/a long response is not cut",
			Run: func(t testing.TB, s *Stage) {
				more := make(chan struct{})
				s.Function.Handle("/long", func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprint(w, "begun")
					flush(w)
					s.Function.wait(more)
					fmt.Fprint(w, " ended")
				})
				resp := s.Open(t, "GET /long", nil)
				readSome(t, resp.Body, 5)
				drain(t, s)
				close(more)
				if rest, err := readRest(t, resp.Body); rest != " ended" || err != nil {
					t.Errorf("rest %q, %v", rest, err)
				}
				ended(t, s)
			},
		},
		{
			Name: "drain/those who wait are served or told, never dropped",
			With: waiting(nil),
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				first := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				var waiters []*Call
				for i := range 3 {
					waiters = append(waiters, s.Go(t, "GET /echo", nil))
					s.awaitMetric(t, float64(i+1), "weir_waiting_requests")
				}
				drain(t, s)
				held.Release()
				first.Response(t).wantBody(t, 200, "held")
				for _, call := range waiters {
					if resp := call.Response(t); resp.Status != 200 {
						wantRefusal(t, resp, 503, "draining", 1)
					}
				}
				ended(t, s)
			},
		},
		{
			Name: "drain/under load no request fails that was let in",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/work", func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(5 * time.Millisecond) // work
					fmt.Fprint(w, "done")
				})
				const clients = 8
				served := make(chan int, clients)
				for range clients {
					go func() {
						for n := 0; ; n++ {
							resp, err := send(s.Client(), s.Request(t.Context(), "POST /work", "body"))
							if err == nil && resp.Status == 200 && resp.BodyErr == nil {
								continue
							}
							if err == nil && resp.Status != 503 {
								t.Errorf("status %d, %v", resp.Status, resp.BodyErr)
							}
							// Refused, or its connection closed before weir took the
							// request: then the function has not seen it either.
							served <- n
							return
						}
					}()
				}
				eventually(t, "some load", func() (bool, string) {
					n := s.Function.Count().Ended
					return n > 50, fmt.Sprint(n)
				})
				s.Weir.Signal(t, syscall.SIGTERM)
				answered := 0
				for range clients {
					answered += await(t, "a client's end", served)
				}
				ended(t, s)
				if c := s.Function.Count(); c.Begun != answered || c.Ended != answered {
					t.Errorf("the function began %d requests and ended %d; the clients were answered %d", c.Begun, c.Ended, answered)
				}
			},
		},
		{
			Name: "drain/after the delay: not ready at once, still admitting until then",
			With: Settings{Flags: Flags{"drain-delay": "3s"}},
			Run: func(t testing.TB, s *Stage) {
				signalled := time.Now()
				s.Weir.Signal(t, syscall.SIGTERM)
				eventually(t, "/readyz failing", func() (bool, string) {
					status, _, err := s.probe("/readyz")
					return err == nil && status == 503, fmt.Sprint(status, err)
				})
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				if took := time.Since(signalled); took > 3*time.Second {
					t.Logf("the machine took %v; the newcomer came after the delay", took)
				}
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
				ended(t, s)
				if took := time.Since(signalled); took < 3*time.Second {
					t.Errorf("weir ended %v after the signal, within its delay of 3 s", took)
				}
			},
		},
		{
			Name: "drain/its timeout ends what does not end",
			With: Settings{Flags: Flags{"drain-timeout": "1s"}},
			Run: func(t testing.TB, s *Stage) {
				s.Weir.anyCode = true
				s.startThenSilence("/begin")
				resp := s.Open(t, "GET /begin", nil)
				readSome(t, resp.Body, 5)
				signalled := time.Now()
				s.Weir.Signal(t, syscall.SIGTERM)
				if rest, err := readRest(t, resp.Body); err == nil {
					t.Errorf("the response seems complete, with %q more", rest)
				}
				if took := time.Since(signalled); took < time.Second {
					t.Errorf("it was cut %v after the signal, within the timeout of 1 s", took)
				}
				if _, ok := s.Weir.Wait(); !ok {
					t.Errorf("weir did not end")
				}
			},
		},
		{
			Name: "drain/its timeout ends tunnels",
			Over: http1Carriers, With: Settings{Flags: Flags{"drain-timeout": "3s"}},
			Run: func(t testing.TB, s *Stage) {
				s.Weir.anyCode = true
				s.Function.Tunnel("/up", "", func(conn net.Conn, r *bufio.Reader) { echoTunnel(conn, r) })
				c := s.Dial(t)
				c.Send(askTunnel("/up"))
				c.opened().Send("x")
				c.Take("x")
				drain(t, s)
				c.Send("y") // it runs on while there is time
				c.Take("y")
				c.AwaitClose()
				if _, ok := s.Weir.Wait(); !ok {
					t.Errorf("weir did not end")
				}
			},
		},
	}
}
