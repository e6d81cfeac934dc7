package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"weir/limits"
)

// Starver is a Part that tells when a call has found no slot.
type Starver interface {
	Part
	Starving() <-chan struct{}
}

// Options says what is leased.
type Options struct {
	Name   string // of the limit, for the log
	ID     string // of this member among those that share it; empty for one of its own
	Store  Store
	Part   Starver
	Config Config
	Log    *slog.Logger
}

// LeastTime is the shortest lease: some times what a server may take to answer.
const LeastTime = time.Second

// How often the ledger is looked at, at random around it so that members do not meet:
// while nothing is wanted, and while somebody wants more than there is or has to be heard
// of after an outage.
const (
	idlePoll   = 500 * time.Millisecond
	hungryPoll = 200 * time.Millisecond
	// owingPoll is while calls run on slots that somebody else is to have, and for who waits
	// for the first part.
	owingPoll = 100 * time.Millisecond
	// again is between two looks because calls found no slot, if the last had an effect.
	again = 20 * time.Millisecond
	// tries are those at one change, while others change the record as well.
	tries = 10
)

// Lease holds a part of a shared limit. Make one with New, and let it Run.
type Lease struct {
	o       Options
	changed chan struct{}

	mu     sync.Mutex
	holder *holder
	up     bool
	failed time.Time // since when the ledger cannot be reached, zero if it can
	config Config
	lowest int // limit in force, as last logged
}

// New makes a lease of no slots.
func New(o Options) (*Lease, error) {
	switch {
	case o.Config.Time < LeastTime:
		return nil, fmt.Errorf("lease: a lease of %v; at least %v", o.Config.Time, LeastTime)
	case o.Config.Limit < 1:
		return nil, fmt.Errorf("lease: a limit of %d; at least 1", o.Config.Limit)
	}
	if o.ID == "" {
		o.ID = rand.Text()
	}
	return &Lease{
		o: o, changed: make(chan struct{}, 1), config: o.Config, lowest: o.Config.Limit,
		holder: newHolder(o.ID, o.Part, o.Config),
	}, nil
}

// Configure changes the limit, what is done in an outage, or the time of a lease.
func (l *Lease) Configure(c Config) {
	l.mu.Lock()
	l.config = c
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Snapshot is how a lease stands.
type Snapshot struct {
	Held    int // slots
	Running int // calls, of all that this sidecar runs
	Limit   int // of all together, as configured here
	InForce int // the lowest that a member is configured with
	Members int // that share it, this one included; 0 while none is known
	Free    int // slots that nobody held, when the ledger was last read
	Up      bool
	// Time is that of the lease in force, of Config.Time: a longer one waits until all others
	// know of it. OnOutage is what is done once it has ended.
	Time, Configured time.Duration
	OnOutage         OnOutage
	// Outage says that the lease has ended and Config.OnOutage decides.
	Outage bool
	// DownFor is for how long the ledger could not be reached.
	DownFor time.Duration
}

// Snapshot reads the lease.
func (l *Lease) Snapshot() Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	h := l.holder
	s := Snapshot{
		Held: h.allowed(now), Running: l.o.Part.Demand().Inflight, Limit: l.config.Limit, InForce: h.limit(),
		Members: len(h.record.Members), Up: l.up, Outage: h.outage,
		Time: h.time, Configured: l.config.Time, OnOutage: h.config.OnOutage,
	}
	if s.Held == limits.Unbound {
		s.Held = s.InForce
	}
	s.Free = s.InForce
	for _, m := range h.record.Members {
		s.Free -= m.Slots
	}
	s.Free = max(s.Free, 0)
	if !l.failed.IsZero() {
		s.DownFor = now.Sub(l.failed)
	}
	return s
}

// Run holds the lease until ctx ends, and then gives it back. It closes ready once it
// has a first part, which may be none, or has found that the ledger cannot be reached.
func (l *Lease) Run(ctx context.Context, ready chan<- struct{}) {
	defer l.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	took := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.changed:
		case <-l.o.Part.Starving():
			// One look serves all that found no slot; without effect the next waits.
			gap := l.poll()
			if took {
				gap = again
			}
			if wait := min(time.Until(last.Add(spread(gap))), l.nextEnd()); wait > 0 {
				pause := time.NewTimer(wait)
				select {
				case <-ctx.Done():
					pause.Stop()
					return
				case <-pause.C:
				}
			}
		}
		took = l.step(ctx)
		last = time.Now()
		if ready != nil && !l.waits() {
			close(ready)
			ready = nil
		}
		timer.Reset(min(spread(l.poll()), l.nextEnd()))
	}
}

// waits reports whether a first part is not decided on yet.
func (l *Lease) waits() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed.IsZero() && (l.holder.newcomer || l.holder.wrote.IsZero())
}

