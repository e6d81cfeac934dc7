package limits

import "time"

// pace is how fast the line moves, as far as it is known.
type pace struct {
	now time.Duration
	// mean is the duration of recent calls, 0 where none has ended; age the mean age
	// of those running where that is more, for a function that hangs or starts cold is
	// slow before anything has ended; residual how long those running can be expected
	// to go on.
	mean, age, residual time.Duration
	// direct is the part of recent calls that found a free slot.
	direct float64
	// limit is the number of slots, at least 1.
	limit   int
	timeout time.Duration // of the queue; 0 is none
	strict  bool          // first come, first served, whatever happens
}

// A line that has not been empty for an interval, and whose head has waited for half
// of one, is under pressure. Then the newest is served first, for it is the one
// whose client is still there, and whoever has waited longer than sojourn is
// refused. Source: CoDel (RFC 8289) and adaptive LIFO in the form of B. Maurer,
// "Fail at Scale" (ACM Queue, 2015).
//
// Its fixed 100 ms and 5 ms are for a service of some milliseconds; here both follow
// the measured duration. In ten mean durations as many calls are served as the
// default depth of the queue holds: a burst that fits the queue is no pressure. And
// a line needs a few calls in it to have one whenever a slot comes free, which
// happens limit times in a mean duration: five, for each caller that waits.
const (
	pressureMeans     = 10
	pressureResiduals = 6 // where durations are that uneven, slots come free in bursts
	pressureLeast     = 100 * time.Millisecond
	sojournSlots      = 5
	sojournLeast      = 5 * time.Millisecond
	spareDirect       = 0.25 // of the calls
	// longestMean keeps products with the greatest depth within a Duration.
	longestMean = 10 * time.Minute
)

func (p *pace) interval() time.Duration {
	return p.cap(max(pressureMeans*p.age, pressureResiduals*p.residual, pressureLeast))
}

func (p *pace) sojourn(flows int) time.Duration {
	return p.cap(max(p.residual*time.Duration(sojournSlots*flows)/time.Duration(p.limit), sojournLeast))
}

func (p *pace) cap(d time.Duration) time.Duration {
	if p.timeout > 0 {
		return min(d, p.timeout)
	}
	return d
}

// pressed reports whether the flow is under pressure.
//
// It stays so although its line runs empty now and then by chance, as it must with
// so few in it, until there is capacity to spare: a slot went to a lower level, part
// of all calls find a free one, or the line was empty for longer than its calls may
// wait. Else a line near its capacity, which is long at times and yet drains, would
// never find out of it.
func (l *line) pressed(f *flow, level int, p *pace) bool {
	if p.strict || f.length == 0 {
		return false
	}
	spare := p.direct > spareDirect
	if f.pressed {
		f.pressed = !spare && l.lanes[level].spared <= f.pressedAt
	} else if !spare {
		interval := p.interval()
		f.pressed = p.now-f.since > interval && p.now-f.head.since > interval/2
		f.pressedAt = p.now
	}
	return f.pressed
}
