package tracing

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// recorder is what making spans takes, which the SDK does not keep: it copies attributes
// and times, and asks for an id as a span begins. One makes one span after the other.
type recorder struct {
	given   given
	attrs   []attribute.KeyValue // no more than maxAttributes at once
	options [2]trace.SpanStartOption
	ending  [1]trace.SpanEndOption
}

// maxAttributes is how many a span of weir's has at most.
const maxAttributes = 16

var recorders = sync.Pool{New: func() any { return &recorder{attrs: make([]attribute.KeyValue, 0, maxAttributes)} }}

// free gives it back, without what it has made spans of.
func (rec *recorder) free() {
	clear(rec.attrs[:cap(rec.attrs)])
	rec.given, rec.options, rec.ending = given{}, [2]trace.SpanStartOption{}, [1]trace.SpanEndOption{}
	recorders.Put(rec)
}

// Options for the kinds of spans, made once.
var (
	kindServer   = trace.WithSpanKind(trace.SpanKindServer)
	kindClient   = trace.WithSpanKind(trace.SpanKindClient)
	kindInternal = trace.WithSpanKind(trace.SpanKindInternal)
)

// contextWith is the context of a parent.
func contextWith(parent trace.SpanContext) context.Context {
	return trace.ContextWithSpanContext(context.Background(), parent)
}

// start begins a span with an id.
func (rec *recorder) start(r *Request, parent context.Context, id trace.SpanID, name string, kind trace.SpanStartOption, at time.Time, attrs []attribute.KeyValue) trace.Span {
	rec.given = given{parent, r.trace, id}
	rec.options = [2]trace.SpanStartOption{kind, trace.WithTimestamp(at)}
	_, s := r.tracer.tracer.Start(&rec.given, name, rec.options[:]...)
	s.SetAttributes(attrs...)
	return s
}

// end ends a span.
func (rec *recorder) end(s trace.Span, at time.Time) {
	rec.ending[0] = trace.WithTimestamp(at)
	s.End(rec.ending[:]...)
}
