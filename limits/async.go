package limits

import (
	"math"
	"time"
)

// Calls of priority Async wait until a slot is free that no synchronous call
// wants. Where synchronous calls wait in line, these go first. Where they are
// refused instead, the line would be all asynchronous and get every slot. So
// asynchronous calls have a cap of their own, which each such refusal cuts below
// what they have, and which grows again slowly while nobody is refused: additive
// increase, multiplicative decrease (Chiu and Jain, 1989), with the refusals of
// others as the signal.

const (
	asyncCut = 0.7
	// A cut has shown in what runs, or not, after a mean duration or two; until then
	// there is no other. A slot comes back in five.
	asyncCutMeans, asyncCutLeast   = 2, 50 * time.Millisecond
	asyncGrowMeans, asyncGrowLeast = 5, 100 * time.Millisecond
	asyncGrowMost                  = 10 * time.Second
)

// asyncCap is how many asynchronous calls may run, beyond their least share. The
// Gate's lock guards it.
type asyncCap struct {
	slots float64       // at the time of the last cut
	cut   time.Duration // when that was
	grow  time.Duration // for each slot more
}

var uncut = asyncCap{slots: MaxSlots, grow: 1}

// at is the cap at a moment.
func (c *asyncCap) at(now time.Duration) float64 {
	return c.slots + float64(now-c.cut)/float64(c.grow)
}

// reaches is when the cap lets one more than n run.
func (c *asyncCap) reaches(n int) time.Duration {
	return c.cut + time.Duration(math.Ceil((float64(n+1)-c.slots)*float64(c.grow))) + 1
}

// asyncOwed reports whether asynchronous calls have less than their least share.
// It needs mu.
func (g *Gate) asyncOwed(w word) bool {
	share, limit := g.policy.Load().AsyncMinShare, w.limit()
	return share > 0 && limit > 0 && int(g.asyncRunning.Load()) < max(int(share*float64(limit)), 1)
}

// asyncMay reports whether an asynchronous call may take a free slot, and if only
// the cap says no, when it may. It needs mu.
func (g *Gate) asyncMay(w word) (bool, time.Duration) {
	running, limit := int(g.asyncRunning.Load()), w.limit()
	if limit == 0 || g.asyncOwed(w) {
		return true, 0
	}
	most := limit
	if share := g.policy.Load().AsyncMaxShare; share > 0 {
		most = max(int(share*float64(limit)), 1)
	}
	if running >= most {
		return false, 0
	}
	if now := g.now(); float64(running+1) > g.asyncCap.at(now) {
		return false, g.asyncCap.reaches(running)
	}
	return true, 0
}

// enterAsync takes a slot for an asynchronous call or, if it cannot have one yet,
// puts it in line.
func (g *Gate) enterAsync(now time.Duration) (*waiter, int, Reason) {
	g.asyncUsed.Store(true)
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		w := word(g.word.Load())
		may, until := g.asyncMay(w)
		switch {
		case w.draining():
			return nil, 0, ReasonDraining
		case may && !w.queued() && w.free():
			if g.word.CompareAndSwap(uint64(w), uint64(w+1)) {
				g.asyncRunning.Add(1)
				return nil, w.inflight() + 1, ""
			}
		case !may || w.queued() || g.word.CompareAndSwap(uint64(w), uint64(w|queuedBit)):
			q := newWaiter(asyncLevel, now)
			q.jitter = g.jitter()
			g.line.push(q, &g.everyone)
			g.wakeAsync(until)
			return q, 0, ""
		}
	}
}

// grantAsync gives a slot to the asynchronous call that waits longest.
func (g *Gate) grantAsync() {
	q := g.line.lanes[asyncLevel].flows[0].head
	g.line.remove(q)
	g.asyncRunning.Add(1)
	q.fate <- ""
}

// asyncWaits reports whether an asynchronous call is in line. It needs mu.
func (g *Gate) asyncWaits() bool { return g.line.lanes[asyncLevel].length > 0 }

// cutAsync notes that a synchronous call found no slot.
func (g *Gate) cutAsync(now time.Duration) {
	if !g.asyncUsed.Load() || int64(now) < g.asyncNextCut.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	mean := g.pace(word(g.word.Load()), now).mean
	g.asyncNextCut.Store(int64(now + max(asyncCutMeans*mean, asyncCutLeast)))
	c := &g.asyncCap
	c.slots = asyncCut * min(c.at(now), float64(g.asyncRunning.Load()))
	c.cut, c.grow = now, min(max(asyncGrowMeans*mean, asyncGrowLeast), asyncGrowMost)
}

// wakeAsync looks again at those in line once the cap may let one run. It needs mu.
func (g *Gate) wakeAsync(until time.Duration) {
	if until == 0 || g.asyncWake != nil {
		return
	}
	g.asyncWake = time.AfterFunc(max(until-g.now(), 0), func() {
		g.mu.Lock()
		g.asyncWake = nil
		g.mu.Unlock()
		g.change(func(w word) word { return w })
	})
}

// refuseAsync ends the wait of all asynchronous calls. It needs mu.
func (g *Gate) refuseAsync(why Reason) {
	for g.asyncWaits() {
		g.line.refuse(g.line.lanes[asyncLevel].flows[0].head, why)
	}
}

// leaveAsync frees the slot of an asynchronous call: whether the next may have one
// changes with it, so the line is looked at.
func (g *Gate) leaveAsync(now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asyncRunning.Add(-1)
	for {
		w := word(g.word.Load())
		if w.queued() || g.asyncWaits() {
			if !w.queued() && !g.word.CompareAndSwap(uint64(w), uint64(w|queuedBit)) {
				continue
			}
			g.high.record(now, w.inflight())
			g.settle((w | queuedBit) - 1)
			return
		}
		if g.word.CompareAndSwap(uint64(w), uint64(w-1)) {
			g.high.record(now, w.inflight())
			return
		}
	}
}
