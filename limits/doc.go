// Package limits decides whether a request may run now, later, or not at all.
//
// A Gate stands in front of one function. Enter lets a call in and fills its
// Slot, or returns a Throttle that says why not and when to come back. Leave
// gives the slot back, once, on every path. Between the two the Gate counts:
// what is in flight, the exact integral of it over time, and its high water.
//
// Further conditions (per caller, rate, ramp, function-wide) are Limiters
// chained in front of the concurrency limit; the data path does not change when
// one is added.
package limits
