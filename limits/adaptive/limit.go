package adaptive

import (
	"math"
	"time"
)

// Bounds is where a Limit may go.
type Bounds struct {
	Min, Max int // at least 1
	Initial  int // where it begins; 0 is 20, within the bounds
}

const defaultInitial = 20

// Window is what happened in a stretch of time.
type Window struct {
	Span time.Duration
	// Inflight is the integral of the calls in flight over the window, in
	// call-seconds.
	Inflight float64
	// Ended is the number of calls that ended, Failed those of them that did with a
	// timeout or a 5xx, Full those to which the function answered that it is full.
	Ended, Failed, Full int
	// Change is how many more are in flight at its end than at its beginning.
	Change int
	// Seconds and Squares sum the durations of those that ended, in seconds, and
	// their squares.
	Seconds, Squares float64
	// Limited is the number of calls that found no free slot.
	Limited int
}

// concurrency is the mean number in flight.
func (w *Window) concurrency() float64 { return w.Inflight / w.Span.Seconds() }

// latency is the mean time in the function by Little's law, in seconds. Unlike the
// mean of the durations it tells of this window alone: the calls that end in it
// began under former limits. Those that began and those that ended in it count half
// each.
func (w *Window) latency() float64 {
	return w.Inflight / max(float64(w.Ended)+float64(w.Change)/2, 1)
}

const (
	// WindowLeast is how long a window lasts at least, WindowMost how long where that
	// is enough for leastCalls.
	WindowLeast = 100 * time.Millisecond
	WindowMost  = 700 * time.Millisecond

	leastCalls = 12
	mostCalls  = 400
	// precision is the standard error of a window's mean latency that its number of
	// calls aims at.
	precision = 0.07
)

// mode is what the present window is for.
type mode uint8

const (
	hold  mode = iota
	trial      // of a higher limit
	dip        // to a lower one
)

// Limit finds a limit. It is not safe for concurrent use.
type Limit struct {
	bounds Bounds
	now    time.Duration // sum of all windows
	mode   mode

	limit float64 // outside of trials and dips
	tried float64 // within them

	latency float64 // of the last window, in seconds
	service float64 // S, in seconds; 0 while nothing is known
	weight  float64 // the number of calls that it is the mean of
	// confirmed counts the dips that found S as it was, since one did not.
	confirmed int
	doubted   bool // the last dip found the function much slower
	pool      pool
	cv        float64 // coefficient of variation of durations

	turned    float64 // part of the calls of late that found no slot
	step      float64 // of the next trial
	trialGap  time.Duration
	nextTrial time.Duration
	rejected  bool // the last trial found no gain
	dipGap    time.Duration
	nextDip   time.Duration
	before    point // what the dip is compared with
	shrinks   bool  // the dip is a shrink to be looked at, not a check of S
	shrunk    point // where small shrinks began, with no growth since
}

// point is one measurement.
type point struct{ limit, concurrency, latency, noise float64 }

const (
	firstStep = 1.15
	stepMore  = 1.3
	mostStep  = 1.6

	trialGapLeast = time.Second
	trialGapMost  = 4 * time.Second
	dipGapLeast   = time.Second
	dipGapMost    = 15 * time.Second

	// dipTo is the depth of a dip: deep enough to tell the slope from noise.
	dipTo = 0.65
	// followed is the part of the change in concurrency that latency has to follow,
	// in logarithms, for the calls to be waiting inside.
	followed = 0.5

	mostWeight = 2000 // of S, in calls, so that it can follow slow changes
	mostPooled = 4000 // calls
	// significant is the number of standard errors that is no chance, although it is
	// looked at again and again.
	significant = 3
	likely      = 1.2 // where a mistake costs little
	// heavy is the part of calls that finds no slot, above which the limit may go
	// down: below it, there is next to nothing to gain for the function.
	heavy = 0.1
	// sure is the number of dips that have to confirm S before one alone is not
	// believed to the contrary.
	sure = 3
)

// New makes a Limit at its initial value.
func New(b Bounds) *Limit {
	b.Min = max(b.Min, 1)
	b.Max = max(b.Max, b.Min)
	if b.Initial == 0 {
		b.Initial = defaultInitial
	}
	b.Initial = min(max(b.Initial, b.Min), b.Max)
	return &Limit{
		bounds: b, limit: float64(b.Initial), cv: 1,
		step: mostStep, trialGap: trialGapLeast, dipGap: dipGapLeast,
	}
}

