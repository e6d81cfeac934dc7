package h1_test

import (
	"errors"
	"strings"
	"testing"

	"weir/proxy/h1"
)

// parseRequest parses a head that comes whole.
func parseRequest(t testing.TB, raw string, lim h1.Limits) (*h1.Request, int, *h1.Error) {
	t.Helper()
	var r h1.Request
	n, err := r.Parse([]byte(raw), &lim)
	return &r, n, asError(t, err)
}

func asError(t testing.TB, err error) *h1.Error {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *h1.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is no *h1.Error", err, err)
	}
	return e
}

// parseRequestBytewise parses a head that comes one byte at a time, each time in
// another place.
func parseRequestBytewise(t testing.TB, raw string, lim h1.Limits) (*h1.Request, int, *h1.Error) {
	t.Helper()
	var r h1.Request
	for i := 0; i <= len(raw); i++ {
		n, err := r.Parse([]byte(raw[:i]), &lim)
		if n != 0 || err != nil {
			return &r, n, asError(t, err)
		}
	}
	return &r, 0, nil
}

const (
	host   = "Host: h\r\n"
	manyXs = 70 << 10
)

func get(lines ...string) string {
	return "GET / HTTP/1.1\r\n" + host + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestRequestIsRefused(t *testing.T) {
	small := h1.Limits{Head: 1000, Target: 100, Fields: 5, Body: 10}
	for _, c := range []struct {
		name string
		raw  string
		want h1.Fault
	}{
		// Request line.
		{"with an empty method", " / HTTP/1.1\r\n" + host + "\r\n", h1.FaultMethod},
		{"with a method that is no token", "G@T / HTTP/1.1\r\n" + host + "\r\n", h1.FaultMethod},
		{"with a tab after the method", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", h1.FaultMethod},
		{"with an empty line before it", "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", h1.FaultMethod},
		{"as a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", h1.FaultMethod},
		{"with a method longer than any", strings.Repeat("M", h1.MaxMethod+1) + " / HTTP/1.1\r\n" + host + "\r\n", h1.FaultMethodTooLong},
		{"with two spaces after the method", "GET  / HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with two spaces after the target", "GET /  HTTP/1.1\r\n" + host + "\r\n", h1.FaultRequestLine},
		{"with a space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", h1.FaultRequestLine},
		{"with a tab in the target", "GET /a\tb HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with a control character in the target", "GET /\x01 HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with NUL in the target", "GET /\x00 HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with DEL in the target", "GET /\x7f HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with bare CR in the target", "GET /\r HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with a fragment", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with broken percent-encoding in the path", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with cut percent-encoding in the path", "GET /a%2 HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with cut percent-encoding before the query", "GET /a%2?a HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"without a target", "GET HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with a target without a slash", "GET foo HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"with a query for a target", "GET ?a HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"with an asterisk but for OPTIONS", "GET * HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"with more than an asterisk", "OPTIONS *a HTTP/1.1\r\n" + host + "\r\n", h1.FaultTarget},
		{"with another scheme", "GET ftp://h/ HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"with an opaque target", "GET http:a HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"with an absolute target without a host", "GET http:///a HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetHost},
		{"with an absolute target that is a scheme alone", "GET http:// HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"with user information in the target", "GET http://u:p@h/ HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetHost},
		{"with a malformed port in the target", "GET http://h:x/ HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetHost},
		{"with authority-form but for CONNECT", "GET h:80 HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetForm},
		{"as CONNECT with a path", "CONNECT /a HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetHost},
		{"as CONNECT without a port", "CONNECT h HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetHost},
		{"as CONNECT with an empty port", "CONNECT h: HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetHost},
		{"as CONNECT with a body", "CONNECT h:1 HTTP/1.1\r\n" + host + "Content-Length: 1\r\n\r\nx", h1.FaultConnectBody},
		{"as CONNECT with chunks", "CONNECT h:1 HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", h1.FaultConnectBody},
		{"with a target too long", "GET /" + strings.Repeat("a", 100) + " HTTP/1.1\r\n" + host + "\r\n", h1.FaultTargetTooLong},
		{"with a target too long that does not end", "GET /" + strings.Repeat("a", 100), h1.FaultTargetTooLong},
		{"as HTTP/0.9", "GET /\r\n", h1.FaultTarget},
		{"in HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", h1.FaultVersion},
		{"in HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", h1.FaultVersion},
		{"in HTTP/0.9", "GET / HTTP/0.9\r\n" + host + "\r\n", h1.FaultVersion},
		{"as the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", h1.FaultTargetForm},
		{"in a version with more digits", "GET / HTTP/1.10\r\n" + host + "\r\n", h1.FaultRequestLine},
		{"in a version in lower case", "GET / http/1.1\r\n" + host + "\r\n", h1.FaultRequestLine},
		{"in another protocol's version", "GET / HTTQ/1.1\r\n" + host + "\r\n", h1.FaultRequestLine},
		{"with a space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", h1.FaultRequestLine},
		{"with bare LF after the version", "GET / HTTP/1.1\n" + host + "\r\n", h1.FaultRequestLine},
		{"with bare CR after the version", "GET / HTTP/1.1\r" + host + "\r\n", h1.FaultRequestLine},

		// Fields.
		{"with space before the colon", get("X-A : b"), h1.FaultSpaceInName},
		{"with a tab before the colon", get("X-A\t: b"), h1.FaultSpaceInName},
		{"with space before the colon of transfer-encoding", get("Transfer-Encoding : chunked"), h1.FaultSpaceInName},
		{"with a space in a name", get("X A: b"), h1.FaultFieldName},
		{"with obsolete line folding", get("X-A: b", " c"), h1.FaultFolded},
		{"with obsolete line folding by a tab", get("X-A: b", "\tc"), h1.FaultFolded},
		{"with obsolete line folding to an empty line", get("X-A: b", " "), h1.FaultFolded},
		{"with whitespace before the first field", "GET / HTTP/1.1\r\n X-A: b\r\n" + host + "\r\n", h1.FaultFolded},
		{"with bare CR in a value", get("X-A: b\rX-B: c"), h1.FaultBareCR},
		{"with bare CR in a name", get("X\r-A: b"), h1.FaultBareCR},
		{"with bare CR before the line's end", get("X-A: b\r"), h1.FaultBareCR},
		{"with bare CR as a line", get("\rX-A: b"), h1.FaultBareCR},
		{"with bare CR instead of the empty line", "GET / HTTP/1.1\r\n" + host + "\rX", h1.FaultBareCR},
		{"with bare LF after a field", "GET / HTTP/1.1\r\n" + host + "X-A: b\nX-B: c\r\n\r\n", h1.FaultBareLF},
		{"with bare LF as the empty line", "GET / HTTP/1.1\r\n" + host + "\n", h1.FaultBareLF},
		{"with NUL in a value", get("X-A: b\x00c"), h1.FaultFieldValue},
		{"with NUL at the end of a value", get("X-A: b\x00"), h1.FaultFieldValue},
		{"with NUL far inside a value", get("X-A: " + strings.Repeat("b", 50) + "\x00" + strings.Repeat("b", 50)), h1.FaultFieldValue},
		{"with a control character in a value", get("X-A: b\x01c"), h1.FaultFieldValue},
		{"with a vertical tab in a value", get("X-A: b\vc"), h1.FaultFieldValue},
		{"with DEL in a value", get("X-A: b\x7fc"), h1.FaultFieldValue},
		{"with DEL far inside a value", get("X-A: " + strings.Repeat("\xff", 16) + "\x7f" + strings.Repeat("b", 50)), h1.FaultFieldValue},
		{"with NUL in a name", get("X\x00A: b"), h1.FaultFieldName},
		{"with a name that is no token", get("X(A): b"), h1.FaultFieldName},
		{"with a name beyond ASCII", get("X\xc3\xa9: b"), h1.FaultFieldName},
		{"with an empty name", get(": b"), h1.FaultFieldName},
		{"without a colon", get("X-A"), h1.FaultFieldName},
		{"with too many fields", get("A: b", "A: b", "A: b", "A: b", "A: b"), h1.FaultTooManyFields},
		{"with a head too large", get("A: " + strings.Repeat("b", 1000)), h1.FaultHeadTooLarge},
		{"with a head too large that does not end", "GET / HTTP/1.1\r\nA: " + strings.Repeat("b", 1000), h1.FaultHeadTooLarge},
		{"with a head too large by the empty line", "GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 1000-16-9-3-3) + "\r\n\r\n", h1.FaultHeadTooLarge},

		// Host.
		{"without a host", "GET / HTTP/1.1\r\nX-A: b\r\n\r\n", h1.FaultNoHost},
		{"without a host but in the target", "GET http://h/ HTTP/1.1\r\n\r\n", h1.FaultNoHost},
		{"with several hosts", get("Host: i"), h1.FaultSeveralHosts},
		{"with the same host twice", get("host: h"), h1.FaultSeveralHosts},
		{"with several hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", h1.FaultSeveralHosts},
		{"with an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", h1.FaultHost},
		{"with a host of port alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", h1.FaultHost},
		{"with a space in the host", "GET / HTTP/1.1\r\nHost: h i\r\n\r\n", h1.FaultHost},
		{"with a slash in the host", "GET / HTTP/1.1\r\nHost: h/i\r\n\r\n", h1.FaultHost},
		{"with user information in the host", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", h1.FaultHost},
		{"with a list of hosts", "GET / HTTP/1.1\r\nHost: h,i\r\n\r\n", h1.FaultHost},
		{"with an unclosed address", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", h1.FaultHost},
		{"with a broken address", "GET / HTTP/1.1\r\nHost: [::1::2]\r\n\r\n", h1.FaultHost},
		{"with a port that is no number", "GET / HTTP/1.1\r\nHost: h:80a\r\n\r\n", h1.FaultHost},
		{"with a port that does not exist", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", h1.FaultHost},
		{"with two ports", "GET / HTTP/1.1\r\nHost: h:80:81\r\n\r\n", h1.FaultHost},
		{"with an encoded slash in the host", "GET / HTTP/1.1\r\nHost: h%2Fi\r\n\r\n", h1.FaultHost},
		{"with a malformed host beside an absolute target", "GET http://h/ HTTP/1.1\r\nHost: h i\r\n\r\n", h1.FaultHost},

		// Framing.
		{"with content-length beside transfer-encoding", get("Content-Length: 5", "Transfer-Encoding: chunked"), h1.FaultFramedTwice},
		{"with transfer-encoding beside content-length", get("Transfer-Encoding: chunked", "Content-Length: 5"), h1.FaultFramedTwice},
		{"with content-length 0 beside transfer-encoding", get("Transfer-Encoding: chunked", "Content-Length: 0"), h1.FaultFramedTwice},
		{"with differing content-lengths", get("Content-Length: 5", "Content-Length: 6"), h1.FaultLengths},
		{"with several content-lengths", get("Content-Length: 5", "content-length: 5"), h1.FaultLengths},
		{"with a list of content-lengths", get("Content-Length: 5, 5"), h1.FaultContentLength},
		{"with a plus sign in content-length", get("Content-Length: +5"), h1.FaultContentLength},
		{"with a negative content-length", get("Content-Length: -5"), h1.FaultContentLength},
		{"with a hexadecimal content-length", get("Content-Length: 0x5"), h1.FaultContentLength},
		{"with an empty content-length", get("Content-Length:"), h1.FaultContentLength},
		{"with a space in content-length", get("Content-Length: 5 5"), h1.FaultContentLength},
		{"with a content-length of 2^63", get("Content-Length: 9223372036854775808"), h1.FaultContentLength},
		{"with a content-length above 2^64", get("Content-Length: 18446744073709551621"), h1.FaultContentLength},
		{"with digits beyond ASCII in content-length", get("Content-Length: \xd9\xa5"), h1.FaultContentLength},
		{"with another transfer-encoding", get("Transfer-Encoding: gzip"), h1.FaultEncoding},
		{"with transfer-encoding identity", get("Transfer-Encoding: identity"), h1.FaultEncoding},
		{"with an empty transfer-encoding", get("Transfer-Encoding:"), h1.FaultEncoding},
		{"with two transfer-encodings", get("Transfer-Encoding: gzip, chunked"), h1.FaultEncoding},
		{"with chunked not last", get("Transfer-Encoding: chunked, gzip"), h1.FaultEncoding},
		{"with chunked twice", get("Transfer-Encoding: chunked, chunked"), h1.FaultEncoding},
		{"with chunked and an empty element", get("Transfer-Encoding: chunked,"), h1.FaultEncoding},
		{"with chunked and a parameter", get("Transfer-Encoding: chunked;a=b"), h1.FaultEncoding},
		{"with chunked in quotes", get(`Transfer-Encoding: "chunked"`), h1.FaultEncoding},
		{"with a misspelt chunked", get("Transfer-Encoding: xchunked"), h1.FaultEncoding},
		{"with several transfer-encoding fields", get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), h1.FaultEncodings},
		{"with transfer-encoding in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", h1.FaultEncodingIn10},
		{"with a framing field announced as a trailer", get("Transfer-Encoding: chunked", "Trailer: X-A, content-length"), h1.FaultTrailerNames},
		{"with a body over the bound", get("Content-Length: 11"), h1.FaultBodyTooLarge},
		{"with more connection options than anyone sends", "GET / HTTP/1.1\r\n" + host + "Connection: " + strings.Repeat("a,", h1.MaxConnectionOptions+1) + "b\r\n\r\n", h1.FaultOptions},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, feed := range []struct {
				how   string
				parse func(testing.TB, string, h1.Limits) (*h1.Request, int, *h1.Error)
			}{{"whole", parseRequest}, {"byte by byte", parseRequestBytewise}} {
				_, n, err := feed.parse(t, c.raw, small)
				if err == nil || err.Fault != c.want {
					t.Errorf("%s: n %d, error %v, want %q", feed.how, n, err, c.want)
				}
			}
		})
	}
}

func TestRefusalHasItsStatus(t *testing.T) {
	lim := h1.Limits{Head: 2000, Body: 1}
	for raw, want := range map[string]int{
		get("X-A : b"):                                      400,
		get("Content-Length: 2"):                            413,
		"GET /" + strings.Repeat("a", 17<<10):               431, // the head's bound comes first
		"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", 2000): 431,
		strings.Repeat("M", 100) + " / HTTP/1.1\r\n":        501,
		"GET / HTTP/3.0\r\n":                                505,
	} {
		if _, _, err := parseRequest(t, raw, lim); err == nil || err.Status != want {
			t.Errorf("%.40q: %+v, want status %d", raw, err, want)
		}
	}
	if _, _, err := parseRequest(t, "GET /"+strings.Repeat("a", 17<<10), h1.Limits{}); err == nil || err.Status != 414 {
		t.Errorf("by default a target of 17 KiB: %+v, want 414", err)
	}
}

func TestRequestIsReadWholeOrByteByByte(t *testing.T) {
	body := "and what follows"
	for _, c := range []struct {
		name, raw    string
		method       h1.Method
		target, host string
		form         h1.Form
		forwarded    string
		path, query  string
		framing      h1.Framing
		minor        int
		keepAlive    bool
	}{
		{
			"a simple one", "GET /a?b HTTP/1.1\r\nHost: h:80\r\n\r\n",
			h1.GET, "/a?b", "h:80", h1.OriginForm, "/a?b", "/a", "b",
			h1.Framing{},
			1, true,
		},
		{
			"an exotic target", "GET //a/../%2F;x|y\"{}<>^`\\?%zz??/ HTTP/1.1\r\nHost: h\r\n\r\n",
			h1.GET, "//a/../%2F;x|y\"{}<>^`\\?%zz??/", "h", h1.OriginForm, "//a/../%2F;x|y\"{}<>^`\\?%zz??/",
			"//a/../%2F;x|y\"{}<>^`\\", "%zz??/",
			h1.Framing{},
			1, true,
		},
		{
			"bytes beyond ASCII", "GET /\xc3\xa9?\xff HTTP/1.1\r\nHost: h\r\n\r\n",
			h1.GET, "/\xc3\xa9?\xff", "h", h1.OriginForm, "/\xc3\xa9?\xff", "/\xc3\xa9", "\xff",
			h1.Framing{},
			1, true,
		},
		{
			"an absolute target", "GET http://Example.com:81/a%2Fb?c HTTP/1.1\r\nHost: other\r\n\r\n",
			h1.GET, "http://Example.com:81/a%2Fb?c", "Example.com:81", h1.AbsoluteForm, "/a%2Fb?c", "/a%2Fb", "c",
			h1.Framing{},
			1, true,
		},
		{
			"an absolute target without a path", "GET HTTPS://[::1]:8?c HTTP/1.1\r\nHost: other\r\n\r\n",
			h1.GET, "HTTPS://[::1]:8?c", "[::1]:8", h1.AbsoluteForm, "/?c", "", "c",
			h1.Framing{},
			1, true,
		},
		{
			"an absolute target for the server as a whole", "OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n",
			h1.OPTIONS, "http://h", "h", h1.AbsoluteForm, "*", "", "",
			h1.Framing{},
			1, true,
		},
		{
			"an absolute OPTIONS with a query", "OPTIONS http://h? HTTP/1.1\r\nHost: h\r\n\r\n",
			h1.OPTIONS, "http://h?", "h", h1.AbsoluteForm, "/?", "", "",
			h1.Framing{},
			1, true,
		},
		{
			"an asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
			h1.OPTIONS, "*", "h", h1.AsteriskForm, "*", "*", "",
			h1.Framing{},
			1, true,
		},
		{
			"CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
			h1.CONNECT, "h:443", "h:443", h1.AuthorityForm, "h:443", "h:443", "",
			h1.Framing{},
			1, true,
		},
		{
			"any method", "PURGE / HTTP/1.1\r\nHost: a_b.example\r\nConnection: close\r\n\r\n",
			h1.OtherMethod, "/", "a_b.example", h1.OriginForm, "/", "/", "",
			h1.Framing{},
			1, false,
		},
		{
			"a method in lower case", "get / HTTP/1.1\r\nHost: h\r\nConnection: x, Close , y\r\n\r\n",
			h1.OtherMethod, "/", "h", h1.OriginForm, "/", "/", "",
			h1.Framing{},
			1, false,
		},
		{
			"a body by length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0016 \r\n\r\n",
			h1.POST, "/", "h", h1.OriginForm, "/", "/", "",
			h1.Framing{Kind: h1.ByLength, Length: 16},
			1, true,
		},
		{
			"an empty body", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length:0\r\n\r\n",
			h1.PUT, "/", "h", h1.OriginForm, "/", "/", "",
			h1.Framing{Kind: h1.ByLength},
			1, true,
		},
		{
			"a chunked body", "PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \tCHUNKED \r\n\r\n",
			h1.PATCH, "/", "h", h1.OriginForm, "/", "/", "",
			h1.Framing{Kind: h1.ByChunks},
			1, true,
		},
		{
			"HTTP/1.0", "HEAD / HTTP/1.0\r\n\r\n",
			h1.HEAD, "/", "", h1.OriginForm, "/", "/", "",
			h1.Framing{},
			0, false,
		},
		{
			"HTTP/1.0 that is kept alive", "DELETE / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
			h1.DELETE, "/", "", h1.OriginForm, "/", "/", "",
			h1.Framing{},
			0, true,
		},
		{
			"HTTP/1.0 that is both", "TRACE / HTTP/1.0\r\nConnection: Keep-Alive\r\nConnection: close\r\n\r\n",
			h1.TRACE, "/", "", h1.OriginForm, "/", "/", "",
			h1.Framing{},
			0, false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, parse := range []func(testing.TB, string, h1.Limits) (*h1.Request, int, *h1.Error){parseRequest, parseRequestBytewise} {
				r, n, err := parse(t, c.raw+body, h1.Limits{})
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if n != len(c.raw) {
					t.Fatalf("%d bytes consumed, want %d", n, len(c.raw))
				}
				method, _, _ := strings.Cut(c.raw, " ")
				for _, check := range [][3]any{
					{"method", r.Method(), c.method},
					{"method's bytes", string(r.MethodBytes()), method},
					{"target", string(r.Target()), c.target},
					{"form", r.Form(), c.form},
					{"forwarded target", string(r.AppendTarget(nil)), c.forwarded},
					{"path", string(r.Path()), c.path},
					{"query", string(r.Query()), c.query},
					{"host", string(r.Host()), c.host},
					{"body", r.Body(), c.framing},
					{"minor", r.Minor(), c.minor},
					{"keep-alive", r.KeepAlive(), c.keepAlive},
					{"bytes", string(r.Bytes()), c.raw},
				} {
					if check[1] != check[2] {
						t.Errorf("%s: %v, want %v", check[0], check[1], check[2])
					}
				}
			}
		})
	}
}

func TestRequestDigestsWhatAnEngineNeeds(t *testing.T) {
	type digest struct {
		upgrade        string
		websocket      bool
		expects, other bool
		trailers, grpc bool
		hasBody        bool
	}
	for _, c := range []struct {
		name string
		raw  string
		want digest
	}{
		{"nothing", get("A: b"), digest{}},
		{"an upgrade to websocket", get("Connection: keep-alive, Upgrade", "Upgrade: WebSocket"), digest{upgrade: "WebSocket", websocket: true}},
		{"an upgrade to h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"), digest{upgrade: "h2c"}},
		{"an upgrade to either", get("Connection: Upgrade", "Upgrade: websocket, h2c"), digest{}},
		{"an upgrade in two fields", get("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"), digest{}},
		{"an upgrade with empty elements", get("Connection: Upgrade", "Upgrade: ,\t, websocket ,"), digest{upgrade: "websocket", websocket: true}},
		{"an empty upgrade", get("Connection: Upgrade", "Upgrade:"), digest{}},
		{"an upgrade to a version of websocket", get("Connection: Upgrade", "Upgrade: websocket/13"), digest{upgrade: "websocket/13"}},
		{"an upgrade without the option", get("Upgrade: websocket"), digest{}},
		{"an upgrade in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", digest{}},
		{"an expectation", get("Expect: 100-Continue", "Content-Length: 1"), digest{expects: true, hasBody: true}},
		{"an expectation with chunks", get("Expect: 100-continue", "Transfer-Encoding: chunked"), digest{expects: true, hasBody: true}},
		{"an expectation without a body", get("Expect: 100-continue"), digest{}},
		{"an expectation with an empty body", get("Expect: 100-continue", "Content-Length: 0"), digest{}},
		{"an expectation in HTTP/1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", digest{hasBody: true}},
		{"another expectation", get("Expect: magic"), digest{other: true}},
		{"TE trailers", get("TE: deflate, Trailers;q=0.5", "Connection: TE"), digest{trailers: true}},
		{"TE without trailers", get("TE: deflate", "Connection: TE"), digest{}},
		{"gRPC", get("Content-Type: application/grpc"), digest{grpc: true}},
		{"gRPC with protocol buffers", get("Content-Type: Application/gRPC+proto"), digest{grpc: true}},
		{"gRPC with a parameter", get("Content-Type: application/grpc; a=b"), digest{grpc: true}},
		{"gRPC-Web", get("Content-Type: application/grpc-web"), digest{}},
		{"a prefix of gRPC", get("Content-Type: application/grp"), digest{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, n, err := parseRequest(t, c.raw, h1.Limits{})
			if err != nil || n != len(c.raw) {
				t.Fatalf("n %d, %v", n, err)
			}
			got := digest{
				string(r.Upgrade()), r.UpgradesToWebSocket(),
				r.ExpectsContinue(), r.ExpectsOther(),
				r.TETrailers(), r.IsGRPC(), r.HasBody(),
			}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestFieldsAreFoundByName(t *testing.T) {
	r, _, err := parseRequest(t, get("X-A: 1", "x-b:", "X-a:  two words \t", "X^: caret", "X~: tilde"), h1.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Len() != 6 {
		t.Fatalf("%d fields", r.Len())
	}
	if got := string(r.Get("x-a")); got != "1" {
		t.Errorf("first X-A %q", got)
	}
	i := r.Find("X-A", r.Find("X-A", 0)+1)
	if i != 3 || string(r.Value(i)) != "two words" || string(r.Name(i)) != "X-a" {
		t.Errorf("second X-A at %d", i)
	}
	if r.Find("X-A", i+1) != -1 {
		t.Error("a third X-A")
	}
	if v := r.Get("X-B"); v == nil || len(v) != 0 {
		t.Errorf("empty X-B is %#v", v)
	}
	if v := r.Get("X-C"); v != nil || r.Has("X-C") {
		t.Errorf("absent X-C is %#v", v)
	}
	// These differ in bit 0x20 alone, as letters do, but are no letters.
	if got := string(r.Get("x~")); got != "tilde" {
		t.Errorf("X~ is %q", got)
	}
	if got := cap(r.Value(1)); got != len(r.Value(1)) {
		t.Errorf("appending to a value would overwrite what follows it")
	}
}

func TestOutcomeStays(t *testing.T) {
	lim := &h1.Limits{}
	var r h1.Request
	raw := get("Content-Length: 9")
	for range 3 {
		// What follows a head is not taken for more of it.
		if n, err := r.Parse([]byte(raw+"A: b\r\nC: d\r\n\r\n"), lim); n != len(raw) || err != nil || r.Len() != 2 {
			t.Fatalf("%d fields, n %d, %v", r.Len(), n, err)
		}
	}
	r.Reset()
	for range 3 {
		if n, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n"), lim); n != 0 || asError(t, err).Fault != h1.FaultSpaceInName {
			t.Fatalf("n %d, %v", n, err)
		}
	}
}

func TestRequestStructIsReused(t *testing.T) {
	var r h1.Request
	lim := &h1.Limits{}
	for range 3 {
		r.Reset()
		if _, err := r.Parse([]byte(get("Content-Length: 3", "Connection: close, upgrade, te", "Upgrade: websocket", "TE: trailers", "Expect: 100-continue", "Content-Type: application/grpc")), lim); err != nil {
			t.Fatal(err)
		}
		r.Reset()
		if n, err := r.Parse([]byte("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), lim); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		if r.HasBody() || !r.KeepAlive() || r.Upgrade() != nil || r.TETrailers() || r.ExpectsContinue() || r.IsGRPC() || r.Len() != 1 {
			t.Fatal("something of the last request is left")
		}
	}
}

func TestRequestIsIdempotentOnlyIfKnownToBe(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "PUT": true, "DELETE": true, "OPTIONS": true, "TRACE": true, "POST": false, "PATCH": false, "PURGE": false, "get": false} {
		r, _, err := parseRequest(t, method+" / HTTP/1.1\r\nHost: h\r\n\r\n", h1.Limits{})
		if err != nil || r.Method().Idempotent() != want {
			t.Errorf("%s: %v %v", method, r.Method().Idempotent(), err)
		}
	}
}

func TestHeadExactlyAtItsBoundsIsRead(t *testing.T) {
	raw := "GET /234 HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
	lim := h1.Limits{Head: len(raw), Target: len("/234"), Fields: 2}
	if _, n, err := parseRequest(t, raw+"more", lim); err != nil || n != len(raw) {
		t.Errorf("n %d, %v", n, err)
	}
	for fault, lim := range map[h1.Fault]h1.Limits{
		h1.FaultHeadTooLarge:  {Head: lim.Head - 1, Target: lim.Target, Fields: lim.Fields},
		h1.FaultTargetTooLong: {Head: lim.Head, Target: lim.Target - 1, Fields: lim.Fields},
		h1.FaultTooManyFields: {Head: lim.Head, Target: lim.Target, Fields: lim.Fields - 1},
	} {
		if _, _, err := parseRequest(t, raw+"more", lim); err == nil || err.Fault != fault {
			t.Errorf("%+v: %v, want %q", lim, err, fault)
		}
	}
}

func TestHugeHeadCostsNoMoreThanItsBound(t *testing.T) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", manyXs),
		"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", manyXs),
		"GET /" + strings.Repeat("b", manyXs),
	} {
		if _, _, err := parseRequest(t, raw, h1.Limits{}); err == nil || err.Status != 431 && err.Status != 414 {
			t.Errorf("%.30q...: %v", raw, err)
		}
	}
}
