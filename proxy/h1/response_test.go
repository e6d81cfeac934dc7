package h1_test

import (
	"strings"
	"testing"

	"weir/proxy/h1"
)

func parseResponse(t testing.TB, raw string, method h1.Method, lim h1.Limits) (*h1.Response, int, *h1.Error) {
	t.Helper()
	var r h1.Response
	n, err := r.Parse([]byte(raw), method, &lim)
	return &r, n, asError(t, err)
}

func parseResponseBytewise(t testing.TB, raw string, method h1.Method, lim h1.Limits) (*h1.Response, int, *h1.Error) {
	t.Helper()
	var r h1.Response
	for i := 0; i <= len(raw); i++ {
		n, err := r.Parse([]byte(raw[:i]), method, &lim)
		if n != 0 || err != nil {
			return &r, n, asError(t, err)
		}
	}
	return &r, 0, nil
}

func ok(lines ...string) string {
	return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestResponseIsRefused(t *testing.T) {
	small := h1.Limits{Head: 500, Fields: 3, Body: 10}
	for _, c := range []struct {
		name   string
		raw    string
		method h1.Method
		want   h1.Fault
	}{
		{"that is no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"in HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"in HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with a status that is no number", "HTTP/1.1 2x0 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with a status below 100", "HTTP/1.1 099 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with a signed status", "HTTP/1.1 +20 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with a tab after the status", "HTTP/1.1 200\tOK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with bare CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", h1.GET, h1.FaultBareCR},
		{"with bare LF after the reason", "HTTP/1.1 200 OK\n\r\n", h1.GET, h1.FaultBareLF},
		{"with an empty line before it", "\r\nHTTP/1.1 200 OK\r\n\r\n", h1.GET, h1.FaultStatusLine},
		{"with bare LF after a field", ok("A: b\nC: d"), h1.GET, h1.FaultBareLF},
		{"with bare CR in a field", ok("A: b\rC: d"), h1.GET, h1.FaultBareCR},
		{"with space before a colon", ok("A : b"), h1.GET, h1.FaultSpaceInName},
		{"with obsolete line folding", ok("A: b", " c"), h1.GET, h1.FaultFolded},
		{"with NUL in a field", ok("A: b\x00"), h1.GET, h1.FaultFieldValue},
		{"with a name that is no token", ok("A(): b"), h1.GET, h1.FaultFieldName},
		{"with too many fields", ok("A: b", "A: b", "A: b", "A: b"), h1.GET, h1.FaultTooManyFields},
		{"with a head too large", ok("A: " + strings.Repeat("b", 500)), h1.GET, h1.FaultHeadTooLarge},
		{"framed twice", ok("Content-Length: 5", "Transfer-Encoding: chunked"), h1.GET, h1.FaultFramedTwice},
		{"framed twice, to HEAD", ok("Content-Length: 5", "Transfer-Encoding: chunked"), h1.HEAD, h1.FaultFramedTwice},
		{"with differing content-lengths", ok("Content-Length: 5", "Content-Length: 6"), h1.GET, h1.FaultLengths},
		{"with content-lengths that are spelt differently", ok("Content-Length: 2", "Content-Length: 02"), h1.GET, h1.FaultLengths},
		{"with a list of content-lengths", ok("Content-Length: 5, 5"), h1.GET, h1.FaultContentLength},
		{"with a malformed content-length", ok("Content-Length: -5"), h1.GET, h1.FaultContentLength},
		{"with a malformed content-length, to HEAD", ok("Content-Length: -5"), h1.HEAD, h1.FaultContentLength},
		{"with another transfer-encoding", ok("Transfer-Encoding: gzip"), h1.GET, h1.FaultEncoding},
		{"with several transfer-encodings", ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), h1.GET, h1.FaultEncodings},
		{"with transfer-encoding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", h1.GET, h1.FaultEncodingIn10},
		{"with a framing field announced as a trailer", ok("Transfer-Encoding: chunked", "Trailer: Transfer-Encoding"), h1.GET, h1.FaultTrailerNames},
		{"an interim one with a length", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", h1.GET, h1.FaultInterimBody},
		{"an interim one with chunks", "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", h1.GET, h1.FaultInterimBody},
		{"101 with a length", "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n", h1.GET, h1.FaultInterimBody},
		{"2xx to CONNECT with a length", ok("Content-Length: 5"), h1.CONNECT, h1.FaultConnectBody},
		{"with a body over the bound", ok("Content-Length: 11"), h1.GET, h1.FaultBodyTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, parse := range []func(testing.TB, string, h1.Method, h1.Limits) (*h1.Response, int, *h1.Error){parseResponse, parseResponseBytewise} {
				_, n, err := parse(t, c.raw, c.method, small)
				if err == nil || err.Fault != c.want || err.Status != 502 {
					t.Errorf("n %d, error %+v, want 502 for %q", n, err, c.want)
				}
			}
		})
	}
}

