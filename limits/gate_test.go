package limits

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGate(t testing.TB, p Policy, l ...Limiter) *Gate {
	t.Helper()
	g, err := NewGate(p, l...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mustEnter(t testing.TB, g *Gate) *Slot {
	t.Helper()
	s := new(Slot)
	if err := g.Enter(t.Context(), &Call{}, s); err != nil {
		t.Fatalf("Enter: %v", err)
	}
	return s
}

func wantThrottle(t testing.TB, err error, reason Reason) *Throttle {
	t.Helper()
	var th *Throttle
	if !errors.As(err, &th) {
		t.Fatalf("error is %v, want a Throttle with reason %s", err, reason)
	}
	if th.Reason != reason {
		t.Fatalf("reason is %s, want %s", th.Reason, reason)
	}
	if th.RetryAfter < time.Second || th.RetryAfter%time.Second != 0 {
		t.Fatalf("RetryAfter %v is not in whole seconds of at least one", th.RetryAfter)
	}
	return th
}

func wantEmpty(t testing.TB, g *Gate) {
	t.Helper()
	s := g.Snapshot()
	r := g.meter.read(g.now)
	if s.Inflight != 0 || s.Waiting != 0 || r.inflight != 0 || word(g.word.Load()).queued() {
		t.Fatalf("in flight %d (meter %d), waiting %d, queued %t: want none", s.Inflight, r.inflight, s.Waiting, word(g.word.Load()).queued())
	}
}

func TestAdmitsUpToTheLimitAndNoFurther(t *testing.T) {
	g := newGate(t, Policy{MaxInflight: 2})
	a, b := mustEnter(t, g), mustEnter(t, g)
	var c Slot
	th := wantThrottle(t, g.Enter(t.Context(), &Call{}, &c), ReasonMaxInflight)
	if th.Limit != 2 || th.Remaining != 0 {
		t.Errorf("limit %d remaining %d, want 2 and 0", th.Limit, th.Remaining)
	}
	if c.Held() {
		t.Error("a refused call holds its slot")
	}
	a.Leave(Succeeded)
	if err := g.Enter(t.Context(), &Call{}, &c); err != nil {
		t.Errorf("a slot is free, yet: %v", err)
	}
	b.Leave(Succeeded)
	c.Leave(Succeeded)
	wantEmpty(t, g)
}

func TestLeaveCountsOnce(t *testing.T) {
	g := newGate(t, Policy{MaxInflight: 10})
	other := mustEnter(t, g)
	s := mustEnter(t, g)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() { s.Leave(Aborted) })
	}
	wg.Wait()
	new(Slot).Leave(Succeeded)
	if n := g.Snapshot().Inflight; n != 1 {
		t.Errorf("in flight %d, want the one other call", n)
	}
	other.Leave(Succeeded)
	wantEmpty(t, g)
}

func TestEnterOnAHeldSlotPanics(t *testing.T) {
	g := newGate(t, Policy{})
	s := mustEnter(t, g)
	defer func() {
		if recover() == nil {
			t.Error("no panic: the first call's slot would be lost")
		}
		s.Leave(Succeeded)
	}()
	_ = g.Enter(t.Context(), &Call{}, s)
}

func TestZeroOnlyMeters(t *testing.T) {
	g := newGate(t, Policy{})
	var slots []*Slot
	for range 5000 {
		slots = append(slots, mustEnter(t, g))
	}
	if s := g.Snapshot(); s.Inflight != 5000 || s.Limit != 0 || s.HighWater != 5000 {
		t.Errorf("snapshot %+v", s)
	}
	for _, s := range slots {
		s.Leave(Succeeded)
	}
	wantEmpty(t, g)
}

func TestPolicyThatCannotHoldIsRefusedWhole(t *testing.T) {
	g := newGate(t, Policy{MaxInflight: 3})
	for _, p := range []Policy{
		{MaxInflight: -1},
		{MaxInflight: MaxSlots + 1},
		{MaxInflight: 1, QueueDepth: -1},
		{MaxInflight: 1, QueueTimeout: -time.Second},
		{MaxInflight: 1, Overflow: 9},
	} {
		if g.SetPolicy(p) == nil {
			t.Errorf("%+v was accepted", p)
		}
		if _, err := NewGate(p); err == nil {
			t.Errorf("NewGate accepted %+v", p)
		}
	}
	if l := g.Snapshot().Limit; l != 3 {
		t.Errorf("limit is %d after refused policies, want 3", l)
	}
}

