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
	record  record

	step      float64 // of the next growth
	nextTrial time.Duration
	nextDip   time.Duration
}

const (
	// While nothing says that the knee has been passed, the limit grows by these.
	firstStep = 1.25
	stepMore  = 1.3
	mostStep  = 1.6
	// dipTo is the next lower limit while nothing says that the knee is above.
	dipTo = 0.6

	// Around a knee that has been found, a trial goes so far that the latency of
	// calls which wait inside stands out of the noise, and lasts a small part of the
	// time; a dip goes less far, because it turns calls away.
	watchStep = 1.5
	checkStep = 0.75
	gapLeast  = 5 * time.Second
	gapMost   = 15 * time.Second
	gapTimes  = 8               // windows
	gapSoon   = 3 * time.Second // where it is not clear
	// leastSpread and mostSpread bound the coefficient of variation.
	leastSpread, mostSpread = 0.2, 20
	// rest is how long the limit does not grow after failures.
	rest = 4 * time.Second

	// heavy is the part of calls that finds no slot, below which the limit does not go
	// down: there is next to nothing to gain for the function.
	heavy = 0.15
	// Where the load is below this part of the capacity, the limit may stand above the
	// knee by room.
	light = 0.9
	room  = 1.2
)

// New makes a Limit at its initial value.
func New(b Bounds) *Limit {
	b.Min = max(b.Min, 1)
	b.Max = max(b.Max, b.Min)
	if b.Initial == 0 {
		b.Initial = defaultInitial
	}
	b.Initial = min(max(b.Initial, b.Min), b.Max)
	return &Limit{bounds: b, held: b.Initial, tried: b.Initial, cv: 1, step: mostStep}
}

// Bound moves the bounds; the limit goes on from where it is.
func (l *Limit) Bound(b Bounds) {
	l.bounds.Min = max(b.Min, 1)
	l.bounds.Max = max(b.Max, l.bounds.Min)
	l.held, l.tried = l.within(l.held), l.within(l.tried)
}

func (l *Limit) within(n int) int { return min(max(n, l.bounds.Min), l.bounds.Max) }

// Value is the limit in force.
func (l *Limit) Value() int { return l.tried }

// Enough reports whether a window of this length with so many ended calls can be
// judged.
func (l *Limit) Enough(span time.Duration, ended int) bool {
	if span < max(WindowLeast, min(time.Duration(2*l.latency*float64(time.Second)), WindowMost)) || ended < leastCalls {
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
	l.latency = w.latency()
	l.vary(w)
	switch {
	case w.Full > 0:
		l.retreat(0.95 * min(float64(l.held), w.concurrency()))
	case 10*w.Failed > w.Ended:
		l.retreat(0.9 * float64(l.held))
	case math.Abs(float64(w.Change)) > max(2, w.concurrency()/4):
		// It filled or emptied meanwhile: what was measured belongs to no limit.
	case w.Limited == 0:
		if l.tried > l.held { // the higher limit was not needed: nothing is known of it
			l.nextTrial = l.now + gapLeast
		}
		if len(l.record.points) > 1 {
			l.makeRoom(w, l.record.knee(l.cv))
		}
		l.tried = l.held
	default:
		experiment := l.tried != l.held
		if clear := l.record.add(l.tried, w, l.cv, experiment); clear || !experiment {
			l.decide(w)
		} // otherwise the experiment goes on
	}
}

// retreat forgets what was measured and goes to a lower limit.
func (l *Limit) retreat(to float64) {
	l.held = l.within(int(to))
	l.tried = l.held
	l.record = record{}
	l.step = firstStep
	l.nextTrial = l.now + rest
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

// offered is how many calls would run at once if all were let in and none had to wait.
func offered(w *Window, k knee) float64 {
	return float64(w.Ended+w.Limited) / w.Span.Seconds() * k.service
}

// decide sets the limit that is held, and what the next window tries.
func (l *Limit) decide(w *Window) {
	k := l.record.knee(l.cv)
	if k.contradicted {
		// The function has become another while the limit moved.
		l.record.suspect(l.tried, sums{w.Inflight, w.served(), w.Span.Seconds()}, l.cv)
		k = l.record.knee(l.cv)
	}
	heavily := float64(w.Limited) > heavy*float64(w.Ended+w.Limited)
	load := offered(w, k)
	if to := l.within(k.limit); !near(to, l.held) && (to > l.held || heavily && load > k.at) {
		l.held = to
	}
	l.makeRoom(w, k)
	l.tried = l.held
	overload := heavily && load > float64(l.held)
	below := k.below && k.least > l.bounds.Min && overload
	above := k.above && l.held < l.bounds.Max && l.now >= l.nextTrial
	switch {
	case below && (k.lower || !k.above):
		l.tried = l.within(min(int(dipTo*float64(k.least)), k.least-1))
		return
	case above:
		l.tried = l.within(max(int(l.step*float64(l.held)), l.held+1))
		l.step = min(l.step*stepMore, mostStep)
		return
	}
	l.step = firstStep
	gap := min(gapTimes*w.Span, gapMost)
	switch held := float64(l.held); {
	case l.now >= l.nextTrial && l.held < l.bounds.Max:
		l.tried = l.within(int(math.Ceil(watchStep*held + 0.5)))
		l.nextTrial = l.now + max(gap, gapLeast)
		if k.high > max(held+0.5, 1.15*held) { // more may be likely soon
			l.nextTrial = l.now + max(gap, gapSoon)
		}
	case l.now >= l.nextDip && l.held > l.bounds.Min && overload && k.low < min(held-0.5, 0.87*held):
		l.tried = l.within(min(int(checkStep*held), l.held-1))
		l.nextDip = l.now + max(gap, gapSoon)
	}
}

// makeRoom lets the limit stand somewhat above the knee where the load is below it: as a
// protection it is not needed there, and would only turn short bursts away.
func (l *Limit) makeRoom(w *Window, k knee) {
	if !k.above && !k.below && offered(w, k) < light*k.at {
		l.held = max(l.held, l.within(int(math.Round(room*k.at))))
	}
}
