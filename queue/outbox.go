package queue

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is told at once. A receiver that is down or slow has its attempts
// take long; so it gets few of them, and those that wait for it wait in a line of
// its own.
const (
	maxTelling    = 64       // attempts under way
	firstAllowed  = 2        // of them to a receiver of which nothing is known,
	maxAllowed    = 8        // and to one that takes what it is told
	maxInHand     = 1024     // deliveries held here in all,
	maxBytes      = 16 << 20 // and the bytes of their responses
	longLine      = 256      // deliveries to one receiver that wait here for another to end,
	shortLine     = 32       // once half of maxInHand is held,
	failingLine   = 4        // and to one that fails
	failures      = 3        // in a row, that make it one
	maxReceivers  = 4096
	postponeLeast = time.Second
	postponeMost  = 30 * time.Second
)

// outbox tells receivers of calls that have ended, until they have taken it or it is
// given up.
type outbox struct {
	store    Outbox
	notifier Notifier // nil where nobody is ever told
	policy   *atomic.Pointer[Policy]
	log      *slog.Logger
	counts   deliveryCounts

	mu        sync.Mutex
	changed   *sync.Cond // what is in hand has become less, or stopped has become true
	receivers map[string]*receiver
	ready     []*receiver // may make another attempt, in turn; each is in it once
	telling   int         // attempts under way
	inHand    int         // entries held, under way or in a line
	bytes     int         // of their responses
	stopped   bool
	cut       context.Context // ends when attempts under way are to be given up
	cutNow    context.CancelFunc
}

// receiver is one that deliveries in hand are for, or that has failed of late.
type receiver struct {
	name    string
	telling int
	// allowed is how many attempts at once it gets: half as many after a failure, one
	// more after each success.
	allowed  int
	failures int // since its last success
	line     []*inHand
	queued   bool // it is in outbox.ready
}

// inHand is an entry that is held on to.
type inHand struct {
	*DeliveryEntry
	release func() // ends the hold
}

func (h *inHand) size() int {
	if h.Response == nil {
		return 0
	}
	return len(h.Response.Body)
}

type deliveryCounts struct{ delivered, retried, gone, failed atomic.Uint64 }

func newOutbox(o *Options, policy *atomic.Pointer[Policy]) *outbox {
	b := &outbox{store: o.Store, notifier: o.Notifier, policy: policy, log: o.Log, receivers: map[string]*receiver{}}
	b.changed = sync.NewCond(&b.mu)
	b.cut, b.cutNow = context.WithCancel(context.Background())
	return b
}

// run takes deliveries until ctx ends or drain is called.
func (b *outbox) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.cut, cancel)()
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stopped = true
		b.changed.Broadcast()
	})
	defer stop()
	for b.hasRoom() {
		e, err := b.store.FetchDelivery(ctx)
		switch {
		case ctx.Err() != nil && e == nil:
			return
		case err != nil:
			b.log.Debug("no delivery could be taken from the queue", "err", err)
			if !sleep(ctx, fetchAgain) {
				return
			}
		case e != nil:
			b.take(e)
		}
	}
}

// fetchAgain is the pause after a failure to fetch.
const fetchAgain = time.Second

// hasRoom waits until another delivery may be held, and reports whether it may.
func (b *outbox) hasRoom() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.stopped && (b.inHand >= maxInHand || b.bytes >= maxBytes) {
		b.changed.Wait()
	}
	return !b.stopped
}

// take holds an entry and puts it into its receiver's line, or off where that is
// full: others behind it are not to wait.
func (b *outbox) take(e *DeliveryEntry) {
	h := &inHand{DeliveryEntry: e, release: holdOn(e.Handle, b.store.HoldTime(), b.log, e.Call)}
	name := e.Receiver()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inHand++
	b.bytes += h.size()
	if b.stopped {
		go b.handBack(h)
		return
	}
	r := b.receivers[name]
	if r == nil {
		b.forget()
		r = &receiver{name: name, allowed: firstAllowed}
		b.receivers[name] = r
	}
	r.line = append(r.line, h)
	b.trim(r)
	b.enqueue(r)
	b.start()
}

// trim puts off what is too much of a receiver's line, the latest first. The caller
// holds mu.
func (b *outbox) trim(r *receiver) {
	most, off := longLine, postponeMost
	switch {
	case r.failures >= failures:
		// Back soon: it may be well again.
		most, off = failingLine, min(postponeLeast<<min(r.failures, 16), postponeMost)
	case b.inHand > maxInHand/2:
		most = shortLine
	}
	for len(r.line) > most {
		last := len(r.line) - 1
		go b.postpone(r.line[last], off)
		r.line = r.line[:last]
	}
}

