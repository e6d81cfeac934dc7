package conformance

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// roundTrip sends a request with an exact target and field lines over whichever
// carrier, without anything that an HTTP client would add or rewrite.
func (s *Stage) roundTrip(t testing.TB, line string, fields ...string) *Response {
	t.Helper()
	if s.Carrier.H2 {
		lines := s.request(line)
		for _, field := range fields {
			name, value, _ := strings.Cut(field, ": ")
			lines = append(lines, strings.ToLower(name)+": "+value)
		}
		return s.Frames(t).Exchange(lines...)
	}
	return s.Dial(t).Exchange(line + " HTTP/1.1\r\nHost: " + s.Weir.Addr + "\r\n" + joinLines(fields) + "\r\n")
}

// tryRoundTrip is roundTrip where the connection may be closed or the stream
// reset without a response.
func (s *Stage) tryRoundTrip(t testing.TB, line string) (*Response, error) {
	t.Helper()
	if s.Carrier.H2 {
		return s.Frames(t).Open(true, s.request(line)...).TryResponse()
	}
	c := s.Dial(t)
	c.Send(line + " HTTP/1.1\r\nHost: h\r\n\r\n")
	method, _, _ := strings.Cut(line, " ")
	return c.TryResponse(method)
}

// wantTarget asserts the target of the latest request that reached the function.
func (s *Stage) wantTarget(t testing.TB, target string) {
	t.Helper()
	seen := s.Function.Seen()
	if len(seen) == 0 {
		t.Errorf("%q: the function saw nothing", target)
	} else if got := seen[len(seen)-1].Target; got != target {
		t.Errorf("%q: the function got %q", target, got)
	}
}

func joinLines(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

// targets is a case that each of these reaches the function byte for byte.
func targets(name string, list ...string) Case {
	return Case{
		Name: "forwards/raw target byte for byte: " + name,
		Run: func(t testing.TB, s *Stage) {
			for _, target := range list {
				resp, err := s.tryRoundTrip(t, "GET "+target)
				if err != nil || resp.Status != http.StatusOK {
					t.Errorf("%s: got %v, %v; want the function's 200", target, resp, err)
					continue
				}
				s.wantTarget(t, target)
			}
		},
	}
}

// targetsOrRefused is for bytes that RFC 3986 does not allow in a target: they
// may be refused, but never be rewritten.
func targetsOrRefused(name string, list ...string) Case {
	return Case{
		Name: "forwards/raw target refused or byte for byte: " + name,
		Run: func(t testing.TB, s *Stage) {
			for _, target := range list {
				resp, err := s.tryRoundTrip(t, "GET "+target)
				if err != nil || resp.Status == http.StatusBadRequest {
					continue // refused
				}
				s.wantTarget(t, target)
			}
		},
	}
}

func forwardCases() []Case {
	return slices.Concat(targetCases(), requestFieldCases(), hopByHopCases(), messageCases())
}

func targetCases() []Case {
	return []Case{
		targets("percent-encoding", "/a%2Fb", "/a%2fb", "/%41", "/a%20b", "/a+b", "/%2e%2e/x", "/a%3Fb", "/%25"),
		targets("double slashes", "//", "//a//b", "/a//b", "/a//", "//h/a"),
		targets("dot segments", "/a/../b", "/./a", "/..", "/a/.", "/../../etc/passwd"),
		targets("semicolons and sub-delimiters", "/a;b=c", "/a;", "/a,b=(c)!$&'*+", "/~a_b-c.d", "/a:b@c"),
		targets("queries", "/?a;b", "/?a=1;b=2&c", "/?a=%zz", "/?", "/a?", "/?a?b", "/?&&=", "/?a=b+c%20d", "/?a=//../"),
		targets("a long one", "/"+strings.Repeat("a/", 2000)+"?"+strings.Repeat("b", 2000)),
		targetsOrRefused("characters outside the grammar", "/a|b", "/a{b}", "/a\"b", "/a<b>", "/a^b`", "/a\\b", "/?a|b\"<>", "/a[b]"),
		targetsOrRefused("broken percent-encoding", "/a%zzb", "/a%", "/%2"),
		targetsOrRefused("bytes beyond ASCII", "/\xc3\xa9", "/?\xff"),
		{
			Name: "forwards/an absolute target as its path, with its host",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.Dial(t).Exchange("GET http://example.com:81/a%2Fb?c HTTP/1.1\r\nHost: other\r\n\r\n").echoed(t)
				if seen.Target != "/a%2Fb?c" || seen.Host != "example.com:81" {
					t.Errorf("the function got %s for host %s, want /a%%2Fb?c for example.com:81 (RFC 9112 3.2.2)", seen.Target, seen.Host)
				}
			},
		},
		{
			Name: "forwards/OPTIONS for the server as a whole",
			Run: func(t testing.TB, s *Stage) {
				if seen := s.roundTrip(t, "OPTIONS *").echoed(t); seen.Target != "*" || seen.Method != "OPTIONS" {
					t.Errorf("the function got %s %s", seen.Method, seen.Target)
				}
			},
		},
		{
			Name: "forwards/any method as it is",
			Run: func(t testing.TB, s *Stage) {
				for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get", "M-SEARCH"} {
					if got := s.roundTrip(t, method+" /").echoed(t).Method; got != method {
						t.Errorf("%s reached the function as %s", method, got)
					}
				}
			},
		},
	}
}

