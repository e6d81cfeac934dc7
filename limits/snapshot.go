package limits

import "time"

// Snapshot is the Gate's state at one moment.
type Snapshot struct {
	Limit      int // of this Gate alone, beside what it shares with others; 0 is none
	Inflight   int
	Async      int // of those in flight, the ones of priority Async
	Waiting    int // those of priority Async are not counted: they wait without a client
	QueueDepth int
	Draining   bool
	// HighWater is the greatest Inflight within HighWaterWindow.
	HighWater int
	// ConcurrencySeconds is the integral of Inflight over time since the Gate
	// was made, in call-seconds. It never decreases from one Snapshot to the next.
	ConcurrencySeconds float64
	// Ended counts the calls that have left.
	Ended uint64
	// MeanDuration estimates how long a call runs, from recent ones.
	MeanDuration time.Duration
	// WouldRefuse counts what limits in dry run would have refused, by reason.
	WouldRefuse map[Reason]uint64
}

// Snapshot reads the Gate without disturbing it.
func (g *Gate) Snapshot() Snapshot {
	w := word(g.word.Load())
	r := g.meter.read(g.now)
	s := Snapshot{
		Limit:        int(g.own.Load()),
		Inflight:     w.inflight(),
		Async:        int(g.asyncRunning.Load()),
		Waiting:      int(g.waiting.Load()),
		QueueDepth:   g.policy.Load().QueueDepth,
		Draining:     w.draining(),
		HighWater:    g.high.read(g.now(), w.inflight()),
		Ended:        r.ended,
		MeanDuration: g.estimate.duration(&g.meter, g.now),
		WouldRefuse:  make(map[Reason]uint64, len(dryReasons)),
	}
	for i, r := range dryReasons {
		s.WouldRefuse[r] = g.dry[i].Load()
	}
	// A call that ended between its clock reading and its entry in the books
	// can take back some nanoseconds; a counter that falls would read as a restart.
	g.integralMu.Lock()
	g.integral = max(g.integral, r.integral)
	s.ConcurrencySeconds = g.integral
	g.integralMu.Unlock()
	return s
}
