package limits

import "time"

// Limiter is one more condition on the way in, in front of the concurrency
// limit: a rate, a caller's share, a ramp. It must be safe for concurrent use
// and must not block.
type Limiter interface {
	// Enter counts the call in and returns a token of its own choosing, or
	// refuses it and leaves its state unchanged. now is the time since the Gate
	// was made.
	Enter(now time.Duration, call *Call) (token uint64, refused *Throttle)
	// Leave ends what Enter began, exactly once per token. Outcome Refused means
	// that the call never ran: a later limiter or the concurrency limit said no.
	Leave(now time.Duration, token uint64, o Outcome)
}

// maxLimiters is what a Slot has room for without an allocation, ownLimiters how
// many of them a policy may ask for.
const (
	maxLimiters = 6
	ownLimiters = 2
)

// chain is an immutable list of limiters. A slot remembers the chain it came
// through, so that changing the Gate's chain never unbalances a limiter.
type chain struct{ limiters []Limiter }

// enter takes the call through every limiter in order. On a refusal those
// already passed are undone, last first.
func (c *chain) enter(now time.Duration, call *Call, s *Slot) *Throttle {
	for i, l := range c.limiters {
		token, refused := l.Enter(now, call)
		if refused != nil {
			c.leave(now, s, i, Refused)
			return refused
		}
		s.tokens[i] = token
	}
	return nil
}

// leave undoes the first n limiters, last first.
func (c *chain) leave(now time.Duration, s *Slot, n int, o Outcome) {
	for i := n - 1; i >= 0; i-- {
		c.limiters[i].Leave(now, s.tokens[i], o)
	}
}
