package queue

import (
	"context"
	"sync/atomic"
	"time"
)

// counts adds up what happened since the start.
type counts struct {
	enqueued, attempts, succeeded, failed, retried, expired, cancelled, deadLettered atomic.Uint64
}

// Snapshot is how the queue stands, and what it has done since the start.
type Snapshot struct {
	Up bool
	Stats
	Running int // attempts under way in this process

	Enqueued, Attempts, Succeeded, Failed, Retried, Expired, Cancelled, DeadLettered uint64
	// Attempts at deliveries, by what came of them.
	Delivered, DeliveriesRetried, DeliveriesGone, DeliveriesFailed uint64
}

// Snapshot asks the store, too; where that does not answer, its part is zero and Up
// false.
func (q *Queue) Snapshot(ctx context.Context) Snapshot {
	s := Snapshot{
		Enqueued: q.counts.enqueued.Load(), Attempts: q.counts.attempts.Load(), Succeeded: q.counts.succeeded.Load(),
		Failed: q.counts.failed.Load(), Retried: q.counts.retried.Load(), Expired: q.counts.expired.Load(),
		Cancelled: q.counts.cancelled.Load(), DeadLettered: q.counts.deadLettered.Load(),
		Delivered: q.outbox.counts.delivered.Load(), DeliveriesRetried: q.outbox.counts.retried.Load(),
		DeliveriesGone: q.outbox.counts.gone.Load(), DeliveriesFailed: q.outbox.counts.failed.Load(),
	}
	q.mu.Lock()
	s.Running = len(q.running)
	q.mu.Unlock()
	var err error
	if s.Up = q.store.Up() == nil; s.Up {
		if s.Stats, err = q.store.Stats(ctx); err != nil {
			s.Up = false
		}
	}
	return s
}

// OldestAge is the age of the oldest entry that waits, 0 where none does.
func (s *Stats) OldestAge(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(now.Sub(s.Oldest), 0)
}
