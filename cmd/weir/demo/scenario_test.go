package demo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func mustScenario(t *testing.T, maxInflight int, length time.Duration) Scenario {
	t.Helper()
	s, err := NewScenario(maxInflight, length)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScenarioRefusesWhatItCannotShow(t *testing.T) {
	for _, c := range []struct {
		maxInflight int
		length      time.Duration
		want        string // "" is accepted
	}{
		{1, 0, ""},
		{MaxInflight, MinLength, ""},
		{0, 0, "max-inflight 0: give a number from 1 to 64"},
		{-1, 0, "max-inflight -1"},
		{MaxInflight + 1, 0, "max-inflight 65"},
		{8, MinLength - 1, "too short"},
		{8, -time.Second, "length of -1s"},
	} {
		_, err := NewScenario(c.maxInflight, c.length)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("NewScenario(%d, %v): error %v, want %q", c.maxInflight, c.length, err, c.want)
		}
	}
}

func TestALengthHoldsWholeCycles(t *testing.T) {
	for _, length := range []time.Duration{0, time.Second, 3 * time.Second, 30 * time.Second, 35 * time.Second, time.Minute, time.Hour} {
		s := mustScenario(t, 8, length)
		var sum time.Duration
		for _, p := range s.phases {
			sum += p.length
		}
		if sum != s.cycle {
			t.Errorf("%v: phases last %v, a cycle %v", length, sum, s.cycle)
		}
		if length == 0 {
			continue
		}
		cycles := length.Seconds() / s.cycle.Seconds()
		if math.Abs(cycles-math.Round(cycles)) > 1e-6 || cycles < 0.5 {
			t.Errorf("%v is %v cycles of %v", length, cycles, s.cycle)
		}
		if last, _ := s.at(length - time.Microsecond); s.phases[last].name != "quiet" {
			t.Errorf("%v ends in phase %s", length, s.phases[last].name)
		}
	}
}

func TestPhasesFollowEachOther(t *testing.T) {
	s := mustScenario(t, 8, 0)
	for _, c := range []struct {
		at   time.Duration
		name string
		left time.Duration
	}{
		{0, "steady", 5 * time.Second},
		{5*time.Second - 1, "steady", 1},
		{5 * time.Second, "burst", 6 * time.Second},
		{12 * time.Second, "overload", 4 * time.Second},
		{16 * time.Second, "all three", 6 * time.Second},
		{23 * time.Second, "quiet", time.Second},
		{24 * time.Second, "steady", 5 * time.Second},
		{24*1000*time.Second + 16*time.Second, "all three", 6 * time.Second},
	} {
		if i, left := s.at(c.at); s.phases[i].name != c.name || left != c.left {
			t.Errorf("at %v: %s with %v left, want %s with %v", c.at, s.phases[i].name, left, c.name, c.left)
		}
	}
}

func TestBurstsComeOnlyInTheirPhases(t *testing.T) {
	s := mustScenario(t, 8, 0)
	at := time.Duration(0)
	for _, want := range []time.Duration{5, 7, 9, 16, 18, 20, 24 + 5, 24 + 7} {
		next, calls := s.next(burst, at, 0)
		if next != want*time.Second || calls != 48 {
			t.Errorf("after %v: %d calls at %v, want 48 at %v", at, calls, next, want*time.Second)
		}
		at = next
	}
}

func TestRandomTrafficKeepsToThePhase(t *testing.T) {
	s := mustScenario(t, 8, 0) // 80 calls a second at most: 40 steady, 240 overload
	for _, c := range []struct {
		name        string
		kind        kind
		due         time.Duration
		exponential float64
		at          time.Duration
		calls       int
	}{
		{"mean distance", steady, time.Second, 1, time.Second + time.Second/40, 1},
		{"three mean distances", overload, 12 * time.Second, 3, 12*time.Second + time.Second/80, 1},
		{"beyond the phase", steady, 4990 * time.Millisecond, 1, 5 * time.Second, 0},
		{"no such traffic", overload, time.Second, 0.001, 5 * time.Second, 0},
		{"quiet", steady, 23 * time.Second, 0.001, 24 * time.Second, 0},
	} {
		at, calls := s.next(c.kind, c.due, c.exponential)
		if (at-c.at).Abs() > time.Microsecond || calls != c.calls {
			t.Errorf("%s: %d calls at %v, want %d at %v", c.name, calls, at, c.calls, c.at)
		}
	}
}

// A schedule of an hour for every limit stays within what a laptop bears.
func TestTrafficIsBounded(t *testing.T) {
	const most = 2000
	random := rand.New(rand.NewPCG(1, 2))
	for maxInflight := 1; maxInflight <= MaxInflight; maxInflight++ {
		s := mustScenario(t, maxInflight, 0)
		seconds := make([]int, 3*24)
		for k := range kinds {
			for at := time.Duration(0); ; {
				next, calls := s.next(k, at, random.ExpFloat64())
				if next <= at && calls == 0 {
					t.Fatalf("%v stands still at %v", k, at)
				}
				at = next
				if i := int(at / time.Second); i < len(seconds) {
					seconds[i] += calls
				} else {
					break
				}
			}
		}
		sum := 0
		for i, n := range seconds {
			sum += n
			if n > most {
				t.Errorf("limit %d: %d calls in second %d, want at most %d", maxInflight, n, i, most)
			}
		}
		if sum == 0 {
			t.Errorf("limit %d: no traffic at all", maxInflight)
		}
	}
}