// Bound moves the bounds; the limit goes on from where it is.
func (l *Limit) Bound(b Bounds) {
	l.bounds.Min = max(b.Min, 1)
	l.bounds.Max = max(b.Max, l.bounds.Min)
	l.limit = l.within(l.limit)
}

func (l *Limit) within(x float64) float64 {
	return min(max(x, float64(l.bounds.Min)), float64(l.bounds.Max))
}

// Value is the limit in force.
func (l *Limit) Value() int {
	x := l.limit
	if l.mode != hold {
		x = l.tried
	}
	return int(l.within(math.Round(x)))
}

// Enough reports whether a window of this length with so many ended calls can be
// judged.
func (l *Limit) Enough(span time.Duration, ended int) bool {
	if span < max(WindowLeast, min(time.Duration(2*l.latency*float64(time.Second)), WindowMost)) || ended < leastCalls {
		return false
	}
	need := min(max(l.cv*l.cv/(precision*precision), leastCalls), mostCalls)
	return float64(ended) >= need || span >= WindowMost
}

// Settle is how long to wait after a change of the limit before the next window.
func (l *Limit) Settle() time.Duration {
	return min(time.Duration(1.5*l.latency*float64(time.Second)), WindowMost)
}

// Update takes a window and returns the limit for the next.
func (l *Limit) Update(w Window) int {
	l.now += w.Span
	if w.Ended > 0 && w.Inflight > 0 {
		l.learn(&w)
	}
	return l.Value()
}

func (l *Limit) learn(w *Window) {
	p := point{l.limit, w.concurrency(), w.latency(), l.noise(w)}
	l.latency = p.latency
	was := l.mode
	l.mode = hold
	switch {
	case w.Full > 0:
		l.set(min(l.limit, p.concurrency) * 0.95)
		l.trialFailed(trialGapMost)
		return
	case 10*w.Failed > w.Ended:
		l.set(l.limit * 0.9)
		l.trialFailed(trialGapMost)
		return
	}
	if l.service == 0 {
		l.service, l.weight = p.latency, float64(w.Ended)
	}
	switch was {
	case trial:
		l.judgeTrial(w, p)
	case dip:
		l.judgeDip(w, p)
	case hold:
		l.judgeHold(w, p)
	}
}

// noise is the standard error of the window's latency, relative.
func (l *Limit) noise(w *Window) float64 {
	if w.Seconds > 0 && w.Ended > 1 {
		n := float64(w.Ended)
		mean := w.Seconds / n
		cv := math.Sqrt(max(w.Squares/n-mean*mean, 0)) / mean
		l.cv += (max(cv, 0.2) - l.cv) * min(n/(n+100), 0.5)
	}
	return l.cv / math.Sqrt(float64(w.Ended))
}

// measured takes a latency from below the knee into S. It reports whether it was
// believed: what is far off has to be measured twice.
func (l *Limit) measured(p point, calls int) bool {
	n := float64(calls)
	if p.latency > l.service*(1.2+2*p.noise) && !l.doubted {
		l.doubted = true
		return false
	}
	if l.doubted && p.latency > l.service*(1.2+p.noise) {
		l.service, l.weight = p.latency, n // another function than before
		l.pool = pool{}
	} else {
		l.weight = min(l.weight+n, mostWeight)
		l.service += (p.latency - l.service) * min(n/l.weight, 1)
	}
	l.doubted = false
	return true
}

// pool is what the windows at one limit have measured together.
type pool struct{ inflight, ended, span float64 }

func (q *pool) add(w *Window) {
	if q.ended > mostPooled { // so that it can follow slow changes
		q.inflight, q.ended, q.span = q.inflight/2, q.ended/2, q.span/2
	}
	q.inflight += w.Inflight
	q.ended += max(float64(w.Ended)+float64(w.Change)/2, 1)
	q.span += w.Span.Seconds()
}