// enterLater starts an Enter that is expected to wait, and returns where its
// result will be.
func enterLater(ctx context.Context, g *Gate, call Call) (*Slot, <-chan error) {
	s, done := new(Slot), make(chan error, 1)
	go func() { done <- g.Enter(ctx, &call, s) }()
	synctest.Wait()
	return s, done
}

func TestWaitersAreServedInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 100})
		held := mustEnter(t, g)
		var slots []*Slot
		var results []<-chan error
		for range 100 {
			s, done := enterLater(t.Context(), g, Call{})
			slots, results = append(slots, s), append(results, done)
		}
		_, done := enterLater(t.Context(), g, Call{})
		wantThrottle(t, <-done, ReasonQueueFull)
		held.Leave(Succeeded)
		for i := range slots {
			synctest.Wait()
			for j := range slots {
				if want := j == i; slots[j].Held() != want {
					t.Fatalf("after %d releases, waiter %d holds a slot: %t", i+1, j, !want)
				}
			}
			if err := <-results[i]; err != nil {
				t.Fatal(err)
			}
			slots[i].Leave(Succeeded)
		}
		wantEmpty(t, g)
	})
}

func TestANewcomerCannotBargePastAWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 8})
		held := mustEnter(t, g)
		first, granted := enterLater(t.Context(), g, Call{})
		held.Leave(Succeeded) // hands the slot over before the waiter's goroutine runs
		var s Slot
		wantThrottle(t, g.Enter(t.Context(), &Call{Overflow: OverflowReject}, &s), ReasonMaxInflight)
		if err := <-granted; err != nil {
			t.Fatal(err)
		}
		first.Leave(Succeeded)
		wantEmpty(t, g)
	})
}

func TestAWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 8, QueueTimeout: 5 * time.Second})
		held := mustEnter(t, g)
		for _, c := range []struct {
			name string
			call Call
			ctx  time.Duration
			want time.Duration
		}{
			{"by the queue timeout", Call{}, time.Hour, 5 * time.Second},
			{"by its own deadline", Call{Deadline: time.Now().Add(2 * time.Second)}, time.Hour, 2 * time.Second},
			{"by its context's deadline", Call{}, time.Second, time.Second},
			{"at once when the deadline has passed", Call{Deadline: time.Now().Add(-time.Second)}, time.Hour, 0},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
			began := time.Now()
			if !c.call.Deadline.IsZero() && c.want > 0 {
				c.call.Deadline = began.Add(c.want)
			}
			var s Slot
			th := wantThrottle(t, g.Enter(ctx, &c.call, &s), ReasonQueueTimeout)
			if waited := time.Since(began); waited != c.want || th.Waited != c.want || s.Waited() != c.want {
				t.Errorf("%s: waited %v (throttle says %v, slot %v), want %v", c.name, waited, th.Waited, s.Waited(), c.want)
			}
			cancel()
		}
		held.Leave(Succeeded)
		wantEmpty(t, g)
	})
}

func TestAWaiterWhoseClientLeavesGivesUpItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 2})
		held := mustEnter(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		_, gone := enterLater(ctx, g, Call{})
		second, granted := enterLater(t.Context(), g, Call{})
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want the context's", err)
		}
		if n := g.Snapshot().Waiting; n != 1 {
			t.Errorf("%d wait, want 1", n)
		}
		held.Leave(Succeeded)
		if err := <-granted; err != nil {
			t.Fatal(err)
		}
		second.Leave(Succeeded)
		wantEmpty(t, g)
	})
}

func TestLoweringTheLimitRefusesUntilEnoughHaveLeft(t *testing.T) {
	g := newGate(t, Policy{MaxInflight: 4})
	slots := []*Slot{mustEnter(t, g), mustEnter(t, g), mustEnter(t, g), mustEnter(t, g)}
	if err := g.SetPolicy(Policy{MaxInflight: 2}); err != nil {
		t.Fatal(err)
	}
	for i, s := range slots {
		var n Slot
		err := g.Enter(t.Context(), &Call{}, &n)
		if i < 3 {
			wantThrottle(t, err, ReasonMaxInflight)
		} else if err != nil {
			t.Fatalf("one in flight of two, yet: %v", err)
		} else {
			n.Leave(Succeeded)
		}
		s.Leave(Succeeded)
	}
	wantEmpty(t, g)
}

