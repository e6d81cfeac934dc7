package conformance

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Origin is a raw TCP server on loopback whose bytes the case writes, and which
// shows the exact bytes that weir sent. Connections on which nothing is ever
// sent (readiness probes) are passed over.
type Origin struct {
	// Addr is host:port.
	Addr string

	t  testing.TB
	wg sync.WaitGroup

	mu     sync.Mutex
	script func(*OriginConn)
	heads  []string
	conns  int
	open   map[net.Conn]struct{}
	closed bool
}

// OriginConn is one connection that weir opened and sent something on.
type OriginConn struct {
	net.Conn
	Ordinal int // from 1, in order of first bytes

	origin *Origin
	r      *bufio.Reader
}

// serveOrigin serves ln until the case is over.
func serveOrigin(t testing.TB, ln net.Listener) *Origin {
	o := &Origin{Addr: ln.Addr().String(), t: t, open: map[net.Conn]struct{}{}}
	o.script = func(c *OriginConn) {
		for {
			if _, _, err := c.Request(); err != nil {
				return
			}
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	o.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.open[conn] = struct{}{}
			if o.closed {
				conn.Close()
			}
			o.mu.Unlock()
			o.wg.Go(func() { o.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		o.mu.Lock()
		o.closed = true
		for conn := range o.open {
			conn.Close()
		}
		o.mu.Unlock()
		o.wg.Wait()
	})
	return o
}

func newOrigin(t testing.TB) *Origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("origin: listening: %v", err)
	}
	return serveOrigin(t, ln)
}

func (o *Origin) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		o.mu.Lock()
		delete(o.open, conn)
		o.mu.Unlock()
	}()
	c := &OriginConn{Conn: conn, origin: o, r: bufio.NewReader(conn)}
	if _, err := c.r.Peek(1); err != nil {
		return
	}
	o.mu.Lock()
	o.conns++
	c.Ordinal = o.conns
	script := o.script
	o.mu.Unlock()
	conn.SetDeadline(time.Now().Add(2 * patience)) //nolint:errcheck // a deadline on an open TCP connection
	script(c)
}

// Script sets what is done with each connection from now on, until the script
// returns and the connection is closed. Set it before sending requests.
func (o *Origin) Script(script func(*OriginConn)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.script = script
}

// Answer makes the origin read requests and give each the same bytes.
func (o *Origin) Answer(raw string) {
	o.Script(func(c *OriginConn) {
		for {
			if _, _, err := c.Request(); err != nil {
				return
			}
			c.Say(raw)
		}
	})
}

// AnswerAndClose makes the origin give the first request of each connection raw,
// and close.
func (o *Origin) AnswerAndClose(raw string) {
	o.Script(func(c *OriginConn) {
		if _, _, err := c.Request(); err != nil {
			return
		}
		c.Say(raw)
	})
}

// Heads returns the request heads received, byte for byte, in order.
func (o *Origin) Heads() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.heads)
}

// Conns returns how many connections have carried a byte.
func (o *Origin) Conns() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns
}

// Head reads a request's head and records it.
func (c *OriginConn) Head() (*head, error) {
	h, err := readHead(c.r)
	if err != nil {
		if h != nil && h.raw != "" && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrUnexpectedEOF) {
			c.origin.t.Errorf("origin: weir sent a malformed head %q: %v", h.raw, err)
		}
		return nil, err
	}
	c.origin.mu.Lock()
	c.origin.heads = append(c.origin.heads, h.raw)
	c.origin.mu.Unlock()
	return h, nil
}

// Request reads a request with its body. An error means that none came, or that
// its body did not end as framed.
func (c *OriginConn) Request() (h *head, body []byte, err error) {
	if h, err = c.Head(); err != nil {
		return nil, nil, err
	}
	body, _, err = readBody(c.r, h.fields(), false)
	return h, body, err
}

// Say writes raw; an error shows in what weir does next.
func (c *OriginConn) Say(raw string) {
	io.WriteString(c.Conn, raw) //nolint:errcheck // see above
}

// AwaitClose reads until weir closes the connection.
func (c *OriginConn) AwaitClose() error {
	_, err := io.Copy(io.Discard, c.r)
	return err
}

// fieldsOfHead gives the fields of a recorded head.
func fieldsOfHead(raw string) http.Header {
	lines := strings.Split(strings.TrimSuffix(raw, "\r\n\r\n"), "\r\n")
	return fieldsOf(lines[1:])
}
