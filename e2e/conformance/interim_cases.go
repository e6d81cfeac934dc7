package conformance

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Interim responses (RFC 9110 section 15.2): forwarded, and never taken for the
// final one; 100 comes from the function, after admission.

// early answers with interim responses and then a final one.
func early(status int, interims ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, code := range interims {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(code)
			w.Header().Del("Link")
		}
		w.WriteHeader(status)
		io.WriteString(w, "final") //nolint:errcheck // seen by the case
	}
}

func interimCodes(r *Response) []int {
	var codes []int
	for _, i := range r.Interim {
		codes = append(codes, i.Status)
	}
	return codes
}

func interimCases() []Case {
	return slices.Concat(forBehind([]Behind{FunctionHTTP, FunctionH2C}, []Case{
		{
			Name: "interim/103 reaches the client before the final response",
			Run: func(t testing.TB, s *Stage) {
				release := make(chan struct{})
				s.Function.Handle("/early", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Link", "</style.css>; rel=preload")
					w.WriteHeader(http.StatusEarlyHints)
					w.Header().Del("Link")
					s.Function.wait(release)
					early(200)(w, r)
				})
				if s.Carrier.H2 {
					f := s.Frames(t)
					st := f.Open(true, s.request("GET /early")...)
					eventually(t, "103 reaching the client", func() (bool, string) {
						f.mu.Lock()
						defer f.mu.Unlock()
						return len(st.heads) == 1 && st.heads[0][":status"][0] == "103" && st.heads[0]["link"] != nil, "not there"
					})
					close(release)
					st.Response().wantBody(t, 200, "final")
					return
				}
				c := s.Dial(t)
				c.Send("GET /early HTTP/1.1\r\nHost: h\r\n\r\n")
				if head := c.Head(); head.Status != 103 || head.Get("Link") == "" {
					t.Errorf("first head %d %v, want 103 with Link", head.Status, head.Fields)
				}
				close(release)
				resp := c.Response("GET").wantBody(t, 200, "final")
				if resp.Get("Link") != "" {
					t.Errorf("a field of the 103 was taken over by the final response")
				}
			},
		},
		{
			Name: "interim/103 then 404 stays 404",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/early", early(404, 103))
				resp := s.Do(t, "GET /early", nil).wantBody(t, 404, "final")
				if got := interimCodes(resp); !slices.Equal(got, []int{103}) {
					t.Errorf("interim responses %d, want 103", got)
				}
				s.awaitMetric(t, 1, "weir_requests_total", "code_class", "4xx", "origin", "function")
			},
		},
		{
			Name: "interim/several reach the client in order",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/early", early(200, 103, 102, 103))
				resp := s.Do(t, "GET /early", nil).wantBody(t, 200, "final")
				if got := interimCodes(resp); !slices.Equal(got, []int{103, 102, 103}) {
					t.Errorf("interim responses %d", got)
				}
			},
		},
	}), []Case{
		{
			Name: "interim/none to an HTTP/1.0 client",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/early", early(200, 103))
				resp := s.Dial(t).Exchange("GET /early HTTP/1.0\r\nHost: h\r\n\r\n").wantBody(t, 200, "final")
				if got := interimCodes(resp); len(got) > 0 {
					t.Errorf("interim responses %d to HTTP/1.0 (RFC 9110 15.2)", got)
				}
			},
		},
		{
			Name:   "interim/102 before nothing at all is no response",
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.AnswerAndClose("HTTP/1.1 102 Processing\r\n\r\n")
				wantMade(t, s.Do(t, "POST /", "x"), http.StatusBadGateway)
			},
		},
		{
			Name: "interim/expect: 100 comes from the function",
			Run: func(t testing.TB, s *Stage) {
				expectContinue(t, s, "/echo", 200, 100)
			},
		},
		{
			Name: "interim/expect: a final answer of the function comes without 100",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
				expectContinue(t, s, "/no", 403)
			},
		},
		{
			Name: "interim/expect: no 100 before admission",
			Over: http1Carriers,
			With: Settings{Flags: Flags{"max-inflight": "1", "overflow": "wait", "queue-timeout": "60s"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				first := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				c := s.Dial(t)
				c.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
				s.awaitMetric(t, 1, "weir_waiting_requests")
				c.Silent(200 * time.Millisecond)
				held.Release()
				first.Response(t).wantBody(t, 200, "held")
				if head := c.Head(); head.Status != 100 {
					t.Fatalf("status %d after admission, want 100", head.Status)
				}
				c.Send("hello")
				if seen := c.Response("POST").echoed(t); seen.Body != "hello" {
					t.Errorf("the function got %q", seen.Body)
				}
			},
		},
		{
			Name: "interim/expect: a refusal comes instead of 100, before the body",
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				first := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				expectContinue(t, s, "/echo", 429)
				held.Release()
				first.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "interim/expect: after a refusal the connection is closed or stays in step",
			Over: http1Carriers,
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				first := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				c := s.Dial(t)
				c.Exchange("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").want(t, 429)
				held.Release()
				first.Response(t).wantBody(t, 200, "held")
				s.awaitMetric(t, 0, "weir_inflight_requests")
				// The client never sends the body and asks anew: a server that
				// waited for those 5 bytes would take "GET /" for them.
				if err := c.TrySend("GET /next HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
					return
				}
				resp, err := c.TryResponse("GET")
				if err != nil {
					return // closed, which is in order
				}
				if seen := resp.echoed(t); seen.Target != "/next" || seen.Method != "GET" {
					t.Errorf("the connection is out of step: the function got %s %s", seen.Method, seen.Target)
				}
			},
		},
		{
			Name: "interim/expect: not of an HTTP/1.0 client",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				resp := s.Dial(t).Exchange("POST /echo HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
				if len(resp.Interim) > 0 {
					t.Errorf("HTTP/1.0 got %d", interimCodes(resp))
				}
				if seen := resp.echoed(t); seen.Body != "hello" {
					t.Errorf("the function got %q", seen.Body)
				}
			},
		},
		{
			Name: "interim/expect: a client that does not wait for 100 is served",
			Run: func(t testing.TB, s *Stage) {
				if s.Carrier.H2 {
					st := s.Frames(t).Open(false, s.request("POST /echo", "expect: 100-continue", "content-length: 5")...)
					st.Data("hello", true)
					if seen := st.Response().echoed(t); seen.Body != "hello" {
						t.Errorf("the function got %q", seen.Body)
					}
					return
				}
				resp := s.Dial(t).Exchange("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
				if seen := resp.echoed(t); seen.Body != "hello" {
					t.Errorf("the function got %q", seen.Body)
				}
			},
		},
	})
}

