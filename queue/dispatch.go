package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/limits"
)

// attempt is one attempt that is under way here.
type attempt struct {
	place  uint64
	cancel context.CancelCauseFunc
	// again is the entry of the same call that came last while the attempt ran.
	again *Entry
	// lost is true while it is without the slot that it was fetched with.
	lost bool
}

// Why an attempt ended before its answer.
var (
	errCancelled = errors.New("the call was cancelled")
	errHandback  = errors.New("weir stops; the call is handed back")
)

// Run dispatches until ctx ends or Drain is called: a slot first, then a call, so
// that a call never meets a refusal of its own sidecar and waits where others could
// take it.
func (q *Queue) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.life, cancel)()
	// A slot is taken only where there is something to fetch: synchronous requests
	// would find it taken. An error shows in the next question.
	more, _ := q.store.Pending(ctx)
	for {
		if !more && !q.awaitEntry(ctx) || !q.belowShare() {
			return
		}
		slot := &limits.Slot{}
		if !q.enter(ctx, slot) {
			return
		}
		// Who lost his slot to a store that answered late has the next one: what came
		// after him must not run first.
		if q.isStalled() {
			slot.Leave(limits.Refused)
			more = true
			continue
		}
		var e *Entry
		var err error
		lost := q.lend(slot, func() { e, err = q.store.Fetch(ctx) })
		if e == nil {
			slot.Leave(limits.Refused)
			if lost {
				q.stall(-1)
			}
		}
		switch {
		case ctx.Err() != nil && e == nil:
			return
		case err != nil:
			q.log.Warn("no call could be taken from the queue", "err", err)
			more = false
			if !sleep(ctx, q.poll) {
				return
			}
			continue
		case e == nil:
			more = false
			continue
		}
		more = e.More
		a := q.admit(e)
		if a == nil {
			slot.Leave(limits.Refused)
			if lost {
				q.stall(-1)
			}
			continue
		}
		a.lost = lost
		go q.try(a, e, slot)
	}
}

// lendAfter is how long a slot is held while the store lets its attempt wait.
const lendAfter = 100 * time.Millisecond

// lend does what may wait for the store, with a slot in hand. Where that takes long
// the slot is left to others: a store that is down must not keep synchronous requests
// out. lost tells whether it was; then no call is fetched until the caller has a slot
// again, or needs none, and calls stall(-1).
func (q *Queue) lend(slot *limits.Slot, work func()) (lost bool) {
	left := make(chan struct{})
	timer := time.AfterFunc(lendAfter, func() {
		defer close(left)
		q.stall(1)
		slot.Leave(limits.Refused)
	})
	work()
	if timer.Stop() {
		return false
	}
	<-left
	return true
}

func (q *Queue) stall(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stalled += n
	q.idle.Broadcast()
}

// awaitEntry blocks until there may be something to fetch, and reports false when
// there will be nothing any more.
func (q *Queue) awaitEntry(ctx context.Context) bool {
	timer := time.NewTimer(q.poll)
	defer timer.Stop()
	soon := q.poll // after a wake-up, sooner: a store may take a moment to see an entry
	for {
		select {
		case <-ctx.Done():
			return false
		case <-q.wake:
			soon = min(time.Millisecond, q.poll)
		case <-timer.C:
			soon = min(2*soon, q.poll)
		}
		if q.isStopped() {
			return false
		}
		// What is wrong shows in Up, and in the next commit.
		if pending, err := q.store.Pending(ctx); err == nil && pending {
			return true
		}
		timer.Reset(soon)
	}
}

// enter takes a slot, however long that takes.
func (q *Queue) enter(ctx context.Context, slot *limits.Slot) bool {
	call := &limits.Call{Overflow: limits.OverflowWait, Priority: limits.Async}
	for {
		err := q.gate.Enter(ctx, call, slot)
		var t *limits.Throttle
		switch {
		case err == nil:
			return true
		case errors.As(err, &t) && t.Reason == limits.ReasonDraining, ctx.Err() != nil, q.isStopped():
			return false
		case !sleep(ctx, enterAgain):
			return false
		}
	}
}

// enterAgain is the pause after a refusal: where nothing may wait at the gate, or
// nothing more.
const enterAgain = 50 * time.Millisecond

