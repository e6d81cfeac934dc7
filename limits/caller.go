package limits

import "time"

// caller is who calls, as far as shares are concerned.
type caller struct {
	// Guarded by the Gate's lock: the lines it waits in, made when first needed, and
	// its slot-time in the present period of contention.
	flows   [levels]*flow
	waiting int // synchronous calls in line
	used    time.Duration
	period  uint64
}

func (c *caller) flow(level int) *flow {
	f := c.flows[level]
	if f == nil {
		f = &flow{caller: c}
		c.flows[level] = f
	}
	return f
}
