package demo

import (
	"time"

	"weir/limits"
)

const (
	glanceEvery = 50 * time.Millisecond // at the queue, which fills and empties between two frames
	frameEvery  = 5                     // glances
	windowSize  = 4                     // frames in the interval that a frame tells about, hence a second
	trailLength = 60                    // frames of the past that are drawn
)

// view is what one frame shows.
type view struct {
	elapsed time.Duration
	length  time.Duration // 0 where the end is open
	phases  []string
	phase   int           // among phases; -1 once traffic has stopped
	left    time.Duration // of the phase

	limit, queueDepth int
	running, waiting  int
	highWater         int // of running
	waitingMost       int // within the window
	window            interval
	soFar             tally

	// The past, oldest first, as shares: of the limit, the mean number running
	// in each frame; of the queue, the most that waited.
	runningTrail, waitingTrail []float64

	metricsURL string
	pageURL    string
}

// gap is how far the estimate was off in one window.
type gap struct {
	exact, estimate float64
}

func (g gap) size() float64 { return max(g.exact-g.estimate, g.estimate-g.exact) }

// monitor turns samples into views.
type monitor struct {
	scenario   Scenario
	metricsURL string
	pageURL    string

	first, last sample
	window      []frame // the frames before the last, at most windowSize
	most        int     // waiting, since the last frame
	widest      gap     // over all windows

	runningTrail, waitingTrail []float64
}

// frame is a sample with the most that waited since the one before.
type frame struct {
	sample
	most int
}

func newMonitor(s Scenario, sidecar Sidecar, first sample) *monitor {
	m := &monitor{scenario: s, metricsURL: sidecar.MetricsURL, pageURL: sidecar.PageURL, first: first, last: first}
	m.window = []frame{{sample: first}}
	return m
}

// glance takes in what is seen between two frames.
func (m *monitor) glance(g limits.Snapshot) { m.most = max(m.most, g.Waiting) }

// record takes in a sample and returns the view of it.
func (m *monitor) record(s sample, stopped bool) view {
	m.glance(s.gate)
	latest := between(&m.last, &s)
	m.runningTrail = trail(m.runningTrail, latest.exact/float64(m.scenario.MaxInflight))
	m.waitingTrail = trail(m.waitingTrail, float64(m.most)/float64(m.scenario.QueueDepth))

	v := view{
		elapsed: s.at, length: m.scenario.Length, phase: -1,
		limit: s.gate.Limit, queueDepth: s.gate.QueueDepth,
		running: s.gate.Inflight, waiting: s.gate.Waiting, highWater: s.gate.HighWater,
		waitingMost: m.most,
		window:      between(&m.window[0].sample, &s),
		soFar:       between(&m.first, &s).all,
		metricsURL:  m.metricsURL,
		pageURL:     m.pageURL,
	}
	v.runningTrail, v.waitingTrail = m.runningTrail, m.waitingTrail
	for _, p := range m.scenario.phases {
		v.phases = append(v.phases, p.name)
	}
	if !stopped {
		v.phase, v.left = m.scenario.at(s.at)
	}
	for _, f := range m.window[1:] {
		v.waitingMost = max(v.waitingMost, f.most)
	}
	if g := (gap{v.window.exact, v.window.estimate}); len(m.window) == windowSize && g.size() > m.widest.size() {
		m.widest = g
	}

	m.window = append(m.window, frame{s, m.most})
	if len(m.window) > windowSize {
		m.window = m.window[1:]
	}
	m.last, m.most = s, 0
	return v
}

// trail appends to a copy and forgets what is too old to be drawn.
func trail(past []float64, v float64) []float64 {
	past = append(past[:len(past):len(past)], v)
	return past[max(len(past)-trailLength, 0):]
}