func (l *Limit) judgeHold(w *Window, p point) {
	l.turned += (float64(w.Limited)/float64(w.Limited+w.Ended) - l.turned) / 3
	if w.Limited == 0 {
		if p.concurrency < l.limit/2 && p.latency < l.service {
			l.measured(p, w.Ended)
		}
		return
	}
	l.pool.add(w)
	heavily := l.turned > heavy
	queue := p.latency / l.service
	if heavily && queue > 1.25+3*p.noise {
		// Much, at once: what comes of a shrink as large is looked at.
		l.descend(p, max(1/queue, 0.5))
		l.shrinks = true
		return
	}
	latency := l.pool.inflight / l.pool.ended
	noise := l.cv * math.Sqrt(1/l.pool.ended+1/l.weight)
	here := point{l.limit, l.pool.inflight / l.pool.span, latency, noise}
	if l.shrunk.limit > 0 && math.Log(here.concurrency/l.shrunk.concurrency) < -0.3 {
		// Many small shrinks are a large one: latency has to have followed.
		from := l.shrunk
		l.shrunk = point{}
		if !follows(from, here) {
			l.service, l.weight = latency, l.pool.ended
			l.set(from.limit)
			return
		}
	}
	switch queue := latency / l.service; {
	case heavily && queue > 1+max(0.05, significant*noise):
		if l.shrunk.limit == 0 {
			l.shrunk = here
		}
		l.set(l.limit * 1.02 / queue)
	case queue < 1-significant*noise:
		l.service, l.weight = latency, l.pool.ended
	}
	switch {
	case l.now >= l.nextTrial && l.limit < float64(l.bounds.Max) && l.nextTrial <= l.nextDip:
		l.mode, l.tried = trial, l.within(max(l.limit*l.step, l.limit+1))
	case heavily && l.rejected && l.now >= l.nextDip && l.limit >= 1.5:
		l.descend(p, dipTo)
	case l.now >= l.nextTrial && l.limit < float64(l.bounds.Max):
		l.mode, l.tried = trial, l.within(max(l.limit*l.step, l.limit+1))
	}
}

// set moves the limit.
func (l *Limit) set(limit float64) {
	l.limit = l.within(limit)
	l.pool = pool{}
}

// follows reports whether latency went the way of concurrency, from one point to
// another.
func follows(from, to point) bool {
	change := math.Log(to.concurrency / from.concurrency)
	return math.Log(to.latency/from.latency)/change > followed
}

// descend begins a dip.
func (l *Limit) descend(p point, depth float64) {
	p.limit = l.limit
	l.mode, l.before, l.shrinks = dip, p, false
	l.tried = l.within(min(l.limit*depth, math.Ceil(l.limit)-1))
	if l.tried >= l.limit {
		l.mode = hold
	}
}

func (l *Limit) judgeTrial(w *Window, p point) {
	if w.Limited == 0 {
		return // the higher limit was not needed: nothing is known of it
	}
	if p.latency < l.service*math.Pow(l.tried/l.limit, followed) {
		l.set(l.tried)
		l.shrunk = point{}
		l.step = min(l.step*stepMore, mostStep)
		l.rejected = false
		l.trialGap, l.nextTrial = trialGapLeast, l.now
		l.mode, l.tried = trial, l.within(max(l.limit*l.step, l.limit+1))
		if l.tried == l.limit {
			l.mode = hold
		}
		return
	}
	l.trialFailed(l.trialGap)
	l.trialGap = min(l.trialGap*3/2, trialGapMost)
}

// trialFailed lets the limit rest.
func (l *Limit) trialFailed(rest time.Duration) {
	l.step, l.rejected = firstStep, true
	l.nextTrial = l.now + rest
}

// judgeDip looks at what came of a lower limit.
func (l *Limit) judgeDip(w *Window, p point) {
	if p.concurrency > 0.9*l.before.concurrency {
		return // it did not come to it
	}
	if l.shrinks {
		if follows(l.before, p) {
			l.set(l.tried)
			l.trialFailed(0)
			return
		}
	} else if l.confirmed < sure && follows(l.before, p) {
		l.fell(w, p)
		return
	} else if off := math.Hypot(p.noise, l.cv/math.Sqrt(l.weight)); math.Log(p.latency/l.service) < -max(0.1, likely*off) {
		l.fell(w, p)
		return
	}
	l.limit = l.before.limit
	if !l.measured(p, w.Ended) {
		l.nextDip = l.now
		return
	}
	l.nextTrial = min(l.nextTrial, l.now) // with an S that is better known
	if l.confirmed++; l.confirmed < sure {
		l.nextDip = l.now + trialGapLeast/2
		return
	}
	l.nextDip = l.now + l.dipGap
	l.dipGap = min(l.dipGap*2, dipGapMost)
}

// fell notes that a dip found calls waiting inside where S was measured. The
// descent goes on until S is found.
func (l *Limit) fell(w *Window, p point) {
	if p.latency < l.service {
		l.service, l.weight = p.latency, float64(w.Ended)
	}
	l.set(l.tried)
	l.trialFailed(0)
	l.confirmed, l.dipGap, l.nextDip = 0, dipGapLeast, l.now
	l.descend(p, dipTo)
}
