package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/limits"
)

func TestTotalsAreWhatAScrapeFinds(t *testing.T) {
	m, _ := newMetrics(t, false)
	for range 3 {
		m.Ended(Request{Status: 200, Admitted: true, Duration: 20 * time.Millisecond, Upstream: 19 * time.Millisecond})
	}
	m.Ended(Request{Status: 502, Origin: OriginWeir, Admitted: true, Duration: time.Second})
	m.Ended(Request{Status: 499, Origin: OriginClient, Admitted: true, Duration: time.Second})
	m.Throttled(&limits.Throttle{Reason: limits.ReasonMaxInflight}, "GET", 429)
	got := m.Totals()
	if got.Requests != 5 || got.ByCodeClass["2xx"] != 3 || got.ByCodeClass["5xx"] != 1 || got.ByCodeClass["4xx"] != 1 ||
		got.ByOrigin["function"] != 3 || got.ByOrigin["weir"] != 1 || got.ByOrigin["client"] != 1 {
		t.Errorf("%+v", got)
	}
	if len(got.Throttles) != len(limits.Reasons()) || got.Throttles[limits.ReasonMaxInflight] != 1 || got.Throttles[limits.ReasonDraining] != 0 {
		t.Errorf("%+v", got.Throttles)
	}
	if got.Duration.Count != 5 || math.Abs(got.Duration.Sum-2.06) > 1e-9 {
		t.Errorf("%+v", got.Duration)
	}
}

func TestQuantilesOfWhatCameSince(t *testing.T) {
	m, _ := newMetrics(t, false)
	r := rand.New(rand.NewPCG(1, 2))
	observe := func(n int, mean float64) []float64 {
		var all []float64
		for range n {
			d := time.Duration(r.ExpFloat64() * mean * float64(time.Second))
			all = append(all, d.Seconds())
			m.Ended(Request{Status: 200, Admitted: true, Duration: d})
		}
		slices.Sort(all)
		return all
	}
	observe(10_000, 10) // before, and not to be seen below
	before := m.Totals().Duration
	all := observe(10_000, 0.02) // spreads so far that the buckets are widened
	since, ok := m.Totals().Duration.Since(before)
	if !ok || since.Count != 10_000 || since.schema >= before.schema {
		t.Fatalf("%+v, %v", since, ok)
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.95, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		if got := since.Quantile(q); math.Abs(got-want) > 0.2*want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := since.Quantile(1); got < all[len(all)-1] || got > 1.2*all[len(all)-1] {
		t.Errorf("the greatest is %v, want %v", got, all[len(all)-1])
	}
	nothing, ok := m.Totals().Duration.Since(m.Totals().Duration)
	if !ok || nothing.Count != 0 || !math.IsNaN(nothing.Quantile(0.5)) {
		t.Errorf("%+v, %v", nothing, ok)
	}
	if _, ok := before.Since(m.Totals().Duration); ok {
		t.Error("what was read before cannot be told to come after")
	}
	m.Ended(Request{Status: 200, Admitted: true})
	if zero, _ := m.Totals().Duration.Since(m.Totals().Duration); zero.Count != 0 {
		t.Errorf("%+v", zero)
	}
}

func TestObservationsOfZero(t *testing.T) {
	m, _ := newMetrics(t, false)
	for range 3 {
		m.Ended(Request{Status: 200, Admitted: true})
	}
	if d := m.Totals().Duration; d.Quantile(0.5) != 0 || d.Quantile(0.99) != 0 {
		t.Errorf("%v, %v", d.Quantile(0.5), d.Quantile(0.99))
	}
	var none Distribution
	if d, ok := m.Totals().Duration.Since(none); !ok || d.Count != 3 {
		t.Errorf("%+v, %v", d, ok)
	}
}

func BenchmarkTotals(b *testing.B) {
	m := New(Options{Gate: func() limits.Snapshot { return limits.Snapshot{} }})
	for i := range 1000 {
		m.Ended(Request{Status: 200, Admitted: true, Duration: time.Duration(i) * time.Millisecond})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Totals()
	}
}
