package e2e

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// stormFunction misbehaves in every way that a function can, and counts its
// concurrency as its caller's limit has it: a request runs until its handler
// returns or its caller has given it up, whichever comes first. A caller gives a
// request up by closing its connection. The kernel delivers that before anything
// that the caller sends later, on whichever connection; the handler learns of it
// a while after. So whenever the handlers are more than the limit allows, the
// connections of all of them are asked whether the caller is still there.
type stormFunction struct {
	addr  string
	limit int

	mu       sync.Mutex
	running  map[*net.TCPConn]struct{} // connections with a request in a handler
	begun    int
	handlers int // most that ever ran at once
	highest  int // most whose callers were there
}

const (
	stormStream = 3 << 10 // bytes of a /stream
	stormSlow   = 10 * time.Millisecond
	stormPiece  = 3 * time.Millisecond // between two pieces of a /stream
)

type connectionKey struct{}

func newStormFunction(t testing.TB, limit int) *stormFunction {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("function: %v", err)
	}
	f := &stormFunction{addr: ln.Addr().String(), limit: limit, running: map[*net.TCPConn]struct{}{}}
	server := &http.Server{
		Handler:  f,
		ErrorLog: log.New(io.Discard, "", 0), // panics are on purpose
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, c)
		},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("function: serving: %v", err)
		}
	})
	return f
}

func (f *stormFunction) begin(c *net.TCPConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[c] = struct{}{}
	f.begun++
	n := len(f.running)
	f.handlers = max(f.handlers, n)
	if n > f.limit {
		n = 0
		for c := range f.running {
			if !hungUp(c) {
				n++
			}
		}
	}
	f.highest = max(f.highest, n)
}

func (f *stormFunction) end(c *net.TCPConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, c)
}

// counts gives how many requests there were, how many at most at once, and how
// many handlers.
func (f *stormFunction) counts() (begun, highest, handlers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.begun, f.highest, f.handlers
}

func (f *stormFunction) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connectionKey{}).(*net.TCPConn)
	f.begin(c)
	defer f.end(c)
	switch r.URL.Path {
	case "/ok":
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // an upload that was given up
		}
		_, _ = io.WriteString(w, "ok") // the caller may have left, here and below
	case "/slow", "/wait":
		if pause(r.Context(), stormSlow) {
			_, _ = io.WriteString(w, "ok")
		}
	case "/stream":
		for range 3 {
			if !flush(w, make([]byte, stormStream/3)) || !pause(r.Context(), stormPiece) {
				return
			}
		}
	case "/panic":
		panic("on purpose, before the response")
	case "/panic-late":
		flush(w, []byte("the beginning"))
		panic("on purpose, within the response")
	case "/cut":
		f.hijack(w, "")
	case "/cut-late":
		f.hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe beginning")
	case "/hang":
		<-r.Context().Done()
	case "/hang-late":
		flush(w, []byte("the beginning"))
		<-r.Context().Done()
	case "/websocket":
		f.websocket(w, r)
	default:
		http.NotFound(w, r)
	}
}

func flush(w http.ResponseWriter, b []byte) bool {
	if _, err := w.Write(b); err != nil {
		return false
	}
	return http.NewResponseController(w).Flush() == nil
}

// hijack says something and closes the connection.
func (f *stormFunction) hijack(w http.ResponseWriter, say string) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(c, say)
	_ = c.Close()
}

// websocket echoes one message, then ends as the query asks: ?end=function
// closes in order, ?end=function-dies does not; all else leaves it to the client.
func (f *stormFunction) websocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer func() { _ = c.CloseNow() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, message, err := c.Read(ctx)
	if err != nil {
		return
	}
	if err := c.Write(ctx, kind, message); err != nil {
		return
	}
	switch r.URL.Query().Get("end") {
	case "function":
		_ = c.Close(websocket.StatusNormalClosure, "")
	case "function-dies":
		_ = c.CloseNow()
	default:
		_, _, _ = c.Read(ctx) // until the client ends it
	}
}
