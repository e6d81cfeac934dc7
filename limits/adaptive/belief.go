package adaptive

import "math"

// belief is how likely each pair of a capacity and a service time is, after all that was
// measured: a filter on a grid, of logarithms.
type belief struct {
	most       int       // of the limit
	capacities []float64 // ascending: whole numbers, and from some on a part apart
	logs       []float64 // of these
	least      float64   // logarithm of the first service time, in seconds
	cells      []float64 // by capacity, then service time; they sum to 1
	// Of each capacity: how likely it is, and mean and variance of the logarithm of the
	// service time if it is the one.
	weight, mean, variance []float64
	other                  []float64 // to work in
}

const (
	// wholes is up to where capacities are whole numbers, capacityStep how far apart
	// their logarithms are from there on.
	wholes       = 16
	capacityStep = 0.06
	serviceStep  = 0.05
	// serviceNodes of them, so that what was measured first is in the middle.
	serviceNodes = 240

	// changes is after how many seconds the function is likely to have become another:
	// with other room, slower or faster, or both, in these parts.
	changes      = 90
	otherRoom    = 0.5
	otherService = 0.4
	// drift is the variance a second of the logarithms, without such a change.
	drift = 1e-4
	// stray is how likely a measurement is that tells nothing, and strayWidth how much
	// wider those scatter.
	stray      = 0.02
	strayWidth = 4.0
	// misfit is how far the model is off, relative.
	misfit = 0.03
	// wider is how much wider than by chance alone the measurements scatter: calls that
	// wait behind the same ones have much of their latency in common.
	wider = 1.2
)

// newBelief knows nothing yet of a function that was measured once at a latency, whose
// capacity is from 1 to most.
func newBelief(most int, latency float64) *belief {
	b := &belief{most: most, least: math.Log(latency) - serviceNodes/2*serviceStep}
	for c := 1.0; ; c = max(c+1, c*math.Exp(capacityStep)) {
		c = min(c, 1.3*float64(most)+1)
		b.capacities = append(b.capacities, c)
		b.logs = append(b.logs, math.Log(c))
		if c >= 1.3*float64(most)+1 {
			break
		}
	}
	n := len(b.capacities)
	b.cells, b.other = make([]float64, n*serviceNodes), make([]float64, serviceNodes)
	b.weight, b.mean, b.variance = make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		for j := range serviceNodes {
			b.cells[i*serviceNodes+j] = b.prior(i) / serviceNodes
		}
	}
	b.marginals()
	return b
}

// prior is how likely a capacity is of which nothing is known: the same for each octave.
func (b *belief) prior(i int) float64 {
	last := len(b.logs) - 1
	from, to := b.logs[max(i-1, 0)], b.logs[min(i+1, last)]
	return (to - from) / 2 / (b.logs[last] - b.logs[0])
}

// covers reports whether a latency can be that of service times which the belief knows.
func (b *belief) covers(latency float64) bool {
	y := math.Log(latency)
	return y > b.least+math.Log(4) && y < b.least+serviceNodes*serviceStep-math.Log(4)
}

// pass lets time go by, in seconds.
func (b *belief) pass(seconds float64) {
	p := 1 - math.Exp(-seconds/changes)
	clear(b.other)
	for i := range b.capacities {
		for j, x := range b.row(i) {
			b.other[j] += x // the service time, whatever the capacity
		}
	}
	side := min(drift*seconds/(2*serviceStep*serviceStep), 0.25)
	for i := range b.capacities {
		prior := b.prior(i)
		room, service, both := p*otherRoom*prior, p*otherService*b.weight[i]/serviceNodes, p*(1-otherRoom-otherService)*prior/serviceNodes
		row := b.row(i)
		before := row[0]
		for j, x := range row {
			after := row[min(j+1, serviceNodes-1)]
			spread := (1-2*side)*x + side*(before+after)
			before = x
			row[j] = (1-p)*spread + room*b.other[j] + service + both
		}
	}
	b.marginals()
}

func (b *belief) row(i int) []float64 { return b.cells[i*serviceNodes : (i+1)*serviceNodes] }

// learn takes what was measured at a limit: mean concurrency, mean latency in seconds,
// and its standard error, relative.
func (b *belief) learn(limit int, concurrency, latency, e float64) {
	y := math.Log(latency)
	e = math.Sqrt(e*e + misfit*misfit + serviceStep*serviceStep/12)
	const far = 26 // standard errors, from where on a stray one is as unlikely as any
	load := 0.0
	for i, c := range b.capacities {
		at := y - excess(float64(limit), concurrency, c, &load) - b.least
		for j, x := range b.row(i) {
			z := (float64(j)*serviceStep - at) / e
			likely := 1e-9
			if math.Abs(z) < far {
				// strayWidth squared is 16.
				wide := math.Exp(-z * z / (2 * strayWidth * strayWidth))
				narrow := wide * wide
				narrow *= narrow
				narrow *= narrow
				narrow *= narrow
				likely += narrow + stray*wide
			}
			b.cells[i*serviceNodes+j] = x * likely
		}
	}
	b.marginals()
}

