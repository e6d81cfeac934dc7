package h1_test

import (
	"strings"
	"testing"

	"weir/proxy/h1"
)

// forward serialises the request for the next hop as an engine does, with a
// field of its own.
func forward(r *h1.Request, framing h1.Framing) string {
	b := r.AppendLine(nil, "fallback")
	b = r.AppendFields(b, framing)
	b = h1.AppendField(b, "Via", "1.1 weir")
	b = framing.AppendTo(b)
	return string(h1.AppendEnd(b))
}

func TestRequestIsForwarded(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{
			"with its fields byte for byte and in order",
			"GET /a%2Fb?c HTTP/1.1\r\nX-B:  two  \r\nhost:h\r\nX-A:\r\nx-b: \xc3\xa9\tc\r\nCookie: a=1\r\n\r\n",
			"GET /a%2Fb?c HTTP/1.1\r\nX-B:  two  \r\nhost:h\r\nX-A:\r\nx-b: \xc3\xa9\tc\r\nCookie: a=1\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"without fields of the connection",
			"GET / HTTP/1.1\r\nConnection: close, x-named\r\nHost: h\r\nKeep-Alive: a\r\nProxy-Connection: b\r\nX-Kept: c\r\nX-Named: d\r\nTE: trailers\r\nx-named: e\r\n" +
				"Upgrade: f\r\nHTTP2-Settings: g\r\nProxy-Authorization: h\r\nProxy-Authenticate: i\r\nX-Last: j\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Kept: c\r\nX-Last: j\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"without what any of several Connection fields names, before and after it",
			"GET / HTTP/1.1\r\nX-One: a\r\nConnection: x-one\r\nHost: h\r\nConnection: ,, x-two ,\r\nX-Two: b\r\nX-Three: c\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-Three: c\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"with host, framing and the caller's fields whatever Connection names",
			"POST / HTTP/1.1\r\nHost: h\r\nConnection: host, content-length, via\r\nContent-Length: 5\r\nVia: 1.0 other\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nVia: 1.1 weir\r\nContent-Length: 5\r\n\r\n",
		},
		{
			"with its framing written anew",
			"POST / HTTP/1.1\r\nTransfer-Encoding:\tChunked\r\nHost: h\r\nTrailer: X-Sum\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nVia: 1.1 weir\r\nTransfer-Encoding: chunked\r\n\r\n",
		},
		{
			"with its length in its simplest form",
			"POST / HTTP/1.1\r\nContent-Length: 0005\r\nHost: h\r\nTrailer: X-Sum\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nVia: 1.1 weir\r\nContent-Length: 5\r\n\r\n",
		},
		{
			"without fields that a function could take for framing",
			"POST / HTTP/1.1\r\nHost: h\r\nContent_Length: 9\r\ntransfer.encoding: chunked\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nVia: 1.1 weir\r\nContent-Length: 5\r\n\r\n",
		},
		{
			"with an empty body if it has one",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nVia: 1.1 weir\r\nContent-Length: 0\r\n\r\n",
		},
		{
			"with an absolute target's host in place of Host",
			"GET http://example.com:81?c HTTP/1.1\r\nX-A: b\r\nHost: other\r\nX-C: d\r\n\r\n",
			"GET /?c HTTP/1.1\r\nHost: example.com:81\r\nX-A: b\r\nX-C: d\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"as HTTP/1.1 where it was HTTP/1.0, without what only 1.1 may say",
			"GET / HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nX-A: b\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"with a host where it had none",
			"GET / HTTP/1.0\r\nX-A: b\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: fallback\r\nX-A: b\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"with an expectation",
			"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
			"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nVia: 1.1 weir\r\nContent-Length: 1\r\n\r\n",
		},
		{
			"with an asterisk",
			"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
			"OPTIONS * HTTP/1.1\r\nHost: h\r\nVia: 1.1 weir\r\n\r\n",
		},
		{
			"as CONNECT, where an engine does that",
			"CONNECT h:1 HTTP/1.1\r\nHost: other:1\r\n\r\n",
			"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nVia: 1.1 weir\r\n\r\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, err := parseRequest(t, c.raw, h1.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := forward(r, r.Body()); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestFieldsAreDroppedByTheCaller(t *testing.T) {
	raw := "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1\r\nx_forwarded_for: 2\r\nX.Forwarded-For: 3\r\nX-Forwarded-Fox: 4\r\nXXForwarded-For: 5\r\nA: 6\r\nA: 7\r\n\r\n"
	r, _, err := parseRequest(t, raw, h1.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.DropLike("X-Forwarded-For"); n != 3 {
		t.Errorf("%d fields like X-Forwarded-For, want 3", n)
	}
	if n := r.DropName("a"); n != 2 {
		t.Errorf("%d fields A, want 2", n)
	}
	r.Drop(r.Find("X-Forwarded-Fox", 0))
	if got, want := string(r.AppendFields(nil, h1.Framing{})), "Host: h\r\nXXForwarded-For: 5\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(r.Get("X-Forwarded-For")); got != "1" {
		t.Errorf("a dropped field reads %q", got)
	}
}

func TestResponseIsForwarded(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		method    h1.Method
		minor     int
		want      string
	}{
		{
			"with its fields byte for byte and in order", ok("Set-Cookie: b=1", "x-multi:one", "Set-Cookie:  a=2, c ", "Content-Length: 2", "Date: d"), h1.GET, 1,
			"HTTP/1.1 200 OK\r\nSet-Cookie: b=1\r\nx-multi:one\r\nSet-Cookie:  a=2, c \r\nDate: d\r\nContent-Length: 2\r\n\r\n",
		},
		{
			"without fields of the connection", ok("Connection: x-secret", "X-Secret: s", "Keep-Alive: k", "X-Open: o", "Content-Length: 2"), h1.GET, 1,
			"HTTP/1.1 200 OK\r\nX-Open: o\r\nContent-Length: 2\r\n\r\n",
		},
		{
			"in weir's own version", "HTTP/1.0 404 \xc3\xa9 x\r\nContent-Length: 2\r\n\r\n", h1.GET, 1,
			"HTTP/1.1 404 \xc3\xa9 x\r\nContent-Length: 2\r\n\r\n",
		},
		{
			"by chunks where it was until close", ok("Trailer: X-A"), h1.GET, 1,
			"HTTP/1.1 200 OK\r\nTrailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n",
		},
		{
			"by chunks without announcing trailers that nobody may send", ok("Trailer: te, transfer-encoding"), h1.GET, 1,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		},
		{
			"until close where the client knows no chunks", ok("Transfer-Encoding: chunked", "Trailer: X-A"), h1.GET, 0,
			"HTTP/1.1 200 OK\r\n\r\n",
		},
		{
			"to HEAD with the length", ok("Content-Length: 12345"), h1.HEAD, 1,
			"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
		},
		{
			"204 without framing", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", h1.GET, 1,
			"HTTP/1.1 204 No Content\r\n\r\n",
		},
		{
			"103 with its fields", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", h1.GET, 1,
			"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, err := parseResponse(t, c.raw, c.method, h1.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			framing := r.Forwarded(c.minor)
			b := r.AppendLine(nil)
			b = r.AppendFields(b, framing)
			b = framing.AppendTo(b)
			if got := string(h1.AppendEnd(b)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestAppendedValuesCannotEndTheirLine(t *testing.T) {
	for value, want := range map[string]string{
		"a b\tc\xc3\xa9":      "X: a b\tc\xc3\xa9\r\n",
		"a\r\nEvil: b":        "X: a  Evil: b\r\n",
		"a\x00b\x7fc\x01d\ne": "X: a b c d e\r\n",
		"":                    "X: \r\n",
	} {
		if got := string(h1.AppendField(nil, "X", value)); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
		if got := string(h1.AppendField(nil, "X", []byte(value))); got != want {
			t.Errorf("bytes of %q: got %q, want %q", value, got, want)
		}
	}
	if got, want := string(h1.AppendStatus(nil, 429, "Too\r\nMany")), "HTTP/1.1 429 Too  Many\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConnectionOptionsAreOneField(t *testing.T) {
	for o, want := range map[h1.Option]string{
		0:                  "",
		h1.OptionClose:     "Connection: close\r\n",
		h1.OptionKeepAlive: "Connection: keep-alive\r\n",
		h1.OptionTE:        "Connection: TE\r\n",
		h1.OptionUpgrade | h1.OptionTE | h1.OptionClose: "Connection: close, Upgrade, TE\r\n",
	} {
		if got := string(h1.AppendConnection(nil, o)); got != want {
			t.Errorf("%b: %q, want %q", o, got, want)
		}
	}
	if got := string(h1.AppendInt(nil, "Age", -7)); got != "Age: -7\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestFaultsAreDescribed(t *testing.T) {
	seen := map[string]h1.Fault{}
	for f := h1.FaultMethod; f <= h1.FaultTrailerSize; f++ {
		text := f.String()
		if other, dup := seen[text]; dup || text == "" || strings.Contains(text, "unknown") {
			t.Errorf("fault %d is %q, as is %d", f, text, other)
		}
		seen[text] = f
	}
}
