package e2e

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Synchronous requests that want every slot leave asynchronous calls their least share;
// where nobody else wants one those get no more than their greatest.
func TestSharesHoldUnderLoad(t *testing.T) {
	t.Parallel()
	for _, overflow := range []string{"wait", "reject"} {
		t.Run(overflow, func(t *testing.T) {
			const limit, least, most, calls = 10, 2, 5, 100
			async := newCourse()
			f := newFunction(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Call-Id") != "" {
					async.add(1)
					defer async.add(-1)
				}
				pause(r.Context(), 20*time.Millisecond)
			}))
			w := start(t, "--upstream="+f.url(), "--function=fn", "--async", "--async-dir="+t.TempDir(), "--async-any-filesystem",
				"--max-inflight=10", "--overflow="+overflow, "--queue-depth=1000", "--queue-timeout=60s", "--async-min-share=20", "--async-max-share=50")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var group sync.WaitGroup
			synchronous := &traffic{w: w}
			for range 3 * limit {
				group.Go(func() { synchronous.send(ctx, t, "GET", "/sync", "", nil) })
			}
			eventually(t, "synchronous requests have every slot", func() (bool, string) { return f.running.highest() == limit, "they do not" })
			fill(t, w, calls)
			w.awaitMetric(t, calls, "weir_async_succeeded_total")
			if n := async.highest(); n < least {
				t.Errorf("at most %d asynchronous calls ran at once, their least share is %d", n, least)
			}
			stop()
			group.Wait()
			fill(t, w, calls)
			w.awaitMetric(t, 2*calls, "weir_async_succeeded_total")
			if n := async.highest(); n > most {
				t.Errorf("%d asynchronous calls ran at once, their greatest share is %d", n, most)
			}
			if n := f.running.highest(); n > limit {
				t.Errorf("%d ran at once", n)
			}
			t.Logf("%d calls ran beside %d synchronous requests (%s); at most %d at once", calls, synchronous.count(200), synchronous, async.highest())
		})
	}
}
