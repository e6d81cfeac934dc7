package h1_test

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"weir/proxy/h1"
)

var requestSeeds = []string{
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET /a%2Fb?c=%zz HTTP/1.1\r\nHost: [::1]:80\r\nX-A: b\r\n\r\nGET / HTTP/1.1\r\n",
	"GET http://example.com:81/a%2Fb?c HTTP/1.1\r\nHost: other\r\n\r\n",
	"GET http://%C3%A9.example?c HTTP/1.1\r\nHost: other\r\n\r\n",
	"OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
	"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
	"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\nrest",
	"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTE: trailers;q=0.5, deflate\r\nConnection: TE, x-a, close\r\nX-A: b\r\nContent-Length: 0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
	"GET / HTTP/1.1\r\nHost: h\r\nPragma: no-cache\r\nCookie: a\r\nContent-Type: application/grpc\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n",
	"GET / HTTP/1.1\nHost: h\n\n",
	"GET / HTTP/1.1\r\nHost: h\r\nX-A: b\rX-B: c\r\n\r\n",
	"GET /#f HTTP/1.1\r\nHost: h i\r\nX\x00: b\x7f\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
}

// FuzzRequest: what h1 accepts, net/http reads as the same request; and it makes
// no difference how the bytes came.
func FuzzRequest(f *testing.F) {
	for i, s := range requestSeeds {
		f.Add([]byte(s), []byte{byte(i)})
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte) { checkRequest(t, data, sizes) })
}

// checkRequest reports whether the request was accepted and complete.
func checkRequest(t *testing.T, data, sizes []byte) bool {
	t.Helper()
	var r, split h1.Request
	n, err := r.Parse(data, &oracleLimits)
	n2, err2 := feed(data, sizes, func(b []byte) (int, error) { return split.Parse(b, &oracleLimits) })
	if n != n2 || err != err2 {
		t.Fatalf("whole: %d, %v; in pieces: %d, %v", n, err, n2, err2)
	}
	if n == 0 {
		return false
	}
	mustBeEqual(t, "in pieces, the fields", all(&split.Head), all(&r.Head))
	ours, bodyErr := requestByH1(data, &r, n)
	theirs, err := requestByHTTP(data)
	if bodyErr != nil {
		// Incomplete, or stricter than net/http.
		var malformed *h1.Error
		if err == nil && !errors.As(bodyErr, &malformed) {
			t.Fatalf("%v, but net/http reads %v", bodyErr, theirs)
		}
		return false
	}
	if err != nil {
		t.Fatalf("h1 reads %v\nnet/http refuses: %v", ours, err)
	}
	settle(&ours, &theirs)
	if !ours.same(theirs) {
		t.Fatalf("h1 reads %v\nnet/http reads %v", ours, theirs)
	}
	digests(t, &r)
	return true
}

// digests compares what h1 has digested with a plain reading of the fields.
func digests(t *testing.T, r *h1.Request) {
	t.Helper()
	fields := headFields(&r.Head, false)
	if u, err := url.ParseRequestURI(string(r.Target())); err == nil && (r.Form() == h1.OriginForm || r.Form() == h1.AbsoluteForm) {
		path, err := url.PathUnescape(string(r.Path()))
		if err != nil || path != u.Path || string(r.Query()) != u.RawQuery {
			t.Fatalf("path %q, query %q, want %q, %q", path, r.Query(), u.Path, u.RawQuery)
		}
	}
	if r.ExpectsContinue() && !httpguts.HeaderValuesContainsToken(fields["Expect"], "100-continue") {
		t.Fatalf("expects 100 by %q", fields["Expect"])
	}
	if r.UpgradesToWebSocket() && (!httpguts.HeaderValuesContainsToken(fields["Upgrade"], "websocket") || !httpguts.HeaderValuesContainsToken(fields["Connection"], "upgrade")) {
		t.Fatalf("upgrades to websocket by %q, %q", fields["Upgrade"], fields["Connection"])
	}
	if !r.TETrailers() && httpguts.HeaderValuesContainsToken(fields["Te"], "trailers") {
		t.Fatalf("wants no trailers by %q", fields["Te"])
	}
	if r.IsGRPC() && !strings.HasPrefix(strings.ToLower(string(r.Get("content-type"))), "application/grpc") {
		t.Fatalf("gRPC by %q", r.Get("content-type"))
	}
}

