package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Calls that are due at times of their own start then, and not before, also where weir
// is restarted in between.
func TestDeferredCallsStartAtTheirTime(t *testing.T) {
	t.Parallel()
	calls, within, from := 200, 3, 2*time.Second
	if proofs() {
		calls, within, from = 10_000, 60, 0
	}
	var mu sync.Mutex
	late := map[string]time.Duration{} // by id, how long after its time it started
	due := map[string]time.Time{}      // by the caller's name for it
	var twice, early int
	f := newFunction(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("X-Call-Id")
		if _, ok := late[id]; ok {
			twice++
		}
		late[id] = now.Sub(due[r.URL.Path])
		if late[id] < 0 {
			early++
		}
	}))
	dir := t.TempDir()
	args := []string{"--upstream=" + f.url(), "--function=fn", "--async", "--async-dir=" + dir, "--async-any-filesystem", "--max-inflight=100"}
	w := start(t, args...)
	// A delay counts from the acceptance; here from before the request, which is earlier.
	began := time.Now()
	var group sync.WaitGroup
	next := make(chan int)
	for range 32 {
		group.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := range next {
				name := fmt.Sprint("/", i)
				delay := from + time.Duration(rand.N(within*1000))*time.Millisecond
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+w.data+name, strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Prefer", "respond-async")
				req.Header.Set("Weir-Delay", delay.String())
				mu.Lock()
				due[name] = time.Now().Add(delay)
				mu.Unlock()
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusAccepted {
					t.Errorf("got %d", res.StatusCode)
					return
				}
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	group.Wait()
	accepted := time.Since(began)
	started := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(late)
	}
	// Restarted in the middle.
	eventually(t, "some have started", func() (bool, string) { n := started(); return n >= calls/4, fmt.Sprint(n) })
	stopped := time.Now()
	w.signal(t, syscall.SIGTERM)
	if code := w.wait(t); code != 0 {
		t.Fatalf("weir ended with code %d", code)
	}
	before := started()
	w = start(t, args...)
	restart := time.Since(stopped)
	for deadline := time.Now().Add(time.Duration(within)*time.Second + patience); started() < calls; pause(t.Context(), 10*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d calls started", started(), calls)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	var all []time.Duration
	for _, d := range late {
		all = append(all, d)
	}
	slices.Sort(all)
	if early > 0 {
		t.Errorf("%d calls started before their time", early)
	}
	if twice > 0 {
		t.Errorf("%d calls started twice", twice)
	}
	t.Logf("%d calls, accepted in %v; %d had started before a restart that took %v; after their time they started by %v (median), %v (99 of 100), %v (the last)",
		calls, accepted.Round(time.Millisecond), before, restart.Round(time.Millisecond),
		all[len(all)/2].Round(time.Millisecond), all[len(all)*99/100].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
	if proofs() && all[len(all)-1] > time.Second {
		t.Error("that is more than a second")
	}
}
