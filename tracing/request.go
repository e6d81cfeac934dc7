package tracing

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"unsafe"

	"go.opentelemetry.io/otel/trace"

	"weir/tracing/tracecontext"
)

// Request is the part of a trace that one request, or one attempt at an asynchronous
// call, is. Its memory is the caller's, who may use it for one request after the other;
// it must not be copied. Begin fills it.
type Request struct {
	tracer  *Tracer
	parent  tracecontext.Context // of whoever called; the zero value where nobody said
	state   trace.TraceState     // the parent's, where the request is recorded
	trace   trace.TraceID
	span    trace.SpanID // of the request
	call    trace.SpanID // of the call to the function
	flags   byte
	attempt bool
	text    [tracecontext.Length]byte
}

// Fields gives the lines of a request's field section by canonical names: line number i,
// from 0, and whether there is one.
type Fields interface {
	Line(name string, i int) (string, bool)
}

// Begin starts a request's part: in the trace that its fields name, and recorded as they
// say, or in one of its own, recorded by chance. What an earlier Begin left is gone.
func (t *Tracer) Begin(r *Request, fields Fields) { t.begin(r, fields, false) }

// BeginAttempt starts an attempt's part. Its fields are those of the call, whose parent
// is the request that it was accepted with.
func (t *Tracer) BeginAttempt(r *Request, fields Fields) { t.begin(r, fields, true) }

func (t *Tracer) begin(r *Request, fields Fields, attempt bool) {
	r.tracer, r.attempt = t, attempt
	r.span, r.call = newSpanID(), newSpanID()
	r.parent, r.state = tracecontext.Context{}, trace.TraceState{}
	if one, ok := fields.Line("Traceparent", 0); ok {
		if _, more := fields.Line("Traceparent", 1); !more { // of several none counts
			r.parent, _ = tracecontext.Parse(one)
		}
	}
	if r.parent == (tracecontext.Context{}) {
		r.trace, r.flags = newTraceID(), tracecontext.Random
		if t.samples(r.trace) {
			r.flags |= tracecontext.Sampled
		}
		return
	}
	r.trace, r.flags = r.parent.TraceID, r.parent.Flags
	if r.Recorded() {
		r.state = traceState(fields)
	}
}

// traceState reads what vendors say of the trace; what is not as it should be is nothing.
func traceState(fields Fields) trace.TraceState {
	var all []string
	for i := 0; ; i++ {
		line, ok := fields.Line("Tracestate", i)
		if !ok {
			break
		}
		all = append(all, strings.Clone(line)) // it may lie in a buffer
	}
	if all == nil {
		return trace.TraceState{}
	}
	state, err := trace.ParseTraceState(strings.Join(all, ","))
	if err != nil {
		return trace.TraceState{}
	}
	return state
}

// Continues reports whether the request is part of a trace that somebody else began. If
// not, a tracestate field that it may have belongs to none.
func (r *Request) Continues() bool { return r.parent != tracecontext.Context{} }

// Recorded reports whether there will be spans.
func (r *Request) Recorded() bool { return r.flags&tracecontext.Sampled != 0 }

// Traceparent is the field that the function gets: its parent is the call to it. The
// text lies in r until the next use of it.
func (r *Request) Traceparent() string { return r.field(r.call) }

// AcceptedTraceparent is the field that is stored of a request that is to be run later:
// the parent of its attempts is the request. The text lies in r until the next use of
// it.
func (r *Request) AcceptedTraceparent() string { return r.field(r.span) }

func (r *Request) field(span trace.SpanID) string {
	b := tracecontext.Context{TraceID: r.trace, SpanID: span, Flags: r.flags}.AppendTo(r.text[:0])
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Ids are no secrets; that two are the same is as unlikely as it should be.

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}

func newTraceID() (id trace.TraceID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64())
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id
}
