package conformance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Clients that leave, and clients that are slow.

func clientCases() []Case {
	return slices.Concat(abortCases(), cleanCases(), finishCases(), slowCases())
}

// countedAsClient asserts the outcome of a request whose client left: 499, the
// client's doing.
func countedAsClient(t testing.TB, s *Stage) {
	t.Helper()
	s.awaitMetric(t, 1, "weir_requests_total", "mode", "sync", "code_class", "4xx", "origin", "client")
	for _, origin := range []string{"weir", "function"} {
		if v := s.Metric(t, "weir_requests_total", "origin", origin); v != 0 {
			t.Errorf("it was counted for %s as well", origin)
		}
	}
	s.awaitMetric(t, 0, "weir_inflight_requests")
}

// notTheFunctions asserts that the one request was counted once, and not as the
// function's.
func notTheFunctions(t testing.TB, s *Stage) {
	t.Helper()
	s.awaitMetric(t, 1, "weir_requests_total")
	if v := s.Metric(t, "weir_requests_total", "origin", "function"); v != 0 {
		t.Errorf("it was counted as the function's")
	}
}

func abortCases() []Case {
	return forBehind([]Behind{FunctionHTTP, FunctionH2C}, []Case{
		{
			Name: "client/leaving before the response cancels the request upstream, counted as client",
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				call.Cancel()
				held.AwaitCanceled(t)
				held.AwaitDone(t)
				countedAsClient(t, s)
			},
		},
		{
			Name: "client/leaving in the middle of a response likewise",
			Run: func(t testing.TB, s *Stage) {
				ended := make(chan struct{})
				s.Function.Handle("/sse", func(w http.ResponseWriter, r *http.Request) {
					defer close(ended)
					w.Header().Set("Content-Type", "text/event-stream")
					io.WriteString(w, "data: 1\n\n") //nolint:errcheck // seen by the case
					flush(w)
					s.Function.linger(r)
				})
				resp, leave := s.OpenCancel(t, "GET /sse", nil)
				readSome(t, resp.Body, len("data: 1\n\n"))
				leave()
				await(t, "the function being cancelled", ended)
				countedAsClient(t, s)
			},
		},
		{
			Name: "client/leaving in the middle of an upload likewise",
			Run: func(t testing.TB, s *Stage) {
				ended := make(chan error, 1)
				s.Function.Handle("/up", func(_ http.ResponseWriter, r *http.Request) {
					_, err := readAllLen(r.Body)
					ended <- err
				})
				abortUpload(t, s, "/up", "part")
				if err := await(t, "the function being cancelled", ended); err == nil {
					t.Errorf("the upload seemed complete")
				}
				countedAsClient(t, s)
			},
		},
		{
			Name: "client/that resets its connection is a client that left",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				c := s.Dial(t)
				c.Send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
				held := gate.Next(t)
				c.Abort()
				held.AwaitCanceled(t)
				countedAsClient(t, s)
			},
		},
		{
			Name: "client/leaving with a request pipelined behind frees the slot",
			Over: http1Carriers,
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				c := s.Dial(t)
				c.Send("GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
				held := gate.Next(t)
				c.Abort()
				// A server that reads ahead may only see the next request, not the
				// end behind it; then the slot is freed when the function answers.
				held.Release()
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
				s.Do(t, "GET /", nil).want(t, 200)
			},
		},
	})
}

