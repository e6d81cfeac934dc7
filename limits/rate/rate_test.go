package rate

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAgainstABucket holds the meter against a token bucket that is computed from
// the calls let in so far.
func TestAgainstABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{Calls: rapid.IntRange(1, 20).Draw(t, "calls"), Period: time.Second, Burst: rapid.IntRange(0, 10).Draw(t, "burst")}
		var m Meter
		var now time.Duration
		tokens, at := float64(l.burst()), time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "calls made") {
			now += time.Duration(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "gap"))
			tokens = min(tokens+float64(now-at)/float64(l.interval()), float64(l.burst()))
			at = now
			wait, ok := m.Take(l, now)
			const hair = 1e-6
			if ok && tokens < 1-hair || !ok && tokens > 1+hair {
				t.Fatalf("let in: %t, with %f tokens", ok, tokens)
			}
			if !ok {
				if got := time.Duration((1 - tokens) * float64(l.interval())); wait < got-time.Microsecond || wait > got+time.Microsecond {
					t.Fatalf("told to wait %v, the next token comes in %v", wait, got)
				}
				continue
			}
			tokens--
			if rapid.IntRange(0, 4).Draw(t, "returned") == 0 {
				m.Return(l)
				tokens++
			}
		}
	})
}

func TestManyAtOnceGetNoMoreThanTheBurst(t *testing.T) {
	l := Limit{Calls: 100, Period: time.Second}
	var m Meter
	var in atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 1000 {
				if _, ok := m.Take(l, 0); ok {
					in.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if in.Load() != 100 || m.Remaining(l, 0) != 0 || m.Remaining(l, time.Second) != 100 {
		t.Errorf("%d let in, %d and %d remain", in.Load(), m.Remaining(l, 0), m.Remaining(l, time.Second))
	}
}
