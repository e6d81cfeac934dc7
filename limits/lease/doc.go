// Package lease divides one limit among many sidecars: each holds a lease of some of
// its slots, taken as its calls need them and given back when they do not. A call asks
// nobody; it is bounded by what its sidecar holds.
//
// The leases of one limit are a Record in a ledger that all can read and change by
// compare-and-set (Store). A Lease looks at it a few times a second, and at once when a
// call found no slot. It takes its fair share of what all want (max-min), gives back
// what others want more, and renews before its time ends. holder.go says why the
// leases never add up to more than the limit.
//
// Leases with their holders' clocks, not the server's, are as in Gray and Cheriton,
// "Leases: an efficient fault-tolerant mechanism for distributed file cache
// consistency" (SOSP 1989): the holder counts from before it asked, everybody else from
// after he saw.
//
// # When the ledger cannot be reached
//
// A lease goes on to its end. Then Config.OnOutage decides, for as long as attempts to
// reach the ledger fail: OutageShare is limit / members, by the members last seen, so
// that those who lose the ledger together do not exceed the limit together. When it is
// back, nobody takes more than he had until each member has been heard of again, or a
// lease time has passed.
package lease
