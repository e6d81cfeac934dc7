package conformance

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Conn is a client's HTTP/1.1 connection to weir whose bytes the case writes. A
// read or write that takes longer than the suite's patience fails.
type Conn struct {
	net.Conn

	t testing.TB
	r *bufio.Reader
}

// Dial connects to weir over the stage's carrier, which must be HTTP/1.1.
func (s *Stage) Dial(t testing.TB) *Conn {
	t.Helper()
	if s.Carrier.H2 {
		t.Fatalf("raw HTTP/1.1 over %s: the case is registered for the wrong carriers", s.Carrier.Name)
	}
	conn, err := s.dial("http/1.1")
	if err != nil {
		t.Fatalf("connecting to weir: %v", err)
	}
	return s.wrap(t, conn)
}

func (s *Stage) wrap(t testing.TB, conn net.Conn) *Conn {
	s.atEnd(t, func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a deadline on an open connection
	return &Conn{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

// dial opens a connection, over TLS with the given ALPN protocol where the
// carrier says so.
func (s *Stage) dial(alpn string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", s.Weir.Addr, patience)
	if err != nil || !s.Carrier.TLS {
		return conn, err
	}
	config := s.tlsConfig()
	config.NextProtos = []string{alpn}
	secure := tls.Client(conn, config)
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a deadline on an open TCP connection
	if err := secure.Handshake(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return secure, nil
}

// Send writes raw, all of it.
func (c *Conn) Send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, raw); err != nil {
		c.t.Fatalf("sending %.200q: %v", raw, err)
	}
}

// TrySend writes raw where weir may close the connection meanwhile, which is
// then no failure.
func (c *Conn) TrySend(raw string) error {
	_, err := io.WriteString(c.Conn, raw)
	if err != nil && !isClosed(err) {
		c.t.Helper()
		c.t.Fatalf("sending %.200q: %v", raw, err)
	}
	return err
}

// Exchange sends raw, a request, and reads its response.
func (c *Conn) Exchange(raw string) *Response {
	c.t.Helper()
	c.Send(raw)
	method, _, _ := strings.Cut(raw, " ")
	return c.Response(method)
}

// Response reads the response to a request with that method, with the interim
// ones before it. A response that does not come or cannot be parsed fails the
// case; a body cut short is noted in BodyErr.
func (c *Conn) Response(method string) *Response {
	c.t.Helper()
	resp, err := c.TryResponse(method)
	if err != nil {
		c.t.Fatalf("reading the response: %v", err)
	}
	return resp
}

// TryResponse is Response where the connection may be closed without one.
func (c *Conn) TryResponse(method string) (*Response, error) {
	var interim []Interim
	for {
		resp, err := c.readResponseHead()
		if err != nil {
			return nil, err
		}
		if resp.Status < 200 && resp.Status != http.StatusSwitchingProtocols {
			interim = append(interim, Interim{Status: resp.Status, Fields: resp.Fields})
			continue
		}
		resp.Interim = interim
		switch {
		case method == http.MethodHead, resp.Status == http.StatusSwitchingProtocols,
			resp.Status == http.StatusNoContent, resp.Status == http.StatusNotModified:
		default:
			resp.Body, resp.Trailer, resp.BodyErr = readBody(c.r, resp.Fields, true)
			if errors.Is(resp.BodyErr, os.ErrDeadlineExceeded) { // hangs; that is no abort
				c.t.Helper()
				c.t.Fatalf("the response's body did not end within %v, after %d bytes", patience, len(resp.Body))
			}
		}
		return resp, nil
	}
}

// Head reads one response head, an interim one too, and leaves the body.
func (c *Conn) Head() *Response {
	c.t.Helper()
	resp, err := c.readResponseHead()
	if err != nil {
		c.t.Fatalf("reading a response's head: %v", err)
	}
	return resp
}

func (c *Conn) readResponseHead() (*Response, error) {
	h, err := readHead(c.r)
	if errors.Is(err, os.ErrDeadlineExceeded) { // hangs; that is no abort
		c.t.Helper()
		c.t.Fatalf("no response within %v, only %q", patience, h.raw)
	}
	if err != nil {
		return nil, fmt.Errorf("after %q: %w", h.raw, err)
	}
	proto, rest, _ := strings.Cut(h.start, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || !strings.HasPrefix(proto, "HTTP/1.") {
		return nil, fmt.Errorf("status line %q is malformed", h.start)
	}
	return &Response{Proto: proto, Status: status, Fields: h.fields(), Lines: h.lines}, nil
}

// Chunk reads one chunk of a chunked body whose head has been read.
func (c *Conn) Chunk() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("reading a chunk's size: %v", err)
	}
	size, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
	if err != nil {
		c.t.Fatalf("chunk size line %q: %v", line, err)
	}
	data := make([]byte, size+2)
	if _, err := io.ReadFull(c.r, data); err != nil {
		c.t.Fatalf("reading a chunk of %d bytes: %v", size, err)
	}
	return string(data[:size])
}

// Read reads what comes, through the buffer that heads are read with.
func (c *Conn) Read(p []byte) (int, error) { return c.r.Read(p) }

// Take reads exactly as many bytes as want has, and compares.
func (c *Conn) Take(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if err != nil || string(got) != want {
		c.t.Fatalf("read %q (%v), want %q", got[:n], err, want)
	}
}

// AwaitClose fails the case unless weir closes the connection, and returns what
// came before that.
func (c *Conn) AwaitClose() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("weir did not close the connection within %v; it sent %.200q", patience, rest)
	}
	return string(rest)
}

// Silent fails the case when anything comes within d. It can only show a fault,
// never prove its absence.
func (c *Conn) Silent(d time.Duration) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(d))              //nolint:errcheck // a deadline on an open connection
	defer c.SetReadDeadline(time.Now().Add(patience)) //nolint:errcheck // likewise
	if b, err := c.r.Peek(1); err == nil {
		rest, _ := c.r.Peek(c.r.Buffered())
		c.t.Fatalf("weir must say nothing yet, and said %.200q (%q...)", rest, b)
	} else if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("weir must wait, and ended the connection: %v", err)
	}
}

// CloseWrite sends the end of the stream and goes on reading.
func (c *Conn) CloseWrite() {
	c.t.Helper()
	if err := closeWrite(c.Conn); err != nil {
		c.t.Fatalf("closing the sending half: %v", err)
	}
}

func closeWrite(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a %T has no halves", conn)
	}
	return half.CloseWrite()
}

// Abort resets the connection, as a client that crashed.
func (c *Conn) Abort() {
	conn := c.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // then a plain close, which serves too
	conn.Close()
}

// isClosed says that err is the peer's having closed the connection.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
