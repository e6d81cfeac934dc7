package limits

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/limits/ramp"
	"weir/limits/rate"
)

func enterAs(t testing.TB, g *Gate, caller string) (*Slot, error) {
	t.Helper()
	s := new(Slot)
	return s, g.Enter(t.Context(), &Call{Caller: caller}, s)
}

func TestEachCallerHasItsOwnLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 100, Callers: &Callers{MaxInflight: 2, Rate: rate.Limit{Calls: 3, Period: time.Minute}, Remembered: 1000}})
		var slots []*Slot
		for _, caller := range []string{"a", "b", ""} {
			for range 2 {
				s, err := enterAs(t, g, caller)
				if err != nil {
					t.Fatal(err)
				}
				slots = append(slots, s)
			}
			_, err := enterAs(t, g, caller)
			if th := wantThrottle(t, err, ReasonCaller); th.Limit != 2 {
				t.Errorf("limit %d", th.Limit)
			}
		}
		slots[0].Leave(Succeeded)
		again, err := enterAs(t, g, "a")
		if err != nil {
			t.Fatal(err)
		}
		again.Leave(Succeeded)
		_, err = enterAs(t, g, "a")
		th := wantThrottle(t, err, ReasonRate)
		if th.Limit != 3 || th.Window != time.Minute || th.RetryAfter < 20*time.Second || th.RetryAfter > 31*time.Second {
			t.Errorf("%+v: the next call fits in 20s", th)
		}
		time.Sleep(20 * time.Second)
		if again, err = enterAs(t, g, "a"); err != nil {
			t.Fatal(err)
		}
		for _, s := range append(slots, again) {
			s.Leave(Succeeded)
		}
		wantEmpty(t, g)
		if n := g.everyone.admitted.Load(); n != 0 {
			t.Errorf("%d admitted without a caller", n)
		}
	})
}

// TestARefusalUsesNothing: a call that some limit refuses leaves all others as
// they were.
func TestARefusalUsesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := rate.Limit{Calls: 1, Period: time.Hour}
		g := newGate(t, Policy{
			MaxInflight: 1, Rate: rate.Limit{Calls: 2, Period: time.Hour},
			Ramp:    ramp.Policy{PerMinute: 5, Retention: time.Hour},
			Callers: &Callers{MaxInflight: 5, Rate: once, Remembered: 1000},
		})
		held := mustEnter(t, g)
		route := NewRate(once)
		for range 100 {
			var s Slot
			wantThrottle(t, g.Enter(t.Context(), &Call{Caller: "a", Rate: route}, &s), ReasonMaxInflight)
		}
		held.Leave(Succeeded)
		var s Slot
		if err := g.Enter(t.Context(), &Call{Caller: "a", Rate: route}, &s); err != nil {
			t.Fatalf("nothing ran for the caller, the route and the second call of all, yet: %v", err)
		}
		s.Leave(Succeeded)
		if n := g.ramp.Warm(); n != 1 {
			t.Errorf("%d slots warm, one was ever used", n)
		}
	})
}

func TestDryRunRefusesNothing(t *testing.T) {
	g := newGate(t, Policy{
		MaxInflight: 2, DryRun: true, Overflow: OverflowWait, QueueDepth: 3, Rate: rate.Limit{Calls: 5, Period: time.Hour},
		Ramp:    ramp.Policy{PerMinute: 1, Retention: time.Hour},
		Callers: &Callers{MaxInflight: 1, Remembered: 1000, DryRun: true},
	})
	var slots []*Slot
	for range 10 {
		s, err := enterAs(t, g, "a")
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, s)
	}
	would := g.Snapshot().WouldRefuse
	if would[ReasonMaxInflight] != 8 || would[ReasonRate] != 5 || would[ReasonCaller] != 9 || would[ReasonRamp] != 9 {
		t.Errorf("would have refused %v", would)
	}
	for _, s := range slots {
		s.Leave(Succeeded)
	}
	wantEmpty(t, g)
	if err := g.SetPolicy(Policy{MaxInflight: 2}); err != nil {
		t.Fatal(err)
	}
	a, b := mustEnter(t, g), mustEnter(t, g)
	var s Slot
	wantThrottle(t, g.Enter(t.Context(), &Call{}, &s), ReasonMaxInflight)
	a.Leave(Succeeded)
	b.Leave(Succeeded)
	wantEmpty(t, g)
}

