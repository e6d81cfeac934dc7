package limits

import (
	"sync"
	"sync/atomic"
	"time"
)

// meter integrates concurrency over time, exactly: every call contributes the
// whole of its own duration, however short, and nothing is sampled.
//
// The integral of a step function is the sum, over its steps, of height times
// width: each shard adds that up whenever its height changes and whenever it is
// read. Shards only spread the calls over cores; a call leaves through the
// shard that it entered.
type meter struct {
	shards [meterShards]meterShard
	next   atomic.Uint32 // hands shards to slots round robin
}

const meterShards = 16

type meterShard struct {
	mu sync.Mutex
	n  int64         // in flight
	at time.Duration // until when the integral is complete
	// The integral in call-seconds is whole plus nanos/1e9; nanos stays within a
	// second, so that years of thousands in flight fit.
	whole int64
	nanos int64
	done  float64 // seconds of the calls that ended
	// squares is the sum of the squares of these, each in seconds.
	squares float64
	ended   uint64 // how many ended
	_       [64]byte
}

// advance completes the integral until now. A clock that was read before that
// of the last change goes back by the difference: what is taken off is added
// again with the height that is right for it.
func (s *meterShard) advance(now time.Duration) {
	width := now - s.at
	s.at = now
	s.whole += s.n * int64(width/time.Second)
	s.nanos += s.n * int64(width%time.Second)
	s.whole += s.nanos / int64(time.Second)
	s.nanos %= int64(time.Second)
}

func (s *meterShard) enter(now time.Duration) {
	s.mu.Lock()
	s.advance(now)
	s.n++
	s.mu.Unlock()
}

func (s *meterShard) leave(start, now time.Duration) {
	s.mu.Lock()
	s.advance(now)
	s.n--
	took := (now - start).Seconds()
	s.done += took
	s.squares += took * took
	s.ended++
	s.mu.Unlock()
}

// reading is a meter's state at one moment.
type reading struct {
	integral float64 // call-seconds
	done     float64 // seconds of those that ended, summed
	squares  float64 // of these, summed
	inflight int64
	ended    uint64
}

// read evaluates every shard with the clock read under its lock.
func (m *meter) read(clock func() time.Duration) reading {
	var r reading
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		s.advance(clock())
		r.integral += float64(s.whole) + float64(s.nanos)/1e9
		r.done += s.done
		r.squares += s.squares
		r.inflight += s.n
		r.ended += s.ended
		s.mu.Unlock()
	}
	return r
}

// shard picks the shard for a slot used for the first time.
func (m *meter) shard() *meterShard {
	return &m.shards[m.next.Add(1)%meterShards]
}