// poll is how long to wait until the next look, about: often enough that a beat is seen
// within an eighth of the shortest lease, as what a dead member held is to be back in it.
func (l *Lease) poll() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := idlePoll
	if l.holder.scarce || l.holder.awaiting || l.holder.failing || l.holder.hungry(time.Now()) {
		p = hungryPoll
	}
	if l.holder.newcomer || l.holder.scarce && l.holder.owes() {
		p = owingPoll
	}
	return min(p, l.holder.shortest(&l.holder.record)/10)
}

// nextEnd is how long it is until the next entry of another ends, for good if none does.
func (l *Lease) nextEnd() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if end := l.holder.nextEnd(now); !end.IsZero() {
		return end.Sub(now)
	}
	return math.MaxInt64
}

// spread is d, give or take a quarter.
func spread(d time.Duration) time.Duration {
	return time.Duration((0.75 + mathrand.Float64()/2) * float64(d))
}

// step looks at the ledger, and changes it if need be. It reports whether the part grew.
func (l *Lease) step(ctx context.Context) (grew bool) {
	l.mu.Lock()
	l.holder.config = l.config // in an outage too
	l.mu.Unlock()
	for n := range tries {
		read, revision, err := l.get(ctx)
		if err != nil {
			l.fail(ctx, err)
			return false
		}
		l.mu.Lock()
		before := l.holder.bound.Slots
		next := l.holder.observe(time.Now(), read, revision)
		if next == nil {
			l.reached()
			l.mu.Unlock()
			return false
		}
		lost := l.holder.lost
		l.mu.Unlock()
		sent := time.Now()
		written, err := l.put(ctx, next, revision)
		switch {
		case errors.Is(err, ErrConflict):
			select {
			case <-ctx.Done():
				return false
			case <-time.After(time.Duration(mathrand.Int64N(int64(2*time.Millisecond) << min(n, 4)))):
			}
			continue
		case err != nil:
			l.fail(ctx, err)
			return false
		}
		l.mu.Lock()
		l.holder.succeeded(sent, written)
		grew = l.holder.bound.Slots > before
		l.reached()
		l.mu.Unlock()
		if lost {
			l.o.Log.Error("the leases of a shared limit were lost by the server that kept them; they are restored as this sidecar last knew them", "limit", l.o.Name)
		}
		return grew
	}
	return false
}

// timeout bounds one question to the ledger: a few of them fit what is left of a lease. It
// is for the goroutine that runs the lease, which alone changes the holder.
func (l *Lease) timeout() time.Duration { return min(l.holder.time/8, time.Second) }

// again is when a ledger that is out of reach has been asked once more at the latest.
func (l *Lease) again() time.Duration { return 2*min(hungryPoll, l.holder.time/8) + l.timeout() }

func (l *Lease) get(ctx context.Context) (*Record, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout())
	defer cancel()
	return l.o.Store.Get(ctx)
}

func (l *Lease) put(ctx context.Context, r *Record, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout())
	defer cancel()
	return l.o.Store.Put(ctx, r, revision)
}

// fail notes that the ledger cannot be reached.
func (l *Lease) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // this sidecar stops
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	was := l.holder.outage
	l.holder.failed(now, l.again())
	if l.failed.IsZero() {
		l.failed = now
		l.o.Log.Warn("the leases of a shared limit cannot be reached; what is held goes on to its end", "limit", l.o.Name, "held", l.holder.allowed(now), "err", err)
	}
	if l.holder.outage && !was {
		l.o.Log.Warn("the lease of a shared limit has ended", "limit", l.o.Name, "on_outage", string(l.config.OnOutage), "slots", shown(l.holder.bound.Slots))
	}
	l.up = false
}

func shown(slots int) any {
	if slots == limits.Unbound {
		return "all"
	}
	return slots
}

// reached notes that the ledger answers. It needs mu.
func (l *Lease) reached() {
	l.up = true
	if !l.failed.IsZero() {
		l.o.Log.Info("the leases of a shared limit can be reached again", "limit", l.o.Name, "after", time.Since(l.failed).Round(time.Millisecond))
		l.failed = time.Time{}
	}
	if lowest := l.holder.limit(); lowest != l.lowest {
		l.lowest = lowest
		if lowest < l.config.Limit {
			l.o.Log.Warn("another sidecar has a lower value for a shared limit; the lowest holds", "limit", l.o.Name, "here", l.config.Limit, "lowest", lowest)
		} else {
			l.o.Log.Info("a shared limit is in force as configured here", "limit", l.o.Name, "value", lowest)
		}
	}
}

// leave gives the lease back.
func (l *Lease) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout())
	defer cancel()
	l.mu.Lock()
	l.holder.bind(0, time.Time{}, l.config.Limit)
	l.mu.Unlock()
	for range tries {
		read, revision, err := l.get(ctx)
		if err != nil {
			break
		}
		l.mu.Lock()
		next := l.holder.without(read)
		l.mu.Unlock()
		if next == nil {
			return
		}
		if _, err = l.put(ctx, next, revision); !errors.Is(err, ErrConflict) {
			break
		}
	}
	// If it did not succeed, others wait for its end.
}
