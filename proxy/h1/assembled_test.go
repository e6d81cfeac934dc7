package h1_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"weir/proxy/h1"
)

// Messages assembled from parts that two parsers are likely to read differently,
// checked as the fuzz targets check theirs. Bytes at random seldom get as far.

var (
	someMethods  = []string{"GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PUT", "get", "PRI", "G@T", "", "M-SEARCH"}
	someTargets  = []string{"/", "/a?b", "*", "//a/../b", "/%2F", "/%zz", "/?%zz", "/a%2", "/#", "h:80", "h", "http://h/", "http://h", "https://u@h/", "http://H:80?x", "HTTP://[::1]:8/%41?", "http://%C3%A9/", "http://h:/", "http:///", "ftp://h/", "http:a", "/\xff", "/\x00", "/a b", ""}
	someVersions = []string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "HTTP/1.01", "http/1.1", "HTTP/1.1 "}
	someNames    = []string{
		"Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "X-A", "x-a", "Trailer", "TE", "Upgrade", "Expect", "Keep-Alive", "Pragma", "Cookie",
		"Content_Length", "Transfer_Encoding", "Content-Length ", "Transfer-Encoding\t", " X-A", "X(A", "", "X\x00", "Proxy-Connection", "HTTP2-Settings", "Content-Type",
	}
	someValues = []string{
		"h", "h:80", "[::1]", "", "h i", "h, h", "5", "05", "+5", "5, 5", "-1", "0", "6", "chunked", "Chunked", "gzip, chunked", "chunked, chunked", "identity", "chunked;a", "\vchunked", "x-a", "close", "keep-alive",
		"close, x-a", "Upgrade", "upgrade, keep-alive", "host, content-length", "te, transfer-encoding", "X-A, Host", "Content-Length", "trailers", "websocket", "websocket, h2c", "100-continue", "no-cache", "a\rb", "a\nb", "a\r\n b", "a\x00", "\xff\xfe", "a\tb", "application/grpc+proto",
	}
	someEnds   = []string{"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r\n"}
	someBodies = []string{"", "hello", "hello world", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "5\r\nhello\r\n0\r\nContent_Length: 1\r\nHost: x\r\nX-A : b\r\n\r\n", "GET / HTTP/1.1\r\nHost: evil\r\n\r\n"}
	someChunks = []string{"5\r\nhello\r\n", "5\r\nhello\r\n", "5;a=\"b\"\r\nhello\r\n", "005\r\nhello\r\n", "a\r\n0123456789\r\n", "5 \r\nhello\r\n", "5\nhello\r\n", "5\r\nhello\n", "5\r\nhell", "5\r\nhello!\n", "+5\r\nhello\r\n", "5;\x00\r\nhello\r\n", "0x5\r\nhello\r\n"}
	someLasts  = []string{"0\r\n\r\n", "0\r\n\r\n", "000;a\r\n\r\n", "0\r\nX-Sum: 1\r\nTE: x\r\n\r\n", "0\r\nX.A: 1\r\nif-x: y\r\n\r\n", "0\r\n", "0\n\r\n", "0\r\n\n", "0\r\nX-A: b\n\r\n", "0\r\n X: y\r\n\r\n", ""}
)

func one(rng *rand.Rand, of []string) string { return of[rng.IntN(len(of))] }

// sane is one of the first few, mostly.
func sane(rng *rand.Rand, of []string, n int) string {
	if rng.IntN(8) > 0 {
		return of[rng.IntN(n)]
	}
	return one(rng, of)
}

func someFields(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(6) {
		b.WriteString(one(rng, someNames) + ":" + one(rng, []string{" ", " ", "", "\t ", "  "}) + one(rng, someValues) + one(rng, someEnds))
	}
	return b.String()
}

// framedFields are fields of which the framing is mostly right.
func framedFields(rng *rand.Rand) string {
	fields := []string{
		sane(rng, []string{"Host: h\r\n", "Host: [::1]:80\r\n", "host:a_b.c\r\n", ""}, 3),
		sane(rng, []string{"", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "transfer-encoding:\tChunked \r\n", "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nX-A: b\r\nContent-Length: 05\r\n"}, 4),
	}
	for range rng.IntN(4) {
		fields = append(fields, one(rng, someNames[4:])+": "+one(rng, someValues)+"\r\n")
	}
	rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return strings.Join(fields, "")
}

func fieldsFor(rng *rand.Rand) string {
	if rng.IntN(3) > 0 {
		return framedFields(rng)
	}
	return someFields(rng)
}

const assembled = 20000

func TestAssembledRequestsMeanTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range assembled {
		raw := sane(rng, someMethods, 6) + " " + sane(rng, someTargets, 2) + " " + sane(rng, someVersions, 6) + sane(rng, someEnds, 1) +
			fieldsFor(rng) + "\r\n" + one(rng, someBodies) + one(rng, someBodies)
		if checkRequest(t, []byte(raw), []byte{byte(rng.IntN(40)), byte(rng.IntN(3))}) {
			accepted++
			checkForward(t, []byte(raw))
		}
	}
	// Else the test shows nothing.
	if accepted < assembled/20 || accepted > assembled*19/20 {
		t.Errorf("%d of %d requests were accepted", accepted, assembled)
	}
}

func TestAssembledResponsesMeanTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	for range assembled {
		raw := sane(rng, someVersions, 6) + " " + sane(rng, []string{"200", "404", "204", "304", "100", "103", "101", "599", "999", "099", "2000", "20", "+20"}, 9) +
			sane(rng, []string{" OK", " ", "", "  x", "\tx", " \x00"}, 3) + sane(rng, someEnds, 1) + fieldsFor(rng) + "\r\n" + one(rng, someBodies)
		method := []h1.Method{h1.GET, h1.HEAD}[rng.IntN(2)]
		if checkResponse(t, []byte(raw), []byte{byte(rng.IntN(40)), byte(rng.IntN(3))}, method) {
			accepted++
		}
	}
	if accepted < assembled/20 || accepted > assembled*19/20 {
		t.Errorf("%d of %d responses were accepted", accepted, assembled)
	}
}

func TestAssembledChunksMeanTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	accepted := 0
	for range assembled / 3 {
		raw := ""
		for range rng.IntN(4) {
			raw += sane(rng, someChunks, 5)
		}
		raw += sane(rng, someLasts, 4) + one(rng, []string{"", "rest", "0\r\n\r\n"})
		if checkChunked(t, []byte(raw), []byte{byte(rng.IntN(9)), byte(rng.IntN(3))}, uint16(rng.IntN(300))) {
			accepted++
		}
	}
	if accepted < assembled/30 || accepted > assembled/3*19/20 {
		t.Errorf("%d of %d bodies were accepted", accepted, assembled/3)
	}
}
