package h1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"weir/proxy/h1"
)

// The oracle: what net/http makes of the bytes that h1 has accepted.

// message is one message as either of the two parsers reads it.
type message struct {
	start   []string // method, target, host; or status
	fields  http.Header
	close   bool
	body    string
	trailer http.Header
	rest    string // bytes after it
}

func (m message) String() string {
	return fmt.Sprintf("%q close=%v\nfields %q\nbody %.500q\ntrailer %q\nrest %.200q", m.start, m.close, m.fields, m.body, m.trailer, m.rest)
}

func (m message) same(o message) bool {
	return slices.Equal(m.start, o.start) && m.close == o.close && m.body == o.body && m.rest == o.rest &&
		sameHeader(m.fields, o.fields) && sameHeader(m.trailer, o.trailer)
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if !slices.Equal(v, b[k]) {
			return false
		}
	}
	return true
}

// oracleLimits are the defaults but for the body, so that no test reads without end.
var oracleLimits = h1.Limits{Body: 1 << 30}

// requestByHTTP reads a request as net/http's server does.
func requestByHTTP(data []byte) (m message, err error) {
	br := bufio.NewReader(bytes.NewReader(data))
	req, err := http.ReadRequest(br)
	if err != nil {
		return m, err
	}
	if req.ProtoMajor != 1 {
		return m, fmt.Errorf("version %s", req.Proto)
	}
	// net/http.Server refuses these beyond what ReadRequest does.
	host := req.Host
	if req.Method == http.MethodConnect || req.URL.Host != "" {
		host = req.URL.Host
	}
	if !httpguts.ValidHostHeader(host) && req.URL.Host == "" {
		return m, fmt.Errorf("malformed host %q", host)
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return m, fmt.Errorf("malformed name %q", name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return m, fmt.Errorf("malformed value %q", value)
			}
		}
	}
	m.start = []string{req.Method, req.RequestURI, host}
	m.fields = req.Header
	m.close = req.Close
	if m.body, err = readAll(req.Body); err != nil {
		return m, err
	}
	m.trailer = sent(req.Trailer)
	rest, err := io.ReadAll(br)
	m.rest = string(rest)
	return m, err
}

func responseByHTTP(data []byte, method h1.Method) (m message, err error) {
	br := bufio.NewReader(bytes.NewReader(data))
	resp, err := http.ReadResponse(br, &http.Request{Method: method.String()})
	if err != nil {
		return m, err
	}
	m.start = []string{fmt.Sprint(resp.StatusCode)}
	m.fields = resp.Header
	m.close = resp.Close
	if m.body, err = readAll(resp.Body); err != nil {
		return m, err
	}
	m.trailer = sent(resp.Trailer)
	rest, err := io.ReadAll(br)
	m.rest = string(rest)
	return m, err
}

func readAll(r io.ReadCloser) (string, error) {
	b, err := io.ReadAll(r)
	if err2 := r.Close(); err == nil {
		err = err2
	}
	return string(b), err
}

// sent is the trailers that came, of those that were announced as well.
func sent(h http.Header) http.Header {
	for name, values := range h {
		if values == nil {
			delete(h, name)
		}
	}
	return h
}

// bodyByH1 reads the body that follows the head in data, and the trailers that
// come with it.
func bodyByH1(data []byte, in h1.Framing) (body string, trailer http.Header, rest string, err error) {
	var src h1.Source
	src.Reset(bytes.NewReader(data), make([]byte, 256))
	var to bytes.Buffer
	var dst h1.Sink
	dst.Reset(&to, make([]byte, 256))
	var r h1.Relay
	out := in
	if in.Kind == h1.ByClose {
		out = h1.Framing{Kind: h1.ByChunks}
	}
	r.Start(&src, &dst, in, out, &oracleLimits)
	if err := r.Run(); err != nil {
		return "", nil, "", err
	}
	rest = string(src.Buffered())
	for {
		src.Discard(len(src.Buffered()))
		if _, err := src.Fill(); err != nil {
			break
		}
		rest += string(src.Buffered())
	}
	if out.Kind != h1.ByChunks {
		return to.String(), nil, rest, nil
	}
	// What was written in chunks is read by net/http, so that it is checked too.
	m, err := responseByHTTP(append([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), to.Bytes()...), h1.GET)
	if err != nil {
		return "", nil, "", fmt.Errorf("re-framed as %q: %w", to.String(), err)
	}
	if m.rest != "" {
		return "", nil, "", fmt.Errorf("re-framed as %q: left %q", to.String(), m.rest)
	}
	if int64(len(m.body)) != r.Moved() {
		return "", nil, "", fmt.Errorf("re-framed as %q: %d bytes of %d", to.String(), len(m.body), r.Moved())
	}
	return m.body, m.trailer, rest, nil
}

