package limits

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"weir/limits/ramp"
	"weir/limits/rate"
)

func TestASharedLimitBoundsAGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 10, Overflow: OverflowWait, QueueDepth: 10})
		function, account := g.Share(ReasonFunction), g.Share(ReasonAccount)
		lease := time.Now().Add(time.Minute)
		function.Bind(Bound{Slots: 2, Until: lease, Limit: 50})
		if n := account.Bind(Bound{Slots: 3, Until: lease, Limit: 80}); n != 0 {
			t.Errorf("%d run", n)
		}
		slots := []*Slot{mustEnter(t, g), mustEnter(t, g)}
		refusal := func(why Reason, limit int) {
			t.Helper()
			err := g.Enter(t.Context(), &Call{Overflow: OverflowReject}, new(Slot))
			if th := wantThrottle(t, err, why); th.Limit != limit || th.Remaining != 0 || th.RetryAfter < time.Second {
				t.Errorf("%+v, want limit %d", th, limit)
			}
		}
		refusal(ReasonFunction, 50)
		select {
		case <-function.Starving():
		default:
			t.Error("nobody is told that a call found no slot")
		}
		if d := function.Demand(); d.Starved != 1 || d.Inflight != 2 || d.Peak != 2 || d.Own != 10 {
			t.Errorf("demand %+v", d)
		}
		if d := account.Demand(); d.Starved != 0 {
			t.Errorf("demand %+v of a limit that is not reached", d)
		}

		// Who waits is served when the part grows, up to the next bound.
		one, first := enterLater(t.Context(), g, Call{})
		_, async := enterLater(t.Context(), g, Call{Priority: Async})
		synctest.Wait()
		if d := function.Demand(); d.Waiting != 2 || d.Starved != 3 {
			t.Errorf("demand %+v", d)
		}
		function.Bind(Bound{Slots: 9, Until: lease, Limit: 50})
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		slots = append(slots, one)
		refusal(ReasonAccount, 80)

		// What runs when the part shrinks runs on, and nobody new comes.
		if n := account.Bind(Bound{Slots: 1, Until: lease, Limit: 80}); n != 3 {
			t.Errorf("%d run, want 3", n)
		}
		slots[0].Leave(Succeeded)
		refusal(ReasonAccount, 80)
		account.Unbind()
		if err := <-async; err != nil {
			t.Fatal(err)
		}

		// Once the lease is over nobody comes, waiting or not, however late it is noticed.
		ctx, cancel := context.WithCancel(t.Context())
		function.Bind(Bound{Slots: 3, Until: lease, Limit: 50})
		_, waits := enterLater(ctx, g, Call{})
		synctest.Wait()
		time.Sleep(time.Minute)
		slots[1].Leave(Succeeded)
		slots[2].Leave(Succeeded)
		synctest.Wait()
		refusal(ReasonFunction, 50)
		select {
		case err := <-waits:
			t.Errorf("a waiter was let in after the lease's end: %v", err)
		default:
		}
		cancel()
		<-waits
		if limit := g.Snapshot().Limit; limit != 10 {
			t.Errorf("the Gate's own limit is %d", limit)
		}
	})
}

func TestASharedLimitInDryRunOnlyCounts(t *testing.T) {
	g := newGate(t, Policy{MaxInflight: 10, DryRun: true})
	g.Share(ReasonFunction).Bind(Bound{Slots: 1, Limit: 5})
	for range 3 {
		mustEnter(t, g)
	}
	if n := g.Snapshot().WouldRefuse; n[ReasonFunction] != 2 || n[ReasonMaxInflight] != 0 {
		t.Errorf("would refuse %v", n)
	}
}

// BenchmarkEnterLeaveEverything has everything configured.
func BenchmarkEnterLeaveEverything(b *testing.B) {
	much := rate.Limit{Calls: 1_000_000_000, Period: time.Second, Burst: 1_000_000_000}
	g := newGate(b, Policy{
		Auto: &Auto{Min: 50, Ceiling: 1000}, Rate: much, Ramp: ramp.Policy{PerMinute: 1000, Retention: time.Minute},
		Callers: &Callers{MaxInflight: 1000, Rate: much, Remembered: 10_000},
	})
	call := &Call{Caller: "somebody", Rate: NewRate(much)}
	for _, why := range []Reason{ReasonFunction, ReasonAccount} {
		g.Share(why).Bind(Bound{Slots: 50, Until: time.Now().Add(time.Hour), Limit: 100})
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var s Slot
		for pb.Next() {
			if err := g.Enter(context.Background(), call, &s); err != nil {
				b.Error(err)
				return
			}
			s.Leave(Succeeded)
		}
	})
}
