package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// newClient makes an HTTP client that speaks the stage's carrier and does
// nothing on its own: no redirects, no compression, no environment.
func (s *Stage) newClient() *http.Client {
	dialer := &net.Dialer{Timeout: patience}
	protocols := new(http.Protocols)
	switch {
	case !s.Carrier.H2:
		protocols.SetHTTP1(true)
	case s.Carrier.TLS:
		protocols.SetHTTP2(true)
	default:
		protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Client{
		Transport: &http.Transport{
			Protocols:       protocols,
			TLSClientConfig: s.tlsConfig(),
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, addr)
				if err == nil {
					s.mu.Lock()
					s.conns = append(s.conns, conn)
					s.mu.Unlock()
				}
				return conn, err
			},
			DisableCompression:  true,
			MaxIdleConnsPerHost: 256,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Client returns the stage's client.
func (s *Stage) Client() *http.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		s.client = s.newClient()
	}
	return s.client
}

// closeClients closes the connections of all clients, used or not.
func (s *Stage) closeClients() {
	s.mu.Lock()
	conns := s.conns
	s.conns, s.client = nil, nil
	s.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}

// Request makes a request to weir of "METHOD target" and field lines
// ("Name: value"). The target is sent byte for byte. body is nil, a string, or
// an io.Reader, whose length is then unknown. Nothing is added that the case has
// not given.
func (s *Stage) Request(ctx context.Context, line string, body any, fields ...string) *http.Request {
	method, target, ok := strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
		panic(fmt.Sprintf("conformance: %q is not METHOD /target", line)) // net/url would rewrite //
	}
	path, query, hasQuery := strings.Cut(target, "?")
	u := &url.URL{Scheme: s.scheme(), Host: s.Weir.Addr, Opaque: path, RawQuery: query, ForceQuery: hasQuery}
	req := (&http.Request{
		Method: method, URL: u, Host: s.Weir.Addr, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {""}}, // sends none
	}).WithContext(ctx)
	switch body := body.(type) {
	case nil:
	case string:
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	case io.ReadCloser: // a pipe, whose writer is told when the request is over
		req.Body, req.ContentLength = body, -1
	case io.Reader:
		req.Body, req.ContentLength = io.NopCloser(body), -1
	default:
		panic(fmt.Sprintf("conformance: a body cannot be a %T", body))
	}
	for _, line := range fields {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			panic(fmt.Sprintf("conformance: %q is no field line", line))
		}
		switch key := textproto.CanonicalMIMEHeaderKey(name); key {
		case "Host":
			req.Host = value
		case "User-Agent":
			req.Header[key] = []string{value}
		default:
			req.Header[key] = append(req.Header[key], value)
		}
	}
	return req
}

// Call is a request under way.
type Call struct {
	cancel context.CancelFunc
	done   chan struct{}
	resp   *Response
	err    error
}

// Go sends a request and reads its response in the background.
func (s *Stage) Go(t testing.TB, line string, body any, fields ...string) *Call {
	return s.goWith(t, s.Client(), line, body, fields...)
}

func (s *Stage) goWith(t testing.TB, client *http.Client, line string, body any, fields ...string) *Call {
	ctx, cancel := context.WithCancel(context.Background())
	s.atEnd(t, cancel)
	c := &Call{cancel: cancel, done: make(chan struct{})}
	req := s.Request(ctx, line, body, fields...)
	go func() {
		defer close(c.done)
		c.resp, c.err = send(client, req)
	}()
	return c
}

// send does one exchange, response body included.
func send(client *http.Client, req *http.Request) (*Response, error) {
	var interim []Interim
	var attempts atomic.Int32
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { attempts.Add(1) },
		Got1xxResponse: func(code int, fields textproto.MIMEHeader) error {
			interim = append(interim, Interim{Status: code, Fields: http.Header(fields).Clone()})
			return nil
		},
	})
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r := &Response{Proto: resp.Proto, Status: resp.StatusCode, Fields: resp.Header, Interim: interim, Attempts: int(attempts.Load())}
	r.Body, r.BodyErr = io.ReadAll(resp.Body)
	r.Trailer = resp.Trailer
	if resp.Uncompressed {
		return nil, fmt.Errorf("the client uncompressed a body: the suite is at fault")
	}
	return r, nil
}

// Response waits for the response and fails the case when there is none.
func (c *Call) Response(t testing.TB) *Response {
	t.Helper()
	await(t, "a response", c.done)
	if c.err != nil {
		t.Fatalf("no response: %v", c.err)
	}
	if c.resp.Attempts > 1 {
		t.Fatalf("weir closed a kept connection under a request: the client needed %d attempts", c.resp.Attempts)
	}
	return c.resp
}

// Outcome waits for the response or the error.
func (c *Call) Outcome(t testing.TB) (*Response, error) {
	t.Helper()
	await(t, "an outcome", c.done)
	return c.resp, c.err
}

// Done says whether the call is over.
func (c *Call) Done() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Cancel makes the client go away: it closes the connection, or resets the
// stream on HTTP/2.
func (c *Call) Cancel() { c.cancel() }

// Do sends a request and returns its response; see Request for the arguments.
func (s *Stage) Do(t testing.TB, line string, body any, fields ...string) *Response {
	t.Helper()
	return s.Go(t, line, body, fields...).Response(t)
}

// Open sends a request and returns once the response's head is there, for cases
// that drive the bodies themselves. Bodies are closed when the case is over.
func (s *Stage) Open(t testing.TB, line string, body any, fields ...string) *http.Response {
	t.Helper()
	resp, cancel := s.OpenCancel(t, line, body, fields...)
	_ = cancel // when the case is over
	return resp
}

// OpenCancel is Open for a client that may leave.
func (s *Stage) OpenCancel(t testing.TB, line string, body any, fields ...string) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.atEnd(t, cancel)
	type result struct {
		resp *http.Response
		err  error
	}
	got := make(chan result, 1)
	client := s.Client()
	req := s.Request(ctx, line, body, fields...)
	go func() {
		resp, err := client.Do(req)
		got <- result{resp, err}
	}()
	r := await(t, "a response's head", got)
	if r.err != nil {
		t.Fatalf("no response: %v", r.err)
	}
	s.atEnd(t, func() { r.resp.Body.Close() })
	return r.resp, cancel
}

// readSome reads exactly n bytes of r within the suite's patience.
func readSome(t testing.TB, r io.Reader, n int) string {
	t.Helper()
	type result struct {
		b   []byte
		err error
	}
	got := make(chan result, 1)
	go func() {
		b := make([]byte, n)
		m, err := io.ReadFull(r, b)
		got <- result{b[:m], err}
	}()
	res := await(t, fmt.Sprintf("%d bytes", n), got)
	if res.err != nil {
		t.Fatalf("reading %d bytes: got %q, then %v", n, res.b, res.err)
	}
	return string(res.b)
}

// readRest reads r to its end within the suite's patience.
func readRest(t testing.TB, r io.Reader) (string, error) {
	t.Helper()
	type result struct {
		b   []byte
		err error
	}
	got := make(chan result, 1)
	go func() {
		b, err := io.ReadAll(r)
		got <- result{b, err}
	}()
	res := await(t, "the body's end", got)
	return string(res.b), res.err
}
