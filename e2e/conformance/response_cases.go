package conformance

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Responses of the function reach the client as they are; those that are none
// become 502.

func responseCases() []Case {
	return slices.Concat(responseFieldCases(), brokenResponseCases())
}

// scripted is a case in which the origin answers with exact bytes.
func scripted(name, raw string, check func(t testing.TB, s *Stage, resp *Response)) Case {
	return Case{
		Name: name, Behind: Scripted,
		Run: func(t testing.TB, s *Stage) {
			s.Origin.AnswerAndClose(raw)
			check(t, s, s.Do(t, "POST /", "x"))
		},
	}
}

// broken is a response that weir must turn into 502, naming the error.
func broken(name, raw string, errs ...string) Case {
	return scripted("response/"+name+" is 502", raw, func(t testing.TB, s *Stage, resp *Response) {
		wantMade(t, resp, http.StatusBadGateway)
		got := resp.Get("Proxy-Status")
		if len(errs) > 0 && !slices.ContainsFunc(errs, func(e string) bool { return strings.Contains(got, "error="+e) }) {
			t.Errorf("Proxy-Status %q, want error one of %s", got, errs)
		}
		s.awaitMetric(t, 1, "weir_requests_total", "code_class", "5xx", "origin", "weir")
	})
}

func responseFieldCases() []Case {
	return []Case{
		{
			Name: "response/any status as it is",
			Run: func(t testing.TB, s *Stage) {
				statuses := []int{200, 201, 202, 203, 206, 226, 299, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 418, 421, 425, 429, 451, 499, 500, 501, 502, 503, 504, 511, 599}
				s.Function.Handle("/status", func(w http.ResponseWriter, r *http.Request) {
					var code int
					fmt.Sscan(r.URL.RawQuery, &code) //nolint:errcheck // the case sends a number
					w.Header().Set("Location", "http://127.0.0.1:1/")
					w.WriteHeader(code)
					io.WriteString(w, "body") //nolint:errcheck // seen by the case
				})
				for _, code := range statuses {
					resp := s.Do(t, fmt.Sprintf("GET /status?%d", code), nil)
					wantPassed(t, resp, code)
					if string(resp.Body) != "body" || resp.Get("Location") != "http://127.0.0.1:1/" {
						t.Errorf("%d: body %q, Location %q", code, resp.Body, resp.Get("Location"))
					}
				}
				byClass := map[byte]int{}
				for _, code := range statuses {
					byClass[byte('0'+code/100)]++
				}
				for class, n := range byClass {
					s.awaitMetric(t, float64(n), "weir_requests_total", "mode", "sync", "code_class", string(class)+"xx", "origin", "function")
				}
				for _, origin := range []string{"weir", "client"} {
					if v := s.Metric(t, "weir_requests_total", "origin", origin); v != 0 {
						t.Errorf("weir_requests_total{origin=%q} is %v, want 0", origin, v)
					}
				}
			},
		},
		scripted("response/fields as they are, in order",
			"HTTP/1.1 200 OK\r\nSet-Cookie: b=1; Path=/\r\nX-Multi: one\r\nSet-Cookie: a=2, c\r\nX-Multi: two, three\r\nX-Empty:\r\nX-Tab: a\tb\r\nX-Bytes: \xc3\xa9\xff\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: mine\r\nContent-Length: 2\r\n\r\nok",
			func(t testing.TB, _ *Stage, resp *Response) {
				resp.wantBody(t, 200, "ok")
				for name, want := range map[string][]string{
					"Set-Cookie": {"b=1; Path=/", "a=2, c"}, "X-Multi": {"one", "two, three"}, "X-Empty": {""}, "X-Tab": {"a\tb"},
					"X-Bytes": {"\xc3\xa9\xff"}, "Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}, "Server": {"mine"}, "Content-Length": {"2"},
				} {
					if got := resp.Fields[name]; !slices.Equal(got, want) {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
			}),
		scripted("response/no fields of weir's own",
			"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 15\r\n\r\n<html>hi</html>",
			func(t testing.TB, _ *Stage, resp *Response) {
				resp.want(t, 200)
				for name := range resp.Fields {
					if !slices.Contains([]string{"Date", "Content-Length", "Via"}, name) {
						t.Errorf("%s: %s was added", name, resp.Get(name))
					}
				}
			}),
		{
			Name: "response/a body of known length as one",
			Run: func(t testing.TB, s *Stage) {
				resp := s.roundTrip(t, "GET /").want(t, 200)
				if got := resp.Get("Content-Length"); got != fmt.Sprint(len(resp.Body)) {
					t.Errorf("Content-Length %q of %d bytes", got, len(resp.Body))
				}
			},
		},
		{
			Name: "response/HEAD with the length and without the body",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/h", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "12345")
				})
				resp := s.roundTrip(t, "HEAD /h").wantBody(t, 200, "")
				if got := resp.Get("Content-Length"); got != "12345" {
					t.Errorf("Content-Length %q, want 12345", got)
				}
			},
		},
		{
			Name: "response/a connection stays in step after HEAD, 204 and 304",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
				s.Function.Handle("/304", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("ETag", `"x"`)
					w.WriteHeader(304)
				})
				c := s.Dial(t)
				c.Exchange("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").want(t, 200)
				resp := c.Exchange("GET /204 HTTP/1.1\r\nHost: h\r\n\r\n").want(t, 204)
				if resp.Fields["Content-Length"] != nil || resp.Fields["Transfer-Encoding"] != nil {
					t.Errorf("204 is framed: %v (RFC 9110 8.6, RFC 9112 6.1)", resp.Fields)
				}
				if etag := c.Exchange("GET /304 HTTP/1.1\r\nHost: h\r\n\r\n").want(t, 304).Get("ETag"); etag != `"x"` {
					t.Errorf("304 with ETag %q", etag)
				}
				c.Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").echoed(t)
			},
		},
		scripted("response/a body until the connection's end", "HTTP/1.1 200 OK\r\n\r\nall of it", func(t testing.TB, _ *Stage, resp *Response) {
			resp.wantBody(t, 200, "all of it")
		}),
		scripted("response/of an HTTP/1.0 function", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", func(t testing.TB, s *Stage, resp *Response) {
			resp.wantBody(t, 200, "ok")
			if !s.Carrier.H2 && resp.Proto != "HTTP/1.1" {
				t.Errorf("version %s, want weir's own HTTP/1.1", resp.Proto)
			}
		}),
		scripted("response/an unknown reason phrase, or none", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", func(t testing.TB, _ *Stage, resp *Response) {
			resp.wantBody(t, 200, "ok")
		}),
		{
			Name: "response/errors and refusals of the function are the function's",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/429", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", "77")
					w.WriteHeader(429)
				})
				resp := s.Do(t, "GET /429", nil)
				wantPassed(t, resp, 429)
				if resp.Get("Retry-After") != "77" || resp.Get("RateLimit") != "" {
					t.Errorf("the function's 429 was dressed up: %v", resp.Fields)
				}
				s.awaitMetric(t, 1, "weir_requests_total", "code_class", "4xx", "origin", "function")
				if v := s.Metric(t, "weir_throttles_total"); v != 0 {
					t.Errorf("the function's 429 was counted as weir's throttle")
				}
			},
		},
		{
			Name: "response/proxy-status of one further in is kept",
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/p", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Proxy-Status", "inner; error=dns_timeout")
					w.WriteHeader(502)
				})
				resp := s.Do(t, "GET /p", nil)
				wantPassed(t, resp, 502)
				if got := resp.Get("Proxy-Status"); !strings.HasPrefix(got, "inner; error=dns_timeout") {
					t.Errorf("Proxy-Status %q", got)
				}
			},
		},
	}
}