// headFields are the fields as net/http would have them.
func headFields(h *h1.Head, chunked bool) http.Header {
	m := http.Header{}
	for i := range h.Len() {
		name := http.CanonicalHeaderKey(string(h.Name(i)))
		m[name] = append(m[name], string(h.Value(i)))
	}
	delete(m, "Transfer-Encoding")
	if chunked {
		delete(m, "Trailer")
	}
	if len(m["Content-Length"]) > 1 { // equal ones, in a response
		m["Content-Length"] = m["Content-Length"][:1]
	}
	return m
}

// requestByH1 reads a request that Parse has accepted. err is about its body.
func requestByH1(data []byte, r *h1.Request, n int) (m message, err error) {
	host := string(r.Host())
	if r.Form() == h1.AbsoluteForm {
		if host, err = url.PathUnescape(host); err != nil {
			return m, err
		}
	}
	m.start = []string{string(r.MethodBytes()), string(r.Target()), host}
	m.fields = headFields(&r.Head, r.Body().Kind == h1.ByChunks)
	delete(m.fields, "Host")
	m.close = !r.KeepAlive()
	m.body, m.trailer, m.rest, err = bodyByH1(data[n:], r.Body())
	return m, err
}

func responseByH1(data []byte, r *h1.Response, n int) (m message, err error) {
	m.start = []string{fmt.Sprint(r.Status())}
	m.fields = headFields(&r.Head, r.Has("Transfer-Encoding"))
	m.close = !r.KeepAlive()
	m.body, m.trailer, m.rest, err = bodyByH1(data[n:], r.Body())
	return m, err
}

// undropped removes from net/http's trailers those that h1 does not pass on.
func undropped(h http.Header) http.Header {
	for name := range h {
		// golang.org/x/net has the list, but for realm, which is no field; h1 has
		// cookies beside it, and what switches protocols.
		// It has their look-alikes too.
		like := http.CanonicalHeaderKey(strings.NewReplacer("_", "-", ".", "-").Replace(name))
		more := slices.Contains([]string{"Cookie", "Set-Cookie", "Upgrade", "Http2-Settings"}, like)
		if more || !httpguts.ValidTrailerHeader(like) && like != "Realm" {
			delete(h, name)
		}
	}
	return h
}

// settle takes out what net/http adds to or takes out of a head on its own.
func settle(ours, theirs *message) {
	if _, ok := ours.fields["Cache-Control"]; !ok && slices.Equal(theirs.fields["Cache-Control"], []string{"no-cache"}) && len(ours.fields["Pragma"]) > 0 {
		delete(theirs.fields, "Cache-Control")
	}
	theirs.trailer = undropped(theirs.trailer)
}

// feed parses head bytes as they come in these sizes, over and over, each time
// in a new place. It returns what Parse returned last, and how much it saw.
func feed(data []byte, sizes []byte, parse func([]byte) (int, error)) (n int, err error) {
	at, i := 0, 0
	for {
		n, err = parse(slices.Clone(data[:at]))
		if n > 0 || err != nil || at == len(data) {
			return n, err
		}
		step := 1
		if len(sizes) > 0 {
			step = max(1, int(sizes[i%len(sizes)]))
			i++
		}
		at = min(len(data), at+step)
	}
}

// endToEnd are the fields of a head that a proxy forwards, by a plain reading of
// RFC 9110, 7.6.1.
func endToEnd(h *h1.Head, framing h1.Framing, ownHost bool) []string {
	hop := map[string]bool{
		"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "transfer-encoding": true,
		"upgrade": true, "http2-settings": true, "proxy-authenticate": true, "proxy-authorization": true, "content-length": true,
	}
	framed := func(name string) bool { // what Trailer must not announce
		name = strings.ToLower(strings.Trim(name, " \t"))
		return name == "transfer-encoding" || name == "content-length" || name == "trailer"
	}
	hop["trailer"] = framing.Kind != h1.ByChunks
	for i := range h.Len() {
		if strings.EqualFold(string(h.Name(i)), "trailer") && slices.ContainsFunc(strings.Split(string(h.Value(i)), ","), framed) {
			hop["trailer"] = true
		}
	}
	for i := range h.Len() {
		if strings.EqualFold(string(h.Name(i)), "connection") {
			for name := range strings.SplitSeq(string(h.Value(i)), ",") {
				hop[strings.ToLower(strings.Trim(name, " \t"))] = true
			}
		}
	}
	hop["host"] = ownHost
	var list []string
	for i := range h.Len() {
		name := strings.ToLower(string(h.Name(i)))
		like := strings.NewReplacer("_", "-", ".", "-").Replace(name)
		if !hop[name] && like != "content-length" && like != "transfer-encoding" {
			list = append(list, string(h.Name(i))+": "+string(h.Value(i)))
		}
	}
	return list
}

func all(h *h1.Head) []string {
	var list []string
	for i := range h.Len() {
		list = append(list, string(h.Name(i))+": "+string(h.Value(i)))
	}
	return list
}

func mustBeEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Fatalf("%s: %q, want %q", what, got, want)
	}
}