func TestRaisingTheLimitWakesWaitersAtOnce(t *testing.T) {
	for _, limit := range []int{3, 0} {
		synctest.Test(t, func(t *testing.T) {
			p := Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 8}
			g := newGate(t, p)
			slots := []*Slot{mustEnter(t, g)}
			var results []<-chan error
			for range 4 {
				s, done := enterLater(t.Context(), g, Call{})
				slots, results = append(slots, s), append(results, done)
			}
			p.MaxInflight = limit
			if err := g.SetPolicy(p); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			want := 5
			if limit > 0 {
				want = limit
			}
			if s := g.Snapshot(); s.Inflight != want || s.Waiting != 5-want || s.HighWater != want {
				t.Errorf("limit %d: %+v, want %d in flight", limit, s, want)
			}
			for i, s := range slots {
				if i > 0 {
					if err := <-results[i-1]; err != nil {
						t.Fatal(err)
					}
				}
				s.Leave(Succeeded)
			}
			wantEmpty(t, g)
		})
	}
}

func TestDrainRefusesNewcomersAndServesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 8})
		held := mustEnter(t, g)
		s, granted := enterLater(t.Context(), g, Call{})
		g.Drain()
		var n Slot
		wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), ReasonDraining)
		held.Leave(Succeeded)
		if err := <-granted; err != nil {
			t.Fatalf("the waiter was accepted before the drain, yet: %v", err)
		}
		wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), ReasonDraining)
		s.Leave(Succeeded)
		wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), ReasonDraining)
		wantEmpty(t, g)
	})
}

// TestAgainstThePlainModel drives the Gate by random operations, one at a time,
// beside the model in its comment.
func TestAgainstThePlainModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			limit, depth := rapid.IntRange(0, 4).Draw(rt, "limit"), rapid.IntRange(0, 4).Draw(rt, "depth")
			g := newGate(t, Policy{MaxInflight: limit, Overflow: OverflowWait, QueueDepth: depth})
			type entry struct {
				slot   *Slot
				cancel context.CancelFunc
				done   <-chan error
			}
			var running, queue []entry // the model
			grant := func() {
				for len(queue) > 0 && (limit == 0 || len(running) < limit) {
					running, queue = append(running, queue[0]), queue[1:]
				}
			}
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				switch op := rapid.IntRange(0, 3).Draw(rt, "op"); {
				case op == 0:
					ctx, cancel := context.WithCancel(t.Context())
					s, done := enterLater(ctx, g, Call{})
					e := entry{s, cancel, done}
					if len(queue) == 0 && (limit == 0 || len(running) < limit) {
						running = append(running, e)
					} else if len(queue) < depth {
						queue = append(queue, e)
					} else {
						if err := <-done; err == nil {
							t.Fatal("admitted beyond limit and depth")
						}
						cancel()
					}
				case op == 1 && len(running) > 0:
					i := rapid.IntRange(0, len(running)-1).Draw(rt, "leaver")
					running[i].slot.Leave(Succeeded)
					running[i].cancel()
					running = append(running[:i:i], running[i+1:]...)
					grant()
				case op == 2 && len(queue) > 0:
					i := rapid.IntRange(0, len(queue)-1).Draw(rt, "quitter")
					queue[i].cancel()
					if err := <-queue[i].done; !errors.Is(err, context.Canceled) {
						t.Fatalf("quitter got %v", err)
					}
					queue = append(queue[:i:i], queue[i+1:]...)
				case op == 3:
					limit = rapid.IntRange(0, 4).Draw(rt, "limit")
					if err := g.SetPolicy(Policy{MaxInflight: limit, Overflow: OverflowWait, QueueDepth: depth}); err != nil {
						t.Fatal(err)
					}
					grant()
				}
				synctest.Wait()
				if s := g.Snapshot(); s.Inflight != len(running) || s.Waiting != len(queue) || s.Limit != limit {
					t.Fatalf("gate has %d in flight, %d waiting, limit %d; the model %d, %d, %d", s.Inflight, s.Waiting, s.Limit, len(running), len(queue), limit)
				}
				for _, e := range running {
					if !e.slot.Held() {
						t.Fatal("the model's runner holds no slot")
					}
				}
				for _, e := range queue {
					if e.slot.Held() {
						t.Fatal("the model's waiter holds a slot")
					}
				}
			}
			for _, e := range queue {
				e.cancel()
				<-e.done
			}
			for _, e := range running {
				e.slot.Leave(Succeeded)
				e.cancel()
			}
			wantEmpty(t, g)
		})
	})
}

