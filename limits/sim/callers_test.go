package sim

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"weir/limits"
)

// crowd is ten callers, of whom the first asks for far more than the slots have and
// nine for a part of a tenth each. What counts are slot-seconds: the calls of three of
// them take three times as long, and come a third as often.
const (
	crowdWorkers = 20
	crowdCallers = 10
)

func crowd(seed uint64, service Function, part float64, p limits.Policy, t *testing.T) *Scenario {
	s := &Scenario{Seed: seed, For: 130 * time.Second, Function: Function{Service: service.Service, Workers: p.MaxInflight}, Gate: gate(t, p)}
	share := crowdWorkers / 0.1 / crowdCallers
	for i := range crowdCallers {
		caller := fmt.Sprint("caller ", i)
		st := Stream{Name: caller, Call: limits.Call{Caller: caller}, Rate: Steady(part * share)}
		switch {
		case i == 0:
			st.Rate = Steady(10 * share)
		case i <= 3:
			st.Rate, st.Longer = Steady(part*share/3), 3
		}
		s.Streams = append(s.Streams, st)
	}
	return s
}

// lost is the part that the nine lost between two moments.
func lost(r *Result, from, to time.Duration) float64 {
	served, refused := 0, 0
	for i := 1; i < crowdCallers; i++ {
		s := r.Of(fmt.Sprint("caller ", i), from, to)
		served, refused = served+s.Served, refused+s.Refusals()
	}
	return float64(refused) / float64(served+refused)
}

// ideal is the part, in slot-seconds, that the nine lose by a scheme that knows all calls
// before they come, can put each off to any moment of its stretch, and gives each caller
// its max-min fair share of that stretch, no more and no less. Whoever shares fairly over
// stretches of that length loses as much: what is left is the first one's.
func ideal(r *Result, from, to, stretch time.Duration) float64 {
	asked, over := 0.0, 0.0
	for ; from < to; from += stretch {
		demands := make([]float64, crowdCallers)
		for i := range demands {
			demands[i] = r.Of(fmt.Sprint("caller ", i), from, from+stretch).Asked
		}
		level := waterLevel(demands, crowdWorkers*stretch.Seconds())
		for _, d := range demands[1:] {
			asked, over = asked+d, over+max(0, d-level)
		}
	}
	return over / asked
}

// waterLevel is the most that anybody gets where capacity is shared max-min fairly: each
// what he asks for, or as much as who gets most.
func waterLevel(demands []float64, capacity float64) float64 {
	for i, d := range slices.Sorted(slices.Values(demands)) {
		each := capacity / float64(len(demands)-i)
		if d >= each {
			return each
		}
		capacity -= d
	}
	return math.Inf(1)
}

// lostSlots is lost in slot-seconds.
func lostSlots(r *Result, from, to time.Duration) float64 {
	asked, had := 0.0, 0.0
	for i := 1; i < crowdCallers; i++ {
		s := r.Of(fmt.Sprint("caller ", i), from, to)
		asked, had = asked+s.Asked, had+s.SlotSeconds
	}
	return 1 - had/asked
}

