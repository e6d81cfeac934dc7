package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/limits"
)

// shared is a ledger that several leases use at once, and that can be out of reach.
type shared struct {
	mu sync.Mutex
	ledger
	down   bool
	slow   time.Duration // is what a write takes more
	refuse error         // of each write, which is not made
	asked  time.Time     // for the last write that was made
	reads  int
}

var errDown = errors.New("out of reach")

func (s *shared) Get(ctx context.Context) (*Record, uint64, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, 0, errDown
	}
	s.reads++
	return s.ledger.Get(ctx)
}

func (s *shared) Put(ctx context.Context, r *Record, revision uint64) (uint64, error) {
	asked := time.Now()
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	time.Sleep(time.Millisecond + slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return 0, errDown
	}
	if s.refuse != nil {
		return 0, s.refuse
	}
	s.asked = asked
	return s.ledger.Put(ctx, r, revision)
}

func (s *shared) fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shared) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *shared) read() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// severed is a ledger that one of those who use it can no longer reach.
type severed struct {
	Store
	off atomic.Bool
}

func (s *severed) Get(ctx context.Context) (*Record, uint64, error) {
	if s.off.Load() {
		return nil, 0, errDown
	}
	return s.Store.Get(ctx)
}

func (s *severed) Put(ctx context.Context, r *Record, revision uint64) (uint64, error) {
	if s.off.Load() {
		return 0, errDown
	}
	return s.Store.Put(ctx, r, revision)
}

// sidecar is a real Gate with a lease, and calls that keep so many of its slots busy as
// they can get, up to wants.
type sidecar struct {
	store  *severed
	gate   *limits.Gate
	lease  *Lease
	cancel context.CancelFunc
	calls  []*limits.Slot
}

func newSidecar(t *testing.T, s Store, c Config) *sidecar {
	t.Helper()
	g, err := limits.NewGate(limits.Policy{MaxInflight: 1000})
	if err != nil {
		t.Fatal(err)
	}
	off := &severed{Store: s}
	l, err := New(Options{
		Name: "function", Store: off, Part: g.Share(limits.ReasonFunction),
		Config: c, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	one := &sidecar{store: off, gate: g, lease: l}
	var ctx context.Context
	ctx, one.cancel = context.WithCancel(t.Context())
	go l.Run(ctx, nil)
	return one
}

// fiveSeconds is what most of these tests hold leases by.
func fiveSeconds(limit int, o OnOutage) Config {
	return Config{Limit: limit, OnOutage: o, Time: 5 * time.Second}
}

// together runs a test of n sidecars at one ledger, on a clock of its own, and ends them
// in order.
func together(t *testing.T, n int, c Config, test func(t *testing.T, s *shared, all []*sidecar)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		all := make([]*sidecar, n)
		for i := range all {
			all[i] = newSidecar(t, s, c)
		}
		test(t, s, all)
		want(step, equally(all, 0))
		for _, one := range all {
			one.stop()
		}
	})
}

// equally is a load by which each of them wants as much.
func equally(all []*sidecar, n int) map[*sidecar]int {
	load := map[*sidecar]int{}
	for _, one := range all {
		load[one] = n
	}
	return load
}

// step is how long calls run.
const step = 50 * time.Millisecond

// want runs as many calls as it can get, up to n, for a while: each for a step.
func want(d time.Duration, n map[*sidecar]int) {
	for range d / step {
		for c, n := range n {
			for _, s := range c.calls {
				s.Leave(limits.Succeeded)
			}
			c.calls = c.calls[:0]
			for range n {
				s := &limits.Slot{}
				if c.gate.Enter(context.Background(), &limits.Call{}, s) != nil {
					break
				}
				c.calls = append(c.calls, s)
			}
		}
		time.Sleep(step)
	}
}

// kill ends a sidecar as the kernel does: nobody hears of it.
func (c *sidecar) kill() { c.store.off.Store(true) }

// stop ends it in order.
func (c *sidecar) stop() {
	c.cancel()
	synctest.Wait()
	time.Sleep(time.Second) // it gives back
}

// left is what is left of its lease, again how long before the end it may be given up where
// the ledger is out of reach.
func (c *sidecar) left() (left, again time.Duration) {
	c.lease.mu.Lock()
	defer c.lease.mu.Unlock()
	return time.Until(c.lease.holder.bound.Until), c.lease.again()
}

func (c *sidecar) held() int { return c.lease.Snapshot().Held }

// sum is what they hold together, least what the one of them holds that has least.
func sum(all []*sidecar) (sum, least int) {
	least = all[0].held()
	for _, one := range all {
		sum, least = sum+one.held(), min(least, one.held())
	}
	return sum, least
}

// until goes on with the load until something holds, and says how long it took, at most
// so long.
func until(holds func() bool, atMost time.Duration, load map[*sidecar]int) time.Duration {
	from := time.Now()
	for !holds() && time.Since(from) < atMost {
		want(step, load)
	}
	return time.Since(from)
}
