package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
)

// Function is a programmable origin server on loopback: net/http, HTTP/1.1 and
// HTTP/2 by prior knowledge on one port. Paths that a case has not given a
// behaviour echo the request. It counts its own concurrency and records every
// request that reached it.
type Function struct {
	Meter

	// Addr is host:port, or the path of a Unix socket.
	Addr string

	server  *http.Server
	closing chan struct{} // closed when the case is over, frees what is held

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc // by path
	grpc     *grpc.Server
	seen     []Seen
	conns    int // accepted connections that carried at least one request
}

// Seen is a request as it reached the function.
type Seen struct {
	Method           string
	Target           string // the request line's, byte for byte; :path on HTTP/2
	Proto            string
	Host             string
	Header           http.Header
	TransferEncoding []string
	ContentLength    int64

	// What follows is only in the answer of an echo.

	Body    string      // the first KiB
	Length  int64       // of the whole body
	SHA256  string      // of the whole body, in hex
	Error   string      // of reading the body, empty when it was complete
	Trailer http.Header // after the body
}

// newFunction starts one that listens on network ("tcp" or "unix").
func newFunction(t testing.TB, network string) *Function {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "f.sock")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatalf("function: listening on %s %s: %v", network, address, err)
	}
	f := &Function{
		Addr:     ln.Addr().String(),
		closing:  make(chan struct{}),
		handlers: map[string]http.HandlerFunc{},
	}
	f.grpc = newTestService()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	f.server = &http.Server{
		Handler: f,
		// OPTIONS * is echoed like everything else.
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ErrorLog:                     log.New(io.Discard, "", 0), // cases abort on purpose
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 1000},
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, new(connUse))
		},
	}
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(ln) }()
	t.Cleanup(func() {
		close(f.closing)
		f.server.Close()
		f.grpc.Stop()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("function: serving: %v", err)
		}
	})
	return f
}

type connKey struct{}

// connUse notes that a connection carried a request, so that bare connects
// (readiness probes) are not counted as connections of the data path.
type connUse struct{ once sync.Once }

// Handle gives a path a behaviour. A handler that panics with
// http.ErrAbortHandler cuts its response short.
func (f *Function) Handle(path string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handlers[path] = h
}

// forget makes the function as it was when nobody had asked it for anything.
func (f *Function) forget() {
	f.mu.Lock()
	f.handlers, f.seen, f.conns = map[string]http.HandlerFunc{}, nil, 0
	f.mu.Unlock()
	f.reset()
}

// Seen returns the requests that reached the function, in order of arrival.
func (f *Function) Seen() []Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// Conns returns how many connections have carried a request.
func (f *Function) Conns() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns
}

func (f *Function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.begin()
	defer f.end()
	if use, ok := r.Context().Value(connKey{}).(*connUse); ok {
		use.once.Do(func() {
			f.mu.Lock()
			f.conns++
			f.mu.Unlock()
		})
	}
	f.mu.Lock()
	f.seen = append(f.seen, seenOf(r))
	h := f.handlers[r.URL.Path]
	f.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		f.grpc.ServeHTTP(w, r)
	default:
		echo(w, r)
	}
}

func seenOf(r *http.Request) Seen {
	return Seen{
		Method: r.Method, Target: r.RequestURI, Proto: r.Proto, Host: r.Host,
		Header: r.Header.Clone(), TransferEncoding: r.TransferEncoding, ContentLength: r.ContentLength,
	}
}

// echo answers with what it saw, as JSON.
func echo(w http.ResponseWriter, r *http.Request) {
	seen := seenOf(r)
	sum := sha256.New()
	var head strings.Builder
	n, err := io.Copy(io.MultiWriter(sum, &limitedWriter{w: &head, left: 1024}), r.Body)
	seen.Body, seen.Length, seen.SHA256, seen.Trailer = head.String(), n, hex.EncodeToString(sum.Sum(nil)), r.Trailer
	if err != nil {
		seen.Error = err.Error()
	}
	body, err := json.Marshal(seen)
	if err != nil {
		panic(fmt.Sprintf("function: encoding an echo: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body) //nolint:errcheck // the client may have left
}

// limitedWriter keeps the first bytes and drops the rest.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.left)]
	l.left -= len(keep)
	if _, err := l.w.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Gate holds requests in the function until the case lets each one go.
type Gate struct {
	arrived chan *Held
	deaf    bool
}

// Held is a request that the function holds.
type Held struct {
	Seen

	release  chan struct{}
	once     sync.Once
	canceled <-chan struct{}
	done     chan struct{} // closed when the function is through with it
}

// Hold makes path hold each request until it is released, then answer 200 with
// the body "held". A request that is cancelled ends at once.
func (f *Function) Hold(path string) *Gate { return f.hold(path, false) }

// HoldDeaf is Hold for a function that does not notice that it was cancelled and
// goes on running until released.
func (f *Function) HoldDeaf(path string) *Gate { return f.hold(path, true) }

func (f *Function) hold(path string, deaf bool) *Gate {
	g := &Gate{arrived: make(chan *Held, 4096), deaf: deaf}
	f.Handle(path, func(w http.ResponseWriter, r *http.Request) {
		h := &Held{Seen: seenOf(r), release: make(chan struct{}), canceled: r.Context().Done(), done: make(chan struct{})}
		defer close(h.done)
		g.arrived <- h
		canceled := h.canceled
		if g.deaf {
			canceled = nil
		}
		select {
		case <-h.release:
			io.WriteString(w, "held") //nolint:errcheck // the client may have left
		case <-canceled:
		case <-f.closing:
		}
	})
	return g
}

// Next waits for the next request to arrive.
func (g *Gate) Next(t testing.TB) *Held {
	t.Helper()
	return await(t, "a request reaching the function", g.arrived)
}

// None fails the case when a request has arrived.
func (g *Gate) None(t testing.TB) {
	t.Helper()
	select {
	case h := <-g.arrived:
		t.Fatalf("a request reached the function that must not: %s %s", h.Method, h.Target)
	default:
	}
}

// Release lets the request be answered.
func (h *Held) Release() { h.once.Do(func() { close(h.release) }) }

// AwaitCanceled waits until the function is told that nobody wants its answer.
func (h *Held) AwaitCanceled(t testing.TB) {
	t.Helper()
	await(t, "the cancellation reaching the function", h.canceled)
}

// AwaitDone waits until the function is through with the request.
func (h *Held) AwaitDone(t testing.TB) {
	t.Helper()
	await(t, "the function ending the request", h.done)
}

// Canceled says whether the function has been told that nobody wants its answer.
func (h *Held) Canceled() bool {
	select {
	case <-h.canceled:
		return true
	default:
		return false
	}
}

// flush sends what was written so far; it panics where the server cannot.
func flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// wait blocks a handler until the case says so; the response is cut short when
// the case ends instead.
func (f *Function) wait(word <-chan struct{}) {
	select {
	case <-word:
	case <-f.closing:
		panic(http.ErrAbortHandler)
	}
}

// linger waits until the request is cancelled: for handlers that go on for ever.
func (f *Function) linger(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-f.closing:
	}
	panic(http.ErrAbortHandler)
}

// readAllLen reads r to its end and counts.
func readAllLen(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// awaitIdle waits until nothing runs in the function.
func (f *Function) awaitIdle(t testing.TB) {
	t.Helper()
	eventually(t, "nothing running in the function", func() (bool, string) {
		n := f.Count().Current
		return n == 0, fmt.Sprintf("%d still run", n)
	})
}