// cleanCases are about what one client leaves behind on the connection to the
// function, which the next client's request must not meet.
func cleanCases() []Case {
	// inStep answers each request with its target, and fails the case where
	// something else than a request comes.
	inStep := func(s *Stage, late <-chan struct{}) {
		s.Origin.Script(func(c *OriginConn) {
			for {
				h, _, err := c.Request()
				if err != nil {
					return
				}
				target := strings.Fields(h.start)[1]
				if target == "/late" {
					select {
					case <-late:
					case <-time.After(patience):
					}
				}
				c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target))
			}
		})
	}
	next := func(t testing.TB, s *Stage) {
		t.Helper()
		for i := range 5 {
			target := fmt.Sprintf("/next/%d", i)
			s.Do(t, "GET "+target, nil).wantBody(t, 200, target)
		}
	}
	return []Case{
		{
			Name: "client/an upload that was cut leaves no half request for the next", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				inStep(s, nil)
				next(t, s)
				if s.Carrier.H2 {
					st := s.Frames(t).Open(false, s.request("POST /cut", "content-length: 1000")...)
					st.Data("part", false)
					s.awaitMetric(t, 1, "weir_inflight_requests")
					st.Reset()
				} else {
					c := s.Dial(t)
					c.Send("POST /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\npart")
					s.awaitMetric(t, 1, "weir_inflight_requests")
					c.Close()
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				next(t, s)
			},
		},
		{
			Name: "client/an answer that came too late never answers the next request", Behind: Scripted,
			With: Settings{Flags: Flags{"response-start-timeout": "1s"}},
			Run: func(t testing.TB, s *Stage) {
				late := make(chan struct{})
				inStep(s, late)
				next(t, s)
				wantMade(t, s.Do(t, "GET /late", nil), http.StatusGatewayTimeout)
				close(late)
				next(t, s)
			},
		},
		{
			Name: "client/an answer that nobody waits for never answers the next request", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				late := make(chan struct{})
				inStep(s, late)
				next(t, s)
				call := s.Go(t, "GET /late", nil)
				s.awaitMetric(t, 1, "weir_inflight_requests")
				call.Cancel()
				s.awaitMetric(t, 0, "weir_inflight_requests")
				close(late)
				next(t, s)
			},
		},
		{
			Name: "client/an answer before the upload's end leaves the connections in step", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.Script(func(c *OriginConn) {
					for {
						h, err := c.Head()
						if err != nil {
							return
						}
						target := strings.Fields(h.start)[1]
						c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(target), target))
						if _, _, err := readBody(c.r, h.fields(), false); err != nil {
							return // weir may give the connection up
						}
					}
				})
				for i := range 5 {
					target := fmt.Sprintf("/early/%d", i)
					s.Do(t, "POST "+target, strings.Repeat("x", 200<<10)).wantBody(t, 200, target)
					next(t, s)
				}
			},
		},
	}
}

