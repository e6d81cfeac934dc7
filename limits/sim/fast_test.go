package sim

import (
	"testing"
	"time"
)

// TestFiftyThousandRequestsASecond: calls far shorter than the limit's windows. With
// slots to spare nothing moves, and a lower capacity is found and used.
func TestFiftyThousandRequestsASecond(t *testing.T) {
	skipRaced(t)
	const mean, perSecond = 200 * time.Microsecond, 50_000
	run := func(workers int, load float64) (Summary, float64) {
		r := bubble(t, func() *Scenario {
			return &Scenario{
				Seed: 3, For: 3 * time.Second, Function: Function{Service: Exponential(mean), Workers: workers},
				Streams: []Stream{{Rate: Steady(load * perSecond)}},
				Gate:    auto(t),
			}
		})
		return r.Between(time.Second, 3*time.Second), r.MeanLimit(2*time.Second, 3*time.Second)
	}
	s, limit := run(100, 1)
	t.Logf("with slots to spare: limit %.1f, %.0f a second served, %d refused", limit, s.Goodput(), s.Refusals())
	if limit < 20 || limit > 26 || s.Goodput() < 0.98*perSecond {
		t.Errorf("with slots to spare: limit %.1f of 20 at first, %.0f a second served of %d", limit, s.Goodput(), perSecond)
	}
	s, limit = run(10, 1.2)
	t.Logf("at the capacity: limit %.1f, %.0f a second served", limit, s.Goodput())
	// Refused at once where all slots are taken, a part is lost to chance: at a limit of 10
	// Erlang's formula leaves 42,000.
	if limit < 8 || limit > 16 || s.Goodput() < 0.8*perSecond {
		t.Errorf("at the capacity: limit %.1f of 10 after 2s, %.0f a second served of %d", limit, s.Goodput(), perSecond)
	}
}
