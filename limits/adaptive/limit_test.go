package adaptive

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTheLimitStaysWithinItsBounds, whatever it is told.
func TestTheLimitStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bounds{Min: rapid.IntRange(1, 10).Draw(t, "min")}
		b.Max = b.Min + rapid.IntRange(0, 100).Draw(t, "room")
		l := New(b)
		for range rapid.IntRange(1, 100).Draw(t, "windows") {
			w := Window{
				Span:     time.Duration(rapid.Int64Range(1, int64(10*time.Second)).Draw(t, "span")),
				Inflight: rapid.Float64Range(0, 1e4).Draw(t, "inflight"),
				Ended:    rapid.IntRange(0, 1000).Draw(t, "ended"),
				Change:   rapid.IntRange(-100, 100).Draw(t, "change"),
				Seconds:  rapid.Float64Range(0, 1e4).Draw(t, "seconds"),
				Squares:  rapid.Float64Range(0, 1e6).Draw(t, "squares"),
				Limited:  rapid.IntRange(0, 1000).Draw(t, "limited"),
			}
			w.Refused = rapid.IntRange(0, w.Limited).Draw(t, "refused")
			w.Failed = rapid.IntRange(0, w.Ended).Draw(t, "failed")
			w.Full = rapid.IntRange(0, w.Ended-w.Failed).Draw(t, "full")
			got := l.Update(w)
			if got < b.Min || got > b.Max || got != l.Value() {
				t.Fatalf("limit %d (value %d) with bounds %+v", got, l.Value(), b)
			}
			if math.IsNaN(l.cv) || math.IsInf(l.cv, 0) || math.IsNaN(l.latency) {
				t.Fatalf("%+v", l)
			}
			if s := l.Settle(); s < 0 || s > LatencyMost {
				t.Fatalf("settles for %v", s)
			}
		}
	})
}

func TestAFullFunctionIsBelieved(t *testing.T) {
	l := New(Bounds{Min: 1, Max: 100, Initial: 50})
	if got := l.Update(Window{Span: time.Second, Inflight: 30, Ended: 100, Full: 5, Limited: 10, Refused: 10, Seconds: 30, Squares: 15}); got > 30 {
		t.Errorf("the function said that it was full with 30 in flight, the limit is %d", got)
	}
}

func TestNothingMovesWhereNothingIsLimited(t *testing.T) {
	l := New(Bounds{Min: 1, Max: 100, Initial: 50})
	for i := range 1000 {
		seconds := float64(1 + i%30)
		if got := l.Update(Window{Span: time.Second, Inflight: seconds, Ended: 100, Seconds: seconds, Squares: seconds * seconds / 50}); got != 50 {
			t.Fatalf("the limit moved to %d", got)
		}
	}
}
