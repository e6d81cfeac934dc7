package conformance

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Requests that must be refused (RFC 9112 and 9110; each is a way to make two
// parsers disagree on where a request ends or what it asks for).

// smuggled follows every malformed request; whoever serves it took the bytes
// after a refused request for a request.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

var madeByWeir = regexp.MustCompile(`^weir; ?error=[a-z_]+`)

// malformed is a request that gets 400 (or the given statuses), after which the
// connection is closed, and of which the function sees nothing.
func malformed(name, raw string, statuses ...int) Case {
	if len(statuses) == 0 {
		statuses = []int{http.StatusBadRequest}
	}
	return Case{
		Name: "refuses/" + name,
		Over: http1Carriers,
		Run: func(t testing.TB, s *Stage) {
			c := s.Dial(t)
			c.TrySend(raw + smuggled) //nolint:errcheck // weir may close before all is sent
			refusedAndClosed(t, c, raw, statuses)
			if seen := s.Function.Seen(); len(seen) > 0 {
				t.Errorf("the function saw %s %s", seen[0].Method, seen[0].Target)
			}
		},
	}
}

func refusedAndClosed(t testing.TB, c *Conn, raw string, statuses []int) {
	t.Helper()
	method, _, _ := strings.Cut(raw, " ")
	resp := c.Response(method)
	if !slices.Contains(statuses, resp.Status) {
		t.Fatalf("status %d, want one of %d; body %.200q", resp.Status, statuses, resp.Body)
	}
	if rest := c.AwaitClose(); strings.Contains(rest, "HTTP/1.1 ") {
		t.Errorf("something was served after the refused request: %.300q", rest)
	}
}

// malformedBody is a request whose chunked body is malformed: 400 and close. Its
// head may have reached the function; the end of its body must not have.
func malformedBody(name, body string) Case {
	return Case{
		Name: "refuses/" + name,
		Over: http1Carriers,
		Run: func(t testing.TB, s *Stage) {
			c := s.Dial(t)
			head := "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			complete := make(chan int64, 2)
			s.Function.Handle("/echo", func(_ http.ResponseWriter, r *http.Request) {
				if n, err := readAllLen(r.Body); err == nil {
					complete <- n
				}
				panic(http.ErrAbortHandler)
			})
			c.TrySend(head + body + smuggled) //nolint:errcheck // weir may close before all is sent
			refusedAndClosed(t, c, head, []int{http.StatusBadRequest})
			s.awaitMetric(t, 0, "weir_inflight_requests")
			s.Function.awaitIdle(t)
			select {
			case n := <-complete:
				t.Errorf("the function was given the body as complete, with %d bytes", n)
			default:
			}
			for _, seen := range s.Function.Seen() {
				if seen.Target != "/echo" {
					t.Errorf("the function saw %s %s", seen.Method, seen.Target)
				}
			}
		},
	}
}

// with gives a GET with one more line in its head.
func withLine(line string) string { return "GET / HTTP/1.1\r\nHost: h\r\n" + line + "\r\n\r\n" }

// post gives a POST with the lines in its head, and a body.
func post(body string, lines ...string) string {
	return "POST / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func refuseCases() []Case {
	cases := []Case{
		// Framing (RFC 9112 section 6).
		malformed("content-length beside transfer-encoding", post("0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked")),
		malformed("transfer-encoding beside content-length", post("0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 5")),
		malformed("differing content-lengths", post("hello", "Content-Length: 5", "Content-Length: 6")),
		malformed("several content-lengths", post("hello", "Content-Length: 5", "Content-Length: 5")),
		malformed("a list of content-lengths", post("hello", "Content-Length: 5, 5")),
		malformed("content-length with a plus sign", post("hello", "Content-Length: +5")),
		malformed("negative content-length", post("hello", "Content-Length: -5")),
		malformed("hexadecimal content-length", post("hello", "Content-Length: 0x5")),
		malformed("empty content-length", post("", "Content-Length: ")),
		malformed("content-length that overflows", post("hello", "Content-Length: 18446744073709551621")),
		malformed("content-length with a letter", post("hello", "Content-Length: 5a")),
		malformed("transfer-encoding without chunked", post("hello", "Transfer-Encoding: gzip")),
		malformed("transfer-encoding identity", post("hello", "Transfer-Encoding: identity")),
		// An unknown coding before chunked: RFC 9112 6.1 has 501, weir's rule 400.
		malformed("transfer-encoding of two codings", post("0\r\n\r\n", "Transfer-Encoding: gzip, chunked"), 400, 501),
		malformed("transfer-encoding with chunked not last", post("0\r\n\r\n", "Transfer-Encoding: chunked, gzip")),
		malformed("transfer-encoding chunked twice", post("0\r\n\r\n", "Transfer-Encoding: chunked, chunked")),
		malformed("several transfer-encodings", post("0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
		malformed("transfer-encoding chunked with a parameter", post("0\r\n\r\n", "Transfer-Encoding: chunked;a=b")),
		malformed("transfer-encoding with a vertical tab", post("0\r\n\r\n", "Transfer-Encoding: \vchunked")),
		malformed("transfer-encoding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),

		// Field syntax (RFC 9112 section 5).
		malformed("space before the colon", withLine("X-A : b")),
		malformed("space before the colon of transfer-encoding", post("0\r\n\r\n", "Transfer-Encoding : chunked")),
		malformed("obsolete line folding", withLine("X-A: b\r\n c")),
		malformed("obsolete line folding of the first field", "GET / HTTP/1.1\r\n X-A: b\r\nHost: h\r\n\r\n"),
		malformed("bare CR in a field", withLine("X-A: b\rX-B: c")),
		malformed("bare CR before the line end", withLine("X-A: b\r")),
		malformed("bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("NUL in a field", withLine("X-A: b\x00c")),
		malformed("control character in a field", withLine("X-A: b\x01c")),
		malformed("DEL in a field", withLine("X-A: b\x7fc")),
		malformed("NUL in a field's name", withLine("X\x00A: b")),
		malformed("a field name that is no token", withLine("X(A): b")),
		malformed("a field name beyond ASCII", withLine("X\xc3\xa9: b")),
		malformed("an empty field name", withLine(": b")),
		malformed("a field without a colon", withLine("X-A")),

		// Host (RFC 9112 section 3.2).
		malformed("no host", "GET / HTTP/1.1\r\n\r\n"),
		malformed("several hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
		malformed("host with a space", "GET / HTTP/1.1\r\nHost: h i\r\n\r\n"),
		malformed("host with a slash", "GET / HTTP/1.1\r\nHost: h/i\r\n\r\n"),
		malformed("host with user information", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"),
		malformed("host that is a list", "GET / HTTP/1.1\r\nHost: h, i\r\n\r\n"),
		malformed("host with a broken address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
		malformed("host with a port that is no number", "GET / HTTP/1.1\r\nHost: h:80a\r\n\r\n"),
		malformed("host with a NUL", "GET / HTTP/1.1\r\nHost: h\x00\r\n\r\n"),

		// Request line (RFC 9112 section 3).
		malformed("a method that is no token", "G@T / HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("two spaces in the request line", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("a space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("a target without a slash", "GET foo HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("an asterisk but for OPTIONS", "GET * HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("control character in the target", "GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"),
		malformed("no version", "GET /\r\nHost: h\r\n\r\n", 400, 505),
		malformed("a version that is no version", "GET / HTTP/1.1x\r\nHost: h\r\n\r\n"),
		malformed("another protocol's version", "GET / HTTQ/1.1\r\nHost: h\r\n\r\n"),
		malformed("other versions", "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
		malformed("HTTP/2.0 in a request line", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),

		// Chunks (RFC 9112 section 7.1).
		malformedBody("bare LF in chunk size", "5\nhello\r\n0\r\n\r\n"),
		malformedBody("bare LF after a chunk extension", "5;a=b\nhello\r\n0\r\n\r\n"),
		malformedBody("bare CR in chunk extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
		malformedBody("chunk size that is no number", "g\r\nhello\r\n0\r\n\r\n"),
		malformedBody("chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
		malformedBody("chunk size with a sign", "+5\r\nhello\r\n0\r\n\r\n"),
		malformedBody("empty chunk size", "\r\nhello\r\n0\r\n\r\n"),
		malformedBody("chunk size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
		malformedBody("a chunk longer than its size", "5\r\nhelloworld\r\n0\r\n\r\n"),
		malformedBody("a chunk that ends in bare LF", "5\r\nhello\n0\r\n\r\n"),
		malformedBody("a long chunk extension", "5;a="+strings.Repeat("x", 64<<10)+"\r\nhello\r\n0\r\n\r\n"),
		// Many small chunks whose extensions outweigh them (CVE-2023-39326).
		malformedBody("extensions that outweigh their chunks", strings.Repeat("1;a="+strings.Repeat("x", 1000)+"\r\nh\r\n", 2000)+"0\r\n\r\n"),
		malformedBody("a trailer field without a colon", "5\r\nhello\r\n0\r\nX-A\r\n\r\n"),
		malformedBody("space before the colon of a trailer", "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n"),
	}
	small := Settings{Flags: Flags{"max-header-bytes": "8192"}}
	for _, c := range []Case{
		malformed("a field too large", withLine("X-A: "+strings.Repeat("b", 64<<10)), 431),
		malformed("too many fields", withLine(strings.TrimSuffix(strings.Repeat("X-A: b\r\n", 8<<10), "\r\n")), 431),
		malformed("a target too long", "GET /"+strings.Repeat("a", 64<<10)+" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
	} {
		c.With = small
		cases = append(cases, c)
	}
	return append(cases, refuseBodyCases()...)
}

// refuseBodyCases are about bodies over the bound and about what a refusal of
// the protocol itself looks like.
func refuseBodyCases() []Case {
	bounded := Settings{Flags: Flags{"max-body": "1000"}}
	return []Case{
		{
			Name: "refuses/a body over the bound by its content-length, before it is sent",
			Over: http1Carriers, With: bounded,
			Run: func(t testing.TB, s *Stage) {
				resp := s.Dial(t).Exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n")
				wantMade(t, resp, http.StatusRequestEntityTooLarge)
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw it")
				}
			},
		},
		{
			Name: "refuses/a body over the bound by its content-length",
			With: bounded,
			Run: func(t testing.TB, s *Stage) {
				wantMade(t, s.Do(t, "POST /", strings.Repeat("x", 1001)), http.StatusRequestEntityTooLarge)
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw it")
				}
			},
		},
		{
			Name: "refuses/a body over the bound of unknown length",
			With: bounded,
			Run: func(t testing.TB, s *Stage) {
				whole := make(chan int64, 1)
				s.Function.Handle("/up", func(_ http.ResponseWriter, r *http.Request) {
					if n, err := readAllLen(r.Body); err == nil {
						whole <- n
					}
					panic(http.ErrAbortHandler)
				})
				resp := s.Do(t, "POST /up", strings.NewReader(strings.Repeat("x", 5000))) // of unknown length, see Request
				wantMade(t, resp, http.StatusRequestEntityTooLarge)
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
				select {
				case n := <-whole:
					t.Errorf("the function was given %d bytes as the whole body", n)
				default:
				}
			},
		},
		{
			Name: "forwards/a body exactly at the bound",
			With: bounded,
			Run: func(t testing.TB, s *Stage) {
				if seen := s.Do(t, "POST /", strings.Repeat("x", 1000)).echoed(t); seen.Length != 1000 {
					t.Errorf("the function got %d bytes of 1000", seen.Length)
				}
				if seen := s.Do(t, "POST /", strings.NewReader(strings.Repeat("x", 1000))).echoed(t); seen.Length != 1000 {
					t.Errorf("of unknown length: the function got %d bytes of 1000", seen.Length)
				}
			},
		},
		{
			// weir is a gateway: it opens no tunnels to elsewhere (RFC 9110 9.3.6).
			Name: "refuses/CONNECT",
			Run: func(t testing.TB, s *Stage) {
				var resp *Response
				if s.Carrier.H2 {
					resp = s.Frames(t).Exchange(":method: CONNECT", ":authority: h:443")
				} else {
					resp = s.Dial(t).Exchange("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
				}
				if !slices.Contains([]int{400, 405, 501}, resp.Status) {
					t.Errorf("status %d", resp.Status)
				}
				wantMade(t, resp, resp.Status)
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw it")
				}
			},
		},
		{
			Name: "refuses/malformed requests in its own name",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				wantMade(t, s.Dial(t).Exchange("GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n"), http.StatusBadRequest)
			},
		},
		{
			Name: "refuses/without taking a slot",
			Over: http1Carriers,
			With: Settings{Flags: Flags{"max-inflight": "1"}},
			Run: func(t testing.TB, s *Stage) {
				gate := s.Function.Hold("/hold")
				call := s.Go(t, "GET /hold", nil)
				held := gate.Next(t)
				c := s.Dial(t)
				c.Send("GET / HTTP/1.1\r\nHost: h i\r\n\r\n")
				c.Response("GET").want(t, http.StatusBadRequest)
				if v := s.Metric(t, "weir_throttles_total"); v != 0 {
					t.Errorf("a malformed request was counted as throttled %v times", v)
				}
				held.Release()
				call.Response(t).wantBody(t, 200, "held")
			},
		},
		{
			Name: "forwards/a chunk extension of moderate size, by dropping it",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				resp := s.Dial(t).Exchange("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0\r\n\r\n")
				if seen := resp.echoed(t); seen.Body != "hello" || seen.Error != "" {
					t.Errorf("the function got %q, %s", seen.Body, seen.Error)
				}
			},
		},
		{
			Name: "forwards/an upper case chunked coding",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				resp := s.Dial(t).Exchange("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
				if seen := resp.echoed(t); seen.Body != "hello" || seen.Error != "" {
					t.Errorf("the function got %q, %s", seen.Body, seen.Error)
				}
			},
		},
	}
}

// wantMade asserts a response that weir itself made.
func wantMade(t testing.TB, resp *Response, status int) {
	t.Helper()
	resp.want(t, status)
	if got := resp.Get("Proxy-Status"); !madeByWeir.MatchString(got) {
		t.Errorf("status %d of weir's own has Proxy-Status %q, want weir; error=...", status, got)
	}
}

// wantPassed asserts a response of the function's.
func wantPassed(t testing.TB, resp *Response, status int) {
	t.Helper()
	resp.want(t, status)
	for _, v := range resp.Fields["Proxy-Status"] {
		if strings.Contains(v, "weir") && strings.Contains(v, "error=") {
			t.Errorf("the function's %d is claimed by weir: Proxy-Status %q", status, v)
		}
	}
	if v := resp.Get("Weir-Throttled"); v != "" {
		t.Errorf("the function's %d is marked Weir-Throttled: %s", status, v)
	}
}

// The HTTP/2 side of malformed: RFC 9113 section 8.1.1 has a stream error, or
// 400, and nothing of it may reach the function.
func malformedHTTP2(name string, play func(s *Stage, f *Frames) *Stream) Case {
	return Case{
		Name: "refuses/" + name + " over HTTP/2",
		Over: http2Carriers,
		Run: func(t testing.TB, s *Stage) {
			f := s.Frames(t)
			st := play(s, f)
			resp, err := st.TryResponse()
			if err == nil && resp.Status != http.StatusBadRequest {
				t.Errorf("status %d; body %.200q", resp.Status, resp.Body)
			}
			s.awaitMetric(t, 0, "weir_inflight_requests")
			for _, seen := range s.Function.Seen() {
				t.Errorf("the function saw %s %s %v", seen.Method, seen.Target, seen.Header)
			}
		},
	}
}

func refuseHTTP2Cases() []Case {
	extra := func(name string, lines ...string) Case {
		return malformedHTTP2(name, func(s *Stage, f *Frames) *Stream {
			return f.Open(true, s.request("GET /", lines...)...)
		})
	}
	exact := func(name string, lines func(s *Stage) []string) Case {
		return malformedHTTP2(name, func(s *Stage, f *Frames) *Stream { return f.Open(true, lines(s)...) })
	}
	return []Case{
		extra("a connection field", "connection: close"),
		extra("a keep-alive field", "keep-alive: timeout=5"),
		extra("a proxy-connection field", "proxy-connection: keep-alive"),
		extra("a transfer-encoding field", "transfer-encoding: chunked"),
		extra("an upgrade field", "upgrade: websocket"),
		extra("te other than trailers", "te: gzip"),
		extra("an upper case field name", "X-A: b"),
		extra("CR and LF in a field", "x-a: b\r\nx-b: c"),
		extra("NUL in a field", "x-a: b\x00c"),
		extra("a colon in a field name", "x:a: b"),
		extra("a space in a field name", "x a: b"),
		extra("an unknown pseudo field", ":unknown: b"),
		extra("a pseudo field after others", "x-a: b", ":path: /other"),
		extra("a status pseudo field", ":status: 200"),
		exact("no method", func(s *Stage) []string { return s.request("GET /")[1:] }),
		exact("no path", func(s *Stage) []string { return s.request("GET /")[:3] }),
		exact("no scheme", func(s *Stage) []string { return slices.Delete(s.request("GET /"), 1, 2) }),
		exact("two paths", func(s *Stage) []string { return slices.Insert(s.request("GET /"), 3, ":path: /other") }),
		exact("an empty path", func(s *Stage) []string { return append(s.request("GET /")[:3], ":path: ") }),
		exact("a path without a slash", func(s *Stage) []string { return s.request("GET foo") }),
		exact("a space in the path", func(s *Stage) []string { return s.request("GET /a b HTTP/1.1") }),
		exact("CR and LF in the path", func(s *Stage) []string { return s.request("GET /a\r\nx: y") }),
		exact("a method that is no token", func(s *Stage) []string { return s.request("G@T /") }),
		exact("CR and LF in the authority", func(s *Stage) []string {
			return []string{":method: GET", ":scheme: " + s.scheme(), ":authority: h\r\nx: y", ":path: /"}
		}),
		exact("an authority with user information", func(s *Stage) []string {
			return []string{":method: GET", ":scheme: " + s.scheme(), ":authority: u@h", ":path: /"}
		}),
		{
			Name: "refuses/more data than the content-length over HTTP/2",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				lengthMismatch(t, s, "5", "hello, world")
			},
		},
		{
			Name: "refuses/less data than the content-length over HTTP/2",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				lengthMismatch(t, s, "50", "hello")
			},
		},
		{
			Name: "refuses/fields too large over HTTP/2",
			Over: http2Carriers,
			With: Settings{Flags: Flags{"max-header-bytes": "8192"}},
			Run: func(t testing.TB, s *Stage) {
				f := s.Frames(t)
				lines := s.request("GET /")
				for i := range 40 {
					lines = append(lines, fmt.Sprintf("x-a%d: %s", i, strings.Repeat("b", 1000)))
				}
				st := f.OpenLarge(true, lines...)
				if resp, err := st.TryResponse(); err == nil && resp.Status != 431 {
					t.Errorf("status %d, want 431 or a stream error", resp.Status)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw it")
				}
			},
		},
	}
}

// lengthMismatch sends DATA that does not add up to the Content-Length: the
// function must not be given it as a complete body.
func lengthMismatch(t testing.TB, s *Stage, length, data string) {
	t.Helper()
	whole := make(chan int64, 1)
	s.Function.Handle("/up", func(_ http.ResponseWriter, r *http.Request) {
		if n, err := readAllLen(r.Body); err == nil {
			whole <- n
		}
		panic(http.ErrAbortHandler)
	})
	f := s.Frames(t)
	st := f.Open(false, s.request("POST /up", "content-length: "+length)...)
	st.Data(data, true)
	if resp, err := st.TryResponse(); err == nil && resp.Status != http.StatusBadRequest {
		t.Errorf("status %d, want 400 or a stream error", resp.Status)
	}
	s.awaitMetric(t, 0, "weir_inflight_requests")
	s.Function.awaitIdle(t)
	select {
	case n := <-whole:
		t.Errorf("the function was given %d bytes as the whole body", n)
	default:
	}
}
