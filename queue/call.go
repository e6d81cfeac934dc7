package queue

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// Field is one header field, as it came.
type Field struct{ Name, Value string }

// Call is one asynchronous call: the request that the function will get, and when
// it may run. It does not change once it is accepted.
type Call struct {
	ID     ID
	Method string
	Target string // origin form, byte for byte
	Host   string
	Fields []Field // end-to-end fields, in order
	Body   []byte

	EnqueuedAt time.Time
	NotBefore  time.Time // zero for at once
	ExpiresAt  time.Time // an attempt may not begin at or after this
	// Callback is the URL that wants to be told of the outcome, "" for none.
	Callback string

	// BodySize is the size of a body that its Store keeps apart; Body is then nil
	// until Store.LoadBody.
	BodySize int64
}

// Hash identifies what the function would see, and who is told: method, target, host,
// callback and body.
// Fields are left out: dates, traces and credentials differ between repetitions
// of one request.
func (c *Call) Hash() [sha256.Size]byte {
	h := sha256.New()
	for _, s := range []string{c.Method, c.Target, c.Host} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s) // a hash takes everything
	}
	if c.Callback != "" { // another receiver is another request
		_, _ = fmt.Fprintf(h, "callback %d:%s", len(c.Callback), c.Callback)
	}
	_, _ = h.Write(c.Body)
	return [sha256.Size]byte(h.Sum(nil))
}

const callVersion = 1

// AppendHead appends all of the call but its body, in a form that DecodeHead reads.
func (c *Call) AppendHead(b []byte) []byte {
	e := encoder{append(b, callVersion)}
	e.text(string(c.ID))
	e.text(c.Method)
	e.text(c.Target)
	e.text(c.Host)
	e.fields(c.Fields)
	e.time(c.EnqueuedAt)
	e.time(c.NotBefore)
	e.time(c.ExpiresAt)
	e.text(c.Callback)
	return e.b
}

// HeadID reads the ID alone of what AppendHead wrote.
func HeadID(b []byte) (ID, error) {
	d := decoder{b: b}
	if v := d.byte(); v != callVersion {
		return "", fmt.Errorf("queue: a call in format %d, this version reads %d", v, callVersion)
	}
	id := ID(d.text())
	if d.err != nil {
		return "", fmt.Errorf("queue: a call that cannot be read: %w", d.err)
	}
	return id, nil
}

// DecodeHead reads what AppendHead wrote and returns the bytes after it.
func (c *Call) DecodeHead(b []byte) (rest []byte, err error) {
	d := decoder{b: b}
	if v := d.byte(); v != callVersion {
		return nil, fmt.Errorf("queue: a call in format %d, this version reads %d", v, callVersion)
	}
	*c = Call{ID: ID(d.text()), Method: d.text(), Target: d.text(), Host: d.text(), Fields: d.fields()}
	c.EnqueuedAt, c.NotBefore, c.ExpiresAt = d.time(), d.time(), d.time()
	c.Callback = d.text()
	if d.err != nil {
		return nil, fmt.Errorf("queue: a call that cannot be read: %w", d.err)
	}
	if _, ok := ParseID(string(c.ID)); !ok {
		return nil, fmt.Errorf("queue: a call whose id %q is none", c.ID)
	}
	return d.b, nil
}

// Response is what the function answered, as far as it is kept.
type Response struct {
	Status int
	Fields []Field
	Body   []byte
	// Dropped is true where the body was larger than what is kept: Body is then
	// nil.
	Dropped bool
}

const responseVersion = 1

// MarshalBinary implements encoding.BinaryMarshaler.
func (r *Response) MarshalBinary() ([]byte, error) {
	e := encoder{append(make([]byte, 0, 256+len(r.Body)), responseVersion)}
	e.number(int64(r.Status))
	dropped := int64(0)
	if r.Dropped {
		dropped = 1
	}
	e.number(dropped)
	e.fields(r.Fields)
	return append(e.b, r.Body...), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler. The body shares b's bytes.
func (r *Response) UnmarshalBinary(b []byte) error {
	d := decoder{b: b}
	if v := d.byte(); v != responseVersion {
		return fmt.Errorf("queue: a response in format %d, this version reads %d", v, responseVersion)
	}
	*r = Response{Status: int(d.number()), Dropped: d.number() == 1, Fields: d.fields(), Body: d.b}
	if d.err != nil {
		return fmt.Errorf("queue: a response that cannot be read: %w", d.err)
	}
	return nil
}
