package demo

import (
	"io"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestFunctionDurationsHaveTheirMean(t *testing.T) {
	f := &Function{mean: 100 * time.Millisecond}
	const steps = 1000
	var sum, longest time.Duration
	for i := range steps {
		for j := range steps {
			d := f.duration((float64(i)+0.5)/steps, (float64(j)+0.5)/steps)
			sum += d
			longest = max(longest, d)
		}
	}
	if mean := sum / (steps * steps); math.Abs(mean.Seconds()-0.1) > 1e-6 {
		t.Errorf("mean %v, want 100ms", mean)
	}
	if longest > longestFactor*f.mean {
		t.Errorf("longest %v, want at most %v", longest, longestFactor*f.mean)
	}
}

func TestFunctionCountsItsOwnConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Function{at: time.Now()}
		after := func(d time.Duration, by int) {
			time.Sleep(d)
			f.count(by)
		}
		after(5*time.Second, +1)
		after(1*time.Second, +1) // one for 1 s
		after(2*time.Second, +1) // two for 2 s
		after(500*time.Millisecond, -1)
		after(1*time.Second, -1)
		time.Sleep(4 * time.Second)
		want := books{running: 1, most: 3, seconds: 1 + 4 + 1.5 + 2 + 4, calls: 2}
		if got := f.books(); got != want {
			t.Errorf("books %+v, want %+v", got, want)
		}
		f.count(-1)
		time.Sleep(time.Hour) // with nothing running adds nothing
		want = books{most: 3, seconds: want.seconds, calls: 3}
		if got := f.books(); got != want {
			t.Errorf("at the end: books %+v, want %+v", got, want)
		}
	})
}

func TestFunctionServesOverASocket(t *testing.T) {
	f, err := StartFunction(time.Millisecond, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	const n = 40
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			res, err := http.Get("http://" + f.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.ReadAll(res.Body); err != nil {
				t.Error(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("status %s", res.Status)
			}
		})
	}
	wg.Wait()
	// Whoever has the response finds the call closed: no waiting here.
	b := f.books()
	if b.running != 0 || b.calls != n || b.most < 1 || b.most > n || b.seconds < n*0.00025 {
		t.Errorf("books %+v after %d calls of at least 0.25 ms", b, n)
	}
}
