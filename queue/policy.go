package queue

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Policy is what an operator sets about attempts and what is kept.
type Policy struct {
	// MaxAttempts is how often a call is tried; 0 is until it succeeds or expires.
	MaxAttempts int
	// Before attempt n+1 it waits at random up to Backoff x 2^(n-1), at most
	// BackoffMax (full jitter), and never less than the function's Retry-After.
	Backoff, BackoffMax time.Duration
	// RetryStatuses are answers after which a call is tried again. Others of 400
	// and above are final.
	RetryStatuses []int
	// MaxAge is how long after its acceptance, or after the time that its caller
	// named, an attempt may begin.
	MaxAge time.Duration
	// AttemptTimeout bounds an attempt; 0 is off.
	AttemptTimeout time.Duration
	// Of gives the policy of calls with a method and a target instead of this one, nil
	// for none: a call is looked up for each thing that happens to it, so that a change
	// reaches those that were accepted before. MaxRunning and what is said of deliveries
	// count in this policy alone. Nil has no others.
	Of func(method, target string) *Policy

	// MaxRunning bounds the attempts under way at once in this process; 0 is
	// unbounded but for the gate.
	MaxRunning int

	// Retention is how long what is known of a call that has ended, and its
	// response, is kept; KeyRetention an idempotency key, from the call's
	// acceptance on; DeadRetention a dead letter.
	Retention, KeyRetention, DeadRetention time.Duration
	// MaxResponse bounds the body of a response that is kept, in bytes.
	MaxResponse int64

	// OnSuccess and OnFailure are URLs that are told of calls that ended so, "" for
	// none.
	OnSuccess, OnFailure string
	// DeliveryMaxAge is how long after a call's end its receivers are told;
	// DeliveryBackoffMax takes BackoffMax's place between attempts at that.
	DeliveryMaxAge, DeliveryBackoffMax time.Duration
}

// DefaultPolicy is what applies unless somebody says otherwise.
func DefaultPolicy() Policy {
	return Policy{
		MaxAttempts: 3, Backoff: time.Second, BackoffMax: 5 * time.Minute,
		RetryStatuses: []int{408, 429, 500, 502, 503, 504},
		MaxAge:        6 * time.Hour, Retention: time.Hour, KeyRetention: 24 * time.Hour, DeadRetention: 7 * 24 * time.Hour,
		MaxResponse: 256 << 10, DeliveryMaxAge: 24 * time.Hour, DeliveryBackoffMax: 30 * time.Minute,
	}
}

// of is the policy of a call.
func (p *Policy) of(method, target string) *Policy {
	if p.Of != nil {
		if other := p.Of(method, target); other != nil {
			return other
		}
	}
	return p
}

// verdict gives what an answer means for its call.
func (p *Policy) verdict(r *Response) Event {
	switch {
	case slices.Contains(p.RetryStatuses, r.Status):
		return Retry
	case r.Status >= 400:
		return Fail
	}
	return Succeed
}

// exhausted reports whether no attempt is left after so many.
func (p *Policy) exhausted(attempts int) bool {
	return p.MaxAttempts > 0 && attempts >= p.MaxAttempts
}

// delay is the time until the attempt after so many. Full jitter: at random between
// none and the whole backoff, so that calls that failed together do not return
// together (Brooker, "Exponential Backoff And Jitter").
func (p *Policy) delay(attempts int, retryAfter time.Duration) time.Duration {
	most := p.Backoff
	for range attempts - 1 {
		if most >= p.BackoffMax {
			break
		}
		most *= 2
	}
	most = min(most, p.BackoffMax)
	d := time.Duration(0)
	if most > 0 {
		d = rand.N(most)
	}
	return max(d, retryAfter)
}

// maxRetryAfter bounds what a function may ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads a response's Retry-After: seconds or a date (RFC 9110, 10.2.3). 0
// where there is none, or none that can be read.
func retryAfter(r *Response, now time.Time) time.Duration {
	if r == nil {
		return 0
	}
	v := r.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, v); err == nil {
			return min(max(t.Sub(now), 0), maxRetryAfter)
		}
	}
	return 0
}
