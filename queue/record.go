package queue

import (
	"strings"
	"time"
)

// Record is what is known of a call, apart from the call itself. Zero times are
// unknown or do not apply.
type Record struct {
	ID       ID    `json:"id"`
	State    State `json:"state"`
	Attempts int   `json:"attempts"` // begun so far

	// Method and Target are the call's, to be shown: of a target the first
	// shownTarget bytes.
	Method string `json:"method,omitempty"`
	Target string `json:"target,omitempty"`

	EnqueuedAt    time.Time `json:"enqueued_at"`
	StartedAt     time.Time `json:"started_at,omitzero"` // of the latest attempt
	FinishedAt    time.Time `json:"finished_at,omitzero"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`

	StatusCode int    `json:"status_code,omitempty"` // of the latest answer
	Error      string `json:"error,omitempty"`       // why the latest attempt, or the call, failed

	// Ticket numbers the call's entries in the queue, from 1: the first, one for
	// each retry, one for each redrive. An entry with a lower ticket is a leftover.
	Ticket int `json:"ticket"`
	// Place is that of the entry which the latest attempt belongs to. Only that
	// entry may be taken for an attempt that was lost.
	Place uint64 `json:"place,omitempty"`

	// Callback tells that the caller is to be told of the call's end.
	Callback bool `json:"callback,omitempty"`

	// Revision is the Store's mark of this state of the record; 0 where nothing is
	// written of the call but its entry.
	Revision uint64 `json:"-"`
}

// shownTarget bounds Record.Target: a record is written with each attempt.
const shownTarget = 512

// NewRecord is what is known of a call that only an entry with this ticket exists of.
func NewRecord(c *Call, state State, ticket int) *Record {
	target := c.Target
	if len(target) > shownTarget {
		target = target[:shownTarget] + "..."
	}
	return &Record{
		ID: c.ID, State: state, Method: c.Method, Target: strings.ToValidUTF8(target, "?"), EnqueuedAt: c.EnqueuedAt, Ticket: ticket, Callback: c.Callback != "",
	}
}

// move applies an event at a time.
func (r Record) move(e Event, now time.Time) (Record, error) {
	to, err := r.State.Move(e)
	if err != nil {
		return r, err
	}
	r.State = to
	switch {
	case e == Start:
		r.Attempts++
		r.StartedAt = now
		r.NextAttemptAt, r.FinishedAt = time.Time{}, time.Time{}
		r.StatusCode, r.Error = 0, ""
	case to.Final():
		r.FinishedAt, r.NextAttemptAt = now, time.Time{}
	case e == Redrive:
		r.Attempts, r.Ticket, r.Place = 0, r.Ticket+1, 0
		r.FinishedAt, r.NextAttemptAt = time.Time{}, time.Time{}
	}
	return r, nil
}

// DeadLetter is a call that failed or expired, with all that is needed to look into
// it and to give it another chance.
type DeadLetter struct {
	Record   Record
	Call     *Call     // its body may have to be loaded
	Response *Response // the last one, nil where there was none
}
