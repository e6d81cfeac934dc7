package sim

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weir/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func gate(t testing.TB, p limits.Policy) *limits.Gate {
	t.Helper()
	g, err := limits.NewGate(p)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func skipRaced(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("too slow under the race detector; make check runs it without")
	}
}

// bubble runs the scenario that build makes, in virtual time.
func bubble(t *testing.T, build func() *Scenario) *Result {
	t.Helper()
	var r *Result
	synctest.Test(t, func(*testing.T) {
		s := build()
		r = Run(s)
		if s.Gate == nil {
			return
		}
		if g := s.Gate.Snapshot(); g.Inflight != 0 || g.Waiting != 0 {
			t.Errorf("after the run %d in flight and %d waiting, want none", g.Inflight, g.Waiting)
		}
	})
	return r
}

func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	run := func(seed uint64) *Result {
		return bubble(t, func() *Scenario {
			return &Scenario{
				Seed: seed, For: 10 * time.Second,
				Function: Function{Service: Lognormal(50*time.Millisecond, 1), Workers: 5},
				Streams: []Stream{
					{Name: "a", Rate: Steady(100), Retries: 2},
					{Name: "b", Rate: Ramp(1, 100, 10*time.Second), Patience: time.Second, Tells: true},
				},
				Gate: gate(t, limits.Policy{MaxInflight: 5, Overflow: limits.OverflowWait, QueueDepth: 20, QueueTimeout: time.Second}),
			}
		})
	}
	a, b, c := run(1), run(1), run(2)
	a.scenario, b.scenario, c.scenario = nil, nil, nil
	if !reflect.DeepEqual(a, b) {
		for i := range a.records {
			if i < len(b.records) && a.records[i] != b.records[i] {
				t.Errorf("record %d: %+v and %+v", i, a.records[i], b.records[i])
				break
			}
		}
		t.Errorf("two runs of one seed differ: %d and %d records", len(a.records), len(b.records))
	}
	if reflect.DeepEqual(a, c) {
		t.Error("runs of two seeds are the same")
	}
}

// TestTheModelIsErlangs holds the simulator against what is known exactly: a
// loss system's blocking probability by Erlang's formula B, which depends on the
// service times' mean alone.
func TestTheModelIsErlangs(t *testing.T) {
	const servers, load = 10, 8.0
	blocking := 1.0
	for n := 1; n <= servers; n++ {
		blocking = load * blocking / (float64(n) + load*blocking)
	}
	for name, service := range map[string]func() Function{
		"exponential": func() Function { return Function{Service: Exponential(10 * time.Millisecond), Workers: servers} },
		"lognormal":   func() Function { return Function{Service: Lognormal(10*time.Millisecond, 1), Workers: servers} },
	} {
		r := bubble(t, func() *Scenario {
			return &Scenario{
				Seed: 3, For: time.Minute, Function: service(),
				Streams: []Stream{{Rate: Steady(load / 0.010)}},
				Gate:    gate(t, limits.Policy{MaxInflight: servers}),
			}
		})
		s := r.Between(0, time.Minute)
		got := float64(s.Refusals()) / float64(s.Refusals()+s.Served)
		if got < blocking*0.9 || got > blocking*1.1 {
			t.Errorf("%s: %.4f refused, Erlang says %.4f", name, got, blocking)
		}
		if s.Premature > 0 {
			t.Errorf("%s: %d refused with a worker idle", name, s.Premature)
		}
	}
}

// TestAnOverloadedFunctionQueuesInside: without a limit the backlog grows, and
// nobody is served in time.
func TestAnOverloadedFunctionQueuesInside(t *testing.T) {
	r := bubble(t, func() *Scenario {
		return &Scenario{
			Seed: 4, For: 30 * time.Second,
			Function: Function{Service: Exponential(100 * time.Millisecond), Workers: 10},
			Streams:  []Stream{{Rate: Steady(200), Patience: time.Second}},
			Gate:     gate(t, limits.Policy{}),
		}
	})
	if s := r.Between(20*time.Second, 30*time.Second); s.Useful != 0 || s.Served < 900 {
		t.Errorf("%d served, %d of them in time: want about 1000 and none", s.Served, s.Useful)
	}
}
