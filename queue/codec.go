package queue

import (
	"encoding/binary"
	"errors"
	"time"
)

// Stored calls and responses are length-prefixed bytes: JSON would not carry field
// values and targets that are no UTF-8.

var errTruncated = errors.New("it ends too early")

type encoder struct{ b []byte }

func (e *encoder) number(n int64) { e.b = binary.AppendVarint(e.b, n) }

func (e *encoder) text(s string) {
	e.b = binary.AppendUvarint(e.b, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) fields(fields []Field) {
	e.b = binary.AppendUvarint(e.b, uint64(len(fields)))
	for _, f := range fields {
		e.text(f.Name)
		e.text(f.Value)
	}
}

// time is in nanoseconds since the epoch; 0 is the zero time.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.number(0)
		return
	}
	e.number(t.UnixNano())
}

// decoder reads what an encoder wrote. After an error it reads zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	d.err, d.b = errTruncated, nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) number() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return n
}

// length reads a count of things that take at least one byte each.
func (d *decoder) length() int {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)-size) {
		d.fail()
		return 0
	}
	d.b = d.b[size:]
	return int(n)
}

func (d *decoder) text() string {
	n := d.length()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) fields() []Field {
	n := d.length()
	if n == 0 {
		return nil
	}
	fields := make([]Field, 0, min(n, 256))
	for range n {
		if d.err != nil {
			return nil
		}
		fields = append(fields, Field{d.text(), d.text()})
	}
	return fields
}

func (d *decoder) time() time.Time {
	n := d.number()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
