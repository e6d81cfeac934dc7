// Package rate decides whether one more call fits a rate.
//
// It is the generic cell rate algorithm (ITU-T I.371, as virtual scheduling): one
// number, the theoretical arrival time, says all there is to know of the past. It
// needs no lock, no timer and no memory but that number, and is exact: in any
// stretch of time at most Burst calls beyond what the rate allows get through.
package rate

import (
	"sync/atomic"
	"time"
)

// Limit is a number of calls in a period. The zero value allows everything.
type Limit struct {
	Calls  int
	Period time.Duration
	// Burst is how many may come at once; 0 is Calls.
	Burst int
}

// Off reports whether the limit allows everything.
func (l Limit) Off() bool { return l.Calls == 0 }

func (l Limit) interval() time.Duration { return max(l.Period/time.Duration(l.Calls), 1) }

func (l Limit) burst() int {
	if l.Burst == 0 {
		return l.Calls
	}
	return l.Burst
}

// MostCalls bounds Calls and Burst, so that an interval is not lost in rounding.
const MostCalls = 10_000_000

// Meter holds how much of a limit has been used. The zero value has used nothing.
// It is safe for concurrent use.
type Meter struct{ tat atomic.Int64 }

// Take uses the limit for one call at a moment, or says how long until it could,
// and leaves the meter as it is.
func (m *Meter) Take(l Limit, now time.Duration) (wait time.Duration, ok bool) {
	interval := l.interval()
	room := interval * time.Duration(l.burst())
	for {
		tat := m.tat.Load()
		next := max(time.Duration(tat), now) + interval
		if over := next - now - room; over > 0 {
			return over, false
		}
		if m.tat.CompareAndSwap(tat, int64(next)) {
			return 0, true
		}
	}
}

// Return undoes a Take.
func (m *Meter) Return(l Limit) { m.tat.Add(-int64(l.interval())) }

// Remaining is how many calls would be let in at a moment, one after the other.
func (m *Meter) Remaining(l Limit, now time.Duration) int {
	used := max(time.Duration(m.tat.Load())-now, 0)
	return max(l.burst()-int((used+l.interval()-1)/l.interval()), 0)
}
