package limits

import (
	"math"
	"time"
)

// pace is how fast the line moves, as far as it is known.
type pace struct {
	now time.Duration
	// mean is the duration of recent calls, 0 where none has ended; age the mean age
	// of those running where that is more, for a function that hangs or starts cold is
	// slow before anything has ended.
	mean, age time.Duration
	// residual is how long one that is looked at while it runs can be expected to go
	// on: E[S²]/2E[S], the mean for exponential durations and more for less even ones,
	// by which waiting times grow with the unevenness of service (Pollaczek and
	// Khinchine).
	residual time.Duration
	// drain is the time in which a slot comes free while all are taken, as the mean
	// duration has it or the calls that have just ended, whichever is less; 0 where none
	// has.
	drain time.Duration
	// spare is whether there is capacity to spare: of recent calls many found a free
	// slot, and hardly any had to be refused for pressure.
	spare bool
	// limit is the number of slots, at least 1.
	limit   int
	timeout time.Duration // of the queue; 0 is none
	strict  bool          // first come, first served, whatever happens
}

// takes is the time in which n slots can be expected to come free, takesLeast the
// time that it takes but for one time in twenty.
func (p *pace) takes(n int) time.Duration { return p.drain * time.Duration(n) }

func (p *pace) takesLeast(n int) time.Duration {
	uneven := max(float64(p.residual)/float64(p.mean), 1)
	return time.Duration(float64(p.drain) * (float64(n) - 1.6*uneven*math.Sqrt(float64(n))))
}

// A line that has not been empty for an interval, and whose head has waited for half
// of one, is under pressure: CoDel's test for a queue that stands rather than drains
// (RFC 8289). From then on few may wait, as many as it takes to have one whenever a
// slot comes free, and whoever finds those places taken is refused at once: it would
// wait longer than a line of that length lasts, for a slot that somebody else is
// sure to want. So those refused hear of it first, and those in line are served.
// While more wait than that, because pressure has only just been found or the
// function has stalled, the newest is served first, for it is the one whose client is
// still there, and whoever has waited too long is refused: adaptive LIFO after
// B. Maurer, "Fail at Scale" (ACM Queue, 2015).
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
	staleSojourns     = 3    // five slots hardly ever take that much longer than they should
	spareDirect       = 0.25 // of the calls
	spareTurned       = 0.1
	// longestMean keeps products with the greatest depth within a Duration.
	longestMean = 10 * time.Minute
)

func (p *pace) interval() time.Duration { return p.cap(p.stretch()) }

func (p *pace) stretch() time.Duration {
	return max(pressureMeans*p.age, pressureResiduals*p.residual, pressureLeast)
}

func (p *pace) sojourn(flows int) time.Duration {
	return p.cap(max(p.residual*time.Duration(sojournSlots*flows)/time.Duration(p.limit), sojournLeast))
}

// places is how many of one caller may wait under pressure.
func (p *pace) places() int {
	if p.mean <= 0 {
		return sojournSlots
	}
	return max(int(p.sojourn(1)*time.Duration(p.limit)/p.mean), sojournSlots)
}

// stale is how long one may wait under pressure, beside so many callers.
func (p *pace) stale(flows int) time.Duration {
	return p.cap(max(staleSojourns*p.sojourn(flows), p.interval()/2))
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
// of all calls find a free one and next to none are refused, or the line was empty for longer than its calls may
// wait. Else a line near its capacity, which is long at times and yet drains, would
// never find out of it.
func (l *line) pressed(f *flow, level int, p *pace) bool {
	if p.strict || f.length == 0 {
		return false
	}
	if f.pressed {
		f.pressed = !p.spare && l.lanes[level].spared <= f.pressedAt
	} else if !p.spare {
		interval := p.interval()
		f.pressed = p.now-f.since > interval && p.now-f.head.since > interval/2
		f.pressedAt = p.now
	}
	return f.pressed
}

// crowded reports whether a level is under pressure although none of its callers
// may be: many, each with few in line, together make a line as long. It is to be
// asked whenever the line has changed.
func (l *line) crowded(level int, p *pace) bool {
	lane := &l.lanes[level]
	if p.strict || p.drain == 0 {
		return false
	}
	interval := p.interval()
	if p.takes(lane.length) <= interval/2 {
		lane.short = p.now
	}
	if lane.crowded {
		lane.crowded = !p.spare && lane.spared <= lane.crowdedAt
	} else if !p.spare {
		lane.crowded, lane.crowdedAt = p.now-lane.short > interval, p.now
	}
	return lane.crowded
}

// excess reports whether a newcomer is one too many on a level that is crowded: there
// may be a few in line, beyond that only calls of callers that have used no more than
// others, and never more than are served in a quarter of an interval, or before they
// would have waited as long as they may.
func (l *line) excess(level int, c *caller, p *pace) bool {
	n := l.lanes[level].length
	return n > p.places()/2 && (l.shares.start(c, p) > l.shares.virtual+p.mean/2 || n >= p.places() && p.takes(n) > p.cap(p.stretch()/4))
}

// overtaken is a caller on a crowded level whose oldest call has waited too long,
// because others with less used came before it again and again; nil for none. It
// looks at one caller each time that it is asked, the next one the time after.
func (l *line) overtaken(level int, p *pace) *flow {
	lane := &l.lanes[level]
	lane.looked = (lane.looked + 1) % len(lane.flows)
	if f := lane.flows[lane.looked]; p.now-f.head.since > p.stale(1) {
		return f
	}
	return nil
}
