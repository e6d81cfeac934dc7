package demo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreNearTheExactOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var l latencies
	var exact []time.Duration
	for range 5000 {
		d := time.Duration(math.Exp(random.Float64()*14) * float64(20*time.Microsecond)) // 20 µs to 24 s
		exact = append(exact, d)
		l.record(d)
	}
	slices.Sort(exact)
	for _, q := range []float64{0.0001, 0.01, 0.5, 0.95, 0.99, 1} {
		want := exact[int(math.Ceil(q*float64(len(exact))))-1]
		if got := l.quantile(q); math.Abs(got.Seconds()/want.Seconds()-1) > 0.026 {
			t.Errorf("quantile %v is %v, exactly %v", q, got, want)
		}
	}
}

func TestLatenciesAtTheEdges(t *testing.T) {
	var l latencies
	if got := l.quantile(0.5); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
	for _, d := range []time.Duration{-time.Second, 0, 1, latencyLeast} {
		l.record(d)
	}
	if l[0] != 4 {
		t.Errorf("%d in the first bucket, want 4", l[0])
	}
	l.record(math.MaxInt64)
	if l[latencyBuckets-1] != 1 {
		t.Error("the longest of all is not in the last bucket")
	}
	if got := l.quantile(1); got < 100*time.Second {
		t.Errorf("the last bucket stands for %v", got)
	}
}

func TestLatenciesOfAnInterval(t *testing.T) {
	var before, after latencies
	before.record(time.Second)
	after.add(&before)
	after.record(time.Millisecond)
	after.since(&before)
	if got := after.quantile(1); math.Abs(got.Seconds()-0.001) > 0.00003 {
		t.Errorf("longest of the interval %v, want 1ms: the second before is not in it", got)
	}
}