func requestFieldCases() []Case {
	return []Case{
		{
			Name: "forwards/host as it came",
			Run: func(t testing.TB, s *Stage) {
				for _, host := range []string{"example.com", "Example.COM:8080", "[::1]:99", "a_b.example"} {
					if got := s.Do(t, "GET /", nil, "Host: "+host).echoed(t).Host; got != host {
						t.Errorf("host %s reached the function as %s", host, got)
					}
				}
			},
		},
		{
			Name: "forwards/the authority, not a host field that differs from it",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				resp, err := s.Frames(t).Open(true, s.request("GET /", "host: other")...).TryResponse()
				if err != nil || resp.Status == http.StatusBadRequest {
					return // RFC 9113 8.3.1 would have it so
				}
				if seen := resp.echoed(t); seen.Host != s.Weir.Addr {
					t.Errorf("the function got host %q for authority %q", seen.Host, s.Weir.Addr)
				}
			},
		},
		{
			Name: "forwards/no fields of its own but those of a proxy",
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /").echoed(t)
				allowed := []string{
					"Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Cdn-Loop",
				}
				for name := range seen.Header {
					if !slices.Contains(allowed, name) {
						t.Errorf("the function got %s: %s, which the client has not sent", name, seen.Header.Get(name))
					}
				}
			},
		},
		{
			Name: "forwards/the client's user agent and accept-encoding",
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "User-Agent: me/1 (x)", "Accept-Encoding: br;q=0.5, zstd").echoed(t)
				if got := seen.Header["User-Agent"]; !slices.Equal(got, []string{"me/1 (x)"}) {
					t.Errorf("User-Agent %q", got)
				}
				if got := seen.Header["Accept-Encoding"]; !slices.Equal(got, []string{"br;q=0.5, zstd"}) {
					t.Errorf("Accept-Encoding %q", got)
				}
			},
		},
		{
			Name: "forwards/field values as they are",
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /",
					"X-Multi: one", "X-Multi: two, three", "X-Multi: one", "X-Empty: ", "X-Quoted: \"a, b\"; c=\"\\\"\"",
					"X-Tab: a\tb", "Authorization: Basic YTpi", "Range: bytes=0-1", "If-None-Match: \"x\"", "Origin: null").echoed(t)
				for name, want := range map[string][]string{
					"X-Multi": {"one", "two, three", "one"}, "X-Empty": {""}, "X-Quoted": {`"a, b"; c="\""`}, "X-Tab": {"a\tb"},
					"Authorization": {"Basic YTpi"}, "Range": {"bytes=0-1"}, "If-None-Match": {`"x"`}, "Origin": {"null"},
				} {
					if got := seen.Header[name]; !slices.Equal(got, want) {
						t.Errorf("%s: the function got %q, want %q", name, got, want)
					}
				}
			},
		},
		{
			Name:   "forwards/field values beyond ASCII byte for byte",
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.roundTrip(t, "GET /", "X-Bytes: \xc3\xa9\xff\x80").want(t, 200)
				if heads := s.Origin.Heads(); !strings.Contains(heads[0], ": \xc3\xa9\xff\x80\r\n") {
					t.Errorf("the function got %q", heads[0])
				}
			},
		},
		{
			Name: "forwards/cookies whole",
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "Cookie: a=1; b=2").echoed(t)
				if got := seen.Header["Cookie"]; !slices.Equal(got, []string{"a=1; b=2"}) {
					t.Errorf("Cookie %q", got)
				}
			},
		},
		{
			// RFC 9113 8.2.3: a client may split a cookie; a hop to HTTP/1.1 joins it.
			Name: "forwards/cookies split over HTTP/2 joined",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "Cookie: a=1", "Cookie: b=2").echoed(t)
				if got := seen.Header["Cookie"]; !slices.Equal(got, []string{"a=1; b=2"}) {
					t.Errorf("Cookie %q, want one of \"a=1; b=2\"", got)
				}
			},
		},
		{
			// 0.0.0.0 reaches loopback, yet is no loopback name that a proxy
			// variable would spare.
			Name:   "forwards/past HTTP_PROXY in its environment",
			Behind: FunctionUnspecified,
			With:   Settings{Env: []string{"HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "ALL_PROXY=http://127.0.0.1:1"}},
			Run:    func(t testing.TB, s *Stage) { s.Do(t, "GET /", nil).echoed(t) },
		},
	}
}