// expectContinue posts with Expect: 100-continue, sends the body only after a
// 100, and asserts the interim responses and the final status.
func expectContinue(t testing.TB, s *Stage, path string, status int, interims ...int) {
	t.Helper()
	var resp *Response
	if s.Carrier.H2 {
		f := s.Frames(t)
		st := f.Open(false, s.request("POST "+path, "expect: 100-continue", "content-length: 5")...)
		eventually(t, "a head on the stream", func() (bool, string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(st.heads) > 0, "none"
		})
		f.mu.Lock()
		first := st.heads[0][":status"][0]
		f.mu.Unlock()
		if first == "100" {
			st.Data("hello", true)
		}
		resp = st.Response()
		if first != "100" { // the server may reset what it does not read, after the response (RFC 9113 8.1)
			resp.BodyErr = nil
		}
	} else {
		c := s.Dial(t)
		c.Send("POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		var early []Interim
		head := c.Head()
		if head.Status == 100 {
			early = []Interim{{Status: 100}}
			c.Send("hello")
			resp = c.Response("POST")
		} else {
			resp = head
			resp.Body, resp.Trailer, resp.BodyErr = readBody(c.r, resp.Fields, true)
		}
		resp.Interim = append(early, resp.Interim...)
	}
	resp.want(t, status)
	if got := interimCodes(resp); !slices.Equal(got, interims) {
		t.Errorf("interim responses %d, want %d", got, interims)
	}
	if status == 200 {
		if seen := resp.echoed(t); seen.Body != "hello" {
			t.Errorf("the function got %q", seen.Body)
		}
	}
	if status == 429 {
		for _, seen := range s.Function.Seen() {
			if strings.HasPrefix(seen.Target, path) {
				t.Errorf("the function saw the refused request")
			}
		}
	}
}
