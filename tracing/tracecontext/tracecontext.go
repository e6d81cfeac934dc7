// Package tracecontext reads and writes the traceparent field (W3C Trace Context, 3.2),
// and depends on nothing: who only wants to know whether a trace is recorded links no
// more.
package tracecontext

import "encoding/hex"

// Context is what a traceparent field says.
type Context struct {
	TraceID [16]byte
	SpanID  [8]byte // of whoever sent the field
	Flags   byte
}

// The flags that are known. Others are dropped on the way, as the standard wants it.
const (
	Sampled byte = 1 << 0 // whoever sent it records the trace
	Random  byte = 1 << 1 // the trace's id was made at random
	known        = Sampled | Random
)

// Length is that of a field of version 00, which is what AppendTo writes.
const Length = 55

// Where the parts of a field begin, each behind a dash but the first.
const (
	traceAt = 3
	spanAt  = 36
	flagsAt = 53
)

// Parse reads a field; ok is false where it is none, and then the trace begins anew.
func Parse(field string) (c Context, ok bool) {
	if len(field) < Length || field[traceAt-1] != '-' || field[spanAt-1] != '-' || field[flagsAt-1] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	if !decode(version[:], field[:traceAt-1]) || !decode(c.TraceID[:], field[traceAt:spanAt-1]) ||
		!decode(c.SpanID[:], field[spanAt:flagsAt-1]) || !decode(flags[:], field[flagsAt:Length]) {
		return Context{}, false
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(field) > Length, len(field) > Length && field[Length] != '-':
		return Context{}, false // later versions may go on after another dash
	case c.TraceID == [16]byte{}, c.SpanID == [8]byte{}:
		return Context{}, false
	}
	c.Flags = flags[0] & known
	return c, true
}

// decode reads lower-case hexadecimal digits.
func decode(to []byte, text string) bool {
	for i := range to {
		high, low := digit(text[2*i]), digit(text[2*i+1])
		if high|low > 0xf {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

func digit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// IsSampled reports whether the trace is recorded.
func (c Context) IsSampled() bool { return c.Flags&Sampled != 0 }

// AppendTo appends the field.
func (c Context) AppendTo(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, c.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, c.SpanID[:])
	b = append(b, '-')
	return hex.AppendEncode(b, []byte{c.Flags})
}