// forget makes room in the table of receivers. The caller holds mu.
func (b *outbox) forget() {
	if len(b.receivers) < maxReceivers {
		return
	}
	for name, r := range b.receivers {
		if r.telling == 0 && len(r.line) == 0 {
			delete(b.receivers, name)
			return
		}
	}
}

// enqueue puts a receiver in turn that may make an attempt. The caller holds mu.
func (b *outbox) enqueue(r *receiver) {
	if !r.queued && len(r.line) > 0 && r.telling < r.allowed {
		r.queued = true
		b.ready = append(b.ready, r)
	}
}

// start begins the attempts that may. The caller holds mu.
func (b *outbox) start() {
	for b.telling < maxTelling && len(b.ready) > 0 {
		r := b.ready[0]
		b.ready = b.ready[1:]
		r.queued = false
		h := r.line[0]
		r.line = r.line[1:]
		r.telling++
		b.telling++
		b.enqueue(r)
		go b.tell(r, h)
	}
}

// tell makes an attempt.
func (b *outbox) tell(r *receiver, h *inHand) {
	failed := b.attempt(h)
	h.release()
	b.mu.Lock()
	defer b.mu.Unlock()
	r.telling--
	b.telling--
	b.inHand--
	b.bytes -= h.size()
	if failed {
		r.allowed = max(r.allowed/2, 1)
		r.failures++
	} else {
		r.allowed = min(r.allowed+1, maxAllowed)
		r.failures = 0
	}
	b.trim(r)
	if r.telling == 0 && len(r.line) == 0 && r.allowed >= firstAllowed {
		delete(b.receivers, r.name)
	}
	b.enqueue(r)
	b.start()
	b.changed.Broadcast()
}

// attempt tells the receiver, writes what came of it and removes the entry: never the
// other way round. It reports whether the receiver failed.
func (b *outbox) attempt(h *inHand) (failed bool) {
	d := h.Delivery
	r, err := b.record(d)
	switch {
	case err != nil:
		b.log.Debug("a delivery's record cannot be read; it is handed back", "call", d.Call, "to", d.To, "err", err)
		sleep(b.cut, fetchAgain) // whatever it was, it is not over yet
		b.giveBack(h)
		return false
	case r.leftover(d):
		b.done(h)
		return false
	case d.Attempts > 0 && !time.Now().Before(d.GiveUpAt):
		b.abandon(h, r)
		return false
	}
	failure := b.notifier.Notify(b.cut, d)
	if failure != nil && b.cut.Err() != nil {
		b.giveBack(h)
		return false
	}
	p := b.policy.Load()
	now := time.Now()
	next := *r
	next.Attempts++
	at := now.Add(p.deliveryDelay(next.Attempts, failure))
	next.State, next.LastError = d.verdict(failure, now, at)
	next.NextAttemptAt = time.Time{}
	change := &DeliveryChange{Record: &next, Keep: p.Retention}
	switch next.State {
	case DeliveryDone:
		next.DeliveredAt = now
	case DeliveryPending:
		again := *d
		again.Attempts = next.Attempts
		next.NextAttemptAt = at
		change.Entry, change.At = &again, at
	}
	if b.write(h, change) {
		b.count(d, &next, failure)
	}
	var u *Undelivered
	return failure != nil && (!errors.As(failure, &u) || !u.Gone) // one that wants no more is well
}

// record reads a delivery's record. Where there is none any more it was told long ago,
// or the store is damaged: better told twice than never.
func (b *outbox) record(d *Delivery) (*DeliveryRecord, error) {
	r, err := b.store.Delivery(b.cut, d.Call, d.To)
	if errors.Is(err, ErrNotFound) {
		return &DeliveryRecord{Call: d.Call, To: d.To, Ticket: d.Ticket, State: DeliveryPending, Attempts: d.Attempts}, nil
	}
	return r, err
}

// write commits a change for an entry in hand and removes it. While the store is down
// it keeps trying; if weir stops meanwhile, the entry comes again.
func (b *outbox) write(h *inHand, c *DeliveryChange) bool {
	for first := true; ; first = false {
		err := b.store.CommitDelivery(b.cut, c)
		switch {
		case err == nil:
			b.done(h)
			return true
		case errors.Is(err, ErrConflict):
			// A later end of the call took its place, or somebody else has told it.
			b.done(h)
			return false
		case errors.Is(err, ErrTooLarge):
			b.log.Error("a delivery cannot be written, and comes again", "call", h.Call, "to", h.To, "err", err)
			h.Leave()
			return false
		case first:
			b.log.Warn("the outcome of a delivery could not be written; trying on", "call", h.Call, "to", h.To, "err", err)
		}
		if !sleep(b.cut, settleAgain) {
			h.Leave()
			return false
		}
	}
}

