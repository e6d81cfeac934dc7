package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Record is what the ledger holds of one shared limit: who has how much of it.
type Record struct {
	// Epoch names this record's life: one that was lost and made anew has another.
	Epoch string `json:"epoch"`
	// Young is set by whoever makes a record without knowing of one before. It is taken
	// off a moment later, when those who do know would have come.
	Young bool `json:"young,omitempty"`
	// Members are those that hold slots, or would like to, by ID.
	Members []Member `json:"members"`
}

// Member is one holder's entry, written by it alone.
type Member struct {
	ID string `json:"id"`
	// Beat changes with each of its writes. Others count the lease from when they first
	// see it: no clock is compared with another.
	Beat uint64 `json:"beat"`
	// Slots is what it holds: at least what it lets run, and at least what runs.
	Slots int `json:"slots"`
	// Wanted is what it could use.
	Wanted int `json:"wanted"`
	// Limit is the whole, as this member is configured.
	Limit int `json:"limit"`
	// Lease is for how long others let the entry stand, from when they first see it.
	Lease time.Duration `json:"lease"`
	// Sure says that it has looked at the ledger all the time, or has heard of every other
	// one since it could not: what stands here is what they may run.
	Sure bool `json:"sure,omitempty"`
}

// member finds an entry, nil for none.
func (r *Record) member(id string) *Member {
	i, ok := slices.BinarySearchFunc(r.Members, id, func(m Member, id string) int { return strings.Compare(m.ID, id) })
	if !ok {
		return nil
	}
	return &r.Members[i]
}

// put inserts or replaces an entry.
func (r *Record) put(m Member) {
	i, ok := slices.BinarySearchFunc(r.Members, m.ID, func(m Member, id string) int { return strings.Compare(m.ID, id) })
	if ok {
		r.Members[i] = m
	} else {
		r.Members = slices.Insert(r.Members, i, m)
	}
}

// Bounds of a record, far above what is of use: each member's every write is read by
// all.
const (
	maxMembers = 10_000
	maxID      = 128
	maxNumber  = 1 << 31
	version    = 1
)

type versioned struct {
	Version int `json:"v"`
	Record
}

// Encode writes the record as the ledger keeps it.
func (r *Record) Encode() []byte {
	b, err := json.Marshal(versioned{version, *r})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

// ErrRecord is a record that is none, or one of a later version of weir. It is left as
// it is.
var ErrRecord = errors.New("lease: the ledger's record cannot be read")

// Decode reads what Encode wrote. Every error is an ErrRecord.
func Decode(b []byte) (*Record, error) {
	fail := func(format string, args ...any) (*Record, error) {
		return nil, fmt.Errorf("%w: %s", ErrRecord, fmt.Sprintf(format, args...))
	}
	var v versioned
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&v); err != nil {
		return fail("%v", err)
	}
	switch r := &v.Record; {
	case v.Version != version:
		return fail("it is of version %d, this weir writes version %d", v.Version, version)
	case r.Epoch == "" || len(r.Epoch) > maxID:
		return fail("it names no epoch")
	case len(r.Members) > maxMembers:
		return fail("it has %d members, at most %d can be", len(r.Members), maxMembers)
	default:
		last := ""
		for _, m := range r.Members {
			switch {
			case m.ID <= last || len(m.ID) > maxID:
				return fail("its members are not in order")
			case m.Slots < 0 || m.Slots >= maxNumber || m.Wanted < 0 || m.Wanted >= maxNumber || m.Limit < 1 || m.Limit >= maxNumber || m.Lease < LeastTime:
				return fail("the numbers of member %q are out of range", m.ID)
			}
			last = m.ID
		}
		return r, nil
	}
}
