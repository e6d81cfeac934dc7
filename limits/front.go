package limits

import (
	"context"
	"time"

	"weir/limits/rate"
)

// enterLimits takes the call through what stands in front of the concurrency limit:
// its own rate, its caller's limits, the chain. It returns what it used of the call's
// rate. Asynchronous calls pass only the chain, and wait for it: they were let in
// when they were accepted.
func (g *Gate) enterLimits(ctx context.Context, now time.Duration, call *Call, s *Slot) (used *rate.Limit, err error) {
	if call.Priority <= Async {
		return nil, g.awaitChain(ctx, call, s)
	}
	if call.Rate != nil {
		var refused *Throttle
		if used, refused = call.Rate.enter(now); refused != nil {
			if !g.policy.Load().DryRun {
				return nil, g.advise(refused)
			}
			g.wouldRefuse(refused.Reason)
		}
	}
	if t := g.callers.Load(); t != nil {
		var refused *Throttle
		if s.caller, s.callerUsed, refused = t.enter(g, now, call.Caller); refused != nil {
			s.caller = nil
			undoFront(call, s, used)
			return nil, g.advise(refused)
		}
	}
	if len(s.chain.limiters) > 0 {
		if refused := s.chain.enter(now, call, s); refused != nil {
			undoFront(call, s, used)
			return nil, g.advise(refused)
		}
	}
	return used, nil
}

// awaitChain takes an asynchronous call through the chain, again and again until
// that lets it pass, ctx ends or the Gate drains.
func (g *Gate) awaitChain(ctx context.Context, call *Call, s *Slot) error {
	for {
		refused := s.chain.enter(g.now(), call, s)
		if refused == nil {
			return nil
		}
		if word(g.word.Load()).draining() {
			return g.refuse(ReasonDraining)
		}
		timer := time.NewTimer(min(max(refused.RetryAfter, chainLeast), chainMost))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// How long an asynchronous call waits before it asks again.
const (
	chainLeast = 10 * time.Millisecond
	chainMost  = time.Second
)

// undoLimits takes back what enterLimits did for a call that is not to run.
func (g *Gate) undoLimits(call *Call, s *Slot, used *rate.Limit) {
	s.chain.leave(g.now(), s, len(s.chain.limiters), Refused)
	undoFront(call, s, used)
}

// undoFront takes back what was done before the chain.
func undoFront(call *Call, s *Slot, used *rate.Limit) {
	if s.caller != nil {
		s.caller.undo(s.callerUsed)
		s.caller = nil
	}
	if used != nil {
		call.Rate.meter.Return(*used)
	}
}
