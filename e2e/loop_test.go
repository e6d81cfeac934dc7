package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// selfCaller is a function that calls itself through weir, and hands on what it was
// told of the way so far.
type selfCaller struct {
	*function
	mu       sync.Mutex
	runs     int
	statuses map[int]int // that its own calls got
	weir     string      // where it finds itself
	fields   []string    // that it adds, in pairs
}

func newSelfCaller(t testing.TB) *selfCaller {
	f := &selfCaller{statuses: map[int]int{}}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	f.function = newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.runs++
		address, fields := f.weir, f.fields
		f.mu.Unlock()
		again, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+address+"/", nil)
		if err != nil {
			panic(err)
		}
		again.Header.Set("CDN-Loop", r.Header.Get("CDN-Loop"))
		for i := 0; i < len(fields); i += 2 {
			again.Header.Set(fields[i], fields[i+1])
		}
		res, err := client.Do(again)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		f.mu.Lock()
		f.statuses[res.StatusCode]++
		f.mu.Unlock()
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	return f
}

func (f *selfCaller) standBehind(address string, fields ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.weir, f.fields = address, fields
}

func (f *selfCaller) did() (runs int, statuses string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.runs, fmt.Sprint(f.statuses)
}

func TestAFunctionThatCallsItselfIsStopped(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"own", "nethttp"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newSelfCaller(t)
			w := start(t, "--upstream="+f.url(), "--function=fn", "--http-engine="+engine)
			f.standBehind(w.data)
			a := ask(t, w, "POST", "/", "")
			if a.status != http.StatusLoopDetected || !strings.Contains(a.body, `"reason":"loop"`) {
				t.Errorf("got %d %s", a.status, a.body)
			}
			if runs, statuses := f.did(); runs != 16 || statuses != "map[508:16]" {
				t.Errorf("it ran %d times, and got %s", runs, statuses)
			}
			w.awaitMetric(t, 1, "weir_throttles_total", "reason", "loop")
			w.awaitMetric(t, 16, "weir_requests_total")
			w.awaitMetric(t, 0, "weir_inflight_requests")
		})
	}
}

// Each pass is a call of its own, which has ended before the next begins.
func TestAFunctionThatCallsItselfAsynchronouslyIsStopped(t *testing.T) {
	t.Parallel()
	f := newSelfCaller(t)
	w := start(t, "--upstream="+f.url(), "--function=fn", "--async", "--async-dir="+t.TempDir(), "--async-any-filesystem", "--async-attempts=1")
	f.standBehind(w.data, "Prefer", "respond-async")
	accepted(t, ask(t, w, "POST", "/", "", "Prefer", "respond-async"))
	w.awaitMetric(t, 1, "weir_throttles_total", "reason", "loop")
	w.awaitMetric(t, 16, "weir_async_attempts_total")
	w.awaitMetric(t, 0, "weir_async_running")
	w.awaitMetric(t, 0, "weir_inflight_requests")
	// The last of them got 508, which is not tried again.
	if runs, statuses := f.did(); runs != 16 || statuses != "map[202:15 508:1]" {
		t.Errorf("it ran %d times, and got %s", runs, statuses)
	}
	w.awaitMetric(t, 16, "weir_async_enqueued_total")
	w.awaitMetric(t, 15, "weir_async_succeeded_total")
	w.awaitMetric(t, 1, "weir_async_failed_total")
	w.awaitMetric(t, 0, "weir_async_depth")
}
