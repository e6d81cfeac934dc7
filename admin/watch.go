package admin

import (
	"context"
	"math"
	"sync"
	"time"

	"weir/admin/api"
	"weir/limits"
	"weir/metrics"
)

// watch takes a sample each second, keeps those of the last ten minutes, and
// wakes those who follow.
type watch struct {
	gate   func() limits.Snapshot
	totals func() metrics.Totals

	mu      sync.Mutex
	samples [api.HistoryLength]api.Sample // a ring; number n is at (n-1) % length
	last    uint64                        // sequence of the last one, 0 for none
	changed chan struct{}                 // closed at the next sample
	ended   bool
	clients int

	// Of the moment of the last sample; used by run alone.
	at     time.Time
	before reading
}

// reading is what the difference of two of makes a sample.
type reading struct {
	gate   limits.Snapshot
	totals metrics.Totals
}

// maxWatchers bounds the clients that follow events: each is a connection and a
// goroutine that a sidecar has to carry.
const maxWatchers = 16

func newWatch(gate func() limits.Snapshot, totals func() metrics.Totals) *watch {
	w := &watch{gate: gate, totals: totals, changed: make(chan struct{})}
	w.at, w.before = time.Now(), reading{gate(), totals()}
	return w
}

// run takes samples until ctx ends; then those who follow are told so.
func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.sample()
		case <-ctx.Done():
			w.mu.Lock()
			w.ended = true
			close(w.changed)
			w.mu.Unlock()
			return
		}
	}
}

// noThrottles stands for all samples that refused nobody. It is never written to.
var noThrottles = map[string]uint64{}

// sample adds what happened since the last one.
func (w *watch) sample() {
	now, r := time.Now(), reading{w.gate(), w.totals()}
	s := api.Sample{
		Time: now.UTC(), Seconds: api.Thousandth(now.Sub(w.at).Seconds()),
		Inflight: r.gate.Inflight, Waiting: r.gate.Waiting, Limit: r.gate.Limit,
		Concurrency: api.Thousandth((r.gate.ConcurrencySeconds - w.before.gate.ConcurrencySeconds) / now.Sub(w.at).Seconds()),
		Ended:       r.totals.Requests - w.before.totals.Requests,
		Failed:      r.totals.ByCodeClass["5xx"] - w.before.totals.ByCodeClass["5xx"],
		Throttled:   noThrottles,
	}
	for reason, n := range r.totals.Throttles {
		if n -= w.before.totals.Throttles[reason]; n > 0 {
			if len(s.Throttled) == 0 {
				s.Throttled = map[string]uint64{}
			}
			s.Throttled[string(reason)] = n
		}
	}
	durations, ok := r.totals.Duration.Since(w.before.totals.Duration)
	if !ok {
		durations = metrics.Distribution{}
	}
	s.P50, s.P95, s.P99 = api.Seconds(durations.Quantile(0.5)), api.Seconds(durations.Quantile(0.95)), api.Seconds(durations.Quantile(0.99))
	w.at, w.before = now, r

	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	s.Sequence = w.last
	w.samples[(w.last-1)%api.HistoryLength] = s
	close(w.changed)
	w.changed = make(chan struct{})
}

// latest gives the last sample; before the first, one of nothing.
func (w *watch) latest() api.Sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == 0 {
		nan := api.Seconds(math.NaN())
		return api.Sample{Time: time.Now().UTC(), Throttled: noThrottles, P50: nan, P95: nan, P99: nan}
	}
	return w.samples[(w.last-1)%api.HistoryLength]
}

// history gives all samples that are kept.
func (w *watch) history() *api.History {
	w.mu.Lock()
	kept := min(w.last, api.HistoryLength)
	samples := make([]api.Sample, 0, kept)
	for n := w.last - kept; n < w.last; n++ {
		samples = append(samples, w.samples[n%api.HistoryLength])
	}
	w.mu.Unlock()
	return api.NewHistory(samples) // what samples point to is never written to
}

// next gives a channel that is closed at the next sample; ended is true where
// there will be none.
func (w *watch) next() (changed <-chan struct{}, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed, w.ended
}

// join counts in one who follows, or says why not. leave counts out again.
func (w *watch) join() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
		return api.ErrEnding
	case w.clients >= maxWatchers:
		return api.ErrTooManyWatchers
	}
	w.clients++
	return nil
}

func (w *watch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clients--
}

// throttles gives totals with plain keys.
func throttles(t map[limits.Reason]uint64) map[string]uint64 {
	plain := make(map[string]uint64, len(t))
	for reason, n := range t {
		plain[string(reason)] = n
	}
	return plain
}
