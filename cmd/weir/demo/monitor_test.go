package demo

import (
	"testing"
	"time"

	"weir/limits"
)

func TestMonitorShowsTheLastSecond(t *testing.T) {
	s := mustScenario(t, 8, 0)
	m := newMonitor(s, Sidecar{}, sample{})
	// For two seconds 4 run; calls of a second each end at its end, all at once.
	var v view
	at := func(quarter int) sample {
		x := sample{at: time.Duration(quarter) * 250 * time.Millisecond}
		x.gate = limits.Snapshot{Limit: 8, QueueDepth: 32, Inflight: 4, ConcurrencySeconds: float64(quarter)}
		ended := uint64(quarter / 4 * 4)
		x.exports.running = summed{count: ended, seconds: float64(ended)}
		return x
	}
	for quarter := 1; quarter <= 8; quarter++ {
		m.glance(limits.Snapshot{Waiting: quarter})
		v = m.record(at(quarter), false)
	}
	if v.window.length != time.Second || !near(v.window.exact, 4) || !near(v.window.estimate, 4) {
		t.Errorf("window of %v: exact %v, estimate %v; want 1s, 4, 4", v.window.length, v.window.exact, v.window.estimate)
	}
	if v.waitingMost != 8 || v.waiting != 0 {
		t.Errorf("at most %d waited, now %d; want 8, 0", v.waitingMost, v.waiting)
	}
	if len(v.runningTrail) != 8 || !near(v.runningTrail[7], 0.5) || !near(v.waitingTrail[7], 0.25) {
		t.Errorf("trails %v, %v", v.runningTrail, v.waitingTrail)
	}
	if v.phase != 0 || v.left != 3*time.Second {
		t.Errorf("phase %d with %v left", v.phase, v.left)
	}
	// Nothing waits any more: the most is forgotten once its second is over.
	for quarter := 9; quarter <= 12; quarter++ {
		v = m.record(at(quarter), true)
	}
	if v.waitingMost != 0 || v.phase != -1 {
		t.Errorf("at most %d waited in an empty second; phase %d", v.waitingMost, v.phase)
	}
	if m.widest.size() > 1e-9 {
		t.Errorf("widest gap %+v of windows that agree", m.widest)
	}
	// The window from 2.25 s to 3.25 s: 4 ran, but nothing that ended is in it.
	late := at(13)
	late.exports.running = m.window[0].exports.running
	m.record(late, true)
	if !near(m.widest.exact, 4) || m.widest.estimate != 0 {
		t.Errorf("widest gap %+v, want 4 against 0", m.widest)
	}
}

func TestTrailForgets(t *testing.T) {
	var long []float64
	for i := range 3 * trailLength {
		before := append([]float64(nil), long...)
		next := trail(long, float64(i))
		for j := range before {
			if long[j] != before[j] {
				t.Fatal("a trail that was handed out has changed")
			}
		}
		long = next
	}
	if len(long) != trailLength || long[0] != float64(2*trailLength) || long[trailLength-1] != float64(3*trailLength-1) {
		t.Errorf("%d points from %v to %v", len(long), long[0], long[len(long)-1])
	}
}