func hopByHopCases() []Case {
	return []Case{
		{
			Name: "forwards/no connection fields",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "Connection: keep-alive, x-named, X-Other", "Keep-Alive: timeout=5",
					"Proxy-Connection: keep-alive", "X-Named: secret", "X-Other: secret", "X-Third: kept").echoed(t)
				for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "X-Named", "X-Other"} {
					if v, ok := seen.Header[name]; ok {
						t.Errorf("the function got %s: %q", name, v)
					}
				}
				if seen.Header.Get("X-Third") != "kept" {
					t.Errorf("a field that Connection does not name was lost")
				}
			},
		},
		{
			Name: "forwards/no field that any of several connection lines names",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "Connection: x-one", "Connection: ,, x-two ,", "X-One: a", "X-Two: b").echoed(t)
				if len(seen.Header["X-One"])+len(seen.Header["X-Two"]) > 0 {
					t.Errorf("the function got %v", seen.Header)
				}
			},
		},
		{
			Name: "forwards/weir's own fields whatever connection names",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /",
					"Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded, via, close").echoed(t)
				for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via"} {
					if seen.Header.Get(name) == "" {
						t.Errorf("a client stripped %s by naming it in Connection", name)
					}
				}
			},
		},
		{
			Name: "forwards/host and framing whatever connection names",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				seen := c.Exchange("POST / HTTP/1.1\r\nHost: h\r\nConnection: host, content-length\r\nContent-Length: 5\r\n\r\nhello").echoed(t)
				if seen.Host != "h" || seen.Body != "hello" || seen.Error != "" {
					t.Errorf("the function got host %q, body %q, %s", seen.Host, seen.Body, seen.Error)
				}
				seen = c.Exchange("POST / HTTP/1.1\r\nHost: h\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" +
					chunked([]string{"hello"})).echoed(t)
				if seen.Body != "hello" || seen.Error != "" {
					t.Errorf("chunked: the function got body %q, %s", seen.Body, seen.Error)
				}
			},
		},
		{
			Name: "forwards/TE trailers, and no other transfer coding",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "TE: deflate;q=0.5, trailers", "Connection: TE").echoed(t)
				if got := seen.Header["Te"]; !slices.Equal(got, []string{"trailers"}) {
					t.Errorf("TE %q, want trailers", got)
				}
				if got := s.roundTrip(t, "GET /", "TE: deflate", "Connection: TE").echoed(t).Header["Te"]; got != nil {
					t.Errorf("TE %q, want none", got)
				}
			},
		},
		{
			Name: "forwards/TE trailers over HTTP/2",
			Over: http2Carriers,
			Run: func(t testing.TB, s *Stage) {
				if got := s.roundTrip(t, "GET /", "TE: trailers").echoed(t).Header["Te"]; !slices.Equal(got, []string{"trailers"}) {
					t.Errorf("TE %q, want trailers", got)
				}
			},
		},
		{
			Name:   "forwards/no connection fields of the function's to the client",
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.Answer("HTTP/1.1 200 OK\r\nConnection: x-secret, Keep-Alive\r\nKeep-Alive: timeout=7\r\nProxy-Connection: keep-alive\r\n" +
					"X-Secret: s\r\nX-Open: o\r\nContent-Length: 2\r\n\r\nok")
				resp := s.roundTrip(t, "GET /").wantBody(t, 200, "ok")
				for _, name := range []string{"X-Secret", "Proxy-Connection"} {
					if v, ok := resp.Fields[name]; ok {
						t.Errorf("the client got %s: %q", name, v)
					}
				}
				if v := resp.Get("Keep-Alive"); strings.Contains(v, "timeout=7") {
					t.Errorf("the client got the function's Keep-Alive: %q", v)
				}
				if resp.Get("X-Open") != "o" {
					t.Errorf("a field that Connection does not name was lost")
				}
			},
		},
		{
			Name:   "forwards/after the function closes its connection, which is not the client's",
			Over:   http1Carriers,
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.AnswerAndClose("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
				c := s.Dial(t)
				for range 3 {
					resp := c.Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").wantBody(t, 200, "ok")
					if strings.EqualFold(resp.Get("Connection"), "close") {
						t.Fatalf("the function's Connection: close was passed to the client")
					}
				}
			},
		},
		{
			Name: "forwards/on a kept connection after the client closes its own",
			Over: http1Carriers, Alone: true,
			Run: func(t testing.TB, s *Stage) {
				for range 5 {
					c := s.Dial(t)
					c.Exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").want(t, 200)
					c.AwaitClose()
					s.awaitMetric(t, 0, "weir_inflight_requests")
				}
				if n := s.Function.Conns(); n != 1 {
					t.Errorf("5 requests one after another took %d connections to the function, want 1", n)
				}
			},
		},
	}
}

