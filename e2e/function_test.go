package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// function is a server on loopback that counts its own concurrency.
type function struct {
	addr string
	// running is how many requests are in a handler.
	running *course
	// begun and ended count them.
	begun, ended *course
	// over is closed when the test is, and frees what handlers hold.
	over chan struct{}
}

// newFunction starts one that answers with h.
func newFunction(t testing.TB, h http.Handler) *function {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("function: %v", err)
	}
	return serveFunction(t, ln, h)
}

func serveFunction(t testing.TB, ln net.Listener, h http.Handler) *function {
	t.Helper()
	f := &function{
		addr:    ln.Addr().String(),
		running: newCourse(), begun: newCourse(), ended: newCourse(),
		over: make(chan struct{}),
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Protocols: protocols,
		ErrorLog:  log.New(io.Discard, "", 0), // handlers abort on purpose
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.begun.add(1)
			f.running.add(1)
			// Before the server sends the end of the response: weir may then let
			// the next request in.
			defer f.ended.add(1)
			defer f.running.add(-1)
			h.ServeHTTP(w, r)
		}),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		close(f.over)
		if err := server.Close(); err != nil {
			t.Logf("function: closing: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("function: serving: %v", err)
		}
	})
	return f
}

func (f *function) url() string { return "http://" + f.addr }

// takes answers "ok" after the time that the request asks for in its query:
// ?for=250ms.
func takes(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !pause(r.Context(), d) {
		return
	}
	_, _ = io.WriteString(w, "ok") // the client may have left
}

// pause lets d pass and reports whether it did before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// freePort gives a loopback address that nothing listens on, and that nobody is
// given by chance before the caller takes it: it lies below the range from which
// systems choose by themselves, and is handed out once.
func freePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000))
		if _, taken := handedOut.LoadOrStore(addr, true); taken {
			continue
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue // somebody else's
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
	t.Fatal("no free port found")
	return ""
}

var handedOut sync.Map // addresses
