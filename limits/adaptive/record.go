package adaptive

import (
	"math"
	"slices"
)

// record is what has been measured: a latency for each limit that was in force.
type record struct {
	points []point // by limit
}

// point is what the windows at one limit have measured together.
type point struct {
	limit int
	sums
	// odd is what the last windows have measured where it differs so much from the rest
	// that the function may be another than before.
	odd     sums
	windows int // of odd
}

type sums struct{ inflight, served, span float64 }

func (s *sums) add(o sums) {
	s.inflight += o.inflight
	s.served += o.served
	s.span += o.span
}

// most lets the sums count for no more than so many calls.
func (s *sums) most(calls float64) {
	if s.served > calls {
		s.scale(calls / s.served)
	}
}

func (s *sums) scale(f float64) {
	s.inflight *= f
	s.served *= f
	s.span *= f
}

func (s *sums) latency() float64     { return s.inflight / s.served }
func (s *sums) concurrency() float64 { return s.inflight / s.span }

const (
	// halfLife is after how long a measurement counts half, in seconds.
	halfLife   = 60
	mostPoints = 24
	mostSteps  = 400 // of the grid of knees, a fortieth apart
	leastCount = 2   // calls that a point counts for
	// hint is how many calls a point counts for, where they vary as much as in M/M/C, once
	// the function has become another.
	hint = 2
	// misfit is how far the model is off, relative.
	misfit = 0.03
	// unlikely is the difference of squares, in variances, that excludes a knee.
	unlikely = 4
	// contradiction is the squares for each point, and ten more, above which no knee fits.
	contradiction = 3
	// wider is how much wider than by chance alone the measurements scatter: calls that
	// wait behind the same ones have much of their latency in common.
	wider = 1.2
)

// doubt is the standard errors between old and new at which what is new is set apart,
// until when that lasts, and from when on the new alone is believed.
type doubt struct {
	from, until, believed float64
	windows               int     // how many it takes at most
	precision             float64 // of the old, at best, so that what is new counts
}

var (
	heldDoubt  = doubt{2.5, 2, 4, 4, 0.03}
	triedDoubt = doubt{2, 1.5, 3, 4, 0.07}
)

// add takes a window at a limit, of an experiment or not. It reports whether what the
// limit does is clear: where it has become another it is measured again first.
func (r *record) add(limit int, w *Window, cv float64, experiment bool) (clear bool) {
	age := math.Exp2(-w.Span.Seconds() / halfLife)
	r.points = slices.DeleteFunc(r.points, func(p point) bool { return p.served*age < leastCount })
	for i := range r.points {
		r.points[i].scale(age)
	}
	i, found := slices.BinarySearchFunc(r.points, limit, func(p point, n int) int {
		if near(p.limit, n) {
			return 0
		}
		return p.limit - n
	})
	s := sums{w.Inflight, w.served(), w.Span.Seconds()}
	if !found {
		r.points = slices.Insert(r.points, i, point{limit: limit, sums: s})
		r.forget(limit)
		return true
	}
	d := heldDoubt
	if experiment {
		d = triedDoubt
	}
	p := &r.points[i]
	p.odd.add(s)
	p.windows++
	e := spread(cv, limit)
	odd := math.Abs(math.Log(p.odd.latency()/p.latency())) / math.Sqrt(e*e*(1/p.odd.served+1/p.served)+misfit*misfit)
	switch {
	case p.windows == 1 && odd > d.from,
		p.windows > 1 && p.windows < d.windows && odd > d.until && odd < d.believed:
		return false
	case p.windows > 1 && odd >= d.believed:
		r.suspect(limit, p.odd, cv)
		return true
	case p.windows > 1:
		p.most(p.odd.served)
	}
	p.sums.add(p.odd)
	p.most(e * e / (d.precision * d.precision))
	p.odd, p.windows = sums{}, 0
	return true
}

