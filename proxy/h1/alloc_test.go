package h1_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"weir/proxy/h1"
)

// replay is a connection that says the same over and over, and counts what it is
// told.
type replay struct {
	says    []byte
	at      int
	written int64
}

func (c *replay) Read(b []byte) (int, error) {
	n := copy(b, c.says[c.at:])
	if c.at += n; c.at == len(c.says) {
		c.at = 0
	}
	return n, nil
}

func (c *replay) Write(b []byte) (int, error) {
	c.written += int64(len(b))
	return len(b), nil
}

// conn is one connection of an engine and what it keeps with it.
type conn struct {
	src   h1.Source
	dst   h1.Sink
	relay h1.Relay // of what comes in
}

func newConn(c io.ReadWriter) *conn {
	var k conn
	k.src.Reset(c, make([]byte, 16<<10))
	k.dst.Reset(c, make([]byte, 4<<10))
	return &k
}

// engine is the shape of a proxy's loop, for one request at a time.
type engine struct {
	client, upstream *conn
	req              h1.Request
	resp             h1.Response
	lim              h1.Limits
}

func (e *engine) exchange() error {
	e.req.Reset()
	for {
		n, err := e.req.Parse(e.client.src.Buffered(), &e.lim)
		if err != nil {
			return err
		}
		if n > 0 {
			e.req.Rebase(e.client.src.Hold(n))
			break
		}
		if _, err := e.client.src.Fill(); err != nil {
			return err
		}
	}
	e.req.DropLike("X-Forwarded-For")
	e.req.DropLike("Forwarded")
	up := &e.upstream.dst
	b := e.req.AppendLine(up.Begin(), "function")
	b = e.req.AppendFields(b, e.req.Body())
	b = h1.AppendField(b, "X-Forwarded-For", "192.0.2.1")
	b = h1.AppendField(b, "Via", "1.1 weir")
	b = e.req.Body().AppendTo(b)
	up.Commit(h1.AppendEnd(b))
	e.client.relay.Start(&e.client.src, up, e.req.Body(), e.req.Body(), &e.lim)
	if err := e.client.relay.Run(); err != nil {
		return err
	}

	e.resp.Reset()
	for {
		n, err := e.resp.Parse(e.upstream.src.Buffered(), e.req.Method(), &e.lim)
		if err != nil {
			return err
		}
		if n > 0 {
			e.resp.Rebase(e.upstream.src.Hold(n))
			break
		}
		if _, err := e.upstream.src.Fill(); err != nil {
			return err
		}
	}
	down := &e.client.dst
	out := e.resp.Forwarded(e.req.Minor())
	b = e.resp.AppendLine(down.Begin())
	b = e.resp.AppendFields(b, out)
	b = h1.AppendField(b, "Via", "1.1 weir")
	b = out.AppendTo(b)
	down.Commit(h1.AppendEnd(b))
	e.upstream.relay.Start(&e.upstream.src, down, e.resp.Body(), out, &e.lim)
	if err := e.upstream.relay.Run(); err != nil {
		return err
	}
	e.client.src.Release()
	e.upstream.src.Release()
	return nil
}

const (
	typicalRequest = "GET /function/hello?name=world HTTP/1.1\r\nHost: gateway.example.com:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Connection: keep-alive\r\nX-Forwarded-For: 10.0.0.1\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"
	smallRequest    = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
	typicalResponse = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 21 Nov 2026 01:59:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n" +
		"Connection: keep-alive\r\nLast-Modified: Sat, 21 Nov 2026 01:00:00 GMT\r\nETag: \"0123-4567\"\r\nAccept-Ranges: bytes\r\n\r\n01234567890123456789012345678901234567890123456789"
)

var exchanges = []struct{ name, request, response string }{
	{"a typical one", typicalRequest, typicalResponse},
	{"a small one", smallRequest, "HTTP/1.1 204 No Content\r\n\r\n"},
	{
		"an upload by length", "POST / HTTP/1.1\r\nHost: h\r\nConnection: x-a, keep-alive\r\nX-A: b\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000),
		"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + strings.Repeat("y", 50000),
	},
	{
		"chunks and trailers", "POST http://h/a HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4e20\r\n" + strings.Repeat("z", 20000) + "\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n",
	},
}

func TestExchangeAllocatesNothing(t *testing.T) {
	for _, c := range exchanges {
		client, upstream := &replay{says: []byte(c.request)}, &replay{says: []byte(c.response)}
		e := &engine{client: newConn(client), upstream: newConn(upstream)}
		if err := e.exchange(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		sent := client.written
		allocs := testing.AllocsPerRun(200, func() {
			if err := e.exchange(); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
		if client.written != sent*202 || sent == 0 || upstream.written == 0 {
			t.Errorf("%s: %d bytes sent to the client in 202 exchanges of %d", c.name, client.written, sent)
		}
	}
}

func TestRefusalAllocatesNothing(t *testing.T) {
	lim := &h1.Limits{}
	var r h1.Request
	for _, raw := range []string{get("X-A : b"), get("Content-Length: 5", "Transfer-Encoding: chunked"), "\x16\x03\x01\x02\x00", "GET / HTTP/3.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h i\r\n\r\n"} {
		b := []byte(raw)
		if allocs := testing.AllocsPerRun(100, func() {
			r.Reset()
			if _, err := r.Parse(b, lim); err == nil {
				t.Fatal("not refused")
			}
		}); allocs != 0 {
			t.Errorf("%.30q: %v allocations", raw, allocs)
		}
	}
}

func TestConnectionsAllocateNothing(t *testing.T) {
	// writev(2), splice(2) and all, between real connections.
	const size = 1 << 20
	head := "HTTP/1.1 200 OK\r\n\r\n"
	body := bytes.Repeat([]byte("x"), size)
	for _, least := range []int64{0, -1} {
		sender, in := pair(t, "tcp")
		out, receiver := pair(t, "tcp")
		k := newConn(socket(t, in))
		k.dst.Reset(socket(t, out), make([]byte, 4<<10))
		k.relay.SpliceMin = least
		start := make(chan bool)
		go func() {
			for range start {
				if _, err := sender.Write(body); err != nil {
					return
				}
			}
		}()
		got := make(chan int64)
		go func() {
			b := make([]byte, 64<<10)
			for {
				var sum int64
				for sum < size+int64(len(head)) {
					n, err := receiver.Read(b)
					if err != nil {
						close(got)
						return
					}
					sum += int64(n)
				}
				got <- sum
			}
		}()
		lim := &h1.Limits{}
		once := func() {
			start <- true
			k.dst.Commit(append(k.dst.Begin(), head...))
			k.relay.Start(&k.src, &k.dst, byLength(size), byLength(size), lim)
			if err := k.relay.Run(); err != nil {
				t.Fatal(err)
			}
			if n := <-got; n != size+int64(len(head)) {
				t.Fatalf("%d bytes came", n)
			}
		}
		once()
		// Rounding down allows for what the runtime allocates for its own ends.
		if allocs := testing.AllocsPerRun(20, once); allocs != 0 {
			t.Errorf("SpliceMin %d: %v allocations", least, allocs)
		}
		close(start)
	}
}
