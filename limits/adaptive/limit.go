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
	// Limited is the number of calls that found no free slot, Refused those of them that
	// got none later either.
	Limited, Refused int
}

// concurrency is the mean number in flight.
func (w *Window) concurrency() float64 { return w.Inflight / w.Span.Seconds() }

// served is the number of calls that the window is the time of: those that began and
// those that ended in it count half each.
func (w *Window) served() float64 { return max(float64(w.Ended)+float64(w.Change)/2, 1) }

// latency is the mean time in the function by Little's law, in seconds. Unlike the
// mean of the durations it tells of this window alone: the calls that end in it
// began under former limits.
func (w *Window) latency() float64 { return w.Inflight / w.served() }

const (
	// WindowLeast is how long a window lasts at least, WindowMost how long where that
	// is enough for leastCalls.
	WindowLeast = 100 * time.Millisecond
	WindowMost  = 700 * time.Millisecond

	// LatencyMost is up to what latency a window, and the wait before it, are as long as it.
	LatencyMost = 30 * time.Second

	leastCalls = 12
	mostCalls  = 400
	// precision is the standard error of a window's mean latency that its number of
	// calls aims at; coarse is what is enough where the limits that are compared are far
	// apart.
	precision = 0.07
	coarse    = 0.105
)

// Limit finds a limit. It is not safe for concurrent use.
type Limit struct {
	bounds Bounds
	now    time.Duration // sum of all windows

	held  int // the limit but for experiments
	tried int // the limit in force: another than held in an experiment

	latency float64 // of the last window, in seconds
	cv      float64 // coefficient of variation of durations
	belief  *belief // nil while nothing is known
	usual   float64 // calls that come in a second, of late
	used    used    // at the limit that is held

	rested  time.Duration // from when on the limit may grow again after failures
	nextUp  time.Duration
	nextDip time.Duration
}

const (
	// A measurement at another limit is worth it from this gain on, in nats, where the one
	// that is held is sure to be right, and sooner where it is not. A lower limit turns
	// calls away: what it gains counts for less. One that is further than near, in
	// logarithms, disturbs more: that costs by far.
	worth   = 0.07
	dipsPay = 0.7
	near    = 0.4
	far     = 0.5
	// After one there is none for a while, by how likely the limit is right: gapLeast at
	// gapSure; no longer than gapTimes windows, but for one that is further than near.
	gapSure  = 0.95
	gapLeast = 4 * time.Second
	gapMost  = 15 * time.Second
	gapTimes = 8
	// better is how much better another limit has to fit than the one that is held.
	better = 0.05
	// Where no limit fits better than vague, the one that is held goes so far that the
	// capacity is below and above it with a likelihood of a quarter at least, up by no more
	// than stride times at once.
	vague   = 0.4
	quarter = 0.25
	stride  = 1.5
	// sure is how likely the capacity has to be close to the best limit to count as known.
	sure = 0.85
	// leastSpread and mostSpread bound the coefficient of variation.
	leastSpread, mostSpread = 0.2, 20
	// rest is how long the limit does not grow after failures.
	rest = 4 * time.Second

	// The limit goes down, and is tried lower, where more than this part of the calls finds
	// no slot, and the load of late is more than the function can bear: likely so.
	heavy      = 0.1
	overloaded = 0.75
	usually    = 3 // seconds that are of late
	// Where the load is below this part of the capacity, the limit may stand above the
	// knee by room.
	light = 0.9
	room  = 1.2
)

// steps are the limits that are tried, as parts of the one that is held.
var steps = []float64{0.4, 0.6, 0.75, 0.87, 1.2, 1.5, 1.8}

// used is how many calls are in flight in the mean at a limit, of late.
type used struct {
	limit   int
	mean    float64
	seconds float64 // that it is the mean of
}

// New makes a Limit at its initial value.
func New(b Bounds) *Limit {
	b.Min = max(b.Min, 1)
	b.Max = max(b.Max, b.Min)
	if b.Initial == 0 {
		b.Initial = defaultInitial
	}
	b.Initial = min(max(b.Initial, b.Min), b.Max)
	return &Limit{bounds: b, held: b.Initial, tried: b.Initial, cv: 1}
}

