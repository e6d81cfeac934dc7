package queue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Audience is why somebody is told of a call's end. The strings are part of the task
// API and of message ids.
type Audience string

const (
	ToCallback Audience = "callback"   // the call's caller asked for it
	OnSuccess  Audience = "on_success" // the operator's destination for calls that succeeded
	OnFailure  Audience = "on_failure" // and the one for those that failed or expired
)

func (a Audience) known() bool { return a == ToCallback || a == OnSuccess || a == OnFailure }

// Delivery is word of a call's end that is owed to one receiver, with all that it
// takes to tell it: the call's record and response may be gone by then.
type Delivery struct {
	Call   ID
	To     Audience
	Ticket int // of the entry that the call ended with: one that is redriven ends again
	URL    string

	State                             State // that the call ended in
	CallAttempts                      int
	Error                             string // why it failed, "" where it did not
	Method, Target                    string // of the call
	Loop                              string // its CDN-Loop: telling of it is another pass
	EnqueuedAt, StartedAt, FinishedAt time.Time
	Response                          *Response // nil where the function has not answered

	GiveUpAt time.Time // no attempt but a first one is made at or after this
	Attempts int       // made so far, at telling it
}

// MessageID is the same for each attempt at a delivery, and another one for every
// other delivery.
func (d *Delivery) MessageID() string {
	return string(d.Call) + "." + string(d.To) + "." + strconv.Itoa(d.Ticket)
}

// Receiver names who is told, for fairness among receivers and for logs: scheme and
// host, nothing of the path or the query.
func (d *Delivery) Receiver() string {
	u, err := url.Parse(d.URL)
	if err != nil {
		return "?"
	}
	return u.Scheme + "://" + u.Host
}

const deliveryVersion = 1

