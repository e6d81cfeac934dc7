package limits

import (
	"sync/atomic"
	"time"

	"weir/limits/rate"
)

// caller is who calls, as far as shares are concerned.
type caller struct {
	key string

	// admitted counts those that run or wait; with any, the caller is not forgotten.
	admitted atomic.Int64
	meter    rate.Meter
	// nanos is the slot-time of those that ended, refused counts the caller's own
	// limits.
	nanos, refused atomic.Int64

	// Guarded by the Gate's lock: the lines it waits in, made when first needed, and
	// what it has used of the slots in which period of contention, as share.go has it.
	// floor is what somebody had used who was neither ahead nor behind, when the oldest of
	// its calls in line came to be the oldest.
	flows       [levels]*flow
	waiting     int // synchronous calls in line
	used, floor time.Duration
	period      uint64
}

// turn is by what callers are ordered, the least first. Savings let a caller go before
// those who have used more than others, but not before others who have saved less: else
// these would wait long wherever many wait.
func (c *caller) turn() time.Duration { return max(c.used, c.floor) }

func (c *caller) flow(level int) *flow {
	f := c.flows[level]
	if f == nil {
		f = &flow{caller: c}
		c.flows[level] = f
	}
	return f
}

// enter counts one more call of the caller's, unless its own limits say no. It
// returns what it used of the rate, nil for nothing.
func (c *caller) enter(now time.Duration, p *Callers) (used *rate.Limit, refused *Throttle) {
	for {
		n := c.admitted.Load()
		if p.MaxInflight > 0 && n >= int64(p.MaxInflight) {
			c.refused.Add(1)
			return nil, &Throttle{Reason: ReasonCaller, Limit: p.MaxInflight}
		}
		if c.admitted.CompareAndSwap(n, n+1) {
			break
		}
	}
	if p.Rate.Off() {
		return nil, nil
	}
	if wait, ok := c.meter.Take(p.Rate, now); !ok {
		c.admitted.Add(-1)
		c.refused.Add(1)
		return nil, throttleByRate(p.Rate, wait)
	}
	return &p.Rate, nil
}

// undo takes back an enter whose call never ran.
func (c *caller) undo(used *rate.Limit) {
	if used != nil {
		c.meter.Return(*used)
	}
	c.admitted.Add(-1)
}

// leave ends a call that ran.
func (c *caller) leave(took time.Duration) {
	c.nanos.Add(int64(took))
	c.admitted.Add(-1)
}
