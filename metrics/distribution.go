package metrics

import (
	"math"

	dto "github.com/prometheus/client_model/go"
)

// Distribution is what a native histogram has counted: observations in buckets
// whose bounds grow by a constant factor. The zero value has counted nothing.
type Distribution struct {
	Count  uint64
	Sum    float64 // of the observations, in seconds
	schema int32
	zero   uint64           // observations in the zero bucket
	counts map[int32]uint64 // of a bucket by its index
}

func distribution(h *dto.Histogram) Distribution {
	d := Distribution{
		Count: h.GetSampleCount(), Sum: h.GetSampleSum(), schema: h.GetSchema(), zero: h.GetZeroCount(),
		counts: make(map[int32]uint64, len(h.GetPositiveDelta())),
	}
	index, n, next := int32(0), int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			n += h.GetPositiveDelta()[next]
			next++
			d.counts[index] = uint64(n)
			index++
		}
	}
	return d
}

// Since gives what was counted after before was read. ok is false where that
// cannot be told: the histogram began anew in between.
func (d Distribution) Since(before Distribution) (since Distribution, ok bool) {
	if before.Count == 0 {
		return d, true
	}
	before = before.coarser(d.schema)
	if d.schema != before.schema || d.Count < before.Count || d.zero < before.zero {
		return Distribution{}, false
	}
	since = Distribution{
		Count: d.Count - before.Count, Sum: d.Sum - before.Sum, schema: d.schema, zero: d.zero - before.zero,
		counts: map[int32]uint64{},
	}
	for index, n := range before.counts {
		if d.counts[index] < n {
			return Distribution{}, false
		}
	}
	for index, n := range d.counts {
		if n -= before.counts[index]; n > 0 {
			since.counts[index] = n
		}
	}
	return since, true
}

// coarser gives the same in the wider buckets of a smaller schema: two of a
// schema are one of the next smaller one. A histogram that runs out of buckets
// widens them so.
func (d Distribution) coarser(schema int32) Distribution {
	for d.schema > schema {
		wider := make(map[int32]uint64, len(d.counts))
		for index, n := range d.counts {
			wider[(index+1)>>1] += n
		}
		d.counts = wider
		d.schema--
	}
	return d
}

// Quantile estimates the value in seconds that a share q, 0 to 1, of the
// observations do not exceed: exponential interpolation within the bucket that
// holds it, as Prometheus does for native histograms. It is off by the width of a
// bucket at most: 9 %, or 19 % where durations spread over a factor of a million. NaN where nothing was counted.
//
// https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
func (d Distribution) Quantile(q float64) float64 {
	if d.Count == 0 {
		return math.NaN()
	}
	rank := q * float64(d.Count)
	below := float64(d.zero)
	if rank <= below && d.zero > 0 {
		return 0
	}
	growth := math.Exp2(math.Exp2(-float64(d.schema)))
	last := math.NaN()
	for index, most := d.span(); index <= most; index++ {
		n := float64(d.counts[index])
		if n == 0 {
			continue
		}
		upper := math.Pow(growth, float64(index))
		if below+n >= rank {
			return upper / growth * math.Pow(growth, (rank-below)/n)
		}
		below += n
		last = upper
	}
	return last // rounding, or observations that are no numbers
}

// span gives the least and the greatest index with a count.
func (d Distribution) span() (least, most int32) {
	least, most = math.MaxInt32, math.MinInt32
	for index := range d.counts {
		least, most = min(least, index), max(most, index)
	}
	return least, most
}
