package limits

import (
	"fmt"
	"slices"
	"time"
)

// Reason names why a call was refused. The strings are label values and header
// values: they do not change.
type Reason string

const (
	ReasonMaxInflight  Reason = "max_inflight"  // every slot is taken
	ReasonQueueFull    Reason = "queue_full"    // and so is every place to wait
	ReasonQueueTimeout Reason = "queue_timeout" // waited as long as it might, or would have to wait longer than it may
	ReasonRate         Reason = "rate"          // too many calls in a time, of its route or its caller
	ReasonRamp         Reason = "ramp"          // in flight would grow faster than it may
	ReasonCaller       Reason = "caller"        // its caller has its share already
	ReasonFunction     Reason = "function"      // its function has, everywhere together, what it may have
	ReasonAccount      Reason = "account"       // so have the functions of its account
	ReasonPriority     Reason = "priority"      // gave its place in the queue to a call of a higher level
	ReasonLoop         Reason = "loop"          // has passed the function too often: it calls itself
	ReasonDraining     Reason = "draining"      // the sidecar is about to stop
)

// Reasons lists every Reason that this version can give, for metrics that must
// exist before the first refusal.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

var reasons = [...]Reason{
	ReasonMaxInflight, ReasonQueueFull, ReasonQueueTimeout, ReasonRate, ReasonRamp, ReasonCaller, ReasonFunction, ReasonAccount, ReasonPriority, ReasonLoop, ReasonDraining,
}

// DryRunReasons lists the Reasons of limits that can be in dry run.
func DryRunReasons() []Reason { return slices.Clone(dryReasons[:]) }

var dryReasons = [...]Reason{ReasonMaxInflight, ReasonRate, ReasonRamp, ReasonCaller, ReasonFunction, ReasonAccount}

// Throttle is a refusal: the error that Enter returns for a call that may not
// run now.
type Throttle struct {
	Reason Reason
	// RetryAfter is when a slot is likely to be free, in whole seconds, at
	// least one, jittered so that those refused together do not return together.
	RetryAfter time.Duration
	// Limit and Remaining describe the quota that refused the call.
	Limit, Remaining int
	// Window is the time over which Limit calls are allowed; 0 is for limits on calls
	// at once.
	Window time.Duration
	// Waited is the time the call spent in the queue.
	Waited time.Duration
}

func (t *Throttle) Error() string {
	return fmt.Sprintf("limits: refused: %s (limit %d, retry after %v)", t.Reason, t.Limit, t.RetryAfter)
}

// advise completes the RetryAfter of a refusal by a limit other than the
// concurrency limit.
func (g *Gate) advise(t *Throttle) *Throttle {
	j := g.jitter()
	if t.RetryAfter > 0 {
		t.RetryAfter = retryAfter(0, 0, 0, t.RetryAfter, &j)
	} else {
		t.RetryAfter = retryAfter(t.Limit, t.Limit, 0, g.estimate.duration(&g.meter, g.now), &j)
	}
	return t
}

// wouldRefuse counts what a limit in dry run would have refused.
func (g *Gate) wouldRefuse(why Reason) {
	for i, r := range dryReasons {
		if r == why {
			g.dry[i].Add(1)
		}
	}
}

// maxRetryAfter bounds the advice: nobody plans further ahead than this.
const maxRetryAfter = time.Hour

// retryAfter turns the expected time until a slot is free for a newcomer into
// whole seconds. Expected, by Little's law: limit slots finish limit/mean calls
// a second, and ahead of the newcomer stand those over the limit and those
// waiting. The jitter adds up to half of it, at least up to a second; rounding
// is random in proportion to the fraction, so that short waits spread as well.
func retryAfter(inflight, limit, waiting int, mean time.Duration, j *jitter) time.Duration {
	ahead := waiting + 1
	if over := inflight - limit; over > 0 {
		ahead += over
	}
	expected := mean.Seconds() * float64(ahead) / float64(max(limit, 1))
	s := max(expected, 1) + j.draw()*max(expected/2, 1)
	whole := int64(min(s, maxRetryAfter.Seconds()))
	if j.draw() < s-float64(whole) {
		whole++
	}
	return min(time.Duration(whole)*time.Second, maxRetryAfter)
}
