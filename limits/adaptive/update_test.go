package adaptive

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkUpdate is a window in which calls found no slot: what a limit costs a proxy at
// most ten times a second.
func BenchmarkUpdate(b *testing.B) {
	for _, ceiling := range []int{100, 1000} {
		b.Run(fmt.Sprintf("ceiling %d", ceiling), func(b *testing.B) {
			l := New(Bounds{Min: 1, Max: ceiling})
			w := overloaded40(l.Value(), 0)
			l.Update(w)
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				w := overloaded40(l.Value(), i)
				l.Update(w)
			}
		})
	}
}

// overloaded40 is a window of a function that runs 40 calls at once, for 20 ms each, give or
// take a tenth.
func overloaded40(limit, n int) Window {
	const capacity, service, span = 40, 0.020, 0.2
	inflight := 0.97 * float64(limit)
	latency := service * max(1, inflight/capacity) * (1 + 0.05*float64(n%5-2))
	ended := inflight * span / latency
	return Window{
		Span: time.Duration(span * float64(time.Second)), Inflight: inflight * span, Ended: int(ended), Limited: int(ended), Refused: int(ended),
		Seconds: ended * latency, Squares: 2 * ended * latency * latency,
	}
}

// TestAnUpdateAllocatesNothing once the limit knows the function.
func TestAnUpdateAllocatesNothing(t *testing.T) {
	l := New(Bounds{Min: 1, Max: 1000})
	n := 0
	update := func() {
		l.Update(overloaded40(l.Value(), n))
		n++
	}
	update()
	if got := testing.AllocsPerRun(200, update); got != 0 {
		t.Errorf("%g allocations an update", got)
	}
	if v := l.held; v < 32 || v > 48 {
		t.Errorf("the limit is %d, the capacity 40", v)
	}
}
