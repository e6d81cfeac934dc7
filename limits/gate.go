package limits

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Gate admits calls up to a limit. Make one with NewGate; it is safe for
// concurrent use.
//
// Plain version of what the state word and the lock do together:
//
//	mu.Lock()
//	if inflight < limit && queue is empty { inflight++; admitted }
//	else if it may wait && queue has room { append to the queue; wait }
//	else { refused }
//	mu.Unlock()
//
//	on leaving:
//	mu.Lock()
//	if queue has a head && inflight <= limit { grant the head: inflight stays }
//	else { inflight-- }
//	mu.Unlock()
//
// Invariants: inflight only grows while it is below the limit; while the queue
// has anyone in it the word's queued bit is set, and then only holders of mu
// change the word, so a newcomer cannot barge past a waiter; a queue with
// someone in it means that no slot is free.
type Gate struct {
	word    atomic.Uint64
	waiting atomic.Int64 // length of the queue, for readers without the lock
	policy  atomic.Pointer[Policy]
	chain   atomic.Pointer[chain]
	base    time.Time

	meter    meter
	high     highWater
	estimate estimate

	mu    sync.Mutex
	queue fifo

	integralMu sync.Mutex
	integral   float64
}

// word packs what must change in one step: in flight, limit and two flags.
type word uint64

const (
	countBits       = 31
	countMask       = 1<<countBits - 1
	queuedBit  word = 1 << 62
	drainedBit word = 1 << 63
)

func (w word) inflight() int  { return int(w & countMask) }
func (w word) limit() int     { return int(w >> countBits & countMask) }
func (w word) queued() bool   { return w&queuedBit != 0 }
func (w word) draining() bool { return w&drainedBit != 0 }
func (w word) free() bool     { return w.limit() == 0 || w.inflight() < w.limit() }

func (w word) withLimit(n int) word {
	return w&^(countMask<<countBits) | word(n)<<countBits
}

// NewGate makes a Gate with its policy and the limiters that stand in front of
// the concurrency limit, in the order in which they are asked.
func NewGate(p Policy, limiters ...Limiter) (*Gate, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	if len(limiters) > maxLimiters {
		return nil, fmt.Errorf("limits: %d limiters, at most %d fit", len(limiters), maxLimiters)
	}
	g := &Gate{base: time.Now()}
	g.policy.Store(&p)
	g.chain.Store(&chain{limiters})
	g.word.Store(uint64(word(0).withLimit(p.MaxInflight)))
	return g, nil
}

// now is the time since the Gate was made, monotonic.
func (g *Gate) now() time.Duration { return time.Since(g.base) }

// Enter lets the call in and fills s, or says why not: a *Throttle for a
// refusal, ctx's error for a caller that left while it waited. After an error s
// holds nothing and nothing is counted.
func (g *Gate) Enter(ctx context.Context, call *Call, s *Slot) error {
	if s.held.Load() {
		panic("limits: Enter on a slot that is held")
	}
	now := g.now()
	s.waited = 0
	s.chain = g.chain.Load()
	if len(s.chain.limiters) > 0 {
		if refused := s.chain.enter(now, call, s); refused != nil {
			return refused
		}
	}
	n, ok := g.tryEnter()
	if !ok {
		var err error
		if n, err = g.overflow(ctx, call, s, now); err != nil {
			s.chain.leave(g.now(), s, len(s.chain.limiters), Refused)
			return err
		}
		now = g.now()
	}
	g.fill(s, now, n)
	return nil
}

// fill records that s holds one of n slots since now.
func (g *Gate) fill(s *Slot, now time.Duration, n int) {
	if s.gate != g {
		s.gate, s.shard = g, g.meter.shard()
	}
	s.start = now
	s.shard.enter(now)
	g.high.record(now, n)
	s.held.Store(true)
}

// tryEnter takes a free slot if nobody waits for one, and returns how many are
// then taken.
func (g *Gate) tryEnter() (int, bool) {
	for {
		w := word(g.word.Load())
		if w.draining() || w.queued() || !w.free() {
			return 0, false
		}
		if g.word.CompareAndSwap(uint64(w), uint64(w+1)) {
			return w.inflight() + 1, true
		}
	}
}

// overflow handles a call that found no free slot.
func (g *Gate) overflow(ctx context.Context, call *Call, s *Slot, now time.Duration) (int, error) {
	if word(g.word.Load()).draining() {
		return 0, g.refuse(ReasonDraining)
	}
	p := g.policy.Load()
	o := call.Overflow
	if o == OverflowDefault {
		o = p.Overflow
	}
	if o != OverflowWait || p.QueueDepth == 0 {
		return 0, g.refuse(ReasonMaxInflight)
	}
	patience := p.QueueTimeout
	bounded := patience > 0
	if !call.Deadline.IsZero() {
		if left := time.Until(call.Deadline); !bounded || left < patience {
			patience, bounded = left, true
		}
	}
	if bounded && patience <= 0 {
		return 0, g.refuse(ReasonQueueTimeout)
	}
	w, n, reason := g.join(p.QueueDepth)
	if reason != "" {
		return 0, g.refuse(reason)
	}
	if w == nil {
		return n, nil // a slot came free meanwhile
	}
	err := g.wait(ctx, w, patience, bounded)
	s.waited = g.now() - now
	if err == nil {
		return word(g.word.Load()).inflight(), nil
	}
	var t *Throttle
	if errors.As(err, &t) {
		t.Waited = s.waited
	}
	return 0, err
}

