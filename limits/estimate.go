package limits

import (
	"math"
	"sync"
	"time"
)

// estimate is the mean duration of recent calls, for Retry-After only. It is
// refreshed when someone asks, not by those who pay for the hot path.
type estimate struct {
	mu    sync.Mutex
	at    time.Duration
	last  reading
	mean  time.Duration // of those that ended, exponentially weighted
	value time.Duration // the mean, or the mean age in flight if that is more
}

const (
	estimateEvery    = 100 * time.Millisecond
	estimateConstant = 10 * time.Second // weight of the past falls to 1/e in this time
)

// duration returns the estimate, refreshed if it is old. Calls that have been
// running for longer than the finished ones took tell of the duration too.
func (e *estimate) duration(m *meter, clock func() time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := clock()
	if e.value != 0 && now-e.at < estimateEvery {
		return e.value
	}
	r := m.read(clock)
	if ended := r.ended - e.last.ended; ended > 0 {
		recent := (r.done - e.last.done) / float64(ended)
		if e.mean == 0 {
			e.mean = seconds(recent)
		} else {
			past := math.Exp(-(now - e.at).Seconds() / estimateConstant.Seconds())
			e.mean = seconds(past*e.mean.Seconds() + (1-past)*recent)
		}
	}
	e.value = max(e.mean, time.Nanosecond)
	if r.inflight > 0 {
		e.value = max(e.value, seconds((r.integral-r.done)/float64(r.inflight)))
	}
	e.at, e.last = now, r
	return e.value
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
