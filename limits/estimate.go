package limits

import (
	"math"
	"sync"
	"time"
)

// estimate is the mean duration of recent calls, for Retry-After and the pace of
// the queue. It is refreshed when someone asks, not by those who pay for the hot
// path.
type estimate struct {
	mu    sync.Mutex
	at    time.Duration
	last  reading
	mean  time.Duration // of those that ended, exponentially weighted
	value time.Duration // the mean, or the mean age in flight if that is more
	// square is the mean of the squares of those that ended, in seconds squared,
	// weighted as mean is.
	square float64

	// direct is the part of those that entered that found a free slot, up to a moment
	// when so many had entered, and so many of them been granted a slot in line.
	direct           float64
	directAt         time.Duration
	entered, granted uint64
}

const (
	estimateEvery    = 100 * time.Millisecond
	estimateConstant = 10 * time.Second // weight of the past falls to 1/e in this time
	directWeight     = 3                // so that a sudden overload is known for one after an interval
)

// duration returns the estimate, refreshed if it is old. Calls that have been
// running for longer than the finished ones took tell of the duration too.
func (e *estimate) duration(m *meter, clock func() time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refresh(m, clock)
	return e.value
}

// pace is what the line needs to know, given how many have been granted a slot
// that they waited for: the mean of those that ended alone, 0 if none has; what
// duration returns; how long one that is looked at while it runs can be expected to
// go on: E[S²]/2E[S], the mean for exponential durations and more for less even
// ones, by which waiting times grow with the unevenness of service (Pollaczek and
// Khinchine); and which part of the calls found a free slot.
func (e *estimate) pace(m *meter, clock func() time.Duration, granted uint64) (ended, value, residual time.Duration, direct float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refresh(m, clock)
	residual = e.value
	if e.mean > 0 {
		residual = max(residual, seconds(e.square/2/e.mean.Seconds()))
	}
	if entered := e.last.ended + uint64(max(e.last.inflight, 0)); entered > e.entered {
		found := 1 - min(float64(granted-e.granted)/float64(entered-e.entered), 1)
		past := math.Exp(-directWeight * (e.at - e.directAt).Seconds() / max(pressureMeans*e.value, pressureLeast).Seconds())
		e.direct = past*e.direct + (1-past)*found
		e.entered, e.granted, e.directAt = entered, granted, e.at
	}
	return e.mean, e.value, residual, e.direct
}

func (e *estimate) refresh(m *meter, clock func() time.Duration) {
	now := clock()
	if e.value != 0 && now-e.at < estimateEvery {
		return
	}
	r := m.read(clock)
	if ended := r.ended - e.last.ended; ended > 0 {
		recent := (r.done - e.last.done) / float64(ended)
		square := (r.squares - e.last.squares) / float64(ended)
		past := 0.0
		if e.mean > 0 {
			past = math.Exp(-(now - e.at).Seconds() / estimateConstant.Seconds())
		}
		e.mean = seconds(past*e.mean.Seconds() + (1-past)*recent)
		e.square = past*e.square + (1-past)*square
	}
	e.value = max(e.mean, time.Nanosecond)
	if r.inflight > 0 {
		e.value = max(e.value, seconds((r.integral-r.done)/float64(r.inflight)))
	}
	e.at, e.last = now, r
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
