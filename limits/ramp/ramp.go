// Package ramp bounds how fast the number of calls in flight may grow, as clouds do
// for functions whose instances have to be started: up to what was used of late at
// once, beyond it so many a minute.
package ramp

import (
	"sync"
	"sync/atomic"
	"time"
)

// Policy is what an operator sets.
type Policy struct {
	// PerMinute is how many more may run each minute than did of late; the same number
	// may be added at once after a rest.
	PerMinute int
	// Retention is how long what was used counts as used of late.
	Retention time.Duration
}

// buckets divide the retention.
const buckets = 8

// Ramp counts calls in flight and what they are allowed. It is safe for concurrent
// use. Where the number in flight stays below what was used of late, entering and
// leaving touch two numbers and no lock.
type Ramp struct {
	policy   atomic.Pointer[Policy]
	inflight atomic.Int64
	warm     atomic.Int64 // may run at once without growing
	peak     atomic.Int64 // of this bucket
	turns    atomic.Int64 // when the bucket ends

	mu     sync.Mutex
	peaks  [buckets]int64
	bucket int
	tokens float64
	at     time.Duration // when tokens were counted
}

// New makes a Ramp with nothing in flight and nothing used.
func New(p Policy) *Ramp {
	r := &Ramp{tokens: float64(p.PerMinute)}
	r.policy.Store(&p)
	r.turns.Store(int64(p.Retention / buckets))
	return r
}

// Set changes the policy live.
func (r *Ramp) Set(p Policy) { r.policy.Store(&p) }

// Enter counts one more call in, and says whether what may run grew for it; or it
// says how long until it may be.
func (r *Ramp) Enter(now time.Duration) (wait time.Duration, grew, ok bool) {
	if int64(now) >= r.turns.Load() {
		r.turn(now)
	}
	for {
		n := r.inflight.Load()
		if n >= r.warm.Load() {
			wait, more, ok := r.grow(now)
			if !ok {
				return wait, false, false
			}
			grew = grew || more
			continue
		}
		if r.inflight.CompareAndSwap(n, n+1) {
			return 0, grew, true
		}
	}
}

// Leave counts a call out that ran. A number in flight counts as used when it
// ends.
func (r *Ramp) Leave() {
	n := r.inflight.Add(-1) + 1
	for p := r.peak.Load(); n > p && !r.peak.CompareAndSwap(p, n); p = r.peak.Load() {
	}
}

// Undo takes back an Enter whose call never ran.
func (r *Ramp) Undo(grew bool) {
	r.inflight.Add(-1)
	if grew {
		r.mu.Lock()
		r.warm.Add(-1)
		r.tokens++
		r.mu.Unlock()
	}
}

// Warm is how many may run at once without growing.
func (r *Ramp) Warm() int { return int(r.warm.Load()) }

// grow warms one slot, if one is needed and a token is there.
func (r *Ramp) grow(now time.Duration) (wait time.Duration, grew, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inflight.Load() < r.warm.Load() {
		return 0, false, true // somebody has left, or grown, meanwhile
	}
	p := r.policy.Load()
	perToken := float64(time.Minute) / float64(p.PerMinute)
	if now > r.at {
		r.tokens = min(r.tokens+float64(now-r.at)/perToken, float64(p.PerMinute))
		r.at = now
	}
	if r.tokens < 1 {
		return time.Duration((1 - r.tokens) * perToken), false, false
	}
	r.tokens--
	r.warm.Add(1)
	return 0, true, true
}

// turn begins a new bucket: what was used longer ago than the retention is cold.
func (r *Ramp) turn(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	width := max(r.policy.Load().Retention/buckets, 1)
	ends := time.Duration(r.turns.Load())
	for steps := 0; now >= ends; steps++ {
		if steps > buckets {
			ends = now + width
			break
		}
		r.bucket = (r.bucket + 1) % buckets
		r.peaks[r.bucket] = r.peak.Swap(r.inflight.Load())
		ends += width
	}
	r.turns.Store(int64(ends))
	warm := r.inflight.Load()
	for _, p := range r.peaks {
		warm = max(warm, p)
	}
	r.warm.Store(max(warm, r.peak.Load()))
}