// TestCallersAreBoundedAndBusyOnesKept, whatever comes.
func TestCallersAreBoundedAndBusyOnesKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = callerShards // one in each shard
		g, err := NewGate(Policy{Callers: &Callers{MaxInflight: 3, Remembered: most}})
		if err != nil {
			t.Fatal(err)
		}
		table := g.callers.Load()
		running := map[string][]*Slot{}
		for _, key := range rapid.SliceOfN(rapid.IntRange(0, 400), 1, 400).Draw(t, "calls") {
			name := strconv.Itoa(key % 200)
			if key >= 200 {
				if slots := running[name]; len(slots) > 0 {
					slots[0].Leave(Succeeded)
					running[name] = slots[1:]
				}
				continue
			}
			s := new(Slot)
			if err := g.Enter(context.Background(), &Call{Caller: name}, s); err != nil {
				continue
			}
			if s.caller == &g.everyone {
				s.Leave(Succeeded) // no room
				continue
			}
			if s.caller.key != name {
				t.Fatalf("%s was taken for %s", name, s.caller.key)
			}
			running[name] = append(running[name], s)
		}
		known := 0
		for i := range table.shards {
			known += table.shards[i].lru.Len()
		}
		if known > most {
			t.Fatalf("%d callers are known, at most %d", known, most)
		}
		for name, slots := range running {
			if len(slots) == 0 {
				continue
			}
			shard := &table.shards[shardOf(table, name)]
			c, ok := shard.lru.Peek(name)
			if !ok || c.admitted.Load() != int64(len(slots)) {
				t.Fatalf("%s has %d calls running and is not known with them", name, len(slots))
			}
		}
	})
}

func TestTopCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{Callers: &Callers{Remembered: 1000}})
		if g2 := newGate(t, Policy{}); g2.TopCallers(5) != nil {
			t.Error("callers although they are not told apart")
		}
		for i, caller := range []string{"", "one", "two", "three"} {
			s, err := enterAs(t, g, caller)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * time.Second)
			s.Leave(Succeeded)
		}
		top := g.TopCallers(2)
		if len(top) != 2 || top[0] != (CallerUse{Caller: "three", SlotSeconds: 3}) || top[1].Caller != "two" {
			t.Errorf("%+v", top)
		}
		if all := g.TopCallers(100); len(all) != 4 {
			t.Errorf("%+v", all)
		}
	})
}

func fullGate(t testing.TB) (*Gate, *Call) {
	g := newGate(t, Policy{
		Auto: &Auto{Min: 1, Ceiling: 1000}, Overflow: OverflowWait, QueueDepth: 100, QueueTimeout: time.Second,
		Callers: &Callers{MaxInflight: 100, Rate: rate.Limit{Calls: rate.MostCalls, Period: time.Second}, Remembered: 10_000},
		Rate:    rate.Limit{Calls: rate.MostCalls, Period: time.Second},
		Ramp:    ramp.Policy{PerMinute: 500, Retention: time.Minute},
	})
	return g, &Call{
		Caller: "somebody", Priority: CriticalPlus, Rate: NewRate(rate.Limit{Calls: rate.MostCalls, Period: time.Second}),
		Deadline: time.Now().Add(24 * time.Hour),
	}
}

func TestEverythingConfiguredAllocatesNothing(t *testing.T) {
	g, call := fullGate(t)
	var s Slot
	if n := testing.AllocsPerRun(1000, func() {
		if err := g.Enter(t.Context(), call, &s); err != nil {
			t.Fatal(err)
		}
		s.Leave(Succeeded)
	}); n != 0 {
		t.Errorf("%v allocations for Enter and Leave, want 0", n)
	}
}

// BenchmarkEverything is BenchmarkEnterLeave with all that can be configured.
func BenchmarkEverything(b *testing.B) {
	g, shared := fullGate(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var s Slot
		call := *shared
		call.Caller = fmt.Sprintf("%p", &s)
		ctx := context.Background()
		for pb.Next() {
			if err := g.Enter(ctx, &call, &s); err != nil {
				b.Error(err)
				return
			}
			s.Leave(Succeeded)
		}
	})
}