func brokenResponseCases() []Case {
	protocol := []string{"http_protocol_error"}
	return []Case{
		broken("not HTTP at all", "SSH-2.0-OpenSSH\r\n\r\n", protocol...),
		broken("a malformed status", "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", protocol...),
		broken("a malformed field", "HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n", protocol...),
		broken("differing content-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", protocol...),
		broken("a malformed content-length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", protocol...),
		broken("an unknown transfer-encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
		broken("nothing", ""),
		broken("a head cut short", "HTTP/1.1 200 OK\r\nContent-Le"),
		broken("an endless head", "HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: "+strings.Repeat("b", 1000)+"\r\n", 12<<10)+"\r\n"),
		broken("a 101 that was not asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
		// RFC 9112 6.3: the coding overrides the length, or the message is an error.
		scripted("response/framed twice is 502 or its length dropped",
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"+chunked([]string{"hello"}),
			func(t testing.TB, _ *Stage, resp *Response) {
				if resp.Status == http.StatusBadGateway {
					return
				}
				resp.wantBody(t, 200, "hello")
				if v := resp.Get("Content-Length"); v == "3" {
					t.Errorf("Content-Length %s was passed on", v)
				}
			}),
		// RFC 9110 5.5: rejected, or each replaced by a space.
		scripted("response/NUL in a field is 502 or a space", "HTTP/1.1 200 OK\r\nX-A: b\x00c\r\nContent-Length: 0\r\n\r\n", cleanField),
		scripted("response/bare CR in a field is 502 or a space", "HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n", cleanField),
		// RFC 9112 5.2: rejected, or the fold replaced by spaces.
		scripted("response/a folded line is 502 or unfolded", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", cleanField),
		{
			Name:   "response/bytes after one never answer the next request",
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.Script(func(c *OriginConn) {
					for {
						h, _, err := c.Request()
						if err != nil {
							return
						}
						body := strings.Fields(h.start)[1]
						c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", len(body), body))
					}
				})
				for i := range 10 {
					target := fmt.Sprintf("/%d", i)
					resp := s.Do(t, "POST "+target, "x")
					if resp.Status == 502 {
						continue // the connection died between: a POST is not retried
					}
					resp.wantBody(t, 200, target)
				}
			},
		},
		{
			Name:   "response/a body to a HEAD never answers the next request",
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.Script(func(c *OriginConn) {
					for {
						h, _, err := c.Request()
						if err != nil {
							return
						}
						if strings.HasPrefix(h.start, "HEAD") {
							poison := "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
							c.Say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(poison), poison))
							continue
						}
						c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
				for range 5 {
					s.Do(t, "HEAD /", nil).want(t, 200)
					resp := s.Do(t, "GET /", nil)
					if resp.Status != 502 {
						resp.wantBody(t, 200, "ok")
					}
				}
			},
		},
	}
}

// cleanField asserts that X-A came without what a field must not hold.
func cleanField(t testing.TB, _ *Stage, resp *Response) {
	t.Helper()
	if resp.Status == http.StatusBadGateway {
		return
	}
	resp.want(t, 200)
	if got := resp.Get("X-A"); strings.ContainsAny(got, "\x00\r\n") || !strings.HasPrefix(got, "b ") {
		t.Errorf("X-A came as %q", got)
	}
}
