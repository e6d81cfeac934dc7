package sim

import (
	"fmt"
	"math"
	"testing"
	"time"

	"weir/limits"
)

func auto(t testing.TB) *limits.Gate {
	t.Helper()
	return gate(t, limits.Policy{Auto: &limits.Auto{Min: 1, Ceiling: 1000}})
}

// near reports whether a limit is that of a capacity: within a fifth of it or, where
// that is less, about a slot.
func near(limit float64, capacity int) bool {
	return math.Abs(limit-float64(capacity)) <= max(0.2*float64(capacity), 1.5)
}

// TestTheLimitIsFound: from 20 to any capacity, in 15 seconds.
func TestTheLimitIsFound(t *testing.T) {
	for name, service := range map[string]Function{
		"exponential": {Service: Exponential(20 * time.Millisecond)},
		"lognormal":   {Service: Lognormal(20*time.Millisecond, 0.5)},
	} {
		for _, capacity := range []int{1, 2, 5, 10, 20, 50, 100, 200} {
			if raced && capacity > 10 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", name, capacity), func(t *testing.T) {
				t.Parallel()
				r := bubble(t, func() *Scenario {
					f := service
					f.Workers = capacity
					return &Scenario{
						Seed: 3, For: 20 * time.Second, Function: f,
						Streams: []Stream{{Rate: Steady(2 * float64(capacity) / 0.02)}},
						Gate:    auto(t),
					}
				})
				got := r.MeanLimit(15*time.Second, 20*time.Second)
				t.Logf("limit %.1f", got)
				if !near(got, capacity) {
					t.Errorf("after 15s the limit is %.1f, the capacity %d", got, capacity)
				}
			})
		}
	}
}

// TestTheLimitFollows a capacity that halves within ten seconds, and one that
// doubles within thirty.
func TestTheLimitFollows(t *testing.T) {
	for _, capacity := range []int{10, 40, 100} {
		if raced && capacity > 10 {
			continue
		}
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			t.Parallel()
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 3, For: 80 * time.Second,
					Function: Function{
						Service: Lognormal(20*time.Millisecond, 0.5), Workers: capacity,
						Changes: []Change{{At: 30 * time.Second, Workers: capacity / 2}, {At: 45 * time.Second, Workers: capacity}},
					},
					Streams: []Stream{{Rate: Steady(2 * float64(capacity) / 0.02)}},
					Gate:    auto(t),
				}
			})
			halved, doubled := r.MeanLimit(40*time.Second, 45*time.Second), r.MeanLimit(75*time.Second, 80*time.Second)
			t.Logf("%.1f before, %.1f halved, %.1f doubled", r.MeanLimit(25*time.Second, 30*time.Second), halved, doubled)
			if !near(halved, capacity/2) {
				t.Errorf("ten seconds after the capacity fell to %d the limit is %.1f", capacity/2, halved)
			}
			if !near(doubled, capacity) {
				t.Errorf("thirty seconds after the capacity rose to %d the limit is %.1f", capacity, doubled)
			}
		})
	}
}

// TestASlowerFunctionKeepsItsLimit: service times double, the capacity in calls
// does not change. A limit that took that for calls waiting would halve.
func TestASlowerFunctionKeepsItsLimit(t *testing.T) {
	skipRaced(t)
	const capacity = 40
	r := bubble(t, func() *Scenario {
		return &Scenario{
			Seed: 3, For: 60 * time.Second,
			Function: Function{
				Service: Lognormal(20*time.Millisecond, 0.5), Workers: capacity,
				Changes: []Change{{At: 20 * time.Second, Workers: capacity, Slower: 2}},
			},
			Streams: []Stream{{Rate: Steady(2 * capacity / 0.02)}},
			Gate:    auto(t),
		}
	})
	got := r.MeanLimit(40*time.Second, 60*time.Second)
	t.Logf("limit %.1f before, %.1f after", r.MeanLimit(15*time.Second, 20*time.Second), got)
	if !near(got, capacity) {
		t.Errorf("the limit is %.1f, the capacity %d", got, capacity)
	}
}

