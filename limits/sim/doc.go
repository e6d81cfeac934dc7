// Package sim runs limits against traffic that never was: arrivals, service times
// and failures drawn from a seed, in virtual time, with the real Gate inside. Half
// an hour of overload takes seconds, and the same seed gives the same outcome, so
// that what a limiter promises can be asserted and plotted.
//
// A run needs a testing/synctest bubble, for the Gate reads the clock and sets
// timers. One goroutine drives it from event to event; calls that wait in the
// Gate's queue have one each, and the driver waits until all of these are blocked
// before it looks at what came of an event.
package sim