var responseSeeds = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nrest",
	"HTTP/1.1 200 \r\n\r\nuntil close",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 404\r\nConnection: x-a, close\r\nX-A: b\r\nPragma: no-cache\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nY : d\r\n\r\n",
	"HTTP/1.1 200 OK\nA: b\n\n",
	"HTTP/1.1 200 OK\r\nTrailer: te, transfer-encoding\r\n\r\nuntil close",
}

// FuzzResponse: what h1 accepts, net/http reads as the same response; and what a
// client is sent of it means the same.
func FuzzResponse(f *testing.F) {
	for i, s := range responseSeeds {
		f.Add([]byte(s), []byte{byte(i)}, i%5 == 4)
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte, head bool) {
		method := h1.GET
		if head {
			method = h1.HEAD
		}
		checkResponse(t, data, sizes, method)
	})
}

func checkResponse(t *testing.T, data, sizes []byte, method h1.Method) bool {
	t.Helper()
	var r, split h1.Response
	n, err := r.Parse(data, method, &oracleLimits)
	n2, err2 := feed(data, sizes, func(b []byte) (int, error) { return split.Parse(b, method, &oracleLimits) })
	if n != n2 || err != err2 {
		t.Fatalf("whole: %d, %v; in pieces: %d, %v", n, err, n2, err2)
	}
	if n == 0 {
		return false
	}
	mustBeEqual(t, "in pieces, the fields", all(&split.Head), all(&r.Head))
	ours, bodyErr := responseByH1(data, &r, n)
	theirs, err := responseByHTTP(data, method)
	if bodyErr != nil {
		var malformed *h1.Error
		if err == nil && !errors.As(bodyErr, &malformed) {
			t.Fatalf("%v, but net/http reads %v", bodyErr, theirs)
		}
		return false
	}
	if err != nil {
		t.Fatalf("h1 reads %v\nnet/http refuses: %v", ours, err)
	}
	settle(&ours, &theirs)
	// net/http drops these from what it returns.
	if theirs.fields.Get("Connection") == "" && !r.KeepAlive() {
		delete(ours.fields, "Connection")
		delete(theirs.fields, "Connection")
	}
	for _, m := range []*message{&ours, &theirs} { // and this where there is no body
		delete(m.fields, "Content-Length")
	}
	if r.Status() == 204 && ours.close { // stricter: not to be trusted after
		ours.close = theirs.close
	}
	if !ours.same(theirs) {
		t.Fatalf("h1 reads %v\nnet/http reads %v", ours, theirs)
	}
	forwardedResponse(t, data[n:], &r, method, ours)
	return true
}

// forwardedResponse sends the response to a client, and reads it there.
func forwardedResponse(t *testing.T, body []byte, r *h1.Response, method h1.Method, want message) {
	t.Helper()
	for minor := range 2 {
		out := r.Forwarded(minor)
		var to bytes.Buffer
		var src h1.Source
		var dst h1.Sink
		src.Reset(bytes.NewReader(body), make([]byte, 512))
		dst.Reset(&to, make([]byte, 64))
		b := r.AppendLine(dst.Begin())
		b = r.AppendFields(b, out)
		if out.Kind == h1.ByClose {
			b = h1.AppendConnection(b, h1.OptionClose)
		}
		b = out.AppendTo(b)
		dst.Commit(h1.AppendEnd(b))
		var relay h1.Relay
		relay.Start(&src, &dst, r.Body(), out, &oracleLimits)
		if err := relay.Run(); err != nil {
			t.Fatal(err)
		}
		got, err := responseByHTTP(to.Bytes(), method)
		if err != nil {
			t.Fatalf("sent to HTTP/1.%d as %q: %v", minor, to.String(), err)
		}
		trailers := want.trailer
		if out.Kind == h1.ByClose {
			trailers = nil
		}
		if !slices.Equal(got.start, want.start) || got.body != want.body || got.rest != "" || !sameHeader(undropped(got.trailer), trailers) {
			t.Fatalf("sent to HTTP/1.%d as %q: it reads %v, want %v", minor, to.String(), got, want)
		}
		var again h1.Response
		if _, err := again.Parse(to.Bytes(), method, &oracleLimits); err != nil {
			t.Fatalf("sent to HTTP/1.%d as %q: %v", minor, to.String(), err)
		}
		wantFields := endToEnd(&r.Head, out, false)
		gotFields := slices.DeleteFunc(all(&again.Head), func(s string) bool {
			name, _, _ := strings.Cut(s, ":")
			return strings.EqualFold(name, "connection") || strings.EqualFold(name, "content-length") || strings.EqualFold(name, "transfer-encoding")
		})
		mustBeEqual(t, "fields sent to a client", gotFields, wantFields)
	}
}

