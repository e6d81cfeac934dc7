package sim

import (
	"testing"
	"time"
)

// TestFiftyThousandRequestsASecond: calls far shorter than the limit's windows. With
// slots to spare nothing moves, and a lower or a higher capacity is found and used: after
// two seconds, of the fifteen that it has.
func TestFiftyThousandRequestsASecond(t *testing.T) {
	skipRaced(t)
	const perSecond = 50_000
	run := func(workers int, mean time.Duration, load float64) *Result {
		return bubble(t, func() *Scenario {
			return &Scenario{
				Seed: 3, For: 3 * time.Second, Function: Function{Service: Exponential(mean), Workers: workers},
				Streams: []Stream{{Rate: Steady(load * perSecond)}},
				Gate:    auto(t), Refuses: true,
			}
		})
	}
	r := run(100, 200*time.Microsecond, 1)
	s, limit := r.Between(time.Second, 3*time.Second), r.MeanLimit(2*time.Second, 3*time.Second)
	t.Logf("with slots to spare: limit %.1f, %.0f a second served, %d refused", limit, s.Goodput(), s.Refusals())
	if limit < 20 || limit > 26 || s.Goodput() < 0.98*perSecond {
		t.Errorf("with slots to spare: limit %.1f of 20 at first, %.0f a second served of %d", limit, s.Goodput(), perSecond)
	}
	for _, capacity := range []int{10, 50} {
		r := run(capacity, time.Duration(capacity)*time.Second/perSecond, 1.2)
		s, f := r.Between(time.Second, 3*time.Second), r.found(capacity, 2*time.Second, 3*time.Second)
		// Refused at once where all slots are taken, a part is lost to chance.
		erlang := 1.2 * (1 - blocked(capacity, 1.2*float64(capacity))) * perSecond
		t.Logf("%v; %.0f a second served, a fixed limit has %.0f", f, s.Goodput(), erlang)
		if !f.right() || s.Goodput() < 0.96*erlang {
			t.Errorf("%v; %.0f a second served, a fixed limit has %.0f", f, s.Goodput(), erlang)
		}
	}
}
