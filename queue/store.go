package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// What a Store may answer. Others of its errors mean that it is not known what
// became of the operation.
var (
	// ErrNotFound: there is no such call, response, key or dead letter, or not
	// any more.
	ErrNotFound = errors.New("queue: not found")
	// ErrConflict: the record is not in the revision that the change was made for,
	// or the key is taken. Nothing was written.
	ErrConflict = errors.New("queue: somebody else changed the call meanwhile")
	// ErrFull: the store's bound on bytes is reached. Nothing was written.
	ErrFull = errors.New("queue: the store is full")
	// ErrTooLarge: what was to be stored is larger than the store takes. Nothing
	// was written.
	ErrTooLarge = errors.New("queue: larger than the store takes")
	// ErrUnavailable: the store is down. Nothing was written.
	ErrUnavailable = errors.New("queue: the store is not available")
	// ErrUnknown: the store did not answer in time. What was to be written may be
	// there or not.
	ErrUnknown = errors.New("queue: the store did not answer in time; whether it has written is not known")
)

// Key keeps a caller's idempotency key: whose call it stands for.
type Key struct {
	Key  string // as the caller sent it
	ID   ID
	Hash [sha256.Size]byte // of the call
}

// Change is what happens to one call, all of it or nothing.
type Change struct {
	// Record replaces the one of revision Record.Revision; there must be none
	// where that is 0. Nil leaves it.
	Record *Record
	// Entry puts the call into the queue, behind all others, from At on.
	Entry  *Call
	At     time.Time // zero for at once
	Ticket int       // of the entry
	// Key is taken for the call; it must be free.
	Key *Key
	// Response is kept with the record, until that is replaced.
	Response *Response
	// Dead puts the call among the dead letters. Its Record is Change.Record.
	Dead *DeadLetter
	// Deliveries are owed from now on, each with a pending record of its own in the
	// place of one that there is for its call and audience.
	Deliveries []*Delivery
	// Keep is how long a final record and its response are kept, KeepKey a key,
	// and KeepDead a dead letter.
	Keep, KeepKey, KeepDead time.Duration
}

// Entry is a call whose turn has come. It is nobody else's until it is ended by
// Done or Return, or its hold has lapsed because Hold was not called in time.
type Entry struct {
	Call   *Call // its body may have to be loaded
	Ticket int
	Place  uint64 // distinguishes it from every other entry of its store
	More   bool   // others wait behind it, or may
	Handle
}

// Handle is a Store's side of an Entry.
type Handle interface {
	// Hold tells the store that the call is still at work. Store.HoldTime is how
	// long that lasts.
	Hold() error
	// Done removes the entry from the queue.
	Done() error
	// Return gives it back at once, ahead of what came after it.
	Return() error
	// Leave does nothing for it any more: its hold lapses.
	Leave()
}

// Stats counts what a Store holds.
type Stats struct {
	Waiting     int // entries that are due and nobody's
	Scheduled   int // entries that are not yet due
	Held        int // entries that are somebody's
	DeadLetters int
	Deliveries  int // owed, held ones included
	// Oldest is when the oldest waiting entry was put into the queue, zero where
	// there is none.
	Oldest time.Time
}

// Store keeps calls. It is safe for concurrent use. What Commit has reported as
// written is on disk, and survives the loss of power.
type Store interface {
	// Commit writes a change, or returns one of the errors above. Where it wrote a
	// record, Record.Revision is then the new one.
	Commit(ctx context.Context, c *Change) error
	// Fetch takes the entry whose turn it is, nil where there is none.
	Fetch(ctx context.Context) (*Entry, error)
	// LoadBody fills the body of a call that was read from the store.
	LoadBody(ctx context.Context, c *Call) error
	// HoldTime is how long an entry stays its holder's after a fetch and Hold.
	HoldTime() time.Duration
	Outbox

	// Record reads a call's record. One of which only an entry exists has revision
	// 0 and the state that its entry is in.
	Record(ctx context.Context, id ID) (*Record, error)
	Response(ctx context.Context, id ID) (*Response, error)
	Key(ctx context.Context, key string) (*Key, error)

	// Calls lists up to limit calls that are in a state, "" for any, after the cursor,
	// "" for the first, and the cursor that goes on; that is "" at the end. A list looks
	// at a bounded number of calls and may hold fewer than limit, even none, and go on.
	//
	// Those of one state come in the order in which they came into it, or into the
	// queue; where all are asked for, those that wait for their first attempt come
	// first. A call that is there all the time is listed. One that changes meanwhile
	// may come again, as it is then. A cursor that is none is ErrNotFound.
	Calls(ctx context.Context, state State, cursor string, limit int) (records []*Record, next string, err error)

	DeadLetter(ctx context.Context, id ID) (*DeadLetter, error)
	// DeadLetters lists the records of up to limit dead letters after the cursor, ""
	// for the first, oldest first, and the cursor that goes on; that is "" at the
	// end.
	DeadLetters(ctx context.Context, cursor string, limit int) (records []*Record, next string, err error)
	// RemoveDeadLetter forgets one. What is not there is no error.
	RemoveDeadLetter(ctx context.Context, id ID) error

	// Pending reports whether Fetch may find an entry: one that waits, was returned,
	// or whose hold may have lapsed.
	Pending(ctx context.Context) (bool, error)
	Stats(ctx context.Context) (Stats, error)
	// Up is nil while the store takes changes, and else says why it does not.
	Up() error
	Close() error
}