// FuzzForward: what goes upstream is exactly one request, of the same meaning,
// to h1 and to net/http.
func FuzzForward(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkForward(t, data) })
}

func checkForward(t *testing.T, data []byte) {
	t.Helper()
	var r h1.Request
	n, _ := r.Parse(data, &oracleLimits) // refusals are FuzzRequest's
	if n == 0 {
		return
	}
	want, err := requestByH1(data, &r, n)
	if err != nil {
		return
	}

	var to bytes.Buffer
	var src h1.Source
	var dst h1.Sink
	src.Reset(bytes.NewReader(data[n:]), make([]byte, 100))
	dst.Reset(&to, make([]byte, 100))
	b := r.AppendLine(dst.Begin(), "fallback")
	b = r.AppendFields(b, r.Body())
	b = h1.AppendField(b, "X-Forwarded-For", "192.0.2.1")
	b = h1.AppendConnection(b, h1.OptionTE)
	b = r.Body().AppendTo(b)
	dst.Commit(h1.AppendEnd(b))
	var relay h1.Relay
	relay.Start(&src, &dst, r.Body(), r.Body(), &oracleLimits)
	if err := relay.Run(); err != nil {
		t.Fatal(err)
	}
	raw := to.Bytes()

	var again h1.Request
	n, err = again.Parse(raw, &oracleLimits)
	if err != nil || n == 0 {
		t.Fatalf("%q is forwarded as %q, which reads: %d, %v", data, raw, n, err)
	}
	got, err := requestByH1(raw, &again, n)
	if err != nil {
		t.Fatalf("%q is forwarded as %q, whose body reads: %v", data, raw, err)
	}
	theirs, err := requestByHTTP(raw)
	if err != nil {
		t.Fatalf("%q is forwarded as %q, which net/http refuses: %v", data, raw, err)
	}
	settle(&got, &theirs)
	if !got.same(theirs) {
		t.Fatalf("%q is forwarded as %q, which reads\n%v\nand to net/http\n%v", data, raw, got, theirs)
	}
	host := string(r.Host())
	if host == "" {
		host = "fallback"
	}
	if got.rest != "" {
		t.Fatalf("%q is forwarded as %q, with %q left over", data, raw, got.rest)
	}
	mustBeEqual(t, "method, target and host", got.start, []string{string(r.MethodBytes()), string(r.AppendTarget(nil)), host})
	mustBeEqual(t, "body", got.body, want.body)
	mustBeEqual(t, "trailers", got.trailer, want.trailer)
	mustBeEqual(t, "framing", again.Body(), r.Body())
	ownHost := r.Form() == h1.AbsoluteForm || r.Form() == h1.AuthorityForm || !r.Has("host")
	fields := endToEnd(&r.Head, r.Body(), ownHost)
	if r.Minor() == 0 {
		fields = slices.DeleteFunc(fields, func(s string) bool { return strings.EqualFold(s[:min(len(s), 7)], "expect:") })
	}
	added := []string{"X-Forwarded-For: 192.0.2.1", "Connection: TE"}
	sentFields := all(&again.Head)
	if ownHost {
		mustBeEqual(t, "first field", sentFields[0], "Host: "+host)
		sentFields = sentFields[1:]
	}
	if k := r.Body().Kind; k != h1.NoBody {
		sentFields = sentFields[:len(sentFields)-1] // the framing, checked above
	}
	mustBeEqual(t, "fields", sentFields, append(fields, added...))
}