// belowShare waits until another attempt may run beside those under way, none of which
// the store lets wait, and reports whether it may.
func (q *Queue) belowShare() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.stopped {
			return false
		}
		if most := q.policy.Load().MaxRunning; q.stalled == 0 && (most == 0 || len(q.running) < most) {
			return true
		}
		q.idle.Wait()
	}
}

// isStalled reports whether an attempt is without its slot for the store's sake.
func (q *Queue) isStalled() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stalled > 0
}

func (q *Queue) isStopped() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stopped
}

// admit enters the attempt into the table of those under way; nil where the call is
// running here already, under an entry that its store has given up too early. That one
// is kept until the attempt has ended, for only then can be told what it stands for.
func (q *Queue) admit(e *Entry) *attempt {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a := q.running[e.Call.ID]; a != nil {
		if a.again != nil {
			a.again.Leave() // it was given up as well
		}
		a.again = e
		return nil
	}
	a := &attempt{place: e.Place}
	q.running[e.Call.ID] = a
	return a
}

func (q *Queue) leave(id ID) {
	for {
		q.mu.Lock()
		a := q.running[id]
		again := a.again
		if again == nil {
			delete(q.running, id)
			q.idle.Broadcast()
			q.mu.Unlock()
			return
		}
		a.again = nil
		q.mu.Unlock()
		q.giveBack(again)
		q.stir()
	}
}

// cut ends the attempt at a call that runs here, if one does.
func (q *Queue) cut(id ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a := q.running[id]; a != nil && a.cancel != nil {
		a.cancel(errCancelled)
	}
}

// try makes the attempt that e stands for, if it still stands for one.
func (q *Queue) try(a *attempt, e *Entry, slot *limits.Slot) {
	defer q.leave(e.Call.ID)
	defer slot.Leave(limits.Aborted) // on a panic, and where nothing ran
	regained := func() {
		if a.lost {
			a.lost = false
			q.stall(-1)
		}
	}
	defer regained()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	q.mu.Lock()
	a.cancel = cancel
	stopped := q.stopped
	q.mu.Unlock()
	if stopped {
		q.giveBack(e)
		return
	}
	defer q.hold(e)()

	var r *Record
	var start bool
	var err, unloaded error
	begin := func() {
		if r, start, err = q.claim(ctx, e); start {
			unloaded = q.store.LoadBody(ctx, e.Call)
		}
	}
	if a.lost {
		begin()
	} else {
		a.lost = q.lend(slot, begin)
	}
	switch {
	case err != nil:
		regained()
		q.log.Warn("an attempt could not begin; the call is handed back", "call", e.Call.ID, "err", err)
		slot.Leave(limits.Refused)
		sleep(ctx, q.poll) // whatever it was, it is not over yet
		q.giveBack(e)
		return
	case !start:
		q.done(e)
		return
	}
	p := q.policy.Load().of(e.Call.Method, e.Call.Target)
	var res *Response
	switch {
	case unloaded != nil:
		err = unloaded
	case a.lost && !q.enter(ctx, slot):
		cancel(errHandback) // unless the call was cancelled
	default:
		regained()
		res, err = q.invoke(ctx, p, e.Call, r.Attempts)
	}
	slot.Leave(outcomeOf(res, err))
	q.counts.attempts.Add(1)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errHandback):
		q.giveBack(e)
	case errors.Is(cause, errCancelled):
		q.done(e)
	default:
		q.settle(ctx, p, e, r, res, err)
	}
}

func (q *Queue) invoke(ctx context.Context, p *Policy, c *Call, attempt int) (*Response, error) {
	if p.AttemptTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.AttemptTimeout, fmt.Errorf("the attempt took longer than %v", p.AttemptTimeout))
		defer cancel()
	}
	res, err := q.invoker.Invoke(ctx, c, attempt, p.MaxResponse)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return res, err
}

func outcomeOf(r *Response, err error) limits.Outcome {
	switch {
	case r == nil && err == nil: // it never ran
		return limits.Refused
	case err != nil || r.Status >= 500:
		return limits.Failed
	case r.Status == 429:
		return limits.Full
	}
	return limits.Succeeded
}

