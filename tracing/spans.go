package tracing

import (
	"context"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Ended is what is said of a request, or of an attempt, that has ended.
type Ended struct {
	Method, Proto string // as in HTTP/1.1
	Scheme, Host  string
	Path          string // without the query, which may hold secrets
	Route         string // what it matched of what is configured, "" for nothing
	Client        string // address
	Origin        string // of the outcome: function, weir, client

	Began time.Time     // its head was complete
	Ended time.Time     // its last byte was sent, or it was given up
	Wait  time.Duration // for a slot; 0 if it did not have to

	// Called and Answered are when the function was handed it and when its answer ended;
	// Called is zero where that never came about.
	Called, Answered time.Time

	Status         int // what the client got; 0 where it got nothing
	FunctionStatus int // of the function's answer, 0 where there is none

	// Throttled is why it was refused, "" if it was not; Error what ended it otherwise
	// than by an answer, as a token.
	Throttled, Error string

	Attempt int // the number of an attempt
}

// The attributes that no convention has.
const (
	attrOrigin    = attribute.Key("weir.origin")
	attrThrottled = attribute.Key("weir.throttled")
	attrAttempt   = attribute.Key("weir.attempt")
)

// End records the request, if it is to be. It keeps none of the strings that lie in
// buffers: method, host and path are copied.
func (r *Request) End(e *Ended) {
	if !r.Recorded() {
		return
	}
	rec := recorders.Get().(*recorder)
	defer rec.free()
	if r.attempt {
		r.recordCall(rec, e, contextWith(r.remote()), e.Attempt)
		return
	}
	attrs := append(appendMethod(rec.attrs[:0], e.Method), semconv.URLScheme(e.Scheme), semconv.URLPath(strings.Clone(e.Path)), attrOrigin.String(e.Origin))
	attrs = appendHost(attrs, strings.Clone(e.Host))
	if _, version, ok := strings.Cut(e.Proto, "/"); ok {
		if version == "2.0" {
			version = "2"
		}
		attrs = append(attrs, semconv.NetworkProtocolVersion(version))
	}
	if e.Client != "" {
		attrs = append(attrs, semconv.ClientAddress(e.Client))
	}
	name := methodName(e.Method)
	if e.Route != "" {
		attrs = append(attrs, semconv.HTTPRoute(e.Route))
		name += " " + e.Route
	}
	if e.Status > 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(e.Status))
	}
	if e.Throttled != "" {
		attrs = append(attrs, attrThrottled.String(e.Throttled))
	}
	if t := e.errorType(e.Status, 500); t != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(t))
	}
	s := rec.start(r, contextWith(r.remote()), r.span, name, kindServer, e.Began, attrs)
	if e.Status >= 500 {
		s.SetStatus(codes.Error, "")
	}

	if e.Wait > 0 || !e.Called.IsZero() {
		within := contextWith(trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: r.trace, SpanID: r.span, TraceFlags: trace.TraceFlags(r.flags), TraceState: r.state,
		}))
		if e.Wait > 0 {
			until := e.Called
			if until.IsZero() {
				until = e.Began.Add(e.Wait)
			}
			rec.end(rec.start(r, within, newSpanID(), "wait for a slot", kindInternal, until.Add(-e.Wait), nil), until)
		}
		if !e.Called.IsZero() {
			r.recordCall(rec, e, within, 0)
		}
	}
	rec.end(s, e.Ended)
}

// recordCall records the call to the function.
func (r *Request) recordCall(rec *recorder, e *Ended, parent context.Context, attempt int) {
	attrs := append(appendMethod(rec.attrs[:0], e.Method), semconv.URLFull(r.tracer.url+e.Path))
	attrs = append(attrs, r.tracer.upstream...)
	if e.FunctionStatus > 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(e.FunctionStatus))
	}
	if t := e.errorType(e.FunctionStatus, 400); t != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(t))
	}
	if attempt > 0 {
		attrs = append(attrs, attrAttempt.Int(attempt))
		if attempt > 1 {
			attrs = append(attrs, semconv.HTTPRequestResendCount(attempt-1))
		}
	}
	s := rec.start(r, parent, r.call, methodName(e.Method), kindClient, e.Called, attrs)
	if e.FunctionStatus >= 400 || e.Error != "" && e.Origin != "client" {
		s.SetStatus(codes.Error, "")
	}
	ended := e.Answered
	if ended.IsZero() {
		ended = e.Ended
	}
	rec.end(s, ended)
}

// errorType is what went wrong, "" where nothing did; statuses from least on are wrong.
func (e *Ended) errorType(status, least int) string {
	switch {
	case e.Throttled != "":
		return e.Throttled
	case e.Error != "":
		return e.Error
	case status >= least:
		return strconv.Itoa(status)
	}
	return ""
}

// remote is the parent that whoever called has named.
func (r *Request) remote() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: r.parent.TraceID, SpanID: r.parent.SpanID, TraceFlags: trace.TraceFlags(r.parent.Flags), TraceState: r.state, Remote: true,
	})
}

// otherMethod begins the names of spans of methods that are not known: there may be any
// number of them.
const otherMethod = "HTTP"

// methodName begins a span's name. The methods are those of RFC 9110 and RFC 5789.
func methodName(method string) string {
	for _, known := range [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"} {
		if method == known {
			return known
		}
	}
	return otherMethod
}

func appendMethod(all []attribute.KeyValue, method string) []attribute.KeyValue {
	if name := methodName(method); name != otherMethod {
		return append(all, semconv.HTTPRequestMethodKey.String(name))
	}
	return append(all, semconv.HTTPRequestMethodOther, semconv.HTTPRequestMethodOriginal(strings.Clone(method)))
}
