package admin

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A server as weir's, whose bounds are far below what a drain takes.
func TestWaitForDrainOutlivesTheServersBounds(t *testing.T) {
	drained := make(chan struct{})
	h := &Health{NotReady: func() string { return "" }, Drained: drained}
	const bound = 50 * time.Millisecond
	server := &http.Server{Handler: h.Handler(http.NotFoundHandler()), ReadTimeout: bound, WriteTimeout: bound}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(ln) }()
	defer func() { _ = server.Close() }()

	type answer struct {
		status int
		body   string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		res, err := http.Get("http://" + ln.Addr().String() + "/wait-for-drain")
		if err != nil {
			answered <- answer{err: err}
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		answered <- answer{res.StatusCode, string(body), err}
	}()
	select {
	case a := <-answered:
		t.Fatalf("answered before the drain: %+v", a)
	case <-time.After(6 * bound):
	}
	close(drained)
	if a := <-answered; a.err != nil || a.status != http.StatusOK || a.body != "drained\n" {
		t.Errorf("%+v", a)
	}
}

func TestWaitersAreBounded(t *testing.T) {
	h := &Health{Drained: make(chan struct{})}
	h.waiters.Store(mostWaiters)
	w := httptest.NewRecorder()
	h.WaitForDrain(w, httptest.NewRequest("GET", "/wait-for-drain", nil))
	if w.Code != http.StatusServiceUnavailable || h.waiters.Load() != mostWaiters {
		t.Errorf("status %d with %d waiting", w.Code, h.waiters.Load())
	}
}