// Bound moves the bounds; the limit goes on from where it is.
func (l *Limit) Bound(b Bounds) {
	l.bounds.Min = max(b.Min, 1)
	if l.bounds.Max = max(b.Max, l.bounds.Min); l.belief != nil && l.bounds.Max > l.belief.most {
		l.belief = nil
	}
	l.held, l.tried = l.within(l.held), l.within(l.tried)
}

func (l *Limit) within(n int) int { return min(max(n, l.bounds.Min), l.bounds.Max) }

// Value is the limit in force.
func (l *Limit) Value() int { return l.tried }

// Enough reports whether a window of this length with so many ended calls can be
// judged.
func (l *Limit) Enough(span time.Duration, ended int) bool {
	if span < max(WindowLeast, l.times(2)) || ended < leastCalls {
		return false
	}
	aim := precision
	if l.tried != l.held {
		aim = min(max(math.Abs(math.Log(float64(l.tried)/float64(l.held)))/4, precision), coarse)
	}
	cv := spread(l.cv, l.tried) / aim
	return float64(ended) >= min(max(cv*cv, leastCalls), mostCalls) || span >= WindowMost
}

// Settle is how long to wait after a change of the limit before the next window.
func (l *Limit) Settle() time.Duration { return l.times(1.5) }

// times is so many times the latency, but no longer than WindowMost, or than the latency
// itself where that is longer: what ends before says what was before.
func (l *Limit) times(n float64) time.Duration {
	latency := time.Duration(min(l.latency, LatencyMost.Seconds()) * float64(time.Second))
	return max(min(time.Duration(n*float64(latency)), WindowMost), latency)
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
	l.latency = w.latency()
	l.vary(w)
	switch {
	case w.Full > 0:
		l.retreat(0.95 * min(float64(l.held), w.concurrency()))
	case 10*w.Failed > w.Ended:
		l.retreat(0.9 * float64(l.held))
	case math.Abs(float64(w.Change)) > max(2, w.concurrency()/4, float64(w.Ended)/10):
		// It filled or emptied meanwhile: what was measured belongs to no limit.
	case w.Limited == 0:
		l.nextUp = max(l.nextUp, l.now+gapLeast) // a higher limit is not needed
		if l.belief != nil {
			l.makeRoom(w)
		}
		l.tried = l.held
	default:
		if l.belief == nil || !l.belief.covers(l.latency) {
			l.belief = newBelief(l.bounds.Max, l.latency)
		}
		if l.usual == 0 {
			l.usual = rate(w)
		}
		l.usual += (rate(w) - l.usual) * (1 - math.Exp(-w.Span.Seconds()/usually))
		if l.known() >= sure && !heavily(w) && l.belief.loaded(rate(w), light) < 0.5 {
			// A load that the function bears tells next to nothing of its capacity.
			l.makeRoom(w)
			l.tried = l.held
			return
		}
		l.belief.learn(w.Span.Seconds(), l.tried, l.inUse(w), l.latency, spread(l.cv, l.tried)/math.Sqrt(w.served()))
		l.decide(w)
	}
}

// retreat forgets what was measured and goes to a lower limit.
func (l *Limit) retreat(to float64) {
	l.held = l.within(int(to))
	l.tried = l.held
	l.belief = nil
	l.rested = l.now + rest
}

// spread is what the standard error of a latency at a limit is, times the square root of
// the calls. Where calls wait inside, the durations vary less than the service, since
// each is the sum of several; the latency, which is a throughput, does not.
func spread(cv float64, limit int) float64 {
	return wider * max(cv, min(1, cv*math.Sqrt(float64(limit))))
}

// vary follows the coefficient of variation: up at once and down slowly, because of a
// long tail most windows see little.
func (l *Limit) vary(w *Window) {
	if w.Seconds <= 0 || w.Ended < 2 {
		return
	}
	n := float64(w.Ended)
	mean := w.Seconds / n
	cv := min(max(math.Sqrt(max(w.Squares/n-mean*mean, 0))/mean, leastSpread), mostSpread)
	rate := min(n/(n+100), 0.5)
	if cv < l.cv {
		rate *= 0.3
	}
	l.cv += (cv - l.cv) * rate
}

