package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/limits"
)

// queueStandIn does what a sidecar does with asynchronous calls, with the real gate, but
// keeps them in memory.
type queueStandIn struct {
	gate     *limits.Gate
	function *Function
	running  sync.WaitGroup
	numbers  atomic.Uint64
	failed   chan error

	enqueued, waiting, inflight, ended atomic.Int64

	// corrupt is asked how often the n-th call runs; nil is once. Below zero the call
	// is refused.
	corrupt func(n uint64) int
}

func (s *queueStandIn) state(context.Context) QueueState {
	return QueueState{
		Done: int(s.ended.Load()), Running: int(s.inflight.Load()), Waiting: int(s.waiting.Load()), Accepted: int(s.enqueued.Load()),
	}
}

func (s *queueStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, times := s.numbers.Add(1), 1
	if s.corrupt != nil {
		times = s.corrupt(n)
	}
	if times < 0 || r.Header.Get("Prefer") != "respond-async" {
		w.Header().Set("Proxy-Status", "weir; error=proxy_internal_error")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	id := fmt.Sprintf("call-%06d", n)
	s.enqueued.Add(1)
	s.waiting.Add(1)
	s.running.Go(func() { s.run(id, times) })
	w.Header().Set("X-Call-Id", id)
	w.WriteHeader(http.StatusAccepted)
}

func (s *queueStandIn) run(id string, times int) {
	var slot limits.Slot
	if err := s.gate.Enter(context.Background(), &limits.Call{Overflow: limits.OverflowWait}, &slot); err != nil {
		panic(err)
	}
	s.waiting.Add(-1)
	s.inflight.Add(1)
	for range times {
		r := httptest.NewRequest(http.MethodPost, "/orders", nil)
		r.Header.Set("X-Call-Id", id)
		s.function.ServeHTTP(httptest.NewRecorder(), r)
	}
	s.inflight.Add(-1)
	slot.Leave(limits.Succeeded)
	s.ended.Add(1)
}

func mustSpike(t *testing.T, maxInflight int, length time.Duration) Spike {
	t.Helper()
	s, err := NewSpike(maxInflight, length)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stageSpike sets up everything but the traffic. limit is the gate's, which may differ
// from the scenario's.
func stageSpike(t *testing.T, spike Spike, limit int, out *bytes.Buffer) (*queueStandIn, SpikeOptions) {
	t.Helper()
	gate, err := limits.NewGate(limits.Policy{MaxInflight: limit, QueueDepth: 10_000, QueueTimeout: time.Minute, StrictQueue: true})
	if err != nil {
		t.Fatal(err)
	}
	function, err := StartFunction(spike.MeanDuration, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = function.Close() })
	s := &queueStandIn{gate: gate, function: function, failed: make(chan error, 1)}
	server := httptest.NewServer(s)
	t.Cleanup(func() { server.Close(); s.running.Wait() })
	return s, SpikeOptions{
		Spike: spike, Function: function, Stop: make(chan struct{}), Screen: Screen{Out: out},
		Addr: server.Listener.Addr().String(), MetricsURL: "http://metrics", PageURL: "http://page",
		Queue: s.state, Failed: s.failed,
	}
}

func TestSpikeEndsOnceAllHasRun(t *testing.T) {
	var out bytes.Buffer
	_, o := stageSpike(t, mustSpike(t, 8, time.Second), 8, &out)
	s, err := RunSpike(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if broken := s.Broken(); broken != nil {
		t.Errorf("broken: %q", broken)
	}
	if once, _, _, _ := s.ledger(); once != o.Spike.Calls || s.mostWaiting == 0 || s.cut {
		t.Errorf("%d of %d ran once, at most %d waited, cut %v", once, o.Spike.Calls, s.mostWaiting, s.cut)
	}
}

// The check can fail: a queue that does other things than it says.
func TestSpikeFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   int
		corrupt func(n uint64) int
		want    string
	}{
		{"a call lost", 8, func(n uint64) int { return min(int(n)-1, 1) }, "1 of 80 accepted calls did not run"},
		{"a call run twice", 8, func(n uint64) int { return max(3-int(n), 1) }, "1 calls ran more than once"},
		{"calls refused", 8, func(uint64) int { return -1 }, "503 Service Unavailable"},
		{"a limit that does not hold", 32, nil, "at once; the limit is 8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			sidecar, o := stageSpike(t, mustSpike(t, 8, time.Second), c.limit, &out)
			sidecar.corrupt = c.corrupt
			s, err := RunSpike(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if broken := strings.Join(s.Broken(), "\n"); !strings.Contains(broken, c.want) {
				t.Errorf("broken: %q, want %q", broken, c.want)
			}
		})
	}
}

// Stop ends the traffic; what was accepted runs.
func TestStoppingASpikeRunsWhatWasAccepted(t *testing.T) {
	var out bytes.Buffer
	sidecar, o := stageSpike(t, mustSpike(t, 8, time.Minute), 8, &out)
	stop := make(chan struct{})
	o.Stop = stop
	go func() {
		for sidecar.enqueued.Load() < 5 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond) // a poll
		}
		close(stop)
	}()
	s, err := RunSpike(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	once, _, _, _ := s.ledger()
	if broken := s.Broken(); broken != nil || s.cut || once < 5 || once == o.Spike.Calls {
		t.Errorf("broken %q, cut %v, ran %d", broken, s.cut, once)
	}
}

// The end of the context does not wait for what was accepted.
func TestTheContextsEndCutsASpikeOff(t *testing.T) {
	var out bytes.Buffer
	sidecar, o := stageSpike(t, mustSpike(t, 1, time.Minute), 1, &out)
	ctx, cancel := context.WithCancel(t.Context())
	sidecar.corrupt = func(n uint64) int {
		if n == 2 {
			cancel()
		}
		return 1
	}
	s, err := RunSpike(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if broken := s.Broken(); broken != nil || !s.cut {
		t.Errorf("broken %q, cut %v", broken, s.cut)
	}
}

func TestFailuresEndASpike(t *testing.T) {
	gone := errors.New("port gone")
	for _, c := range []struct {
		name  string
		spoil func(*queueStandIn, *SpikeOptions)
		want  string
	}{
		{"sidecar stops", func(s *queueStandIn, _ *SpikeOptions) { s.failed <- gone }, "port gone"},
		{"function stops", func(s *queueStandIn, _ *SpikeOptions) { s.function.failed <- gone }, "port gone"},
		{"output gone", func(_ *queueStandIn, o *SpikeOptions) { o.Screen.Out = brokenWriter{} }, "writing to the output"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			sidecar, o := stageSpike(t, mustSpike(t, 8, time.Minute), 8, &out)
			c.spoil(sidecar, &o)
			s, err := RunSpike(t.Context(), o)
			if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("summary %v, error %v; want none and %q", s, err, c.want)
			}
		})
	}
}