// hold keeps the entry until the returned function is called.
func (q *Queue) hold(e *Entry) func() {
	return holdOn(e, q.store.HoldTime(), q.log, e.Call.ID)
}

// holdOn keeps what h stands for, of a call, until the returned function is called.
func holdOn(h Handle, holdTime time.Duration, log *slog.Logger, id ID) func() {
	stop := make(chan struct{})
	go func() {
		tick := time.NewTicker(holdTime / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := h.Hold(); err != nil {
					log.Debug("what is at work could not be held on to", "call", id, "err", err)
				}
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop) }
}

// done removes an entry. If that fails it comes again, and the record tells then
// that there is nothing to do.
func (q *Queue) done(e *Entry) {
	if err := e.Done(); err != nil {
		q.log.Debug("an entry could not be removed; it will be later", "call", e.Call.ID, "err", err)
	}
}

// giveBack returns an entry. If that fails it comes again once its hold has lapsed.
func (q *Queue) giveBack(e *Entry) {
	if err := e.Return(); err != nil {
		q.log.Debug("an entry could not be handed back; its hold will lapse", "call", e.Call.ID, "err", err)
	}
}

// claim writes that an attempt begins. Its number is on disk before the function
// sees it, so that a later attempt has a higher one. start is false where the entry
// is a leftover, or the call has ended.
func (q *Queue) claim(ctx context.Context, e *Entry) (r *Record, start bool, err error) {
	c := e.Call
	p := q.policy.Load().of(c.Method, c.Target)
	// A first entry's call has no record, as a rule.
	r = NewRecord(c, Enqueued, 1)
	if e.Ticket > 1 || !c.NotBefore.IsZero() {
		if r, err = q.recordOf(ctx, e); err != nil {
			return nil, false, err
		}
	}
	for range changes {
		now := time.Now()
		event := Start
		why := ""
		switch {
		case r.State.Final(), e.Ticket < r.Ticket, r.State == Running && r.Place != e.Place:
			return nil, false, nil
		case !now.Before(c.ExpiresAt):
			event, why = Expire, "it was not begun in time"
		case r.State == Running && p.exhausted(r.Attempts):
			event, why = Fail, "the last attempt was cut off"
		}
		next, err := r.move(event, now)
		if err != nil {
			return nil, false, err
		}
		change := &Change{Record: &next}
		if event == Start {
			next.Place = e.Place
		} else {
			next.Error = why
			q.bury(change, p, c, nil)
		}
		err = q.store.Commit(ctx, change)
		switch {
		case err == nil && event == Start:
			return &next, true, nil
		case err == nil:
			q.count(&next, true)
			return nil, false, nil
		case !errors.Is(err, ErrConflict):
			return nil, false, err
		}
		if r, err = q.recordOf(ctx, e); err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("%w, %d times in a row", ErrConflict, changes)
}

// recordOf reads the record of an entry's call. Where there is none any more the call
// ended long ago, and its entry came back; or the store is damaged. Better run once
// more than lose it.
func (q *Queue) recordOf(ctx context.Context, e *Entry) (*Record, error) {
	r, err := q.store.Record(ctx, e.Call.ID)
	if errors.Is(err, ErrNotFound) {
		return NewRecord(e.Call, Enqueued, e.Ticket), nil
	}
	return r, err
}

// bury makes a change put the call among the dead letters, and those told who want to
// know.
func (q *Queue) bury(change *Change, p *Policy, c *Call, last *Response) {
	change.Dead = &DeadLetter{Record: *change.Record, Call: c, Response: last}
	change.Keep, change.KeepDead = p.Retention, p.DeadRetention
	q.owe(change, p, c, last)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Drain begins no attempt any more, at calls or deliveries, and waits for those under way. When ctx ends
// first they are cut off and handed back.
func (q *Queue) Drain(ctx context.Context) error {
	q.end()
	q.mu.Lock()
	q.stopped = true
	q.idle.Broadcast()
	q.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, a := range q.running {
			if a.cancel != nil {
				a.cancel(errHandback)
			}
		}
	})()
	q.mu.Lock()
	for len(q.running) > 0 {
		q.idle.Wait()
	}
	q.mu.Unlock()
	q.outbox.drain(ctx)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("queue: calls that still ran were handed back: %w", err)
	}
	return nil
}