func messageCases() []Case {
	return []Case{
		{
			Name: "forwards/a body of known length as one",
			Run: func(t testing.TB, s *Stage) {
				seen := s.Do(t, "POST /", "hello").echoed(t)
				if seen.ContentLength != 5 || len(seen.TransferEncoding) > 0 || seen.Body != "hello" {
					t.Errorf("the function got Content-Length %d, Transfer-Encoding %q, body %q", seen.ContentLength, seen.TransferEncoding, seen.Body)
				}
			},
		},
		{
			Name: "forwards/a body of unknown length as one",
			Run: func(t testing.TB, s *Stage) {
				seen := s.Do(t, "POST /", strings.NewReader("hello")).echoed(t)
				if seen.ContentLength != -1 || seen.Body != "hello" {
					t.Errorf("the function got Content-Length %d, body %q", seen.ContentLength, seen.Body)
				}
			},
		},
		{
			Name: "forwards/an empty body as one of length 0",
			Run: func(t testing.TB, s *Stage) {
				resp := s.roundTrip(t, "POST /", "Content-Length: 0")
				if seen := resp.echoed(t); seen.ContentLength != 0 || len(seen.TransferEncoding) > 0 {
					t.Errorf("the function got Content-Length %d, Transfer-Encoding %q", seen.ContentLength, seen.TransferEncoding)
				}
			},
		},
		{
			Name:   "forwards/no framing for a request without a body",
			Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.roundTrip(t, "GET /").want(t, 200)
				fields := fieldsOfHead(s.Origin.Heads()[0])
				if fields["Content-Length"] != nil || fields["Transfer-Encoding"] != nil {
					t.Errorf("the function got %q", s.Origin.Heads()[0])
				}
			},
		},
		{
			Name: "forwards/a body of a GET",
			Run: func(t testing.TB, s *Stage) {
				if seen := s.Do(t, "GET /", "hello").echoed(t); seen.Body != "hello" {
					t.Errorf("the function got body %q", seen.Body)
				}
			},
		},
		{
			Name: "forwards/pipelined requests in order",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				c.Send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" +
					"POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([]string{"a", "b"}) + "GET /4 HTTP/1.1\r\nHost: h\r\n\r\n")
				for _, want := range []string{"/1", "/2", "/3", "/4"} {
					if got := c.Response("GET").echoed(t).Target; got != want {
						t.Fatalf("got the answer to %s, want %s", got, want)
					}
				}
			},
		},
		{
			Name: "forwards/a request that arrives byte by byte",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				for _, b := range []byte("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n") {
					c.Send(string(b))
				}
				if seen := c.Response("POST").echoed(t); seen.Body != "hello" {
					t.Errorf("the function got %q", seen.Body)
				}
			},
		},
		{
			Name: "forwards/HTTP/1.0 with its connection closed after it",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				c.Send("GET / HTTP/1.0\r\n\r\n")
				c.Response("GET").want(t, 200)
				c.AwaitClose()
			},
		},
		{
			Name: "forwards/to HTTP/1.0 without chunks",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/stream", func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "a") //nolint:errcheck // seen by the case
					flush(w)
					io.WriteString(w, "b") //nolint:errcheck // seen by the case
				})
				c := s.Dial(t)
				resp := c.Exchange("GET /stream HTTP/1.0\r\nHost: h\r\n\r\n").wantBody(t, 200, "ab")
				if resp.Fields["Transfer-Encoding"] != nil {
					t.Errorf("HTTP/1.0 got Transfer-Encoding %q", resp.Fields["Transfer-Encoding"])
				}
			},
		},
		{
			Name: "forwards/compressed bodies untouched",
			Run: func(t testing.TB, s *Stage) {
				var packed bytes.Buffer
				zw := gzip.NewWriter(&packed)
				io.WriteString(zw, strings.Repeat("hello ", 100)) //nolint:errcheck // a bytes.Buffer does not fail
				zw.Close()
				s.Function.Handle("/gz", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Encoding", "gzip")
					w.Write(packed.Bytes()) //nolint:errcheck // seen by the case
				})
				for _, accept := range []string{"gzip", "identity"} {
					resp := s.roundTrip(t, "GET /gz", "Accept-Encoding: "+accept).want(t, 200)
					if resp.Get("Content-Encoding") != "gzip" || !bytes.Equal(resp.Body, packed.Bytes()) {
						t.Errorf("Accept-Encoding %s: got Content-Encoding %q and %d bytes, want gzip and %d", accept, resp.Get("Content-Encoding"), len(resp.Body), packed.Len())
					}
				}
			},
		},
		{
			Name: "forwards/without adding compression",
			Run: func(t testing.TB, s *Stage) {
				text := strings.Repeat("hello ", 10000)
				s.Function.Handle("/text", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/plain")
					io.WriteString(w, text) //nolint:errcheck // seen by the case
				})
				resp := s.roundTrip(t, "GET /text", "Accept-Encoding: gzip, br, zstd, deflate").wantBody(t, 200, text)
				if v := resp.Get("Content-Encoding"); v != "" {
					t.Errorf("Content-Encoding %s was added", v)
				}
			},
		},
	}
}
