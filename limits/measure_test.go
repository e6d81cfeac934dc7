package limits

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestConcurrencyIsTheExactIntegral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{})
		var want float64
		check := func() {
			t.Helper()
			if got := g.Snapshot().ConcurrencySeconds; math.Abs(got-want) > 1e-9 {
				t.Fatalf("integral is %.9f, want %.9f", got, want)
			}
		}
		check()
		long := mustEnter(t, g)
		for range 10_000 { // short calls between two scrapes
			s := mustEnter(t, g)
			time.Sleep(time.Millisecond)
			s.Leave(Succeeded)
			time.Sleep(time.Millisecond)
		}
		want = 10_000*0.001 + 10_000*0.002
		check()
		time.Sleep(time.Hour) // still running: counted as it runs
		want += 3600
		check()
		long.Leave(Succeeded)
		time.Sleep(time.Hour) // nobody there: nothing counted
		check()
	})
}

func TestIntegralKeepsItsPrecisionOverYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{})
		var slots []*Slot
		for range 10_000 {
			slots = append(slots, mustEnter(t, g))
		}
		years := 3 * 365 * 24 * time.Hour
		time.Sleep(years)
		want := 10_000 * years.Seconds()
		if got := g.Snapshot().ConcurrencySeconds; math.Abs(got/want-1) > 1e-12 {
			t.Errorf("in flight: %g, want %g", got, want)
		}
		for _, s := range slots {
			s.Leave(Succeeded)
		}
		if got := g.Snapshot().ConcurrencySeconds; math.Abs(got/want-1) > 1e-12 {
			t.Errorf("ended: %g, want %g", got, want)
		}
	})
}

func TestWaitingIsNotRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 1})
		held := mustEnter(t, g)
		s, done := enterLater(t.Context(), g, Call{})
		time.Sleep(10 * time.Second)
		held.Leave(Succeeded)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s.Waited() != 10*time.Second {
			t.Errorf("waited %v, want 10s", s.Waited())
		}
		time.Sleep(time.Second)
		s.Leave(Succeeded)
		if got := g.Snapshot().ConcurrencySeconds; math.Abs(got-11) > 1e-9 {
			t.Errorf("integral %v, want 11: the wait is not in it", got)
		}
	})
}

func TestHighWaterLooksBackAMinuteAndIsNotResetByReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{})
		high := func(want int) {
			t.Helper()
			for range 2 {
				if got := g.Snapshot().HighWater; got != want {
					t.Fatalf("high water %d, want %d", got, want)
				}
			}
		}
		high(0)
		var slots []*Slot
		for range 7 {
			slots = append(slots, mustEnter(t, g))
		}
		for _, s := range slots[:5] {
			s.Leave(Succeeded)
		}
		high(7)
		time.Sleep(59 * time.Second)
		high(7)
		time.Sleep(2 * time.Second)
		high(2) // the two that still run
		time.Sleep(10 * time.Minute)
		high(2)
		slots[5].Leave(Succeeded)
		slots[6].Leave(Succeeded)
		high(2) // a level that ended within the window, begun long before it
		time.Sleep(61 * time.Second)
		high(0)
	})
}

func TestRetryAfterFollowsDurationLimitAndBacklog(t *testing.T) {
	for _, c := range []struct {
		name                     string
		inflight, limit, waiting int
		mean                     time.Duration
		min, max                 time.Duration
	}{
		{"short calls: a second or two", 10, 10, 0, time.Millisecond, time.Second, 2 * time.Second},
		{"one slot, long calls", 1, 1, 0, 20 * time.Second, 20 * time.Second, 31 * time.Second},
		{"many slots finish sooner", 10, 10, 0, 100 * time.Second, 10 * time.Second, 16 * time.Second},
		{"the backlog goes first", 10, 10, 19, 10 * time.Second, 20 * time.Second, 31 * time.Second},
		{"a lowered limit must be reached first", 12, 2, 1, 4 * time.Second, 24 * time.Second, 37 * time.Second},
		{"no further than an hour", 1, 1, 1000, time.Hour, time.Hour, time.Hour},
	} {
		seen := map[time.Duration]bool{}
		for i := range 2000 {
			j := jitter(mix(uint64(i)))
			got := retryAfter(c.inflight, c.limit, c.waiting, c.mean, &j)
			if got < c.min || got > c.max || got%time.Second != 0 {
				t.Fatalf("%s: %v is not whole seconds between %v and %v", c.name, got, c.min, c.max)
			}
			seen[got] = true
		}
		if len(seen) < 2 && c.min != c.max {
			t.Errorf("%s: always %v, want jitter", c.name, seen)
		}
	}
}

func TestRetryAfterUsesTheMeasuredDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1})
		for range 10 {
			s := mustEnter(t, g)
			time.Sleep(40 * time.Second)
			s.Leave(Succeeded)
		}
		s := mustEnter(t, g)
		var n Slot
		th := wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), ReasonMaxInflight)
		if th.RetryAfter < 40*time.Second || th.RetryAfter > 61*time.Second {
			t.Errorf("calls take 40s, advice is %v", th.RetryAfter)
		}
		// None has ended that took longer, but the one running has.
		time.Sleep(10 * time.Minute)
		th = wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), ReasonMaxInflight)
		if th.RetryAfter < 10*time.Minute {
			t.Errorf("a call has been running for 10m, advice is %v", th.RetryAfter)
		}
		s.Leave(Succeeded)
	})
}
