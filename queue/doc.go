// Package queue keeps asynchronous calls: it accepts them durably, runs them when
// there is room, and settles what becomes of them.
//
// A call that Enqueue has accepted is on disk. It runs at least once, unless it
// is cancelled or expires first, and it ends in exactly one final state. Every
// attempt carries the call's id and its own number. Where calls are kept is a
// Store's business; queue/jetstream is one.
package queue
