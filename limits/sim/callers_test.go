package sim

import (
	"fmt"
	"testing"
	"time"

	"weir/limits"
)

// TestCallersShareSlots: ten callers, of whom nine ask for 0.9 of a tenth of the
// capacity and one for ten times that. Max-min fair is what the nine ask for, and to
// the one the rest; Jain's index is of what each has of that. What counts are
// slot-seconds: the calls of three of them take three times as long, and come a
// third as often. What the nine lose is counted over several seeds together: where
// durations are uneven, chance alone takes one of them over its share for a while.
func TestCallersShareSlots(t *testing.T) {
	const workers, callers = 20, 10
	for name, service := range services {
		if raced && name != "exponential" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 11}
			if raced {
				seeds = seeds[:1]
			}
			allServed, allLost := 0, 0
			for _, seed := range seeds {
				p := waiting(workers)
				p.Callers = &limits.Callers{Remembered: 1000}
				r := bubble(t, func() *Scenario {
					s := &Scenario{
						Seed: seed, For: 130 * time.Second, Function: Function{Service: service.Service, Workers: workers},
						Gate: gate(t, p),
					}
					share := 0.9 * workers / 0.1 / callers
					for i := range callers {
						caller := fmt.Sprint("caller ", i)
						st := Stream{Name: caller, Call: limits.Call{Caller: caller}, Rate: Steady(share)}
						switch {
						case i == 0:
							st.Rate = Steady(10 * share)
						case i <= 3:
							st.Rate, st.Longer = Steady(share/3), 3
						}
						s.Streams = append(s.Streams, st)
					}
					return s
				})
				from, to := 10*time.Second, 130*time.Second
				var shares []float64
				served, lost, worst := 0, 0, 0.0
				for i := range callers {
					s := r.Of(fmt.Sprint("caller ", i), from, to)
					fair := 0.9 * workers / callers * (to - from).Seconds()
					if i == 0 {
						fair = workers*(to-from).Seconds() - 9*fair
					}
					shares = append(shares, s.SlotSeconds/fair)
					if i == 0 {
						continue
					}
					served += s.Served
					lost += s.Refusals()
					worst = max(worst, float64(s.Refusals())/float64(s.Refusals()+s.Served))
				}
				jain := Jain(shares...)
				all := r.Between(from, to)
				t.Logf("seed %d: the others lost %.2f%%, the worst of them %.2f%%; Jain's index %.3f; of its fair share each %.2f; %.1f%% of capacity used",
					seed, 100*float64(lost)/float64(lost+served), 100*worst, jain, shares, 100*all.SlotSeconds/workers/(to-from).Seconds())
				allServed, allLost = allServed+served, allLost+lost
				if jain < 0.95 {
					t.Errorf("seed %d: Jain's index of slot-seconds is %.3f, want 0.95", seed, jain)
				}
				if all.SlotSeconds < 0.9*workers*(to-from).Seconds() {
					t.Errorf("seed %d: capacity was left idle for fairness' sake", seed)
				}
			}
			t.Logf("the others lost %.2f%%", 100*float64(allLost)/float64(allLost+allServed))
			if float64(allLost) > 0.02*float64(allLost+allServed) {
				t.Errorf("the others lost %d of %d", allLost, allLost+allServed)
			}
		})
	}
}