func TestResponseIsRead(t *testing.T) {
	length := func(n int64) h1.Framing { return h1.Framing{Kind: h1.ByLength, Length: n} }
	none, chunks, closing := h1.Framing{}, h1.Framing{Kind: h1.ByChunks}, h1.Framing{Kind: h1.ByClose}
	for _, c := range []struct {
		name, raw string
		method    h1.Method
		status    int
		reason    string
		body      h1.Framing
		forwarded h1.Framing // to an HTTP/1.1 client
		to10      h1.Framing
		keepAlive bool
		interim   bool
	}{
		{"by length", ok("Content-Length: 2"), h1.GET, 200, "OK", length(2), length(2), length(2), true, false},
		{"by length, declared twice alike", ok("Content-Length: 2", "Content-Length: 2"), h1.GET, 200, "OK", length(2), length(2), length(2), true, false},
		{"empty", ok("Content-Length: 0"), h1.GET, 200, "OK", length(0), length(0), length(0), true, false},
		{"by chunks", ok("Transfer-Encoding: Chunked"), h1.GET, 200, "OK", chunks, chunks, closing, true, false},
		{"until close", ok("A: b"), h1.POST, 200, "OK", closing, chunks, closing, false, false},
		{"until close in HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", h1.GET, 200, "OK", closing, chunks, closing, false, false},
		{"until close in HTTP/1.0 that says keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", h1.GET, 200, "OK", closing, chunks, closing, false, false},
		{"by length in HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", h1.GET, 200, "OK", length(2), length(2), length(2), false, false},
		{"kept alive in HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n", h1.GET, 200, "OK", length(2), length(2), length(2), true, false},
		{"that closes", ok("Content-Length: 2", "Connection: Close"), h1.GET, 200, "OK", length(2), length(2), length(2), false, false},
		{"without a reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n", h1.GET, 200, "", length(2), length(2), length(2), true, false},
		{"without a reason and its space", "HTTP/1.1 404\r\nContent-Length: 2\r\n\r\n", h1.GET, 404, "", length(2), length(2), length(2), true, false},
		{"with any reason", "HTTP/1.1 599  So  \xc3\xa9\t!\r\nContent-Length: 2\r\n\r\n", h1.GET, 599, " So  \xc3\xa9\t!", length(2), length(2), length(2), true, false},
		{"with an unheard-of status", "HTTP/1.1 999 ?\r\nContent-Length: 2\r\n\r\n", h1.GET, 999, "?", length(2), length(2), length(2), true, false},
		{"to HEAD with a length", ok("Content-Length: 99"), h1.HEAD, 200, "OK", none, length(99), length(99), true, false},
		{"to HEAD with chunks", ok("Transfer-Encoding: chunked"), h1.HEAD, 200, "OK", none, none, none, true, false},
		{"to HEAD with nothing", ok("A: b"), h1.HEAD, 200, "OK", none, none, none, true, false},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", h1.GET, 304, "Not Modified", none, length(99), length(99), true, false},
		{"304", "HTTP/1.1 304 Not Modified\r\n\r\n", h1.GET, 304, "Not Modified", none, none, none, true, false},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", h1.GET, 204, "No Content", none, none, none, true, false},
		{"204 with an empty body", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", h1.GET, 204, "No Content", none, none, none, true, false},
		{"204 with a body by length: not to be trusted after", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", h1.GET, 204, "No Content", none, none, none, false, false},
		{"204 with a body by chunks: not to be trusted after", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", h1.GET, 204, "No Content", none, none, none, false, false},
		{"100", "HTTP/1.1 100 Continue\r\n\r\n", h1.GET, 100, "Continue", none, none, none, true, true},
		{"103", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", h1.HEAD, 103, "Early Hints", none, none, none, true, true},
		{"103 with an empty body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n", h1.GET, 103, "Early Hints", none, none, none, true, true},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", h1.GET, 101, "Switching Protocols", none, none, none, true, false},
		{"2xx to CONNECT", ok("A: b"), h1.CONNECT, 200, "OK", none, none, none, true, false},
		{"an error to CONNECT", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n", h1.CONNECT, 403, "No", length(2), length(2), length(2), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, parse := range []func(testing.TB, string, h1.Method, h1.Limits) (*h1.Response, int, *h1.Error){parseResponse, parseResponseBytewise} {
				r, n, err := parse(t, c.raw+"HTTP/1.1 200 OK\r\n", c.method, h1.Limits{Body: 50})
				if err != nil || n != len(c.raw) {
					t.Fatalf("n %d of %d, %v", n, len(c.raw), err)
				}
				for _, check := range [][3]any{
					{"status", r.Status(), c.status},
					{"reason", string(r.Reason()), c.reason},
					{"body", r.Body(), c.body},
					{"forwarded to 1.1", r.Forwarded(1), c.forwarded},
					{"forwarded to 1.0", r.Forwarded(0), c.to10},
					{"keep-alive", r.KeepAlive(), c.keepAlive},
					{"interim", r.Interim(), c.interim},
				} {
					if check[1] != check[2] {
						t.Errorf("%s: %v, want %v", check[0], check[1], check[2])
					}
				}
			}
		})
	}
}
