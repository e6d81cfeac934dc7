package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// clients sends requests and counts what becomes of them.
type clients struct {
	http *http.Client
	// running is how many requests are on their way, from before one is sent
	// until the whole of its answer is there.
	running *course

	mu       sync.Mutex
	answers  map[int]*course // by status, counted when an answer is complete
	failures []error         // where there was none
}

func newClients(t testing.TB) *clients {
	transport := &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1000, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &clients{
		http:    &http.Client{Transport: transport},
		running: newCourse(),
		answers: map[int]*course{},
	}
}

// get sends one request and counts its outcome. The status is 0 where there was
// no answer.
func (c *clients) get(ctx context.Context, url string) (status int) {
	c.running.add(1)
	status, err := c.fetch(ctx, url)
	c.running.add(-1)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failures = append(c.failures, err)
		return 0
	}
	c.answered(status).add(1)
	return status
}

func (c *clients) fetch(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}

// answered is the count of answers with the status over time.
func (c *clients) answered(status int) *course {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[status]
	if a == nil {
		a = newCourse()
		c.answers[status] = a
	}
	return a
}

// mustOnly fails the test where there were failures or other answers.
func (c *clients) mustOnly(t testing.TB, statuses ...int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.failures); n > 0 {
		t.Errorf("%d requests failed, the first with: %v", n, c.failures[0])
	}
	for _, status := range slices.Sorted(maps.Keys(c.answers)) {
		if !slices.Contains(statuses, status) && c.answers[status].now() > 0 {
			t.Errorf("%d answers have status %d, want only %v", c.answers[status].now(), status, statuses)
		}
	}
}

// load is a number of clients that each send one request after the other.
type load struct {
	stopped chan struct{}
	wg      sync.WaitGroup
	once    sync.Once
}

// keep starts as many workers; each sends request(its number, count of requests
// before) and then thinks for as long as think says of the answer. They are
// stopped when the test is over.
func (c *clients) keep(t testing.TB, workers int, request func(worker, n int) string, think func(status int) time.Duration) *load {
	l := &load{stopped: make(chan struct{})}
	for worker := range workers {
		l.wg.Go(func() {
			for n := 0; !l.over(); n++ {
				status := c.get(context.Background(), request(worker, n))
				if think == nil {
					continue
				}
				timer := time.NewTimer(think(status))
				select {
				case <-timer.C:
				case <-l.stopped:
				}
				timer.Stop()
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) over() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// stop lets each worker finish its request, and waits for that.
func (l *load) stop() {
	l.once.Do(func() { close(l.stopped) })
	l.wg.Wait()
}

// callFor makes requests of a function that takes as long as asked, in turn.
func callFor(w *weir, times ...time.Duration) func(worker, n int) string {
	urls := make([]string, len(times))
	for i, d := range times {
		urls[i] = fmt.Sprintf("http://%s/?for=%v", w.data, d)
	}
	return func(worker, n int) string { return urls[(worker+n)%len(urls)] }
}