// postpone puts a delivery off, by up to most, whose receiver has enough of them
// already.
func (b *outbox) postpone(h *inHand, most time.Duration) {
	defer b.let(h)
	r, err := b.record(h.Delivery)
	if err != nil {
		b.giveBack(h)
		return
	}
	if r.leftover(h.Delivery) {
		b.done(h)
		return
	}
	next := *r
	next.NextAttemptAt = time.Now().Add(postponeLeast/2 + rand.N(most))
	if !next.NextAttemptAt.Before(h.GiveUpAt) {
		b.abandon(h, r)
		return
	}
	b.write(h, &DeliveryChange{Record: &next, Entry: h.Delivery, At: next.NextAttemptAt})
}

// abandon gives up a delivery whose time is over without another attempt.
func (b *outbox) abandon(h *inHand, r *DeliveryRecord) {
	next := *r
	next.State, next.NextAttemptAt = DeliveryAbandoned, time.Time{}
	if next.LastError == "" {
		next.LastError = "there was no room for an attempt before its time was over"
	}
	if b.write(h, &DeliveryChange{Record: &next, Keep: b.policy.Load().Retention}) {
		b.count(h.Delivery, &next, errors.New(next.LastError))
	}
}

func (b *outbox) handBack(h *inHand) {
	defer b.let(h)
	b.giveBack(h)
}

// let ends the hold on an entry.
func (b *outbox) let(h *inHand) {
	h.release()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inHand--
	b.bytes -= h.size()
	b.changed.Broadcast()
}

func (b *outbox) done(h *inHand) {
	if err := h.Done(); err != nil {
		b.log.Debug("a delivery's entry could not be removed; it will be later", "call", h.Call, "to", h.To, "err", err)
	}
}

func (b *outbox) giveBack(h *inHand) {
	if err := h.Return(); err != nil {
		b.log.Debug("a delivery could not be handed back; its hold will lapse", "call", h.Call, "to", h.To, "err", err)
	}
}

// count counts an attempt's outcome. Of a URL only its host may be logged.
func (b *outbox) count(d *Delivery, r *DeliveryRecord, failure error) {
	var u *Undelivered
	switch {
	case r.State == DeliveryDone:
		b.counts.delivered.Add(1)
		return
	case r.State == DeliveryPending:
		b.counts.retried.Add(1)
		b.log.Debug("a delivery failed and will be tried again", "call", d.Call, "to", d.To, "receiver", d.Receiver(), "attempts", r.Attempts, "err", r.LastError)
		return
	case errors.As(failure, &u) && u.Gone:
		b.counts.gone.Add(1)
	default:
		b.counts.failed.Add(1)
	}
	b.log.Warn("a delivery is given up: its receiver is not told of the call's end", "call", d.Call, "to", d.To, "receiver", d.Receiver(), "attempts", r.Attempts, "err", r.LastError)
}

// drain hands back what is in lines and waits for attempts under way. When ctx ends
// first they are cut off and handed back.
func (b *outbox) drain(ctx context.Context) {
	b.mu.Lock()
	b.stopped = true
	b.changed.Broadcast()
	for _, r := range b.receivers {
		for _, h := range r.line {
			go b.handBack(h)
		}
		r.line = nil
	}
	for _, r := range b.ready {
		r.queued = false
	}
	b.ready = nil
	b.mu.Unlock()
	defer context.AfterFunc(ctx, b.cutNow)()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.inHand > 0 {
		b.changed.Wait()
	}
	b.cutNow()
}

// deliveryDelay is the time until the attempt after so many.
func (p *Policy) deliveryDelay(attempts int, failure error) time.Duration {
	longer := *p
	longer.BackoffMax = max(p.DeliveryBackoffMax, p.Backoff)
	var u *Undelivered
	after := time.Duration(0)
	if errors.As(failure, &u) {
		after = min(u.RetryAfter, maxRetryAfter)
	}
	return longer.delay(attempts, after)
}

// Deliver tells receivers of calls that have ended until ctx ends or Drain is called.
func (q *Queue) Deliver(ctx context.Context) {
	if q.outbox.notifier == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.life, cancel)()
	q.outbox.run(ctx)
}
