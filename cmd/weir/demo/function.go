package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Function is the sample function: an HTTP server that takes its time, unevenly,
// and keeps books of its own about how many calls it runs. It bounds nothing:
// that is the sidecar's work. Make one with StartFunction.
type Function struct {
	mean     time.Duration
	listener net.Listener
	server   *http.Server
	failed   chan error

	mu    sync.Mutex
	n     int            // calls in the handler now
	max   int            // greatest n
	at    time.Time      // until when busy is complete
	busy  time.Duration  // integral of n over time, in call-time
	calls uint64         // that have ended
	byID  map[string]int // how often asynchronous calls have ended, by their ids
	begun map[string]int // and begun
}

// StartFunction serves a function whose calls take mean on average, on a free
// port of the loopback interface.
func StartFunction(mean time.Duration, log *slog.Logger) (*Function, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo: starting the sample function: %w", err)
	}
	f := &Function{mean: mean, listener: ln, at: time.Now(), byID: map[string]int{}, begun: map[string]int{}, failed: make(chan error, 1)}
	f.server = &http.Server{
		Handler:           f,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute, // above the sidecar's, which thus never meets a closing connection
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := f.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			f.failed <- fmt.Errorf("demo: the sample function stopped: %w", err)
		}
	}()
	return f, nil
}

// Addr is where the function listens.
func (f *Function) Addr() string { return f.listener.Addr().String() }

// Close ends the function and whatever it still runs.
func (f *Function) Close() error { return f.server.Close() }

// ServeHTTP runs one call. Its books open and close inside the handler, hence
// before the last byte of the response can be on its way: whoever has seen the
// response finds the call closed.
func (f *Function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.count(+1)
	defer f.count(-1)
	id := r.Header.Get("X-Call-Id")
	f.note(f.begun, id)
	took := f.duration(rand.Float64(), rand.Float64())
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	f.note(f.byID, id)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "worked for %v\n", took.Round(time.Millisecond)) // a caller that left cannot be told
}

// longestFactor is the function's longest duration, by the mean.
const longestFactor = 10

// duration is drawn with two numbers from 0 to 1: four of five calls take a
// quarter to three quarters of the mean, most others one to two times, one of
// twenty five to ten times.
func (f *Function) duration(which, where float64) time.Duration {
	least, most := 0.25, 0.75
	switch {
	case which >= 0.95:
		least, most = 5, longestFactor
	case which >= 0.8:
		least, most = 1, 2
	}
	return time.Duration((least + where*(most-least)) * float64(f.mean))
}

func (f *Function) count(by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.busy += time.Duration(f.n) * now.Sub(f.at)
	f.at = now
	f.n += by
	f.max = max(f.max, f.n)
	if by < 0 {
		f.calls++
	}
}

// note counts an asynchronous call; others have no id.
func (f *Function) note(in map[string]int, id string) {
	if id == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	in[id]++
}

// ran tells how often each asynchronous call has begun, and ended.
func (f *Function) ran() (begun, ended map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.begun), maps.Clone(f.byID)
}

// books is what the function counted by itself.
type books struct {
	running int
	most    int     // running at once, ever
	seconds float64 // integral of running over time, in call-seconds
	calls   uint64  // that have ended
}

func (f *Function) books() books {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.busy += time.Duration(f.n) * now.Sub(f.at)
	f.at = now
	return books{running: f.n, most: f.max, seconds: f.busy.Seconds(), calls: f.calls}
}
