package limits

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"weir/limits/adaptive"
	"weir/limits/ramp"
	"weir/limits/rate"
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
// Invariants: inflight only grows while it is below the limit; while anyone is in
// line the word's queued bit is set, and then only holders of mu change the word,
// so a newcomer cannot barge past a waiter; someone in line means that no slot is
// free. Asynchronous calls that may not have one, as async.go has it, count as
// nobody.
type Gate struct {
	word    atomic.Uint64
	waiting atomic.Int64 // length of the line, for readers without the lock
	policy  atomic.Pointer[Policy]
	chain   atomic.Pointer[chain]
	adapt   atomic.Pointer[adaptation]  // nil for a fixed limit
	callers atomic.Pointer[callerTable] // nil where callers are not told apart
	dry     [len(dryReasons)]atomic.Uint64
	base    time.Time

	// What the word's limit comes from; bound.go tells of it. shadow is what it would
	// be if it were in force, unlimited where it is.
	own, shadowOwn, shadow atomic.Int64
	binding                atomic.Pointer[Shared] // whose bound the limit is, nil for own
	until                  atomic.Int64           // when a bound ends next, on the Gate's clock
	shared                 []*Shared

	meter    meter
	high     highWater
	estimate estimate

	// Calls of priority Async; async.go tells of them.
	asyncUsed    atomic.Bool
	asyncRunning atomic.Int64
	asyncNextCut atomic.Int64 // on the Gate's clock

	random atomic.Uint64 // state of jitter

	// setting is held while the policy changes; it guards what a policy's limiters are
	// made of, so that a change of one leaves the others as they are.
	setting sync.Mutex
	front   []Limiter // that the Gate was made with
	rate    *Rate
	ramp    *ramp.Ramp

	mu        sync.Mutex
	line      line
	everyone  caller // who calls where callers are not told apart
	asyncCap  asyncCap
	asyncWake *time.Timer // nil where none is set

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
func (w word) queued() bool   { return w&queuedBit != 0 }
func (w word) draining() bool { return w&drainedBit != 0 }
func (w word) bound() int     { return int(w >> countBits & countMask) }
func (w word) free() bool     { return w.inflight() < w.bound() }

// limit is the bound, 0 where there is none. A bound of no slots is 0 as well: free
// tells them apart.
func (w word) limit() int {
	if n := w.bound(); n != unlimited {
		return n
	}
	return 0
}

func (w word) withBound(n int) word {
	return w&^(countMask<<countBits) | word(n)<<countBits
}

// NewGate makes a Gate with its policy and the limiters that stand in front of
// the concurrency limit, in the order in which they are asked.
func NewGate(p Policy, limiters ...Limiter) (*Gate, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	if len(limiters) > maxLimiters-ownLimiters {
		return nil, fmt.Errorf("limits: %d limiters, at most %d fit", len(limiters), maxLimiters-ownLimiters)
	}
	g := &Gate{base: time.Now(), asyncCap: uncut, front: limiters}
	g.policy.Store(&p)
	g.Seed(rand.Uint64())
	g.setLimiters(p)
	g.own.Store(int64(g.limitOf(p)))
	g.word.Store(uint64(g.bounded(0)))
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
	if int64(now) >= g.until.Load() {
		g.lapse()
	}
	s.waited, s.async, s.caller, s.charged = 0, false, nil, 0
	s.chain = g.chain.Load()
	var used *rate.Limit // of the call's own rate
	if call.Rate != nil || len(s.chain.limiters) > 0 || g.callers.Load() != nil {
		var err error
		if used, err = g.enterLimits(ctx, now, call, s); err != nil {
			return err
		}
	}
	async := call.Priority <= Async
	n, ok := 0, false
	if !async {
		n, ok = g.tryEnter()
	}
	if !ok {
		var err error
		if n, err = g.overflow(ctx, call, s, now); err != nil {
			g.undoLimits(call, s, used)
			return err
		}
		s.async = async
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
	if int64(n) > g.shadow.Load() {
		g.wouldRefuseByLimit()
	}
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

// settle grants free slots to those in line and writes the word back. It needs
// mu, and w must be the current word, or what is to become of it, with its queued
// bit set.
func (g *Gate) settle(w word) {
	now := g.now()
	if int64(now) >= g.until.Load() {
		w = g.bounded(w)
	}
	var p pace
	for w.free() {
		if g.asyncWaits() {
			if may, _ := g.asyncMay(w); may && (g.line.length == 0 || g.asyncOwed(w)) {
				g.grantAsync()
				w++
				continue
			}
		}
		if g.line.length == 0 {
			break
		}
		if p.limit == 0 {
			p = g.pace(w, now)
		}
		g.line.grant(&p)
		w++
	}
	queued := g.line.length > 0
	if !queued && g.asyncWaits() {
		var until time.Duration
		if queued, until = g.asyncMay(w); !queued {
			g.wakeAsync(until)
		}
	}
	if !queued {
		w &^= queuedBit
	}
	g.waiting.Store(int64(g.line.length))
	g.word.Store(uint64(w))
}

// leave ends the call that s stood for.
func (g *Gate) leave(s *Slot, o Outcome) {
	now := g.now()
	s.shard.leave(s.start, now)
	// Limiters first: a call let in by the freed slot must find them up to date.
	s.chain.leave(now, s, len(s.chain.limiters), o)
	if s.caller != nil {
		g.leaveCaller(s, now)
	}
	if s.async {
		g.leaveAsync(now)
	} else {
		g.release(now)
	}
	if d := g.adapt.Load(); d != nil {
		d.ended(g, now, o)
	}
}

// leaveCaller ends the call in its caller's books. What it was charged when it was
// granted its slot was an estimate, and nothing where nobody waited then.
func (g *Gate) leaveCaller(s *Slot, now time.Duration) {
	if word(g.word.Load()).queued() {
		g.mu.Lock()
		g.line.leave(s.caller, s, now)
		g.mu.Unlock()
	}
	s.caller.leave(now - s.start)
}

// release frees one slot, or hands it to whoever is next in line.
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
	g.setting.Lock()
	defer g.setting.Unlock()
	g.policy.Store(&p)
	g.setLimiters(p)
	limit := g.limitOf(p)
	g.change(func(w word) word {
		g.own.Store(int64(limit))
		return g.bounded(w)
	})
	return nil
}

// setLimiters puts the limits together that stand in front of the concurrency limit,
// in the order in which they are asked: the Gate's rate, its ramp, and those that it
// was made with. A call's own rate and its caller's limits come before them.
func (g *Gate) setLimiters(p Policy) {
	switch t := g.callers.Load(); {
	case p.Callers == nil:
		g.callers.Store(nil)
	case t == nil:
		g.callers.Store(newCallerTable(p.Callers))
	default:
		t.policy.Store(p.Callers)
	}
	c := &chain{}
	add := func(l Limiter) {
		if p.DryRun {
			l = dryRun{l, g}
		}
		c.limiters = append(c.limiters, l)
	}
	if !p.Rate.Off() {
		if g.rate == nil {
			g.rate = NewRate(p.Rate)
		}
		g.rate.Set(p.Rate)
		add(rateLimiter{g.rate})
	}
	if p.Ramp.PerMinute == 0 {
		g.ramp = nil
	} else {
		if g.ramp == nil {
			g.ramp = ramp.New(p.Ramp)
		}
		g.ramp.Set(p.Ramp)
		add(rampLimiter{g.ramp})
	}
	c.limiters = append(c.limiters, g.front...)
	g.chain.Store(c)
}

// limitOf is the limit of its own that a policy begins with. An automatic one goes on
// from what was found so far.
func (g *Gate) limitOf(p Policy) int {
	if p.Auto == nil {
		g.adapt.Store(nil)
		if p.DryRun {
			g.shadowOwn.Store(int64(p.MaxInflight))
			return 0
		}
		return p.MaxInflight
	}
	d := g.adapt.Load()
	if d == nil {
		d = g.newAdaptation(*p.Auto)
		limit := d.limit.Value() // before anybody else can get at it
		g.adapt.Store(d)
		return limit
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit.Bound(adaptive.Bounds{Min: p.Auto.Min, Max: p.Auto.Ceiling})
	return d.limit.Value()
}

// Drain refuses every newcomer from now on. Those admitted run on, those
// waiting still get their turn, but for asynchronous calls: they are refused, for
// they can go elsewhere.
func (g *Gate) Drain() {
	g.change(func(w word) word {
		g.refuseAsync(ReasonDraining)
		return w | drainedBit
	})
}

// change replaces the word by what f makes of it, and looks at the line.
func (g *Gate) change(f func(word) word) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		w := word(g.word.Load())
		if w.queued() || g.asyncWaits() {
			if !w.queued() && !g.word.CompareAndSwap(uint64(w), uint64(w|queuedBit)) {
				continue
			}
			g.settle(f(w | queuedBit))
			return
		}
		if g.word.CompareAndSwap(uint64(w), uint64(f(w))) {
			return
		}
	}
}

// refuse makes the Throttle for a call that the concurrency limit turned away.
func (g *Gate) refuse(reason Reason) *Throttle { return g.refuseWith(reason, g.jitter()) }

func (g *Gate) refuseWith(reason Reason, j jitter) *Throttle {
	w := word(g.word.Load())
	t := &Throttle{Reason: reason, Limit: w.limit(), Remaining: max(w.limit()-w.inflight(), 0)}
	if s := g.binding.Load(); s != nil && reason != ReasonDraining {
		t.Limit = int(s.limit.Load())
		if reason == ReasonMaxInflight {
			t.Reason = s.reason
		}
	}
	if reason == ReasonDraining {
		t.RetryAfter = retryAfter(0, 0, 0, 0, &j) // another instance may have a slot already
	} else {
		t.RetryAfter = retryAfter(w.inflight(), w.limit(), int(g.waiting.Load()), g.estimate.duration(&g.meter, g.now), &j)
	}
	return t
}
