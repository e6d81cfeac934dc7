// Package limits decides whether a request may run now, later, or not at all.
//
// A Gate stands in front of one function. Enter lets a call in and fills its
// Slot, or returns a Throttle that says why not and when to come back. Leave
// gives the slot back, once, on every path. Between the two the Gate counts:
// what is in flight, the exact integral of it over time, and its high water.
//
// A call that finds no slot is refused, or waits in line: line.go says who is next.
// Levels of priority order those that wait. The lowest is Async, for work that has
// no client at hand:
//
//	err := gate.Enter(ctx, &limits.Call{Priority: limits.Async}, &slot)
//
// blocks until there is a slot that no synchronous call wants, however long that
// takes; it ends early with ctx's error, or with a Throttle once the Gate drains or
// the call's deadline has passed. Take the slot first and fetch the work then: so
// nothing is fetched that cannot run. Policy.AsyncMinShare and AsyncMaxShare bound
// what all such calls may have at once.
//
// Further conditions (per caller, rate, ramp, function-wide) are Limiters
// chained in front of the concurrency limit; the data path does not change when
// one is added.
package limits
