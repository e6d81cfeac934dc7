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
	rate   float64 // of calls that end, a second, of the last second or so

	// direct is the part of those that entered that found a free slot, turned the part
	// of all newcomers that were refused for pressure, up to a moment when so many had
	// entered, been granted a slot in line, and been refused so.
	direct, turned               float64
	directAt                     time.Duration
	entered, granted, turnedAway uint64
}

const (
	estimateEvery    = 100 * time.Millisecond
	estimateConstant = 10 * time.Second // weight of the past falls to 1/e in this time
	rateConstant     = time.Second
	directWeight     = 3 // so that a sudden overload is known for one after an interval
)

// duration returns the estimate, refreshed if it is old. Calls that have been
// running for longer than the finished ones took tell of the duration too.
func (e *estimate) duration(m *meter, clock func() time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refresh(m, clock)
	return e.value
}

// pace is what the line needs to know of the past, for a limit and given how many
// have been granted a slot that they waited for, and refused for pressure.
func (e *estimate) pace(m *meter, clock func() time.Duration, limit int, granted, turnedAway uint64) pace {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refresh(m, clock)
	p := pace{mean: min(e.mean, longestMean), age: min(e.value, longestMean), residual: min(e.value, longestMean), limit: limit}
	if e.mean > 0 {
		p.residual = min(max(e.value, seconds(e.square/2/e.mean.Seconds())), longestMean)
		p.drain = p.mean / time.Duration(limit)
		if e.rate > 0 {
			p.drain = min(p.drain, seconds(1/e.rate))
		}
	}
	if entered := e.last.ended + uint64(max(e.last.inflight, 0)); entered > e.entered {
		found := 1 - min(float64(granted-e.granted)/float64(entered-e.entered), 1)
		past := math.Exp(-directWeight * (e.at - e.directAt).Seconds() / max(pressureMeans*e.value, pressureLeast).Seconds())
		e.direct = past*e.direct + (1-past)*found
		refused := float64(turnedAway - e.turnedAway)
		e.turned = past*e.turned + (1-past)*refused/(refused+float64(entered-e.entered))
		e.entered, e.granted, e.turnedAway, e.directAt = entered, granted, turnedAway, e.at
	}
	p.spare = e.direct > spareDirect && e.turned < spareTurned
	return p
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
	if span := (now - e.at).Seconds(); span > 0 {
		past := math.Exp(-span / rateConstant.Seconds())
		e.rate = past*e.rate + (1-past)*float64(r.ended-e.last.ended)/span
	}
	e.value = max(e.mean, time.Nanosecond)
	if r.inflight > 0 {
		e.value = max(e.value, seconds((r.integral-r.done)/float64(r.inflight)))
	}
	e.at, e.last = now, r
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
