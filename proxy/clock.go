package proxy

import "time"

// clockBase is the origin of the clock.
var clockBase = time.Now()

// clock is monotonic time since the process began: half the price of time.Now,
// and an integer to keep and compare.
func clock() time.Duration { return time.Since(clockBase) }

// forever is a deadline that never comes.
const forever = time.Duration(1<<63 - 1)
