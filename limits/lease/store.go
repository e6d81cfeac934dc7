package lease

import (
	"context"
	"errors"
)

// Store keeps the record of one shared limit, where all that share it can get at it. It
// is not safe for concurrent use: a Put follows the Get on which it is built.
type Store interface {
	// Get returns the record and its revision; a nil record where there is none. What it
	// returns need not be the latest: a write that was made for an older one is refused.
	Get(ctx context.Context) (*Record, uint64, error)
	// Put writes the record in place of the one of that revision, 0 for none, and
	// returns its own. It is ErrConflict where another has been written meanwhile, and
	// where the ledger may have been set back since it was read: revisions count anew
	// then, and the same one may be another record's.
	// After any other error it may have been written, or may be yet.
	Put(ctx context.Context, r *Record, revision uint64) (uint64, error)
}

// ErrConflict says that the record is no longer the one that a change was made for.
var ErrConflict = errors.New("lease: the record has changed meanwhile")
