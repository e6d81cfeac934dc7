package adaptive

import "math"

// belief is how likely each pair of a capacity and a service time is, after all that was
// measured: a filter on a grid, of logarithms.
type belief struct {
	most       int       // of the limit
	capacities []float64 // ascending: whole numbers, and from some on a part apart
	logs       []float64 // of these
	aims       []float64 // logarithms of the limits that are best for these
	prior      []float64 // of these: how likely each is where nothing is known
	least      float64   // logarithm of the first service time, in seconds
	// cells are by capacity, then service time; they sum to total. columns are their sums
	// by service time, whatever the capacity.
	cells, columns []float64
	total          float64
	// Of each capacity: how likely it is, and mean and variance of the logarithm of the
	// service time if it is the one.
	weight, mean, variance []float64
	best                   int       // the limit that fits best
	likely, sums           []float64 // to work in, by service time
}

// line is what belongs to each service time.
type line [serviceNodes]float64

const (
	// wholes is up to where capacities are whole numbers, capacityStep how far apart
	// their logarithms are from there on.
	wholes       = 16
	capacityStep = 0.06
	serviceStep  = 0.05
	// above is how far over a capacity the best limit for it is, from wholes on: what is too
	// low by as much loses more goodput than what is too high adds latency.
	above = 0.02
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
	// slight is how likely a capacity is that does not matter.
	slight = 1e-5
)

// newBelief knows nothing yet of a function that was measured once at a latency, whose
// capacity is from 1 to most.
func newBelief(most int, latency float64) *belief {
	b := &belief{most: most, least: math.Log(latency) - serviceNodes/2*serviceStep}
	for c := 1.0; ; c = max(c+1, c*math.Exp(capacityStep)) {
		c = min(c, 1.3*float64(most)+1)
		b.capacities = append(b.capacities, c)
		b.logs = append(b.logs, math.Log(c))
		b.aims = append(b.aims, math.Log(c))
		if c >= wholes {
			b.aims[len(b.aims)-1] += above
		}
		if c >= 1.3*float64(most)+1 {
			break
		}
	}
	n := len(b.capacities)
	b.cells, b.columns = make([]float64, n*serviceNodes), make([]float64, serviceNodes)
	b.likely, b.sums = make([]float64, serviceNodes), make([]float64, serviceNodes)
	b.prior, b.weight = make([]float64, n), make([]float64, n)
	b.mean, b.variance = make([]float64, n), make([]float64, n)
	for i := range n {
		// The same for each octave.
		from, to := b.logs[max(i-1, 0)], b.logs[min(i+1, n-1)]
		b.prior[i] = (to - from) / 2 / (b.logs[n-1] - b.logs[0])
		b.weight[i] = b.prior[i]
		b.total += b.prior[i]
		for j := range serviceNodes {
			x := b.prior[i] / serviceNodes
			b.cells[i*serviceNodes+j] = x
			b.columns[j] += x
		}
	}
	b.best = b.fittest()
	return b
}

// covers reports whether a latency can be that of service times which the belief knows.
func (b *belief) covers(latency float64) bool {
	y := math.Log(latency)
	return y > b.least+math.Log(4) && y < b.least+serviceNodes*serviceStep-math.Log(4)
}

// learn lets time go by, in seconds, and takes what was measured in it at a limit: mean
// concurrency, mean latency in seconds, and its standard error, relative.
func (b *belief) learn(seconds float64, limit int, concurrency, latency, e float64) {
	p := 1 - math.Exp(-seconds/changes)
	side := min(drift*seconds/(2*serviceStep*serviceStep), 0.25)
	y := math.Log(latency) - b.least
	e = math.Sqrt(e*e + misfit*misfit + serviceStep*serviceStep/12)
	clear(b.sums)
	load, total, longer := 0.0, 0.0, -1.0
	for i, c := range b.capacities {
		if x := excess(float64(limit), concurrency, c, &load); x != longer { // 0 for all above the limit
			longer = x
			b.expect(y-longer, e)
		}
		// What was likely stays so, but for a drift of the service time, and for a change:
		// of room with the same service time, of that with the same room, or of both.
		stay, room := (1-p)/b.total, p*otherRoom*b.prior[i]/b.total
		other := p * (otherService*b.weight[i] + (1-otherRoom-otherService)*b.prior[i]) / serviceNodes
		row, columns, sums, likely := (*line)(b.cells[i*serviceNodes:]), (*line)(b.columns), (*line)(b.sums), (*line)(b.likely)
		kept, drifted := stay*(1-2*side), stay*side
		sum, before, x := 0.0, row[0], row[0]
		for j := range serviceNodes {
			after := x
			if j < serviceNodes-1 {
				after = row[j+1]
			}
			now := (kept*x + drifted*(before+after) + room*columns[j] + other) * likely[j]
			before, x = x, after
			row[j] = now
			sums[j] += now
			sum += now
		}
		b.weight[i] = sum
		total += sum
	}
	b.total = total
	b.columns, b.sums = b.sums, b.columns
	for i := range b.weight {
		if b.weight[i] /= total; b.weight[i] >= slight {
			b.moments(i)
		}
	}
	b.best = b.fittest()
}

