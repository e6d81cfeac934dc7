package limits

import (
	"context"
	"errors"
	"time"
)

// overflow handles a call that found no free slot, or that is asynchronous.
func (g *Gate) overflow(ctx context.Context, call *Call, s *Slot, now time.Duration) (int, error) {
	if word(g.word.Load()).draining() {
		return 0, g.refuse(ReasonDraining)
	}
	if g.binding.Load() != nil {
		g.starve()
	}
	if call.Priority <= Async {
		return g.await(ctx, call, s, now, 0)
	}
	g.cutAsync(now)
	d := g.adapt.Load()
	if d != nil && g.binding.Load() == nil {
		d.limited.Add(1)
	} else {
		d = nil
	}
	n, err := g.overflowOf(ctx, call, s, now)
	if err != nil && d != nil {
		d.refused.Add(1)
	}
	return n, err
}

// overflowOf does with a call what its overflow says.
func (g *Gate) overflowOf(ctx context.Context, call *Call, s *Slot, now time.Duration) (int, error) {
	p, o := g.policy.Load(), call.Overflow
	if o == OverflowDefault {
		o = p.Overflow
	}
	if o != OverflowWait || p.QueueDepth == 0 {
		return 0, g.refuse(ReasonMaxInflight)
	}
	return g.await(ctx, call, s, now, p.QueueTimeout)
}

// await lets a call wait in line for as long as its patience lasts, 0 for ever, or its
// deadline.
func (g *Gate) await(ctx context.Context, call *Call, s *Slot, now, patience time.Duration) (int, error) {
	bounded := patience > 0
	if !call.Deadline.IsZero() {
		if left := time.Until(call.Deadline); !bounded || left < patience {
			patience, bounded = left, true
		}
	}
	if bounded && patience <= 0 {
		return 0, g.refuse(ReasonQueueTimeout)
	}
	var w *waiter
	var n int
	var reason Reason
	if call.Priority <= Async {
		w, n, reason = g.enterAsync(now)
	} else {
		c := s.caller
		if c == nil {
			c = &g.everyone
		}
		w, n, reason = g.join(call, c, patience, now)
	}
	if reason != "" {
		return 0, g.refuse(reason)
	}
	if w == nil {
		return n, nil // a slot came free meanwhile
	}
	err := g.wait(ctx, w, patience, bounded)
	s.waited = g.now() - now
	if err == nil {
		s.charged, s.period = w.charged, w.period
		return word(g.word.Load()).inflight(), nil
	}
	var t *Throttle
	if errors.As(err, &t) {
		t.Waited = s.waited
	}
	return 0, err
}

// pace is how fast the line moves. It needs mu.
func (g *Gate) pace(w word, now time.Duration) pace {
	policy := g.policy.Load()
	p := g.estimate.pace(&g.meter, g.now, max(w.limit(), 1), g.line.grants, g.line.turned)
	p.now, p.timeout, p.strict = now, policy.QueueTimeout, policy.StrictQueue
	return p
}

// join takes a slot that came free meanwhile, or appends a waiter to the line.
func (g *Gate) join(call *Call, c *caller, patience, now time.Duration) (*waiter, int, Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	depth, level := g.policy.Load().QueueDepth, call.Priority.level()
	for {
		w := word(g.word.Load())
		switch {
		case w.draining():
			return nil, 0, ReasonDraining
		case !w.queued() && w.free():
			if g.word.CompareAndSwap(uint64(w), uint64(w+1)) {
				return nil, w.inflight() + 1, ""
			}
		case w.queued() || g.word.CompareAndSwap(uint64(w), uint64(w|queuedBit)):
			// From here on the word is this goroutine's alone.
			q, reason := g.line.admit(level, c, depth, !call.Deadline.IsZero(), patience, g.pace(w, now))
			if q != nil {
				q.jitter = g.jitter()
			}
			g.settle(w | queuedBit)
			return q, 0, reason
		}
	}
}

// wait blocks until w's fate is known, its patience ends or its client leaves.
func (g *Gate) wait(ctx context.Context, w *waiter, patience time.Duration, bounded bool) error {
	var expired <-chan time.Time
	if bounded {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		expired = timer.C
	}
	var err error
	select {
	case reason := <-w.fate:
		return g.outcome(w, reason)
	case <-ctx.Done():
		err = ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	case <-expired:
	}
	if g.withdraw(w) {
		if err == nil {
			return g.refuseWith(ReasonQueueTimeout, w.jitter)
		}
		return err
	}
	reason := <-w.fate // decided in the same moment
	if err == nil {
		return g.outcome(w, reason)
	}
	if reason == "" { // granted to a caller that has left
		if w.level == asyncLevel {
			g.leaveAsync(g.now())
		} else {
			g.release(g.now())
		}
	}
	return err
}

func (g *Gate) outcome(w *waiter, fate Reason) error {
	if fate == "" {
		return nil
	}
	return g.refuseWith(fate, w.jitter)
}

// withdraw takes w out of the line and reports whether it was still waiting.
func (g *Gate) withdraw(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.flow == nil {
		return false
	}
	g.line.remove(w)
	if now := word(g.word.Load()); now.queued() {
		g.settle(now)
	}
	return true
}