func finishCases() []Case {
	finish := Settings{Flags: Flags{"max-inflight": "1", "on-client-abort": "finish"}}
	return forBehind([]Behind{FunctionHTTP, FunctionH2C}, []Case{
		{
			Name: "client/finish: the slot is held until the function has answered",
			With: finish,
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				call.Cancel()
				call.Outcome(t) //nolint:errcheck // cancelled
				for range 5 {
					wantRefusal(t, s.Do(t, "GET /", nil), 429, "max_inflight", 1)
				}
				if held.Canceled() {
					t.Fatalf("the function was cancelled")
				}
				if v := s.Metric(t, "weir_inflight_requests"); v != 1 {
					t.Errorf("%v in flight while the function runs, want 1", v)
				}
				held.Release()
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Do(t, "GET /", nil).want(t, 200)
			},
		},
		{
			Name: "client/finish: a long response is taken to its end",
			With: finish,
			Run: func(t testing.TB, s *Stage) {
				left := make(chan struct{})
				ended := make(chan error, 1)
				s.Function.Handle("/long", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "begun") //nolint:errcheck // seen by the case
					flush(w)
					s.Function.wait(left)
					_, err := io.Copy(w, noise(8<<20))
					ended <- err
				})
				resp, leave := s.OpenCancel(t, "GET /long", nil)
				readSome(t, resp.Body, 5)
				leave()
				s.closeClients()
				close(left)
				if err := await(t, "the function ending", ended); err != nil {
					t.Errorf("the function could not finish its response: %v", err)
				}
			},
		},
		{
			Name: "client/finish: by route",
			With: Settings{Flags: Flags{"max-inflight": "2"}, Routes: []Route{{Path: "/finish", OnClientAbort: "finish"}}},
			Run: func(t testing.TB, s *Stage) {
				finishing, cancelling := s.Function.Hold("/finish/a"), s.Function.Hold("/cancel")
				one, two := s.Go(t, "GET /finish/a", nil), s.Go(t, "GET /cancel", nil)
				first, second := finishing.Next(t), cancelling.Next(t)
				one.Cancel()
				two.Cancel()
				second.AwaitDone(t)
				s.awaitMetric(t, 1, "weir_inflight_requests")
				if first.Canceled() {
					t.Errorf("the function was cancelled on the route that finishes")
				}
				first.Release()
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "client/finish: the request's own timeout still holds",
			With: Settings{Flags: Flags{"max-inflight": "1", "on-client-abort": "finish", "timeout": "1s"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				start := time.Now()
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				call.Cancel()
				held.AwaitCanceled(t)
				if took := time.Since(start); took < time.Second {
					t.Errorf("cancelled after %v, before the timeout of 1 s", took)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
	})
}

func slowCases() []Case {
	one := func(flags Flags) Settings {
		flags["max-inflight"] = "1"
		return Settings{Flags: flags}
	}
	return []Case{
		{
			Name: "client/a head that does not come is given up, and holds no slot",
			Over: http1Carriers, With: one(Flags{"header-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				c.Send("GET / HTTP/1.1\r\nHost: h\r\nX-A: b")
				s.Do(t, "GET /other", nil).want(t, 200)
				// The other request's slot is free a moment after its answer.
				s.awaitMetric(t, 0, "weir_inflight_requests")
				if rest := c.AwaitClose(); rest != "" && !strings.HasPrefix(rest, "HTTP/1.1 408 ") {
					t.Errorf("it was answered %.200q", rest)
				}
				for _, seen := range s.Function.Seen() {
					if seen.Target == "/" {
						t.Errorf("the function saw it")
					}
				}
			},
		},
		{
			Name: "client/a head that trickles is given up as well",
			Over: http1Carriers, With: one(Flags{"header-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				c.Send("GET / HTTP/1.1\r\nHost: h\r\n")
				closed := make(chan struct{})
				go func() {
					defer close(closed)
					io.Copy(io.Discard, c.r) //nolint:errcheck // until weir closes
				}()
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				deadline := time.After(patience)
				for {
					select {
					case <-closed:
						return
					case <-tick.C:
						c.TrySend("X-A: b\r\n") //nolint:errcheck // closed shows
					case <-deadline:
						t.Fatalf("weir took a trickling head for %v", patience)
					}
				}
			},
		},
		{
			Name: "client/a connection that says nothing is given up",
			With: one(Flags{"header-timeout": "2s", "client-idle-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				alpn := "http/1.1"
				if s.Carrier.H2 {
					alpn = "h2"
				}
				conn, err := s.dial(alpn)
				if err != nil {
					t.Fatal(err)
				}
				s.wrap(t, conn).AwaitClose()
			},
		},
		{
			Name: "client/a kept connection is closed after the idle time",
			Over: http1Carriers, With: one(Flags{"client-idle-timeout": "1s"}),
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				c.Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").want(t, 200)
				if rest := c.AwaitClose(); rest != "" {
					t.Errorf("it said %.200q", rest)
				}
			},
		},
		{
			Name: "client/a kept connection is closed after the idle time, over HTTP/2 with GOAWAY",
			Over: http2Carriers, With: one(Flags{"client-idle-timeout": "1s"}),
			Run: func(t testing.TB, s *Stage) {
				f := s.Frames(t)
				f.Exchange(s.request("GET /")...).want(t, 200)
				await(t, "weir closing the idle connection", f.closed)
				if len(f.GoAways()) == 0 {
					t.Errorf("closed without GOAWAY")
				}
			},
		},
		{
			Name: "client/a running request outlives the idle and header timeouts",
			// Long enough for a handshake on a busy machine, which they bound as well.
			With: one(Flags{"client-idle-timeout": "2s", "header-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				<-time.After(3 * time.Second) // longer than the timeouts: the point of the case
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "client/a body without progress is given up, and its slot freed",
			With: one(Flags{"client-read-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				ended := make(chan error, 1)
				s.Function.Handle("/up", func(_ http.ResponseWriter, r *http.Request) {
					_, err := readAllLen(r.Body)
					ended <- err
					panic(http.ErrAbortHandler)
				})
				if s.Carrier.H2 {
					st := s.Frames(t).Open(false, s.request("POST /up", "content-length: 10")...)
					st.Data("hello", false)
					if resp, err := st.TryResponse(); err == nil {
						wantMade(t, resp, http.StatusRequestTimeout)
					}
				} else {
					c := s.Dial(t)
					c.Send("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
					if resp, err := c.TryResponse("POST"); err == nil {
						wantMade(t, resp, http.StatusRequestTimeout)
						c.AwaitClose()
					}
				}
				if err := await(t, "the function's read ending", ended); err == nil {
					t.Errorf("the function was given half a body as complete")
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				notTheFunctions(t, s)
			},
		},
		{
			Name: "client/a body that trickles is not given up",
			With: one(Flags{"client-read-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				pr, pw := io.Pipe()
				call := s.Go(t, "POST /echo", pr)
				tick := time.NewTicker(300 * time.Millisecond)
				defer tick.Stop()
				for range 10 { // longer than the timeout in all: the point of the case
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
			Name: "client/a response that is not read is given up, and its slot freed",
			With: one(Flags{"client-write-timeout": "1s"}),
			Run: func(t testing.TB, s *Stage) {
				ended := make(chan struct{})
				s.Function.Handle("/down", func(w http.ResponseWriter, _ *http.Request) {
					defer close(ended)
					io.Copy(w, noise(1<<30)) //nolint:errcheck // ends when weir gives up
				})
				if s.Carrier.H2 {
					s.frames(t, true).Open(true, s.request("GET /down")...).Began()
				} else {
					s.Dial(t).Send("GET /down HTTP/1.1\r\nHost: h\r\n\r\n")
				}
				await(t, "the function being stopped", ended)
				s.awaitMetric(t, 0, "weir_inflight_requests")
				notTheFunctions(t, s)
				s.Do(t, "GET /", nil).want(t, 200)
			},
		},
		{
			Name: "client/a response that is read slowly is not given up",
			Over: http1Carriers, With: one(Flags{"client-write-timeout": "2s"}),
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/down", func(w http.ResponseWriter, _ *http.Request) {
					io.Copy(w, noise(1<<30)) //nolint:errcheck // ends when the client leaves
				})
				c := s.Dial(t)
				smallBuffer(t, c)
				c.Send("GET /down HTTP/1.1\r\nHost: h\r\n\r\n")
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				buf := make([]byte, 256<<10)
				for range 60 { // longer than the timeout in all: the point of the case
					<-tick.C
					if _, err := io.ReadFull(c, buf); err != nil {
						t.Fatalf("a slow but steady client was cut off: %v", err)
					}
				}
				c.Close()
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "client/a function that is slow to send is not taken for a client that is slow to read",
			With: one(Flags{"client-write-timeout": "1s", "client-read-timeout": "1s"}),
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/slow", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "begun") //nolint:errcheck // seen by the case
					flush(w)
					<-time.After(2500 * time.Millisecond) // longer than the timeouts: the point of the case
					io.WriteString(w, " ended")           //nolint:errcheck // seen by the case
				})
				s.roundTrip(t, "GET /slow").wantBody(t, 200, "begun ended")
				s.Do(t, "POST /slow", "body").wantBody(t, 200, "begun ended")
			},
		},
	}
}

// smallBuffer bounds what the kernel takes in for a connection that is not read.
func smallBuffer(t testing.TB, c *Conn) {
	t.Helper()
	conn := c.Conn
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if err := conn.(*net.TCPConn).SetReadBuffer(256 << 10); err != nil {
		t.Fatalf("bounding the receive buffer: %v", err)
	}
}
