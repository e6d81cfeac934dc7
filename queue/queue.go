package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/limits"
)

// Gate is what decides when an attempt may run: a *limits.Gate.
type Gate interface {
	Enter(ctx context.Context, call *limits.Call, s *limits.Slot) error
}

// Invoker sends calls to the function.
type Invoker interface {
	// Invoke makes one attempt and reads the answer whole, keeping up to maxBody
	// bytes of its body. An error means that there was no answer, or not all of it;
	// the attempt may be repeated.
	Invoke(ctx context.Context, c *Call, attempt int, maxBody int64) (*Response, error)
}

// Options is what a Queue is made of. All fields but the Notifier are required.
type Options struct {
	Store   Store
	Gate    Gate
	Invoker Invoker
	// Notifier tells receivers of calls that have ended; nil where nobody is told.
	Notifier Notifier
	Policy   Policy
	Log      *slog.Logger
	// Poll is how often the store is asked for entries that nobody here has put
	// into it: those whose time has come, and those of other weirs.
	Poll time.Duration
}

// Queue accepts calls and runs them. Make one with New; Run makes it work. It is
// safe for concurrent use.
type Queue struct {
	store   Store
	gate    Gate
	invoker Invoker
	log     *slog.Logger
	poll    time.Duration
	policy  atomic.Pointer[Policy]
	counts  counts
	outbox  *outbox

	life context.Context // ends when Drain is called
	end  context.CancelFunc
	wake chan struct{} // capacity 1: there may be something to fetch

	mu      sync.Mutex
	running map[ID]*attempt
	idle    *sync.Cond // signalled when an attempt has ended
	waiters map[ID][]chan struct{}
	stopped bool // no attempt begins any more
	stalled int  // slots left to others because the store lets their attempts wait
}

// New makes a Queue.
func New(o Options) *Queue {
	q := &Queue{
		store: o.Store, gate: o.Gate, invoker: o.Invoker, log: o.Log, poll: o.Poll,
		wake: make(chan struct{}, 1), running: map[ID]*attempt{}, waiters: map[ID][]chan struct{}{},
	}
	q.life, q.end = context.WithCancel(context.Background())
	q.idle = sync.NewCond(&q.mu)
	q.outbox = newOutbox(&o, &q.policy)
	q.Configure(o.Policy)
	return q
}

// Configure replaces the policy for what happens from now on.
func (q *Queue) Configure(p Policy) { q.policy.Store(&p) }

// ErrKeyReused says that an idempotency key stands for another payload.
var ErrKeyReused = errors.New("queue: the idempotency key was used for another request")

// Accepted is a call that is on disk.
type Accepted struct {
	ID ID
	// Repeated is true where the call is an earlier one of the same key.
	Repeated bool
}

// Enqueue makes a call durable. It sets the call's ID and times; key may be "", and
// delay 0. Where the error is ErrUnknown the call may run nevertheless, and its ID is
// set.
func (q *Queue) Enqueue(ctx context.Context, c *Call, key string, delay time.Duration) (Accepted, error) {
	p := q.policy.Load().of(c.Method, c.Target)
	now := time.Now()
	c.ID, c.EnqueuedAt = NewID(now), now
	due := now
	change := &Change{Entry: c, Ticket: 1}
	if delay > 0 {
		due = now.Add(delay)
		c.NotBefore, change.At = due, due
		change.Record = NewRecord(c, Scheduled, 1)
		change.Record.NextAttemptAt = due
	}
	c.ExpiresAt = due.Add(p.MaxAge)
	if key != "" {
		change.Key, change.KeepKey = &Key{Key: key, ID: c.ID, Hash: c.Hash()}, p.KeyRetention+delay
		if a, err := q.repeated(ctx, change.Key); !errors.Is(err, ErrNotFound) {
			return a, err
		}
	}
	err := q.store.Commit(ctx, change)
	if key != "" && errors.Is(err, ErrConflict) { // taken meanwhile
		return q.repeated(ctx, change.Key)
	}
	if err != nil {
		return Accepted{ID: c.ID}, err
	}
	q.counts.enqueued.Add(1)
	q.stir()
	return Accepted{ID: c.ID}, nil
}

// repeated gives the call that a key stands for already, or ErrNotFound.
func (q *Queue) repeated(ctx context.Context, k *Key) (Accepted, error) {
	taken, err := q.store.Key(ctx, k.Key)
	switch {
	case err != nil:
		return Accepted{}, err
	case taken.Hash != k.Hash:
		return Accepted{}, ErrKeyReused
	}
	return Accepted{ID: taken.ID, Repeated: true}, nil
}