// TestCallersShareSlots: max-min fair is what the nine ask for, and to the one the
// rest; Jain's index is of what each has of that. Each seed is judged by itself.
//
// Nine that ask for nine tenths of their share lose less than 2 %. So they do at the
// whole of it in the mean of all seeds, and with each seed, unless chance has them ask for
// more within the two minutes, or so much more at times that it cannot all be served and
// the first have its share as well. Then it is no more than the ideal loses over stretches
// of half a minute, which is as long as somebody may wait for what others have saved
// (limits/share.go); and no more than they lose by themselves, on nine tenths of the slots,
// first come, first served, with the same queue, which is what they would have if nobody
// could take anything from them, nor give.
func TestCallersShareSlots(t *testing.T) {
	const from, to = 10 * time.Second, 130 * time.Second
	patient, hasty := 5*time.Second, 500*time.Millisecond
	for _, row := range []struct {
		service string
		part    float64
		timeout time.Duration
	}{
		{"exponential", 0.9, patient},
		{"lognormal", 0.9, patient},
		{"bimodal", 0.9, patient},
		{"exponential", 0.9, hasty},
		{"lognormal", 0.9, hasty},
		{"even", 1, patient},
		{"exponential", 1, patient},
		{"lognormal", 1, patient},
		{"bimodal", 1, patient},
		{"even", 1, hasty},
		{"exponential", 1, hasty},
		{"lognormal", 1, hasty},
	} {
		seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 11}
		if raced {
			if row.service != "exponential" || row.timeout != patient {
				continue
			}
			seeds = seeds[:1]
		}
		service, ok := services[row.service]
		if !ok {
			service.Service = Bimodal(100*time.Millisecond, 100*time.Millisecond, 0)
		}
		t.Run(fmt.Sprintf("%s/%g of their shares/%v", row.service, row.part, row.timeout), func(t *testing.T) {
			t.Parallel()
			sum := 0.0
			for _, seed := range seeds {
				p := waiting(crowdWorkers)
				p.QueueTimeout, p.Callers = row.timeout, &limits.Callers{Remembered: 1000}
				r := bubble(t, func() *Scenario { return crowd(seed, service, row.part, p, t) })
				var shares []float64
				for i := range crowdCallers {
					fair := row.part * crowdWorkers / crowdCallers
					if i == 0 {
						fair = crowdWorkers - 9*fair
					}
					shares = append(shares, r.Of(fmt.Sprint("caller ", i), from, to).SlotSeconds/fair/(to-from).Seconds())
				}
				nine, jain := lost(r, from, to), Jain(shares...)
				used := r.Between(from, to).SlotSeconds / crowdWorkers / (to - from).Seconds()
				t.Logf("seed %d: the nine lost %.2f%%; Jain's index %.3f; of its fair share each %.2f; %.1f%% of capacity used", seed, 100*nine, jain, shares, 100*used)
				sum += nine
				if nine > 0.02 {
					p := waiting(crowdWorkers * 9 / 10)
					p.QueueTimeout, p.StrictQueue = row.timeout, true
					alone := lost(bubble(t, func() *Scenario {
						s := crowd(seed, service, row.part, p, t)
						s.Streams[0].Rate = Steady(0)
						return s
					}), from, to)
					slots, fair := lostSlots(r, from, to), ideal(r, from, to, 30*time.Second)
					t.Logf("seed %d: alone on nine tenths of the slots they lose %.2f%%; of slot-seconds they lost %.2f%%, ideally %.2f%% of half minutes, %.2f%% of minutes, %.2f%% of two",
						seed, 100*alone, 100*slots, 100*fair, 100*ideal(r, from, to, time.Minute), 100*ideal(r, from, to, 2*time.Minute))
					if row.part < 1 || nine > alone || nine > fair || slots > fair {
						t.Errorf("seed %d: the nine lost %.2f%%, alone on nine tenths of the slots %.2f%%; of slot-seconds %.2f%%, ideally %.2f%%", seed, 100*nine, 100*alone, 100*slots, 100*fair)
					}
				}
				if jain < 0.95 {
					t.Errorf("seed %d: Jain's index of slot-seconds is %.3f, want 0.95", seed, jain)
				}
				if used < 0.97 {
					t.Errorf("seed %d: %.1f%% of the capacity was used; the rest was left idle for fairness' sake", seed, 100*used)
				}
			}
			mean := sum / float64(len(seeds))
			t.Logf("in the mean of all seeds the nine lost %.2f%%", 100*mean)
			if mean > 0.02 {
				t.Errorf("in the mean of all seeds the nine lost %.2f%%", 100*mean)
			}
		})
	}
}

// TestSavingsLockNobodyOut: nine callers that asked for little for a minute ask for as
// much as the one who had the rest, all at once. They may use what they have saved, for
// seconds; then all have the same.
func TestSavingsLockNobodyOut(t *testing.T) {
	skipRaced(t)
	for name, service := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const turn = time.Minute
			r := bubble(t, func() *Scenario {
				p := waiting(crowdWorkers)
				p.Callers = &limits.Callers{Remembered: 1000}
				s := crowd(1, service, 0.2, p, t)
				for i := 1; i < crowdCallers; i++ {
					low := s.Streams[i].Rate(0)
					s.Streams[i].Rate = Burst(low, 50*low, turn, 2*turn)
				}
				return s
			})
			first := func(from, to time.Duration) float64 {
				return r.Of("caller 0", from, to).SlotSeconds / crowdWorkers / (to - from).Seconds()
			}
			before, soon, later := first(turn/2, turn), first(turn, turn+20*time.Second), first(turn+20*time.Second, 2*turn)
			t.Logf("the one had %.3f of the slots before, %.3f in the 20s after, %.3f from then on", before, soon, later)
			if before < 0.75 {
				t.Errorf("the one had %.3f of the slots while the nine asked for 0.18", before)
			}
			if soon < 0.03 || later < 0.07 || later > 0.13 {
				t.Errorf("the one had %.3f of the slots for 20s, then %.3f: want 0.1 before long", soon, later)
			}
		})
	}
}
