package limits

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/limits/adaptive"
)

// Auto lets the Gate find its own limit between two bounds.
type Auto struct {
	Min, Ceiling int // at least 1
	// Initial is the limit to begin with; 0 is 20, or the bound that is nearer.
	Initial int
}

// adaptation cuts the Gate's life into windows for an adaptive.Limit. What it needs
// is counted anyway, but for failures: it costs a call that leaves one look at the
// clock that the Gate has read.
type adaptation struct {
	next atomic.Int64 // when to look whether the window is over, on the Gate's clock

	// Of the window, by those whom it concerns. Of the calls that found no free slot, those
	// are refused as well that never got one; others waited, and end as any.
	limited, refused, failed, full atomic.Int64

	mu    sync.Mutex
	limit *adaptive.Limit
	at    time.Duration // when the window began
	last  reading
	// settled is when the window begins that follows a change of the limit: what ran
	// before has left by then.
	settled time.Duration
}

// lookEvery is how often it is looked whether the window is over.
const lookEvery = 25 * time.Millisecond

func (g *Gate) newAdaptation(a Auto) *adaptation {
	d := &adaptation{
		limit: adaptive.New(adaptive.Bounds{Min: a.Min, Max: a.Ceiling, Initial: a.Initial}),
		at:    g.now(), last: g.meter.read(g.now),
	}
	d.next.Store(int64(d.at + adaptive.WindowLeast))
	return d
}

// ended notes how a call ended.
func (d *adaptation) ended(g *Gate, now time.Duration, o Outcome) {
	switch o {
	case Failed:
		d.failed.Add(1)
	case Full:
		d.full.Add(1)
	}
	if int64(now) >= d.next.Load() {
		d.look(g, now)
	}
}

// look closes the window if it can be judged, and sets the new limit.
func (d *adaptation) look(g *Gate, now time.Duration) {
	if !d.mu.TryLock() {
		return // somebody does
	}
	defer d.mu.Unlock()
	r := g.meter.read(g.now)
	d.next.Store(int64(now + lookEvery))
	if d.settled > 0 {
		if now >= d.settled {
			d.begin(now, r)
		}
		return
	}
	span, ended := now-d.at, int(r.ended-d.last.ended)
	if !d.limit.Enough(span, ended) {
		return
	}
	limit := d.limit.Update(adaptive.Window{
		Span: span, Inflight: r.integral - d.last.integral, Ended: ended, Change: int(r.inflight - d.last.inflight),
		Failed: int(d.failed.Load()), Full: int(d.full.Load()), Limited: int(d.limited.Load()), Refused: int(d.refused.Load()),
		Seconds: r.done - d.last.done, Squares: r.squares - d.last.squares,
	})
	d.begin(now, r)
	if int(g.own.Load()) == limit {
		return
	}
	d.settled = now + d.limit.Settle()
	g.change(func(w word) word {
		if g.adapt.Load() != d { // a new policy has come meanwhile
			return w
		}
		g.own.Store(int64(limit))
		return g.bounded(w)
	})
}

// begin starts a window.
func (d *adaptation) begin(now time.Duration, r reading) {
	d.at, d.last, d.settled = now, r, 0
	d.limited.Store(0)
	d.refused.Store(0)
	d.failed.Store(0)
	d.full.Store(0)
	d.next.Store(int64(now + adaptive.WindowLeast))
}