// MarshalBinary implements encoding.BinaryMarshaler.
func (d *Delivery) MarshalBinary() ([]byte, error) {
	size := 512
	if d.Response != nil {
		size += len(d.Response.Body)
	}
	e := encoder{append(make([]byte, 0, size), deliveryVersion)}
	for _, s := range []string{string(d.Call), string(d.To), d.URL, string(d.State), d.Error, d.Method, d.Target, d.Loop} {
		e.text(s)
	}
	for _, n := range []int{d.Ticket, d.CallAttempts, d.Attempts} {
		e.number(int64(n))
	}
	for _, t := range []time.Time{d.EnqueuedAt, d.StartedAt, d.FinishedAt, d.GiveUpAt} {
		e.time(t)
	}
	if d.Response == nil {
		return e.b, nil
	}
	response, err := d.Response.MarshalBinary()
	return append(e.b, response...), err
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The response's body shares b's
// bytes.
func (d *Delivery) UnmarshalBinary(b []byte) error {
	r := decoder{b: b}
	if v := r.byte(); v != deliveryVersion {
		return fmt.Errorf("queue: a delivery in format %d, this version reads %d", v, deliveryVersion)
	}
	*d = Delivery{Call: ID(r.text()), To: Audience(r.text()), URL: r.text(), State: State(r.text()), Error: r.text(), Method: r.text(), Target: r.text(), Loop: r.text()}
	for _, n := range []*int{&d.Ticket, &d.CallAttempts, &d.Attempts} {
		*n = int(r.number())
	}
	for _, t := range []*time.Time{&d.EnqueuedAt, &d.StartedAt, &d.FinishedAt, &d.GiveUpAt} {
		*t = r.time()
	}
	if r.err != nil {
		return fmt.Errorf("queue: a delivery that cannot be read: %w", r.err)
	}
	if _, ok := ParseID(string(d.Call)); !ok || !d.To.known() {
		return fmt.Errorf("queue: a delivery of the call %q for %q", d.Call, d.To)
	}
	if len(r.b) == 0 {
		return nil
	}
	d.Response = &Response{}
	return d.Response.UnmarshalBinary(r.b)
}

// DeliveryState is how a delivery stands. The strings are part of the task API.
type DeliveryState string

const (
	DeliveryWaiting   DeliveryState = "waiting"   // the call has not ended yet; of no record
	DeliveryPending   DeliveryState = "pending"   // it has been or will be tried
	DeliveryDone      DeliveryState = "delivered" // its receiver has taken it
	DeliveryAbandoned DeliveryState = "failed"    // given up
)

// DeliveryRecord is what is known of the delivery of a call's latest end to an
// audience. It decides, not the entry: one of another ticket, or of fewer attempts, is
// a leftover.
type DeliveryRecord struct {
	Call     ID            `json:"call"`
	To       Audience      `json:"to"`
	Ticket   int           `json:"ticket"`
	State    DeliveryState `json:"state"`
	Attempts int           `json:"attempts"`

	LastError     string    `json:"last_error,omitempty"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	DeliveredAt   time.Time `json:"delivered_at,omitzero"`

	// Revision is the Store's mark of this state of the record.
	Revision uint64 `json:"-"`
}

// leftover reports whether an entry is none for what the record stands for.
func (r *DeliveryRecord) leftover(d *Delivery) bool {
	return r.Ticket != d.Ticket || r.State != DeliveryPending || r.Attempts > d.Attempts
}

// DeliveryEntry is a delivery whose turn has come. Handle is as for an Entry.
type DeliveryEntry struct {
	*Delivery
	Handle
}

// DeliveryChange is what happens to a delivery, all of it or nothing.
type DeliveryChange struct {
	// Record replaces the one of its revision; there must be none where that is 0.
	Record *DeliveryRecord
	// Entry puts the delivery in line once more, from At on.
	Entry *Delivery
	At    time.Time
	// Keep is how long a record that is not pending is kept.
	Keep time.Duration
}

// Outbox is the part of a Store that keeps deliveries. Change.Deliveries puts them
// there, with the end that they tell of.
type Outbox interface {
	// FetchDelivery takes the delivery whose turn it is. It may wait for one; nil where
	// none came.
	FetchDelivery(ctx context.Context) (*DeliveryEntry, error)
	// CommitDelivery writes a change, with the errors of Commit.
	CommitDelivery(ctx context.Context, c *DeliveryChange) error
	// Delivery reads a record, or returns ErrNotFound.
	Delivery(ctx context.Context, call ID, to Audience) (*DeliveryRecord, error)
	// HoldTime is Store.HoldTime.
	HoldTime() time.Duration
}

// Notifier tells receivers.
type Notifier interface {
	// Notify makes one attempt at a delivery. An error of another kind than
	// *Undelivered means that it may be repeated.
	Notify(ctx context.Context, d *Delivery) error
}

// Undelivered says more about an attempt that failed.
type Undelivered struct {
	// Gone: the receiver wants to hear nothing more.
	Gone bool
	// RetryAfter is when it wants to be asked again at the earliest, 0 for any time.
	RetryAfter time.Duration
	Err        error
}

func (e *Undelivered) Error() string { return e.Err.Error() }
func (e *Undelivered) Unwrap() error { return e.Err }

// owe makes a change that ends a call tell those who want to know.
func (q *Queue) owe(change *Change, p *Policy, c *Call, last *Response) {
	r := change.Record
	if q.outbox.notifier == nil {
		return
	}
	destination, to := p.OnFailure, OnFailure
	if r.State == Succeeded {
		destination, to = p.OnSuccess, OnSuccess
	}
	for _, d := range []Delivery{{To: ToCallback, URL: c.Callback}, {To: to, URL: destination}} {
		if d.URL == "" {
			continue
		}
		d.Call, d.Ticket, d.State, d.CallAttempts, d.Error = r.ID, r.Ticket, r.State, r.Attempts, r.Error
		d.Method, d.Target, d.Loop = c.Method, c.Target, c.Get("CDN-Loop")
		d.EnqueuedAt, d.StartedAt, d.FinishedAt = r.EnqueuedAt, r.StartedAt, r.FinishedAt
		d.GiveUpAt = r.FinishedAt.Add(p.DeliveryMaxAge)
		d.Response = last
		change.Deliveries = append(change.Deliveries, &d)
	}
}

// Callback tells how the delivery of a call's outcome to its caller stands; nil where
// none is owed, or it is not known any more.
func (q *Queue) Callback(ctx context.Context, r *Record) (*DeliveryRecord, error) {
	switch {
	case !r.Callback || r.State == Cancelled: // who takes a call back is told so there and then
		return nil, nil
	case !r.State.Final():
		return &DeliveryRecord{Call: r.ID, To: ToCallback, Ticket: r.Ticket, State: DeliveryWaiting}, nil
	}
	d, err := q.store.Delivery(ctx, r.ID, ToCallback)
	if errors.Is(err, ErrNotFound) { // it was kept for a shorter time, or nobody is told here
		return nil, nil
	}
	return d, err
}

// delivered tells the verdict on an attempt.
func (d *Delivery) verdict(err error, now, at time.Time) (state DeliveryState, why string) {
	var u *Undelivered
	switch {
	case err == nil:
		return DeliveryDone, ""
	case errors.As(err, &u) && u.Gone:
		return DeliveryAbandoned, text(err)
	case !at.Before(d.GiveUpAt):
		return DeliveryAbandoned, fmt.Sprintf("%s; given up after %v", text(err), now.Sub(d.FinishedAt).Round(time.Second))
	}
	return DeliveryPending, text(err)
}