// TestStorm mixes arrivals, departures, impatience and live changes on all
// cores: never over the greatest limit set, and nothing left at the end.
func TestStorm(t *testing.T) {
	const top = 8
	g := newGate(t, Policy{MaxInflight: top, Overflow: OverflowWait, QueueDepth: 16, QueueTimeout: time.Millisecond})
	var running, peak, entered, refused, left atomic.Int64
	stop := make(chan struct{})
	var changer sync.WaitGroup
	changer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := Policy{MaxInflight: 1 + i%top, Overflow: OverflowWait, QueueDepth: 1 + i%16, QueueTimeout: time.Millisecond}
			if err := g.SetPolicy(p); err != nil {
				t.Error(err)
			}
			g.Snapshot()
		}
	})
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			var reused Slot
			for i := range 3000 {
				s := &reused
				if i%5 == 0 {
					s = new(Slot) // the second Leave may come late
				}
				ctx, cancel := context.WithCancel(t.Context())
				call := Call{}
				switch (i + w) % 4 {
				case 0:
					call.Overflow = OverflowReject
				case 1:
					go cancel() // leaves at some moment of the wait, or after
				}
				switch err := g.Enter(ctx, &call, s); {
				case err == nil:
					n := running.Add(1)
					for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
					}
					entered.Add(1)
					running.Add(-1)
					if i%5 == 0 {
						go s.Leave(Aborted) // both leave; one counts
					}
					s.Leave(Succeeded)
				case errors.Is(err, context.Canceled):
					left.Add(1)
				default:
					refused.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	close(stop)
	changer.Wait()
	if p := peak.Load(); p > top {
		t.Errorf("%d ran at once, the limit never was above %d", p, top)
	}
	if n := entered.Load() + refused.Load() + left.Load(); n != 64*3000 {
		t.Errorf("%d calls accounted for, want %d", n, 64*3000)
	}
	if entered.Load() == 0 || refused.Load() == 0 {
		t.Errorf("entered %d, refused %d: the storm did not do its work", entered.Load(), refused.Load())
	}
	if e := g.Snapshot().Ended; int64(e) != entered.Load() {
		t.Errorf("%d ended, %d entered", e, entered.Load())
	}
	wantEmpty(t, g)
}

func TestEnterAndLeaveAllocateNothing(t *testing.T) {
	g := newGate(t, Policy{MaxInflight: 2})
	ctx, call := t.Context(), &Call{}
	var s Slot
	if n := testing.AllocsPerRun(1000, func() {
		if err := g.Enter(ctx, call, &s); err != nil {
			t.Fatal(err)
		}
		s.Leave(Succeeded)
	}); n != 0 {
		t.Errorf("%v allocations for Enter and Leave, want 0", n)
	}
}

func BenchmarkEnterLeave(b *testing.B) { benchmarkEnterLeave(b, Policy{MaxInflight: 100}) }

// BenchmarkEnterLeaveAuto is the same with a limit that finds itself.
func BenchmarkEnterLeaveAuto(b *testing.B) {
	benchmarkEnterLeave(b, Policy{Auto: &Auto{Min: 1, Ceiling: 1000}})
}

func benchmarkEnterLeave(b *testing.B, p Policy) {
	g := newGate(b, p)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var s Slot
		call := &Call{}
		ctx := context.Background()
		for pb.Next() {
			if err := g.Enter(ctx, call, &s); err != nil {
				b.Error(err)
				return
			}
			s.Leave(Succeeded)
		}
	})
}

func BenchmarkRefuse(b *testing.B) {
	g := newGate(b, Policy{MaxInflight: 1})
	mustEnter(b, g)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var s Slot
		call := &Call{}
		ctx := context.Background()
		for pb.Next() {
			if g.Enter(ctx, call, &s) == nil {
				b.Error("admitted over the limit")
				return
			}
		}
	})
}
