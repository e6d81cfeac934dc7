package limits

import (
	"math"
	"sync/atomic"
	"time"
)

// Shared is a limit that this Gate has in common with others elsewhere: all instances
// of a function, all functions of an account. Somebody else settles with the others how
// much of it is this Gate's, and binds the Gate to that. Make one with Gate.Share.
//
// All calls of a Gate count for each limit that it shares, so its part of one is no
// more than another bound on its calls in flight: the word holds the least of them. So
// a shared limit costs a call nothing, those in line are served when the part grows as
// they are when a slot comes free, and what runs when the part shrinks runs on.
type Shared struct {
	gate     *Gate
	reason   Reason
	starving chan struct{}

	starved atomic.Uint64
	limit   atomic.Int64 // Bound.Limit
	binds   atomic.Bool  // no other bound is less

	bound *Bound // nil for none; guarded by the Gate's lock
}

// Bound is a Gate's part of a shared limit.
type Bound struct {
	// Slots is how many of the Gate's calls may run at once, Unbound for any number.
	Slots int
	// Until is when that ends, by the monotonic clock; zero is never. From then on no
	// call is let in, however late whoever renews it is.
	Until time.Time
	// Limit is the whole of what is shared, for refusals to tell.
	Limit int
}

// Unbound is any number of slots.
const Unbound = math.MaxInt32

// unlimited is Unbound in the Gate's word.
const unlimited = countMask

const never = math.MaxInt64

// Share makes a limit of which the Gate has a part. Until it is bound for the first
// time, it bounds nothing. It is to be called before the first call enters. Calls that it turns away are refused
// for the reason.
func (g *Gate) Share(why Reason) *Shared {
	s := &Shared{gate: g, reason: why, starving: make(chan struct{}, 1)}
	g.shared = append(g.shared, s)
	return s
}

// Bind changes the Gate's part, and returns how many of its calls run: once it returns,
// there will be no more of them than that, or than slots.
func (s *Shared) Bind(b Bound) int {
	b.Slots = min(max(b.Slots, 0), Unbound)
	s.set(&b)
	return word(s.gate.word.Load()).inflight()
}

// Unbind takes the limit away.
func (s *Shared) Unbind() { s.set(nil) }

func (s *Shared) set(b *Bound) {
	s.gate.change(func(w word) word {
		s.bound = b
		if b != nil {
			s.limit.Store(int64(b.Limit))
		}
		return s.gate.bounded(w)
	})
}

// Demand is what a Gate could use of a shared limit.
type Demand struct {
	Inflight int // calls that run
	Peak     int // the most that ran within the last second or so
	Waiting  int // calls in line, of all priorities
	// Own is the Gate's own limit, 0 for none: it can use no more than that.
	Own int
	// Starved counts the calls that were refused, or had to wait, for want of a greater
	// part.
	Starved uint64
}

// Demand tells what the Gate could use.
func (s *Shared) Demand() Demand {
	g := s.gate
	g.mu.Lock()
	waiting := g.line.length + g.line.lanes[asyncLevel].length
	g.mu.Unlock()
	inflight := word(g.word.Load()).inflight()
	return Demand{
		Inflight: inflight, Peak: g.high.recent(g.now(), inflight), Waiting: waiting,
		Own: int(g.own.Load()), Starved: s.starved.Load(),
	}
}

// Starving receives after a call has been refused, or has had to wait, for want of a
// greater part.
func (s *Shared) Starving() <-chan struct{} { return s.starving }

// at is what bounds the Gate at a moment, and when that ends.
func (s *Shared) at(now time.Duration) (slots int, ends int64) {
	b := s.bound
	switch {
	case b == nil:
		return Unbound, never
	case b.Until.IsZero():
		return b.Slots, never
	}
	if until := b.Until.Sub(s.gate.base); now < until {
		return b.Slots, int64(until)
	}
	return 0, never
}

// bounded gives the word the least of all bounds. It needs mu.
func (g *Gate) bounded(w word) word {
	now, dry := g.now(), g.policy.Load().DryRun
	limit := int(g.own.Load())
	if dry {
		limit = int(g.shadowOwn.Load())
	}
	if limit == 0 {
		limit = unlimited
	}
	until := int64(never)
	var binding *Shared
	for _, s := range g.shared {
		slots, ends := s.at(now)
		until = min(until, ends)
		if slots < limit {
			limit, binding = slots, s
		}
	}
	for _, s := range g.shared {
		slots, _ := s.at(now)
		s.binds.Store(binding != nil && slots == limit)
	}
	g.binding.Store(binding)
	g.until.Store(until)
	if dry {
		g.shadow.Store(int64(limit))
		return w.withBound(unlimited)
	}
	g.shadow.Store(unlimited)
	return w.withBound(limit)
}

// lapse looks at the bounds once one has ended.
func (g *Gate) lapse() { g.change(g.bounded) }

// starve notes that a call found no slot while a shared limit was the least.
func (g *Gate) starve() {
	if word(g.word.Load()).free() && !g.policy.Load().DryRun {
		return // an asynchronous call that others are before
	}
	for _, s := range g.shared {
		if s.binds.Load() {
			s.starved.Add(1)
			select {
			case s.starving <- struct{}{}:
			default:
			}
		}
	}
}

// wouldRefuseByLimit counts a call that would have found no slot.
func (g *Gate) wouldRefuseByLimit() {
	why := ReasonMaxInflight
	if s := g.binding.Load(); s != nil {
		why = s.reason
		g.starve()
	}
	g.wouldRefuse(why)
}
