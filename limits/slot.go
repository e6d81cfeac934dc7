package limits

import (
	"sync/atomic"
	"time"

	"weir/limits/rate"
)

// Slot is the right of one call to run, filled by Gate.Enter and given back by
// Leave. The memory is the caller's, so that a connection can use one Slot for
// all its requests. The zero value holds nothing. It must not be copied, and
// must not be entered again before Leave, nor while another goroutine may still
// call Leave for the call before.
type Slot struct {
	_          noCopy
	held       atomic.Bool
	gate       *Gate
	shard      *meterShard
	chain      *chain
	start      time.Duration
	waited     time.Duration
	tokens     [maxLimiters]uint64
	async      bool        // of a call of priority Async
	caller     *caller     // nil where callers are not told apart
	callerUsed *rate.Limit // of the caller's rate
	// Of a slot that was waited for: what the caller was charged for it, and in which
	// period of contention.
	charged time.Duration
	period  uint64
}

// Leave gives the slot back. It may be called any number of times from any
// goroutine; only the first call after an Enter counts. On a Slot that holds
// nothing it does nothing.
func (s *Slot) Leave(o Outcome) {
	if s.held.CompareAndSwap(true, false) {
		s.gate.leave(s, o)
	}
}

// Held reports whether the slot is taken.
func (s *Slot) Held() bool { return s.held.Load() }

// Waited is the time that the last Enter spent in the queue, 0 after Forget.
func (s *Slot) Waited() time.Duration { return s.waited }

// Forget forgets what the last call waited, so that the next one, which may never
// Enter, is not taken for one that did. For slots that have been left.
func (s *Slot) Forget() { s.waited = 0 }

// noCopy makes go vet complain about copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}
