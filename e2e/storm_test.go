package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The storm: many requests of every kind that ends badly, at once, against few
// slots.
const (
	stormLimit   = 16
	stormActors  = 56 // HTTP/1.1, one request at a time each
	stormActors2 = 4  // HTTP/2, a batch of streams at a time each
)

// stormSize is how many requests there are against weir's own engine; Go's gets a
// quarter of them.
func stormSize(t testing.TB) int {
	if v := os.Getenv("WEIR_STORM"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 40_000 {
			t.Fatalf("WEIR_STORM=%q is no number of requests of at least 40000", v)
		}
		return n
	}
	if testing.Short() || raceEnabled {
		return 40_000
	}
	return 100_000
}

func TestNothingIsInFlightAfterAStorm(t *testing.T) {
	size := stormSize(t)
	eachEngine(t, func(t *testing.T, engine string) {
		if engine != "--http-engine=own" {
			size /= 4
		}
		testStorm(t, size, engine)
	})
}

func testStorm(t *testing.T, size int, engine string) {
	f := newStormFunction(t, stormLimit)
	config := configFile(t, `
limits:
  max_inflight: `+strconv.Itoa(stormLimit)+`
  queue_depth: 2
  queue_timeout: 5ms
upstream:
  idle_timeout: 1s
routes:
  - path: /wait
    overflow: wait
  - path: /hang
    timeout: 30ms
  - path: /hang-late
    timeout: 30ms
`)
	w := start(t, "--upstream=http://"+f.addr, "--config="+config, engine)
	w.awaitReady(t)
	before := w.scrape(t)

	s := &storm{addr: w.data, left: new(atomic.Int64), outcomes: map[string]int{}}
	s.left.Store(int64(size))
	began := time.Now()
	var wg sync.WaitGroup
	for i := range uint64(stormActors) {
		wg.Go(func() { (&actor{storm: s, rng: rand.New(rand.NewPCG(1, i)), outcomes: map[string]int{}}).run() })
	}
	for i := range uint64(stormActors2) {
		wg.Go(func() { (&actor2{storm: s, rng: rand.New(rand.NewPCG(2, i)), outcomes: map[string]int{}}).run() })
	}
	wg.Wait()
	took := time.Since(began)

	// Every request that reached weir is in one account, and in no other.
	eventually(t, "an account of every request", func() (bool, string) {
		now := w.scrape(t)
		counted := now.total(t, "weir_requests_total") + now.total(t, "weir_throttles_total")
		return counted == float64(s.heads), fmt.Sprintf("weir accounts for %.0f requests, %d were sent", counted, s.heads)
	})
	w.awaitQuiet(t)
	after := w.scrape(t)
	reached, highest, handlers := f.counts()
	t.Logf("%d requests in %.1f s (%.0f a second); requests by origin %v, by class %v; throttles %v; %d reached the function",
		s.heads, took.Seconds(), float64(s.heads)/took.Seconds(), after.by(t, "weir_requests_total", "origin"),
		after.by(t, "weir_requests_total", "code_class"), after.by(t, "weir_throttles_total", "reason"), reached)
	t.Logf("the function saw at most %d requests at once, and at most %d handlers, some of requests that had been given up", highest, handlers)
	if highest > stormLimit {
		t.Errorf("the function saw %d requests at once, above the limit of %d", highest, stormLimit)
	}
	if high := after.total(t, "weir_inflight_high_water"); took < time.Minute && high != stormLimit {
		t.Errorf("weir's high water is %v, want %d", high, stormLimit)
	}
	s.judge(t, after)
	if status := newClients(t).get(context.Background(), "http://"+w.data+"/ok"); status != http.StatusOK {
		t.Errorf("the first request after the storm: %d, want 200", status)
	}
	mustBeAsBefore(t, w, before)
}

// judge asserts that everything happened that was meant to, and nothing else.
func (s *storm) judge(t *testing.T, after *scrape) {
	for _, o := range slices.Sorted(maps.Keys(s.outcomes)) {
		t.Logf("%8d %s", s.outcomes[o], o)
	}
	for _, wrong := range s.wrong {
		t.Error(wrong)
	}
	for kind, want := range expectedOutcomes {
		for _, o := range want {
			if s.outcomes[kind+": "+o] == 0 {
				t.Errorf("no request of kind %q ended in %q: the storm is not the one that was meant", kind, o)
			}
		}
	}
	throttles := after.by(t, "weir_throttles_total", "reason")
	for _, reason := range []string{"max_inflight", "queue_full", "queue_timeout"} {
		if throttles[reason] == 0 {
			t.Errorf("no request was refused for %s: the storm is not the one that was meant", reason)
		}
	}
}

// mustBeAsBefore asserts that nothing is left over of what weir has been
// through.
func mustBeAsBefore(t *testing.T, w *weir, before *scrape) {
	var now *scrape
	eventually(t, "goroutines and descriptors as before", func() (bool, string) {
		now = w.scrape(t)
		const more = 8 // for the probe and the scrape that may be under way
		var saw []string
		for _, name := range []string{"go_goroutines", "process_open_fds"} {
			was, is := before.total(t, name), now.total(t, name)
			if is > was+more {
				saw = append(saw, fmt.Sprintf("%s is %v, was %v", name, is, was))
			}
		}
		return saw == nil, strings.Join(saw, ", ")
	})
	const memory = "process_resident_memory_bytes"
	t.Logf("goroutines %v -> %v, descriptors %v -> %v, resident memory %.1f -> %.1f MB",
		before.total(t, "go_goroutines"), now.total(t, "go_goroutines"),
		before.total(t, "process_open_fds"), now.total(t, "process_open_fds"),
		before.total(t, memory)/1e6, now.total(t, memory)/1e6)
	// The race detector remembers every goroutine that there was.
	if grown := now.total(t, memory) - before.total(t, memory); grown > stormMemory && !raceEnabled {
		t.Errorf("weir has grown by %.1f MB", grown/1e6)
	}
}

// stormMemory is what weir may grow by: buffers of that many connections and the
// garbage collector's slack, whatever the number of requests.
const stormMemory = 64 << 20

// storm is what its actors share.
type storm struct {
	addr string
	left *atomic.Int64 // requests to be made

	mu       sync.Mutex
	heads    int            // complete request heads that were sent
	outcomes map[string]int // by "kind: outcome"
	wrong    []string       // what must not happen, the first few
}

// take takes n requests off what is left; false where nothing was.
func (s *storm) take(n int64) bool { return s.left.Add(-n) > -n }

// report adds an actor's counts.
func (s *storm) report(heads int, outcomes map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads += heads
	for o, n := range outcomes {
		s.outcomes[o] += n
	}
}

func (s *storm) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) < 20 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}
