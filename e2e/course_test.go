package e2e

import (
	"sort"
	"sync"
	"testing"
	"time"
)

// course is a number that changes in steps (what runs at once, what has been
// counted so far), recorded whole, so that its value and its integral can be had
// for any moment, exactly. Make one with newCourse; it is safe for concurrent
// use.
type course struct {
	mu    sync.Mutex
	base  time.Time
	steps []step // by time; the first is at base
	high  int
}

// step is a change: from at on, the number is value.
type step struct {
	at       time.Duration // since base
	value    int
	integral int64 // in nanoseconds, up to at
}

func newCourse() *course {
	return &course{base: time.Now(), steps: []step{{}}}
}

// add changes the number by delta, now.
func (c *course) add(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.steps[len(c.steps)-1]
	now := time.Since(c.base) // under the lock, so that steps are in order
	next := step{now, last.value + delta, last.integral + int64(last.value)*int64(now-last.at)}
	c.steps = append(c.steps, next)
	c.high = max(c.high, next.value)
}

// before gives the last step that is not after t.
func (c *course) before(t time.Time) (step, time.Duration) {
	at := max(t.Sub(c.base), 0)
	i := sort.Search(len(c.steps), func(i int) bool { return c.steps[i].at > at })
	return c.steps[i-1], at
}

// value is the number at t.
func (c *course) value(t time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, _ := c.before(t)
	return float64(s.value)
}

// integral is that of the number over time up to t, in seconds.
func (c *course) integral(t time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, at := c.before(t)
	return (float64(s.integral) + float64(s.value)*float64(at-s.at)) / 1e9
}

// now is the number at this moment.
func (c *course) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps[len(c.steps)-1].value
}

// highest is the greatest that the number has been.
func (c *course) highest() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.high
}

// highestSince is the greatest that the number has been from t on.
func (c *course) highestSince(t time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, at := c.before(t)
	high := s.value
	for i := len(c.steps) - 1; c.steps[i].at > at; i-- {
		high = max(high, c.steps[i].value)
	}
	return high
}

func TestCourseIntegratesExactly(t *testing.T) {
	base := time.Now()
	at := func(s float64) time.Time { return base.Add(time.Duration(s * 1e9)) }
	c := &course{base: base, steps: []step{
		{0, 0, 0},
		{1e9, 2, 0},   // 2 from 1 s on
		{3e9, 5, 4e9}, // 5 from 3 s on
		{4e9, 0, 9e9},
	}}
	for _, tt := range []struct{ at, value, integral float64 }{
		{0, 0, 0}, {0.5, 0, 0}, {1, 2, 0}, {2, 2, 2}, {3, 5, 4}, {3.5, 5, 6.5}, {4, 0, 9}, {100, 0, 9}, {-1, 0, 0},
	} {
		if v := c.value(at(tt.at)); v != tt.value {
			t.Errorf("value at %v s = %v, want %v", tt.at, v, tt.value)
		}
		if v := c.integral(at(tt.at)); v != tt.integral {
			t.Errorf("integral at %v s = %v, want %v", tt.at, v, tt.integral)
		}
	}
	for _, tt := range []struct {
		since float64
		want  int
	}{{0, 5}, {3.5, 5}, {4, 0}, {5, 0}} {
		if got := c.highestSince(at(tt.since)); got != tt.want {
			t.Errorf("highest since %v s = %v, want %v", tt.since, got, tt.want)
		}
	}
	live := newCourse()
	live.add(3)
	live.add(-1)
	if live.now() != 2 || live.highest() != 3 {
		t.Errorf("after +3 -1: now %d, highest %d, want 2 and 3", live.now(), live.highest())
	}
}