// join takes a slot that came free meanwhile, or appends a waiter to the queue.
func (g *Gate) join(depth int) (*waiter, int, Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		w := word(g.word.Load())
		switch {
		case w.draining():
			return nil, 0, ReasonDraining
		case !w.queued() && w.free():
			if g.word.CompareAndSwap(uint64(w), uint64(w+1)) {
				return nil, w.inflight() + 1, ""
			}
		case g.queue.length >= depth:
			return nil, 0, ReasonQueueFull
		case w.queued() || g.word.CompareAndSwap(uint64(w), uint64(w|queuedBit)):
			q := newWaiter()
			g.queue.push(q)
			g.waiting.Store(int64(g.queue.length))
			return q, 0, ""
		}
	}
}

// wait blocks until w is granted, its patience ends or its client leaves.
func (g *Gate) wait(ctx context.Context, w *waiter, patience time.Duration, bounded bool) error {
	var expired <-chan time.Time
	if bounded {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		expired = timer.C
	}
	var err error
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
	case <-expired:
	}
	withdrawn := g.withdraw(w)
	if !withdrawn {
		<-w.ready // granted in the same moment
	}
	switch {
	case withdrawn && err == nil:
		return g.refuse(ReasonQueueTimeout)
	case withdrawn:
		return err
	case err != nil:
		g.release(g.now()) // granted to a caller that has left
		return err
	}
	return nil
}

// withdraw takes w out of the queue and reports whether it was still waiting.
func (g *Gate) withdraw(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.queue.remove(w) {
		return false
	}
	g.settle(word(g.word.Load()))
	return true
}

// settle grants free slots to waiters, first come first, and writes the word
// back. It needs mu, and w must be the current word with its queued bit set.
func (g *Gate) settle(w word) {
	for w.free() {
		q := g.queue.pop()
		if q == nil {
			break
		}
		w++
		q.ready <- struct{}{}
	}
	if g.queue.length == 0 {
		w &^= queuedBit
	}
	g.waiting.Store(int64(g.queue.length))
	g.word.Store(uint64(w))
}

// leave ends the call that s stood for.
func (g *Gate) leave(s *Slot, o Outcome) {
	now := g.now()
	s.shard.leave(s.start, now)
	// Limiters first: a call let in by the freed slot must find them up to date.
	s.chain.leave(now, s, len(s.chain.limiters), o)
	g.release(now)
}

// release frees one slot, or hands it to the first waiter.
func (g *Gate) release(now time.Duration) {
	for {
		w := word(g.word.Load())
		if w.queued() {
			break
		}
		if g.word.CompareAndSwap(uint64(w), uint64(w-1)) {
			g.high.record(now, w.inflight())
			return
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		w := word(g.word.Load())
		if w.queued() {
			g.high.record(now, w.inflight())
			g.settle(w - 1)
			return
		}
		if g.word.CompareAndSwap(uint64(w), uint64(w-1)) {
			g.high.record(now, w.inflight())
			return
		}
	}
}

// SetPolicy changes the policy live. Nobody admitted or waiting is dropped: a
// lower limit refuses newcomers until enough have left, a higher one wakes
// waiters at once. An invalid policy changes nothing.
func (g *Gate) SetPolicy(p Policy) error {
	if err := p.validate(); err != nil {
		return err
	}
	g.policy.Store(&p)
	g.change(func(w word) word { return w.withLimit(p.MaxInflight) })
	return nil
}

// Drain refuses every newcomer from now on. Those admitted run on, those
// waiting still get their turn.
func (g *Gate) Drain() { g.change(func(w word) word { return w | drainedBit }) }

func (g *Gate) change(f func(word) word) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		w := word(g.word.Load())
		if w.queued() {
			g.settle(f(w))
			return
		}
		if g.word.CompareAndSwap(uint64(w), uint64(f(w))) {
			return
		}
	}
}

// refuse makes the Throttle for a call that the concurrency limit turned away.
func (g *Gate) refuse(reason Reason) *Throttle {
	w := word(g.word.Load())
	t := &Throttle{Reason: reason, Limit: w.limit(), Remaining: max(w.limit()-w.inflight(), 0)}
	if reason == ReasonDraining {
		t.RetryAfter = retryAfter(0, 0, 0, 0) // another instance may have a slot already
	} else {
		t.RetryAfter = retryAfter(w.inflight(), w.limit(), int(g.waiting.Load()), g.estimate.duration(&g.meter, g.now))
	}
	return t
}
