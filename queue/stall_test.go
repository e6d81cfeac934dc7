package queue_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"weir/limits"
	"weir/queue"
)

// stallingStore lets the writing of attempts, and fetching, wait while it is stalled.
type stallingStore struct {
	queue.Store
	commits, fetches chan struct{} // closed where they go through
}

func (s *stallingStore) Commit(ctx context.Context, c *queue.Change) error {
	if c.Record != nil && c.Record.State == queue.Running {
		<-s.commits
	}
	return s.Store.Commit(ctx, c)
}

func (s *stallingStore) Fetch(ctx context.Context) (*queue.Entry, error) {
	<-s.fetches
	return s.Store.Fetch(ctx)
}

// A store that answers late keeps no synchronous request out: slots are left to others
// while attempts wait for it, and no more calls are taken from it meanwhile.
func TestAStalledStoreHoldsNoSlots(t *testing.T) {
	through := make(chan struct{})
	close(through)
	for name, stall := range map[string]func(*stallingStore) (heal func()){
		"attempts": func(s *stallingStore) func() {
			s.commits, s.fetches = make(chan struct{}), through
			return func() { close(s.commits) }
		},
		"fetching": func(s *stallingStore) func() {
			s.commits, s.fetches = through, make(chan struct{})
			return func() { close(s.fetches) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			const limit, calls = 2, 6
			b := newBench(t, limit)
			s := &stallingStore{Store: b.store}
			heal := stall(s)
			b.on(s)
			for i := range calls {
				b.enqueue(fmt.Sprint(i))
			}
			b.run()
			var slots [limit]limits.Slot
			for i := range slots {
				b.until("a synchronous request gets each slot", func() bool {
					return b.gate.Enter(b.ctx(), &limits.Call{}, &slots[i]) == nil
				})
			}
			if st := b.queue.Snapshot(b.ctx()); st.Held > limit {
				t.Errorf("%d calls were taken for %d slots", st.Held, limit)
			}
			if n := len(b.function.seen()); n != 0 {
				t.Errorf("%d calls ran", n)
			}
			heal()
			for i := range slots {
				slots[i].Leave(limits.Succeeded)
			}
			b.until("all have run", func() bool { return b.queue.Snapshot(b.ctx()).Succeeded == calls })
			if n := len(b.function.seen()); n != calls {
				t.Errorf("%d calls ran %d times", calls, n)
			}
			if high := b.gate.Snapshot().HighWater; high > limit {
				t.Errorf("%d ran at once", high)
			}
		})
	}
}

// slowStart lets the writing of the first attempt wait.
type slowStart struct {
	queue.Store
	attempts atomic.Int32
	commits  chan struct{} // closed where it goes through
}

func (s *slowStart) Commit(ctx context.Context, c *queue.Change) error {
	if c.Record != nil && c.Record.State == queue.Running && s.attempts.Add(1) == 1 {
		<-s.commits
	}
	return s.Store.Commit(ctx, c)
}

// Who lost his slot to a store that answered late runs before those that came after.
func TestAStalledStoreKeepsTheOrder(t *testing.T) {
	b := newBench(t, 1)
	s := &slowStart{Store: b.store, commits: make(chan struct{})}
	b.on(s)
	const calls = 3
	for i := range calls {
		b.enqueue(fmt.Sprint(i))
	}
	b.run()
	b.until("the first has no slot any more", func() bool { return s.attempts.Load() > 0 && b.gate.Snapshot().Inflight == 0 })
	close(s.commits)
	b.until("all have run", func() bool { return b.queue.Snapshot(b.ctx()).Succeeded == calls })
	for i, c := range b.function.seen() {
		if c.body != fmt.Sprint(i) {
			t.Errorf("number %d was %s", i, c.body)
		}
	}
}