// suspect keeps what was measured last at a limit, because the function is another than
// before; the rest only says where to look.
func (r *record) suspect(limit int, last sums, cv float64) {
	for i := range r.points {
		p := &r.points[i]
		p.most(hint * cv * cv)
		p.odd, p.windows = sums{}, 0
		if near(p.limit, limit) {
			p.sums = last
		}
	}
}

// near reports whether two limits are so close that what one does, the other does.
func near(a, b int) bool { return max(a, b)-min(a, b) <= min(a, b)/20 }

// forget drops what is farthest from a limit where there are too many.
func (r *record) forget(limit int) {
	last := len(r.points) - 1
	switch {
	case last < mostPoints:
	case float64(limit)/float64(r.points[0].limit) > float64(r.points[last].limit)/float64(limit):
		r.points = slices.Delete(r.points, 0, 1)
	default:
		r.points = r.points[:last]
	}
}

// spread is what the standard error of a latency at a limit is, times the square root of
// the calls. Where calls wait inside, the durations vary less than the service, since
// each is the sum of several; the latency, which is a throughput, does not.
func spread(cv float64, limit int) float64 {
	return wider * max(cv, min(1, cv*math.Sqrt(float64(limit))))
}

// knee is what a record says of the capacity.
type knee struct {
	at           float64 // most likely
	limit        int     // the limit for that
	low, high    float64 // between which it is, likely
	service      float64 // S, in seconds
	above, below bool    // it may be above or below all that was measured,
	lower        bool    // and below is the likelier
	least        int     // the lowest limit that was measured
	contradicted bool    // no knee fits
}

// knee fits the knee and S to the points: R = S max(1, n/C), in logarithms, by least
// squares weighted by the noise of each. For each C of a grid the best S is a mean; a C is
// excluded where its squares are too many more than the best one's. Such fits of two lines
// with an unknown join: D. J. Hudson, JASA 61 (1966).
//
// n is a mean of the limit and the concurrency. An admitted call finds, with itself,
// between the one and the other, because not all find the function full; the weights are
// such that the queue M/M/C/n is fitted within a tenth at loads of 1.2 and more.
func (r *record) knee(cv float64) knee {
	x, y, weight := make([]float64, len(r.points)), make([]float64, len(r.points)), make([]float64, len(r.points))
	for i := range r.points {
		p := &r.points[i]
		x[i], y[i] = (math.Log(float64(p.limit))+2*math.Log(p.concurrency()))/3, math.Log(p.latency())
		e := spread(cv, p.limit)
		weight[i] = 1 / (e*e/p.served + misfit*misfit)
	}
	from, to := slices.Min(x), slices.Max(x)
	last := int(min((to-from)/0.025, mostSteps)) + 1
	at := func(j int) float64 { return from + (to-from)*float64(j)/float64(last) }
	squares := make([]float64, last+1)
	best, service := 0, 0.0
	for j := range squares {
		var n, sum, sum2 float64
		for i := range x {
			d := y[i] - max(x[i]-at(j), 0)
			n += weight[i]
			sum += weight[i] * d
			sum2 += weight[i] * d * d
		}
		squares[j] = sum2 - sum*sum/n
		if j == 0 || squares[j] < squares[best] {
			best, service = j, sum/n
		}
	}
	low, high := best, best
	for low > 0 && squares[low-1] < squares[best]+unlikely {
		low--
	}
	for high < last && squares[high+1] < squares[best]+unlikely {
		high++
	}
	k := knee{
		at: math.Exp(at(best)), low: math.Exp(at(low)), high: math.Exp(at(high)), service: math.Exp(service),
		above: high == last, below: low == 0, least: r.points[0].limit,
		lower: squares[0] < squares[last], contradicted: squares[best] > contradiction*float64(10+len(x)),
	}
	switch {
	case len(r.points) == 1:
		k.limit, k.above, k.below = k.least, true, true
	case best == 0:
		k.limit = k.least
	case best == last:
		k.limit = r.points[len(r.points)-1].limit
	default:
		k.limit = int(math.Round(k.at))
	}
	return k
}
