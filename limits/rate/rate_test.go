package rate

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Limit{
		"0":      {},
		"100/s":  {Calls: 100, Period: time.Second},
		"500/m":  {Calls: 500, Period: time.Minute},
		"1/h":    {Calls: 1, Period: time.Hour},
		"10/s+5": {Calls: 10, Period: time.Second, Burst: 5},
	} {
		got, err := Parse(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q reads as %+v (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "100", "/s", "100/", "100/d", "0/s", "-1/s", "1.5/s", "01/s", "10/s+", "10/s+0", "99999999999/s", "1/s+1+1", " 1/s"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q was accepted as %+v", text, got)
		}
	}
}

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