// stir says that there may be something to fetch.
func (q *Queue) stir() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Record tells how a call stands, or ErrNotFound.
func (q *Queue) Record(ctx context.Context, id ID) (*Record, error) {
	return q.store.Record(ctx, id)
}

// Response gives what the function answered, or ErrNotFound.
func (q *Queue) Response(ctx context.Context, id ID) (*Response, error) {
	return q.store.Response(ctx, id)
}

// Up is nil while calls are accepted.
func (q *Queue) Up() error { return q.store.Up() }

// changes is how often a change is made anew because the record changed meanwhile.
const changes = 10

// Cancel takes a call back, or returns ErrNotFound or a *MoveError where it has ended
// already. A running attempt is cut off if it runs in this process.
func (q *Queue) Cancel(ctx context.Context, id ID) (*Record, error) {
	for range changes {
		r, err := q.store.Record(ctx, id)
		if err != nil {
			return nil, err
		}
		next, err := r.move(Cancel, time.Now())
		if err != nil {
			return r, err
		}
		p := q.policy.Load().of(r.Method, r.Target)
		// Its entry stays where it is; the record tells that it is not to be run, and
		// must outlive it.
		keep := p.Retention
		if last := time.Until(latest(r.EnqueuedAt, r.NextAttemptAt).Add(p.MaxAge)) + time.Minute; last > keep {
			keep = last
		}
		err = q.store.Commit(ctx, &Change{Record: &next, Keep: keep})
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		q.counts.cancelled.Add(1)
		q.ended(&next)
		q.cut(id)
		return &next, nil
	}
	return nil, fmt.Errorf("%w, %d times in a row", ErrConflict, changes)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Redrive gives a dead letter another chance, with as many attempts as a new call. It
// returns ErrNotFound where there is none.
func (q *Queue) Redrive(ctx context.Context, id ID) error {
	d, err := q.store.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	now := time.Now()
	next, err := d.Record.move(Redrive, now)
	if err != nil {
		return err
	}
	c := *d.Call
	c.ExpiresAt = now.Add(q.policy.Load().of(c.Method, c.Target).MaxAge)
	if err := q.store.Commit(ctx, &Change{Record: &next, Entry: &c, Ticket: next.Ticket}); err != nil {
		return err
	}
	q.stir()
	return q.store.RemoveDeadLetter(ctx, id)
}

// Calls lists calls as Store.Calls does.
func (q *Queue) Calls(ctx context.Context, state State, cursor string, limit int) ([]*Record, string, error) {
	return q.store.Calls(ctx, state, cursor, limit)
}

// DeadLetter gives a dead letter with its call, whose body may have to be loaded, and
// its last response; or ErrNotFound.
func (q *Queue) DeadLetter(ctx context.Context, id ID) (*DeadLetter, error) {
	return q.store.DeadLetter(ctx, id)
}

// DeadLetters lists dead letters as Store.DeadLetters does.
func (q *Queue) DeadLetters(ctx context.Context, cursor string, limit int) ([]*Record, string, error) {
	return q.store.DeadLetters(ctx, cursor, limit)
}

// RemoveDeadLetter forgets a dead letter for good.
func (q *Queue) RemoveDeadLetter(ctx context.Context, id ID) error {
	return q.store.RemoveDeadLetter(ctx, id)
}

// Await waits until a call has ended, in this process, or ctx has, and returns its
// record.
func (q *Queue) Await(ctx context.Context, id ID) (*Record, error) {
	ch := make(chan struct{})
	q.mu.Lock()
	q.waiters[id] = append(q.waiters[id], ch)
	q.mu.Unlock()
	defer q.forget(id, ch)
	// It may have ended before.
	r, err := q.store.Record(ctx, id)
	if err != nil || r.State.Final() {
		return r, err
	}
	select {
	case <-ch:
	case <-ctx.Done():
		return r, nil
	}
	return q.store.Record(ctx, id)
}

func (q *Queue) forget(id ID, ch chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.waiters[id][:0]
	for _, other := range q.waiters[id] {
		if other != ch {
			left = append(left, other)
		}
	}
	if len(left) == 0 {
		delete(q.waiters, id)
		return
	}
	q.waiters[id] = left
}

// ended tells those who wait for a call.
func (q *Queue) ended(r *Record) {
	if !r.State.Final() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, ch := range q.waiters[r.ID] {
		close(ch)
	}
	delete(q.waiters, r.ID)
}
