package limits

import (
	"sync/atomic"
	"time"

	"weir/limits/ramp"
	"weir/limits/rate"
)

// Rate is a rate that calls share, such as those of a route. Make one with NewRate;
// it may be changed live.
type Rate struct {
	limit atomic.Pointer[rate.Limit]
	meter rate.Meter
}

// NewRate makes a Rate of which nothing has been used.
func NewRate(l rate.Limit) *Rate {
	r := &Rate{}
	r.limit.Store(&l)
	return r
}

// Set changes the limit; what has been used stays used.
func (r *Rate) Set(l rate.Limit) { r.limit.Store(&l) }

// enter uses the rate for one call. It returns the limit under which it did, to
// take it back with.
func (r *Rate) enter(now time.Duration) (*rate.Limit, *Throttle) {
	l := r.limit.Load()
	if l.Off() {
		return nil, nil
	}
	if wait, ok := r.meter.Take(*l, now); !ok {
		return nil, throttleByRate(*l, wait)
	}
	return l, nil
}

// throttleByRate makes the refusal; its RetryAfter is the wait until it has a jitter.
func throttleByRate(l rate.Limit, wait time.Duration) *Throttle {
	return &Throttle{Reason: ReasonRate, Limit: l.Calls, Window: l.Period, RetryAfter: wait}
}

// rateLimiter is a Rate in the Gate's chain.
type rateLimiter struct{ *Rate }

func (r rateLimiter) Enter(now time.Duration, _ *Call) (uint64, *Throttle) {
	l, refused := r.enter(now)
	if l == nil {
		return 0, refused
	}
	return 1, nil
}

func (r rateLimiter) Leave(_ time.Duration, token uint64, o Outcome) {
	if token == 1 && o == Refused {
		if l := r.limit.Load(); !l.Off() {
			r.meter.Return(*l)
		}
	}
}

// rampLimiter is a ramp in the Gate's chain.
type rampLimiter struct{ *ramp.Ramp }

const (
	rampEntered = 1
	rampGrew    = 2 // and so did what may run
)

func (r rampLimiter) Enter(now time.Duration, _ *Call) (uint64, *Throttle) {
	wait, grew, ok := r.Ramp.Enter(now)
	switch {
	case !ok:
		return 0, &Throttle{Reason: ReasonRamp, Limit: r.Warm(), RetryAfter: wait}
	case grew:
		return rampGrew, nil
	}
	return rampEntered, nil
}

func (r rampLimiter) Leave(_ time.Duration, token uint64, o Outcome) {
	if o == Refused {
		r.Undo(token == rampGrew)
	} else {
		r.Ramp.Leave()
	}
}

// dryRun lets everything through and counts what its limiter would refuse.
type dryRun struct {
	Limiter
	gate *Gate
}

const uncounted = ^uint64(0) // token of a call that the limiter refused

func (d dryRun) Enter(now time.Duration, call *Call) (uint64, *Throttle) {
	token, refused := d.Limiter.Enter(now, call)
	if refused != nil {
		d.gate.wouldRefuse(refused.Reason)
		return uncounted, nil
	}
	return token, nil
}

func (d dryRun) Leave(now time.Duration, token uint64, o Outcome) {
	if token != uncounted {
		d.Limiter.Leave(now, token, o)
	}
}
