package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawClient sends bytes as they are and reads responses, over one connection.
type rawClient struct {
	conn net.Conn
	in   *bufio.Reader
}

func dialRaw(t testing.TB, w *weir) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", w.data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{conn, bufio.NewReader(conn)}
}

func (c *rawClient) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(c.conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
}

func (c *rawClient) read(t testing.TB, method string) answered {
	t.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading a response: %v", err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("reading a response: %v", err)
	}
	return answered{res.StatusCode, res.Header, string(b)}
}

// Bodies come in every shape, and the connection serves on after each of them.
func TestAConnectionServesOneAsynchronousRequestAfterAnother(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir(), engine, "--async-max-body=100KiB")
		c := dialRaw(t, w)
		large := strings.Repeat("0123456789", 6000)
		const head = "POST /%s HTTP/1.1\nHost: fn.example\nPrefer: respond-async\nx-mixed-Case: a\nConnection: x-dropped\nX-Dropped: 1\nExpect-Not: 1\n"
		for name, request := range map[string]string{
			"none":     head + "\n",
			"length":   head + "Content-Length: 5\n\nhello",
			"empty":    head + "Content-Length: 0\n\n",
			"chunked":  head + "Transfer-Encoding: chunked\n\n3;x=y\nhel\n2\nlo\n0\nX-Trailer: 1\n\n",
			"large":    head + "Content-Length: 60000\n\n" + large,
			"chunks":   head + "Transfer-Encoding: chunked\n\nea60\n" + large + "\n0\n\n",
			"expected": head + "Expect: 100-continue\n\n",
		} {
			want := map[string]string{"length": "hello", "chunked": "hello", "large": large, "chunks": large}[name]
			c.send(t, fmt.Sprintf(request, name))
			id := accepted(t, c.read(t, "POST"))
			reaches(t, w, id, "succeeded")
			all := f.seen()
			got := all[len(all)-1]
			if got.target != "/"+name || got.body != want || got.host != "fn.example" {
				t.Errorf("%s: the function got %s for %s with %d bytes, want %d", name, got.target, got.host, len(got.body), len(want))
			}
			if h := got.header; h.Get("X-Mixed-Case") != "a" || h.Get("X-Dropped") != "" || h.Get("Expect") != "" || h.Get("X-Trailer") != "" || h.Get("Via") != "1.1 weir" ||
				h.Get("X-Forwarded-Host") != "fn.example" || h.Get("Forwarded") != `for=127.0.0.1;host="fn.example";proto=http` {
				t.Errorf("%s: the function got the fields %v", name, h)
			}
		}
		// In pieces, and with the next one right behind it.
		for _, piece := range []string{"PUT /pieces HTTP/1.1\nHost: f\nX-Fc-Invocation-Ty", "pe: Async\nContent-Length: 10\n\n01234", "56789GET /synchronous HTTP/1.1\nHost: f\n\n"} {
			c.send(t, piece)
		}
		id := accepted(t, c.read(t, "PUT"))
		if a := c.read(t, "GET"); a.status != 200 || a.body != "did " {
			t.Errorf("the request behind it got %d %q", a.status, a.body)
		}
		reaches(t, w, id, "succeeded")
		if a := ask(t, w, "GET", "/_weir/calls/"+id+"/response", ""); a.status != 200 || a.body != "did 0123456789" {
			t.Errorf("what came in pieces got %d %q", a.status, a.body)
		}
	})
}

func TestABodyThatCannotBeAcceptedIsRefusedByName(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir(), engine, "--async-max-body=1KiB", "--client-read-timeout=200ms")
		const head = "POST / HTTP/1.1\nHost: f\nPrefer: respond-async\n"
		for name, c := range map[string]struct {
			request string
			status  int
			detail  string
		}{
			"too long":                   {head + "Content-Length: 1025\n\n", 413, "larger than 1024 bytes"},
			"too long, asked for first":  {head + "Expect: 100-continue\nContent-Length: 1025\n\n", 413, "larger than 1024 bytes"},
			"a chunk too many":           {head + "Transfer-Encoding: chunked\n\n400\n" + strings.Repeat("x", 1024) + "\n1\nx\n0\n\n", 413, "larger than 1024 bytes"},
			"chunks that are none":       {head + "Transfer-Encoding: chunked\n\nzz\n", 400, ""},
			"a body that does not come":  {head + "Content-Length: 10\n\nx", 408, "stopped sending"},
			"chunks that do not come":    {head + "Transfer-Encoding: chunked\n\n5\nx", 408, "stopped sending"},
			"another protocol asked for": {head + "Connection: upgrade\nUpgrade: websocket\n\n", 400, "upgrades its connection"},
		} {
			client := dialRaw(t, w)
			client.send(t, c.request)
			if a := client.read(t, "POST"); a.status != c.status || !strings.Contains(a.body, c.detail) || !strings.HasPrefix(a.header.Get("Proxy-Status"), "weir; error=") {
				t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
			}
		}
		if n := len(f.seen()); n != 0 {
			t.Errorf("the function ran %d times", n)
		}
		w.awaitMetric(t, 0, "weir_async_enqueued_total")
	})
}

// A client that closes its side once it has sent everything still has its call run.
func TestACallOfAClientThatHasLeftIsRun(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir(), engine)
		c := dialRaw(t, w)
		c.send(t, "POST /left HTTP/1.1\nHost: f\nPrefer: respond-async\nContent-Length: 1\n\nx")
		if err := c.conn.Close(); err != nil {
			t.Fatal(err)
		}
		w.awaitMetric(t, 1, "weir_async_succeeded_total")
		// One that leaves in the middle has not.
		c = dialRaw(t, w)
		c.send(t, "POST /half HTTP/1.1\nHost: f\nPrefer: respond-async\nContent-Length: 2\n\nx")
		if err := c.conn.Close(); err != nil {
			t.Fatal(err)
		}
		w.awaitMetric(t, 1, "weir_requests_total", "mode", "sync", "origin", "client", "code_class", "4xx")
		if n := len(f.seen()); n != 1 {
			t.Errorf("the function ran %d times", n)
		}
	})
}