// marginals normalizes, and says how likely each capacity is.
func (b *belief) marginals() {
	var all float64
	for i := range b.capacities {
		var sum, sum1, sum2 float64
		for j, x := range b.row(i) {
			y := float64(j) * serviceStep
			sum += x
			sum1 += x * y
			sum2 += x * y * y
		}
		b.weight[i] = sum
		if sum > 0 {
			m := sum1 / sum
			b.mean[i], b.variance[i] = b.least+m, max(sum2/sum-m*m, 0)
		}
		all += sum
	}
	for i := range b.cells {
		b.cells[i] /= all
	}
	for i := range b.weight {
		b.weight[i] /= all
	}
}

// kernel is how far off a limit may be, relative.
const kernel = 0.1

// fits is how well a limit fits all that the capacity may be: 1 where it is that.
func (b *belief) fits(limit int) float64 {
	l, sum := math.Log(float64(limit)), 0.0
	for i, w := range b.weight {
		z := (l - b.logs[i]) / kernel
		sum += w * math.Exp(-z*z/2)
	}
	return sum
}

// around is how likely the capacity is such that the limit is within a fifth of it, or
// close to that.
func (b *belief) around(limit int) float64 {
	n, sum := float64(limit), 0.0
	for i, c := range b.capacities {
		if c >= 0.8*n-0.01 && c <= 1.2*n+0.01 {
			sum += b.weight[i]
		}
	}
	return sum
}

// best is the limit that fits best.
func (b *belief) best() int {
	best, fit := 1, 0.0
	for _, c := range b.capacities {
		n := int(math.Round(c))
		if f := b.fits(n); f > fit {
			best, fit = n, f
		}
	}
	return best
}

// quantile is the capacity below which it is with a likelihood.
func (b *belief) quantile(p float64) float64 {
	sum := 0.0
	for i, w := range b.weight {
		if sum += w; sum >= p {
			return b.capacities[i]
		}
	}
	return b.capacities[len(b.capacities)-1]
}

// loaded is how likely it is that so many calls a second are more than a part of the
// capacity.
func (b *belief) loaded(rate, part float64) float64 {
	sum := 0.0
	for i, w := range b.weight {
		if rate*math.Exp(b.mean[i]) > part*b.capacities[i] {
			sum += w
		}
	}
	return sum
}

// gain is how much a measurement at a limit would tell of the capacity, in nats: by how
// much the latencies that it may have there differ, beyond what is not known of the
// service time and what chance adds. full is the part of a limit that is in use in the
// mean.
func (b *belief) gain(limit int, full, e float64) float64 {
	n := float64(limit)
	var mean, mean2, within float64
	load := 0.0
	for i, w := range b.weight {
		if w < 1e-4 {
			continue
		}
		y := b.mean[i] + excess(n, full*n, b.capacities[i], &load)
		mean += w * y
		mean2 += w * y * y
		within += w * b.variance[i]
	}
	e = e*e + misfit*misfit
	return math.Log((max(mean2-mean*mean, 0)+within+e)/(within+e)) / 2
}

// mostLevels is how many numbers of calls in flight are told apart.
const mostLevels = 64

// excess is the logarithm of how much longer than its service a call takes in the mean,
// where so many are in flight in the mean, at most limit, and the function runs capacity
// of them at once while the others wait inside: the mean of all over the mean of those
// that run. How the numbers in flight are spread around their mean is that of the queue
// M/M/C/limit.
func excess(limit, concurrency, capacity float64, load *float64) float64 {
	if limit <= capacity {
		return 0
	}
	if f := limit / mostLevels; f > 1 {
		limit, concurrency, capacity = mostLevels, concurrency/f, capacity/f
	}
	n := int(limit)
	concurrency = min(concurrency, float64(n))
	// Newton's method on the logarithm of the load: the mean's derivative is the variance.
	if *load == 0 {
		*load = math.Log(capacity) + 0.2
	}
	busy, mean := 0.0, 0.0
	for range 12 {
		a := math.Exp(*load)
		p, sum := 1.0, 1.0
		sum1, sum2 := 0.0, 0.0
		busy = 0
		for k := 1; k <= n; k++ {
			running := min(float64(k), capacity)
			p *= a / running
			if p > 1e200 {
				p, sum, sum1, sum2, busy = p/1e200, sum/1e200, sum1/1e200, sum2/1e200, busy/1e200
			}
			sum += p
			sum1 += p * float64(k)
			sum2 += p * float64(k) * float64(k)
			busy += p * running
		}
		mean = sum1 / sum
		busy /= sum
		variance := sum2/sum - mean*mean
		d := concurrency - mean
		if math.Abs(d) < 0.005*concurrency || variance < 1e-9 {
			break
		}
		*load += min(max(d/variance, -1), 1)
		if *load > 12 {
			break
		}
	}
	return math.Log(max(mean/max(busy, 1e-12), 1))
}