// moments are what the service time is if a capacity is the one.
func (b *belief) moments(i int) {
	var sum, sum1, sum2 float64
	for j, x := range b.cells[i*serviceNodes:][:serviceNodes] {
		at := float64(j) * serviceStep
		sum += x
		sum1 += x * at
		sum2 += x * at * at
	}
	m := sum1 / sum
	b.mean[i], b.variance[i] = b.least+m, max(sum2/sum-m*m, 0)
}

// expect sets likely: how likely each service time is where one was measured, as the
// logarithm above the least, with a standard error.
func (b *belief) expect(at, e float64) {
	const (
		nearly = 1e-9 // as likely as any
		far    = 26   // standard errors, from where on a stray one is no likelier than that
	)
	for j := range b.likely {
		b.likely[j] = nearly
	}
	// A normal density on even steps: each is the one before times a factor, which changes
	// by a factor itself. It is strayWidth, 4, times as wide as the error; its 16th power is
	// as wide as that.
	from := int(min(max(math.Round(at/serviceStep), 0), serviceNodes-1))
	z, d := (float64(from)*serviceStep-at)/e, serviceStep/e
	const twice = 2 * strayWidth * strayWidth
	bend := math.Exp(-2 * d * d / twice)
	first, up := math.Exp(-z*z/twice), math.Exp(-(2*z*d+d*d)/twice)
	wide, step := first, up
	for j, w := from, z; j < serviceNodes && w < far; j, w = j+1, w+d {
		b.likely[j] += power16(wide) + stray*wide
		wide, step = wide*step, step*bend
	}
	step = bend / up
	wide, step = first*step, step*bend
	for j, w := from-1, z-d; j >= 0 && w > -far; j, w = j-1, w-d {
		b.likely[j] += power16(wide) + stray*wide
		wide, step = wide*step, step*bend
	}
}

func power16(x float64) float64 {
	x *= x
	x *= x
	x *= x
	return x * x
}

// kernel is how far off a limit may be, relative.
const kernel = 0.1

// fits is how well a limit fits all that the capacity may be: 1 where it is best for that.
func (b *belief) fits(limit int) float64 {
	l, sum := math.Log(float64(limit)), 0.0
	for i, w := range b.weight {
		if z := (l - b.aims[i]) / kernel; w >= slight && z > -5 && z < 5 {
			sum += w * math.Exp(-z*z/2)
		}
	}
	return sum
}

// around is how likely the capacity is close to the limit: so much that a neighbour is
// told from it up to six.
func (b *belief) around(limit int) float64 {
	n, sum := float64(limit), 0.0
	for i, c := range b.capacities {
		if c >= 0.85*n && c <= 1.15*n {
			sum += b.weight[i]
		}
	}
	return sum
}

// fittest is the limit that fits best.
func (b *belief) fittest() int {
	best, fit := 1, 0.0
	for i, aim := range b.aims {
		if b.weight[i] < slight {
			continue
		}
		n := int(math.Round(math.Exp(aim)))
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
		if w >= slight && rate*math.Exp(b.mean[i]) > part*b.capacities[i] {
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
		if w < slight {
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

var inverses = func() (of [mostLevels + 1]float64) {
	for k := range of {
		of[k] = 1 / float64(k)
	}
	return of
}()

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
		full := a / capacity
		p, sum := 1.0, 1.0
		sum1, sum2 := 0.0, 0.0
		busy = 0
		for k := 1; k <= n; k++ {
			running := capacity
			if float64(k) < capacity {
				running = float64(k)
				p *= a * inverses[k]
			} else {
				p *= full
			}
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
