package main

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestScheduleIsOfItsRate(t *testing.T) {
	arrivals := schedule([]float64{200, 20}, 50*time.Second, 1)
	count := [2]int{}
	for i, a := range arrivals {
		count[a.caller]++
		if i > 0 && a.due < arrivals[i-1].due {
			t.Fatalf("arrival %d is due before the one ahead of it", i)
		}
	}
	// Of a fixed seed: within four standard deviations, and always the same.
	for i, want := range []float64{10000, 1000} {
		if math.Abs(float64(count[i])-want) > 4*math.Sqrt(want) {
			t.Errorf("caller %d has %d arrivals, want about %.0f", i, count[i], want)
		}
	}
}

func TestJudge(t *testing.T) {
	at := func(due, took time.Duration, status int, reason string) arrival {
		return arrival{due: due, ended: due + took, status: status, reason: reason}
	}
	ok := at(1500*time.Millisecond, 100*time.Millisecond, http.StatusOK, "")
	for name, c := range map[string]struct {
		arrivals               []arrival
		due, admitted, refused int
		goodput                float64
		void                   bool
	}{
		"counted":                        {arrivals: []arrival{ok, at(1600*time.Millisecond, 0, 429, "queue_full")}, due: 2, admitted: 1, refused: 1, goodput: 1 / capacity},
		"before the warm-up is over":     {arrivals: []arrival{at(0, 100*time.Millisecond, http.StatusOK, "")}},
		"answered after the end":         {arrivals: []arrival{at(1900*time.Millisecond, 200*time.Millisecond, http.StatusOK, "")}, due: 1, admitted: 1},
		"no answer":                      {arrivals: []arrival{ok, {due: 2 * time.Second, problem: errors.New("reset")}}, void: true},
		"an error that is not a refusal": {arrivals: []arrival{at(1500*time.Millisecond, 0, http.StatusBadGateway, "")}, void: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := judge(c.arrivals, &function{seconds: make([]float64, 1)}, time.Second)
			if (err != nil) != c.void {
				t.Fatalf("error %v, void should be %v", err, c.void)
			}
			if c.void {
				return
			}
			if r.due != c.due || len(r.admitted) != c.admitted || len(r.refused) != c.refused || math.Abs(r.goodput-c.goodput) > 1e-9 {
				t.Errorf("%d due, %d admitted, %d refused, goodput %g", r.due, len(r.admitted), len(r.refused), r.goodput)
			}
		})
	}
}

func TestJain(t *testing.T) {
	if got := jain([]float64{1, 1, 1, 1}); got != 1 {
		t.Errorf("of equal shares: %g", got)
	}
	if got := jain([]float64{1, 0, 0, 0}); got != 0.25 {
		t.Errorf("of all to one of four: %g", got)
	}
}

func TestMaxMin(t *testing.T) {
	for _, c := range []struct {
		capacity     float64
		demand, want []float64
	}{
		{10, []float64{1, 2, 3}, []float64{1, 2, 3}},
		{10, []float64{100, 1, 3}, []float64{6, 1, 3}},
		{9, []float64{5, 1, 7}, []float64{4, 1, 4}},
		{9, []float64{9, 9, 9}, []float64{3, 3, 3}},
	} {
		if got := maxMin(c.capacity, c.demand); !slices.Equal(got, c.want) {
			t.Errorf("%g among %v: %v, want %v", c.capacity, c.demand, got, c.want)
		}
	}
}
