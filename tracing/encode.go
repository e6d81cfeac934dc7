package tracing

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields, as opentelemetry-proto has them: trace/v1/trace.proto,
// common/v1/common.proto, collector/trace/v1/trace_service.proto. They are written out
// here because the generated types would keep their descriptors in memory for good; a
// test reads what is written with those types.
const (
	requestResourceSpans = 1

	resourceSpansResource   = 1
	resourceSpansScopeSpans = 2
	resourceSpansSchemaURL  = 3

	resourceAttributes = 1

	scopeSpansScope = 1
	scopeSpansSpans = 2

	scopeName    = 1
	scopeVersion = 2

	spanTraceID    = 1
	spanSpanID     = 2
	spanTraceState = 3
	spanParent     = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanDropped    = 10
	spanStatus     = 15
	spanFlags      = 16

	statusMessage = 2
	statusCode    = 3

	keyValueKey   = 1
	keyValueValue = 2

	anyString = 1
	anyBool   = 2
	anyInt    = 3
)

// Of a span's flags, beside those of the trace.
const (
	flagParentKnown  = 1 << 8 // whether the parent is in another process is known
	flagParentRemote = 1 << 9
)

// encode makes an ExportTraceServiceRequest of spans, which are all of one resource and
// one scope. weir's spans have neither events nor links.
func encode(spans []sdktrace.ReadOnlySpan) []byte {
	first := spans[0]
	return appendMessage(make([]byte, 0, 512*(len(spans)+1)), requestResourceSpans, func(b []byte) []byte {
		b = appendMessage(b, resourceSpansResource, func(b []byte) []byte {
			for _, a := range first.Resource().Attributes() {
				b = appendAttribute(b, resourceAttributes, a)
			}
			return b
		})
		b = appendMessage(b, resourceSpansScopeSpans, func(b []byte) []byte {
			scope := first.InstrumentationScope()
			b = appendMessage(b, scopeSpansScope, func(b []byte) []byte {
				return appendText(appendText(b, scopeName, scope.Name), scopeVersion, scope.Version)
			})
			for _, s := range spans {
				b = appendMessage(b, scopeSpansSpans, func(b []byte) []byte { return appendSpan(b, s) })
			}
			return b
		})
		return appendText(b, resourceSpansSchemaURL, first.Resource().SchemaURL())
	})
}

func appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	c, parent := s.SpanContext(), s.Parent()
	id, span := c.TraceID(), c.SpanID()
	b = appendBytes(b, spanTraceID, id[:])
	b = appendBytes(b, spanSpanID, span[:])
	b = appendText(b, spanTraceState, c.TraceState().String())
	flags := uint32(c.TraceFlags()) | flagParentKnown
	if parent.HasSpanID() {
		span = parent.SpanID()
		b = appendBytes(b, spanParent, span[:])
		if parent.IsRemote() {
			flags |= flagParentRemote
		}
	}
	b = appendText(b, spanName, s.Name())
	b = appendVarint(b, spanKind, uint64(trace.ValidateSpanKind(s.SpanKind()))) // numbered alike
	b = protowire.AppendTag(b, spanStart, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(s.StartTime().UnixNano()))
	b = protowire.AppendTag(b, spanEnd, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(s.EndTime().UnixNano()))
	for _, a := range s.Attributes() {
		b = appendAttribute(b, spanAttributes, a)
	}
	if n := s.DroppedAttributes(); n > 0 {
		b = appendVarint(b, spanDropped, uint64(n))
	}
	if status := s.Status(); status.Code != codes.Unset {
		b = appendMessage(b, spanStatus, func(b []byte) []byte {
			code := uint64(1) // OK
			if status.Code == codes.Error {
				code = 2
			}
			return appendVarint(appendText(b, statusMessage, status.Description), statusCode, code)
		})
	}
	b = protowire.AppendTag(b, spanFlags, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, flags)
}

func appendAttribute(b []byte, n protowire.Number, a attribute.KeyValue) []byte {
	return appendMessage(b, n, func(b []byte) []byte {
		b = appendText(b, keyValueKey, string(a.Key))
		return appendMessage(b, keyValueValue, func(b []byte) []byte {
			switch v := a.Value; v.Type() {
			case attribute.BOOL:
				return appendVarint(b, anyBool, protowire.EncodeBool(v.AsBool()))
			case attribute.INT64:
				return appendVarint(b, anyInt, uint64(v.AsInt64()))
			default: // there are no others
				b = protowire.AppendTag(b, anyString, protowire.BytesType)
				return protowire.AppendString(b, v.String())
			}
		})
	})
}

// appendMessage appends a field that is a message. Its length is written once it is
// known.
func appendMessage(b []byte, n protowire.Number, body func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	at := len(b)
	b = body(b)
	var length [10]byte
	return slices.Insert(b, at, protowire.AppendVarint(length[:0], uint64(len(b)-at))...)
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// appendText appends a text that is not empty.
func appendText(b []byte, n protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendVarint(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}
