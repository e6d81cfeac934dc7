package limits

import (
	"sync/atomic"
	"time"
)

// highWater keeps the greatest number in flight over the last minute, in ring
// buckets of a second; reading it resets nothing.
//
// Levels are recorded when they are reached (on entry) and when they end (on
// leaving, the level before). A level that neither began nor ended within the
// window is still held, and is the one in flight at the time of reading.
type highWater struct {
	// buckets hold second+1 in the high half, the maximum in the low half.
	buckets [highWaterBuckets]atomic.Uint64
}

const (
	// HighWaterWindow is how far back a Snapshot's HighWater reaches, to the
	// second.
	HighWaterWindow  = time.Minute
	highWaterBuckets = 64 // the window and some slack for late writers
)

func (h *highWater) record(now time.Duration, n int) {
	second := uint64(now/time.Second) + 1
	b := &h.buckets[second%highWaterBuckets]
	for {
		old := b.Load()
		if old>>32 > second || (old>>32 == second && old&0xffffffff >= uint64(n)) {
			return
		}
		if b.CompareAndSwap(old, second<<32|uint64(n)) {
			return
		}
	}
}

// recent is the greatest number in flight of late: within the present second, and the
// one before until half of the present one is over.
func (h *highWater) recent(now time.Duration, inflight int) int {
	second := uint64(now/time.Second) + 1
	high := inflight
	for back := range uint64(2) {
		v := h.buckets[(second-back)%highWaterBuckets].Load()
		if v>>32 == second-back && v>>32 != 0 && (back == 0 || now%time.Second < time.Second/2) {
			high = max(high, int(v&0xffffffff))
		}
	}
	return high
}

func (h *highWater) read(now time.Duration, inflight int) int {
	second := uint64(now/time.Second) + 1
	oldest := uint64(0)
	if w := uint64(HighWaterWindow / time.Second); second > w {
		oldest = second - w
	}
	high := uint64(inflight)
	for i := range h.buckets {
		if v := h.buckets[i].Load(); v>>32 >= oldest && v>>32 != 0 {
			high = max(high, v&0xffffffff)
		}
	}
	return int(high)
}