// TestNoDrift: half an hour of a load a fifth above the capacity.
func TestNoDrift(t *testing.T) {
	const capacity = 20
	for name, service := range map[string]Function{
		"exponential": {Service: Exponential(100 * time.Millisecond)},
		"lognormal":   {Service: Lognormal(100*time.Millisecond, 0.5)},
	} {
		t.Run(name, func(t *testing.T) {
			to := 30 * time.Minute
			if raced {
				to = 2 * time.Minute
			}
			r := bubble(t, func() *Scenario {
				f := service
				f.Workers = capacity
				return &Scenario{
					Seed: 3, For: to, Function: f,
					Streams: []Stream{{Rate: Steady(1.2 * capacity / 0.1)}},
					Gate:    auto(t),
				}
			})
			const from = time.Minute
			mean, last := r.MeanLimit(from, to), r.MeanLimit(to-time.Minute, to)
			most := r.MaxMeanLimit(from, to, time.Minute)
			s := r.Between(from, to)
			t.Logf("limit %.1f, in the last minute %.1f, in the highest %.1f; goodput %.1f%% of capacity", mean, last, most, 100*s.Goodput()*0.1/capacity)
			if most > 1.3*capacity {
				t.Errorf("the limit is %.1f over a minute, the capacity %d", most, capacity)
			}
			if s.Goodput() < 0.85*capacity/0.1 {
				t.Errorf("goodput is %.0f a second of %d", s.Goodput(), int(capacity/0.1))
			}
		})
	}
}

// TestNoRefusalForAdaptation: at seven tenths of the capacity, once the limit has
// been found, nobody is refused while a worker is idle. And nothing moves.
func TestNoRefusalForAdaptation(t *testing.T) {
	skipRaced(t)
	for _, capacity := range []int{20, 50, 100} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			t.Parallel()
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 3, For: 3 * time.Minute,
					Function: Function{Service: Lognormal(20*time.Millisecond, 0.5), Workers: capacity},
					Streams:  []Stream{{Rate: Burst(0.7*float64(capacity)/0.02, 2*float64(capacity)/0.02, 0, 20*time.Second)}},
					Gate:     auto(t),
				}
			})
			s := r.Between(22*time.Second, 3*time.Minute)
			t.Logf("limit %.1f, then %.1f; %d refused, %d of them with a worker idle", r.MeanLimit(15*time.Second, 20*time.Second),
				r.MeanLimit(2*time.Minute, 3*time.Minute), s.Refusals(), s.Premature)
			if s.Premature > 0 {
				t.Errorf("%d refused with a worker idle", s.Premature)
			}
		})
	}
}

// TestFailuresPullTheLimitDown: a function that fails fast must not pass for one
// with room.
func TestFailuresPullTheLimitDown(t *testing.T) {
	skipRaced(t)
	const capacity = 40
	failing := func(at time.Duration) bool { return at > 20*time.Second && at < 25*time.Second }
	r := bubble(t, func() *Scenario {
		return &Scenario{
			Seed: 3, For: 60 * time.Second,
			Function: Function{Service: Lognormal(20*time.Millisecond, 0.5), Workers: capacity, Failing: failing},
			Streams:  []Stream{{Rate: Steady(2 * capacity / 0.02)}},
			Gate:     auto(t),
		}
	})
	during, after := r.MeanLimit(24*time.Second, 25*time.Second), r.MeanLimit(50*time.Second, 60*time.Second)
	t.Logf("limit %.1f before, %.1f while it fails, %.1f after", r.MeanLimit(15*time.Second, 20*time.Second), during, after)
	if during > capacity/4 {
		t.Errorf("the limit is %.1f while every call fails", during)
	}
	if !near(after, capacity) {
		t.Errorf("the limit is %.1f after the failures, the capacity %d", after, capacity)
	}
}

// TestOneRequestASecond: windows hold calls, not seconds; where hardly anything
// happens nothing moves.
func TestOneRequestASecond(t *testing.T) {
	r := bubble(t, func() *Scenario {
		return &Scenario{
			Seed: 3, For: time.Hour,
			Function: Function{Service: Exponential(300 * time.Millisecond), Workers: 3},
			Streams:  []Stream{{Rate: Steady(1)}},
			Gate:     auto(t),
		}
	})
	if s := r.Between(0, time.Hour); s.Refusals() > 0 {
		t.Errorf("%d refused", s.Refusals())
	}
	if got := r.MeanLimit(0, time.Hour); got != 20 {
		t.Errorf("the limit moved to %.2f although it limited nothing", got)
	}
}
