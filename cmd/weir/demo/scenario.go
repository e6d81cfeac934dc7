package demo

import (
	"fmt"
	"math"
	"time"

	"weir/config"
)

// kind is one kind of traffic. Each has callers and a path of its own.
type kind int

const (
	steady   kind = iota // at random, half of what the function can do
	burst                // many at once, then silence; its calls may wait for a slot
	overload             // at random, three times what the function can do
	kinds
)

func (k kind) String() string { return [kinds]string{"steady", "burst", "overload"}[k] }

func (k kind) path() string { return "/" + k.String() }

const (
	// MaxInflight is the greatest limit that the demo takes: its bursts are a
	// multiple of it, and each call of them costs four file descriptors.
	MaxInflight = 64

	leastMean     = 100 * time.Millisecond // of the function's durations
	mostPerSecond = 250                    // calls that the function can do, so that a laptop stays calm

	steadyShare   = 0.5 // of what the function can do
	overloadShare = 3.0
	burstFactor   = 6 // calls of a burst, by the limit
	burstEvery    = 2 * time.Second
	queueFactor   = 4 // places to wait, by the limit
	patienceMeans = 5 // queue timeout, by the mean duration

	// MinLength leaves every phase long enough for some calls.
	MinLength = time.Second
)

// phase is a stretch of time with the traffic that belongs to it.
type phase struct {
	name   string
	length time.Duration
	rates  [kinds]float64 // calls a second, of those that come at random
	bursts bool
}

// Scenario is what is shown: the limits, the function's mean duration and the
// schedule of the traffic. Make one with NewScenario.
type Scenario struct {
	MaxInflight  int
	QueueDepth   int
	QueueTimeout time.Duration
	// MeanDuration is what the function's calls take on average.
	MeanDuration time.Duration
	// Length is how long traffic comes; 0 is until somebody stops it.
	Length time.Duration

	phases []phase
	cycle  time.Duration // of all phases
}

// NewScenario plans a demo of the given limit and length. A length holds a
// whole number of cycles, so that it shows every phase and ends with the quiet
// one; 0 repeats the cycle until somebody stops it.
func NewScenario(maxInflight int, length time.Duration) (Scenario, error) {
	if maxInflight < 1 || maxInflight > MaxInflight {
		return Scenario{}, fmt.Errorf("demo: max-inflight %d: give a number from 1 to %d", maxInflight, MaxInflight)
	}
	if length != 0 && length < MinLength {
		return Scenario{}, fmt.Errorf("demo: a length of %v is too short to show anything: give at least %v, or 0 to run until Ctrl-C", length, MinLength)
	}
	s := Scenario{
		MaxInflight:  maxInflight,
		QueueDepth:   queueFactor * maxInflight,
		MeanDuration: max(leastMean, time.Duration(maxInflight)*time.Second/mostPerSecond),
		Length:       length,
	}
	s.QueueTimeout = patienceMeans * s.MeanDuration
	perSecond := float64(maxInflight) / s.MeanDuration.Seconds()
	calm, much := steadyShare*perSecond, overloadShare*perSecond
	s.phases = []phase{
		{"steady", 5 * time.Second, [kinds]float64{steady: calm}, false},
		{"burst", 6 * time.Second, [kinds]float64{steady: calm}, true},
		{"overload", 5 * time.Second, [kinds]float64{steady: calm, overload: much}, false},
		{"all three", 6 * time.Second, [kinds]float64{steady: calm, overload: much}, true},
		{"quiet", 2 * time.Second, [kinds]float64{}, false},
	}
	for _, p := range s.phases {
		s.cycle += p.length
	}
	if length > 0 {
		cycles := math.Max(1, math.Round(length.Seconds()/s.cycle.Seconds()))
		factor := length.Seconds() / cycles / s.cycle.Seconds()
		s.cycle = 0
		for i := range s.phases {
			s.phases[i].length = time.Duration(float64(s.phases[i].length) * factor)
			s.cycle += s.phases[i].length
		}
	}
	return s, nil
}

// Routes are those that the sidecar needs beside overflow reject.
func (s Scenario) Routes() []config.Route {
	return []config.Route{{Path: burst.path(), Overflow: config.OverflowWait}}
}

// at is the phase at a time since the start, and how much of it is left.
func (s Scenario) at(elapsed time.Duration) (index int, left time.Duration) {
	elapsed %= s.cycle
	for i, p := range s.phases {
		if elapsed < p.length {
			return i, p.length - elapsed
		}
		elapsed -= p.length
	}
	panic("demo: phases are shorter than their cycle")
}

// next is when callers of a kind have something to do after due, and how many
// calls that is; none means only that they should ask again then. Calls that
// come at random have exponentially distributed distances, for which exponential
// was drawn with a mean of 1. Such distances have no memory, so that each phase
// can start afresh.
func (s Scenario) next(k kind, due time.Duration, exponential float64) (at time.Duration, calls int) {
	if k == burst {
		return s.nextBurst(due), s.burstSize()
	}
	i, left := s.at(due)
	rate := s.phases[i].rates[k]
	if distance := exponential / rate; rate > 0 && distance < left.Seconds() {
		return due + time.Duration(distance*float64(time.Second)), 1
	}
	return due + left, 0
}

// nextBurst is when the first burst after a time begins. The first phase has
// none, so that after 0 misses none.
func (s Scenario) nextBurst(after time.Duration) time.Duration {
	start := after - after%s.cycle
	for {
		for _, p := range s.phases {
			end := start + p.length
			for at := start; p.bursts && at < end; at += burstEvery {
				if at > after {
					return at
				}
			}
			start = end
		}
	}
}

// burstSize is the number of calls that come at once.
func (s Scenario) burstSize() int { return burstFactor * s.MaxInflight }

// callers bounds the calls of one kind under way at once.
func (s Scenario) callers(k kind) int {
	if k == burst {
		return 2 * s.burstSize()
	}
	return 2*s.MaxInflight + 16
}

// patience is how long the last call may take once traffic has stopped: its
// wait, the function's longest duration, and much for a busy machine.
func (s Scenario) patience() time.Duration {
	return s.QueueTimeout + longestFactor*s.MeanDuration + 10*time.Second
}