var chunkSeeds = []string{
	"0\r\n\r\n",
	"5\r\nhello\r\n0\r\n\r\nrest",
	"5;a=\"b;c\"\r\nhello\r\n00007\r\n, world\r\n0;x\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
	"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
	"5\nhello\r\n0\r\n\r\n",
	"5\r\nhello\n0\r\n\r\n",
	"5 \r\nhello\r\n0\r\n\r\n",
	"5\r\nhelloworld\r\n0\r\n\r\n",
	"fffffffffffffff\r\nx",
	"10000000000000005\r\nhello\r\n0\r\n\r\n",
	"0\r\nX-A: b\r\n c\r\n\r\n",
	"0\r\nX-A : b\r\n\r\n",
	"1;\r\rx\r\n0\r\n\r\n",
	"5\r\nhello!\n0\r\n\r\n",
}

// FuzzChunked: a chunked body means the same however its bytes are split across
// reads, and what it means is what net/http reads.
func FuzzChunked(f *testing.F) {
	for i, s := range chunkSeeds {
		f.Add([]byte(s), []byte{byte(i), 1}, uint16(i))
	}
	f.Fuzz(func(t *testing.T, data, sizes []byte, buffer uint16) { checkChunked(t, data, sizes, buffer) })
}

func checkChunked(t *testing.T, data, sizes []byte, buffer uint16) bool {
	t.Helper()
	lim := h1.Limits{Body: 1 << 40, ChunkExtensions: 64, Trailer: 256, Fields: 8}
	whole := relay([]string{string(data)}[:min(1, len(data))], byChunks, byChunks, lim)
	var list []string
	for rest, i := string(data), 0; rest != ""; i++ {
		n := 1
		if len(sizes) > 0 {
			n = min(len(rest), 1+int(sizes[i%len(sizes)]))
		}
		list = append(list, rest[:n])
		rest = rest[n:]
	}
	pieces := relay(list, byChunks, byChunks, lim)
	if pieces.out != whole.out && whole.err == nil || pieces.moved != whole.moved || pieces.left != whole.left && whole.err == nil || errText(pieces.err) != errText(whole.err) {
		t.Fatalf("whole: %+v\nin pieces: %+v", whole, pieces)
	}
	if buffered := relaySized(list, int(buffer%300)+1, lim); buffered.out != pieces.out && whole.err == nil || errText(buffered.err) != errText(pieces.err) {
		t.Fatalf("with another buffer: %+v\n%+v", pieces, buffered)
	}
	theirs, err := responseByHTTP(append([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), data...), h1.GET)
	if whole.err != nil {
		var cut *h1.SourceError
		if errors.As(whole.err, &cut) && err == nil {
			t.Fatalf("cut short, but net/http reads %v", theirs)
		}
		if out, err := responseByHTTP([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+whole.out), h1.GET); err == nil {
			t.Fatalf("refused by %v, but what was written is complete: %v", whole.err, out)
		}
		return false
	}
	if err != nil {
		t.Fatalf("h1 reads %+v, net/http refuses: %v", whole, err)
	}
	ours, err := responseByHTTP([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+whole.out), h1.GET)
	if err != nil || ours.rest != "" {
		t.Fatalf("re-framed as %q: left %q, %v", whole.out, ours.rest, err)
	}
	if ours.body != theirs.body || whole.left != theirs.rest || !sameHeader(ours.trailer, undropped(theirs.trailer)) || int64(len(ours.body)) != whole.moved {
		t.Fatalf("re-framed as %q with %q left: it reads %v, want %v", whole.out, whole.left, ours, theirs)
	}
	return true
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// relaySized is relay with buffers of this size.
func relaySized(list []string, size int, lim h1.Limits) relayed {
	from := &pieces{list: slices.Clone(list), err: io.EOF}
	var to bytes.Buffer
	var src h1.Source
	var dst h1.Sink
	src.Reset(from, make([]byte, size))
	dst.Reset(&to, make([]byte, size))
	var r h1.Relay
	r.Start(&src, &dst, byChunks, byChunks, &lim)
	err := r.Run()
	return relayed{to.String(), string(src.Buffered()) + strings.Join(from.list, ""), err, r.Moved()}
}
