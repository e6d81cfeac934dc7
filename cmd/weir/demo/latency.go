package demo

import (
	"math"
	"time"
)

// latencies counts durations in buckets that grow by latencyGrowth each, so
// that counts of an interval are a difference and a quantile is never further
// off than half a bucket. The zero value is empty.
type latencies [latencyBuckets]uint64

const (
	latencyGrowth  = 1.05
	latencyLeast   = 10 * time.Microsecond // the first bucket holds all that is less
	latencyBuckets = 340                   // up to about two minutes; the last holds all that is more
)

func (l *latencies) record(d time.Duration) {
	i := 0
	if d > latencyLeast {
		i = int(math.Log(float64(d)/float64(latencyLeast))/math.Log(latencyGrowth)) + 1
	}
	l[min(i, latencyBuckets-1)]++
}

func (l *latencies) add(other *latencies) {
	for i, n := range other {
		l[i] += n
	}
}

// since takes off what was there before.
func (l *latencies) since(before *latencies) {
	for i, n := range before {
		l[i] -= n
	}
}

// quantile is the duration that the share q of all did not exceed (nearest
// rank), within 2.5 %; 0 where there is none.
func (l *latencies) quantile(q float64) time.Duration {
	var total uint64
	for _, n := range l {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(total))), 1)
	var seen uint64
	for i, n := range l {
		if seen += n; seen >= rank {
			return time.Duration(float64(latencyLeast) * math.Pow(latencyGrowth, float64(i)-0.5))
		}
	}
	panic("demo: rank is beyond the total")
}