// heavily reports whether so many calls find no slot that it matters.
func heavily(w *Window) bool { return float64(w.Limited) > heavy*float64(w.Ended+w.Refused) }

// known is how likely the best limit is close to the capacity.
func (l *Limit) known() float64 { return l.belief.around(l.belief.best) }

// inUse is how many calls are in flight in the mean at the limit in force. At the limit that
// is held that is what the windows before had: in one where calls happen to take longer more
// are in flight for that, and seen by itself it would look as if latency followed concurrency.
func (l *Limit) inUse(w *Window) float64 {
	now := w.concurrency()
	if l.tried != l.held {
		return now
	}
	u := &l.used
	if u.limit != l.held {
		*u = used{limit: l.held, mean: now}
	}
	before := u.mean
	u.seconds = min(u.seconds+w.Span.Seconds(), usually)
	u.mean += (now - before) * min(w.Span.Seconds()/u.seconds, 1)
	return before
}

// rate is how many calls come in a second: those that end, and those that never begin.
func rate(w *Window) float64 { return float64(w.Ended+w.Refused) / w.Span.Seconds() }

// decide sets the limit that is held, and what the next window tries.
func (l *Limit) decide(w *Window) {
	overload := heavily(w) && l.belief.loaded(min(rate(w), l.usual), 1) > overloaded
	to := l.within(l.belief.best)
	if l.belief.fits(to) < l.belief.fits(l.held)+better {
		to = l.held
	}
	if l.belief.fits(to) < vague {
		to = min(max(l.held, int(l.belief.quantile(quarter))), int(math.Ceil(l.belief.quantile(1-quarter))))
		to = l.within(min(to, int(math.Ceil(stride*float64(l.held)))))
	}
	if to > l.held || overload {
		l.held = to
	}
	l.makeRoom(w)
	measured := l.tried
	l.tried = l.held
	l.experiment(w, min(w.concurrency()/float64(measured), 1), overload)
}

// experiment chooses what the next window tries: the limit at which a measurement tells
// most of the capacity, if that is worth it. full is the part of the limit that was in use.
func (l *Limit) experiment(w *Window, full float64, overload bool) {
	held := float64(l.held)
	known := l.belief.around(l.held)
	e := spread(l.cv, l.held) / math.Sqrt(w.served())
	here := l.belief.gain(l.held, full, e)
	most := worth * known * known
	for _, s := range steps {
		n := l.within(int(math.Floor(s * held)))
		pay := dipsPay
		if s > 1 {
			n, pay = l.within(int(math.Ceil(s*held))), 1
		}
		switch {
		case n == l.held,
			n > l.held && l.now < max(l.rested, l.nextUp),
			n < l.held && (!overload || l.now < l.nextDip):
			continue
		}
		value := pay*(l.belief.gain(n, full, e)-here) - far*known*max(math.Abs(math.Log(float64(n)/held))-near, 0)
		if value > most {
			most, l.tried = value, n
		}
	}
	gap := time.Duration(float64(gapLeast) * known / (1 - min(known, 0.999)) * (1 - gapSure) / gapSure)
	gap = min(gap, max(min(gapTimes*w.Span, gapMost), gapLeast))
	gap = time.Duration(float64(gap) * max(1, math.Abs(math.Log(float64(l.tried)/held))/near))
	switch {
	case l.tried > l.held:
		l.nextUp = l.now + gap
	case l.tried < l.held:
		l.nextDip = l.now + gap
	}
}

// makeRoom lets the limit stand somewhat above the knee where the load is below it: as a
// protection it is not needed there, and would only turn short bursts away.
func (l *Limit) makeRoom(w *Window) {
	best := float64(l.belief.best)
	if l.known() >= sure && l.belief.loaded(rate(w), light) < 1-sure {
		l.held = max(l.held, l.within(int(math.Round(room*best))))
	}
}
