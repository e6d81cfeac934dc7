// Package jetstream keeps asynchronous calls in a JetStream stream: of a server
// within this process, which listens nowhere and fsyncs every write, or of an
// external server or cluster. Both are one code path.
//
// All that belongs to a call is in one stream, so that a change of several parts
// is one atomic batch. The subjects, under weir.<function>:
//
//	todo.<bucket>  entries that are due, in order; a consumer takes them
//	todo.<n>.calls bundles of n of them, accepted at the same time; only where the server
//	               is within this process
//	ended.<place>  which calls of a bundle have ended, if it is long in hand
//	due.<id>       entries that are not: message schedules that end up in todo
//	call.<id>      the record with the response, replaced as a whole; of a call that
//	               has had none of its attempts yet there is only its entry
//	key.<hash>     an idempotency key
//	dead.<id>      the record of a dead letter
//	grave.<id>     its call and last response
//	post.<bucket>  deliveries that are due; a consumer takes them
//	later.<id>-<audience>  those that are not, message schedules too
//	note.<id>-<audience>   a delivery's record
//
// The directory of a server within this process stays the same one while that runs (see
// directory), what is stored is kept from it as it starts (rescue), and what it says is
// written is believed only while the file system works (works).
//
// A call that waits has no subject of its own: a million of them would cost the
// server as many index entries in memory.
package jetstream
