package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/faults"
)

// Two functions keep their calls on one server. That one's take long leaves the rate at
// which the other's are run unchanged.
func TestSlowCallsOfOneFunctionLeaveAnotherAlone(t *testing.T) {
	t.Parallel()
	calls, rounds := 100, 1
	if proofs() {
		calls, rounds = 3000, 3
	}
	url := faults.StartNATS(t, "").URL
	var gate atomic.Pointer[chan struct{}] // the fast function's calls wait for it
	var done atomic.Int64
	fast := newFunction(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-*gate.Load()
		done.Add(1)
	}))
	var slowFor atomic.Int64 // nanoseconds
	slow := newFunction(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		pause(r.Context(), time.Duration(slowFor.Load()))
	}))
	startOn := func(f *function, name string) *weir {
		return start(t, "--upstream="+f.url(), "--function="+name, "--async", "--nats-url="+url, "--max-inflight=16")
	}
	fastWeir, slowWeir := startOn(fast, "fast"), startOn(slow, "slow")

	rate := func() float64 {
		held := make(chan struct{})
		gate.Store(&held)
		done.Store(0)
		fill(t, fastWeir, calls)
		began := time.Now()
		close(held)
		eventually(t, "the fast function's calls have run", func() (bool, string) {
			n := done.Load()
			return n == int64(calls), fmt.Sprint(n)
		})
		return float64(calls) / time.Since(began).Seconds()
	}
	rate() // connections are made, files are there
	var alone, beside []float64
	for range rounds {
		alone = append(alone, rate())
		slowFor.Store(int64(time.Second))
		fill(t, slowWeir, 400) // 25 s of them
		eventually(t, "slow calls run", func() (bool, string) { n := slow.running.now(); return n == 16, fmt.Sprint(n) })
		beside = append(beside, rate())
		if n := slow.running.now(); n == 0 {
			t.Error("no slow call ran any more: nothing was shown")
		}
		slowFor.Store(0)
		eventually(t, "the slow calls have run", func() (bool, string) {
			n := slowWeir.scrape(t).total(t, "weir_async_depth") + float64(slow.running.now())
			return n == 0, fmt.Sprint(n)
		})
	}
	slices.Sort(alone)
	slices.Sort(beside)
	ratio := beside[len(beside)/2] / alone[len(alone)/2]
	t.Logf("%d calls: %.0f a second alone, %.0f beside slow ones: %.2f (alone %.0f, beside %.0f)",
		calls, alone[len(alone)/2], beside[len(beside)/2], ratio, alone, beside)
	if proofs() && ratio < 0.8 {
		t.Error("slow calls of another function slow it down")
	}
}

// fill has a weir accept calls.
func fill(t *testing.T, w *weir, calls int) {
	t.Helper()
	var group sync.WaitGroup
	next := make(chan struct{})
	for range 32 {
		group.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for range next {
				req, err := http.NewRequest(http.MethodPost, "http://"+w.data+"/", strings.NewReader("x"))
				if err != nil {
					t.Error(err)
					continue
				}
				req.Header.Set("Prefer", "respond-async")
				res, err := client.Do(req)
				if err != nil {
					t.Error(err)
					continue
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusAccepted {
					t.Errorf("got %d", res.StatusCode)
				}
			}
		})
	}
	for range calls {
		next <- struct{}{}
	}
	close(next)
	group.Wait()
}
