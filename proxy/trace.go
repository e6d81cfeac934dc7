package proxy

import (
	"net/http"
	"strings"
	"time"

	"weir/metrics"
	"weir/tracing"
)

// recordSpans records a request of a trace that is kept. now is on the clock.
func (p *Proxy) recordSpans(a *account, v verdict, now, waited time.Duration, throttled string) {
	at := wallClock(now)
	e := tracing.Ended{
		Method: a.method, Proto: a.proto, Scheme: a.scheme, Host: a.host, Path: rawPath(a.target), Route: a.route,
		Client: clientAddr(a.client), Origin: v.origin.String(),
		Began: at(a.began), Ended: at(now), Wait: waited,
		Throttled: throttled, Error: errorToken(a.cause, v),
	}
	if v.status != metrics.StatusClientClosedRequest {
		e.Status = v.status
	}
	if a.accepted {
		e.Origin = metrics.OriginWeir.String()
	}
	if a.admitted && a.handedOver > 0 {
		e.Called = at(a.handedOver)
		if a.cause == nil {
			e.FunctionStatus = a.status
		}
		if a.answered > 0 {
			e.Answered = at(a.answered)
		}
	}
	a.trace.End(&e)
}

// recordAttempt records an attempt at an asynchronous call.
func (p *Proxy) recordAttempt(spans *tracing.Request, i *Invocation, res *AsyncResponse, err error, v verdict, began, ended time.Duration) {
	at := wallClock(ended)
	e := tracing.Ended{
		Method: i.Method, Path: rawPath(i.Target), Attempt: i.Attempt, Origin: v.origin.String(), Error: errorToken(err, v),
		Called: at(began), Ended: at(ended),
	}
	if err == nil {
		e.FunctionStatus = res.Status
	}
	spans.End(&e)
}

// wallClock turns moments on the clock into those on the wall, by what both show now: the
// wall's is set right now and then.
func wallClock(now time.Duration) func(time.Duration) time.Time {
	wall := time.Now().Add(-now)
	return func(on time.Duration) time.Time { return wall.Add(on) }
}

// errorToken names what ended a request other than an answer, "" for nothing. Refusals
// have their reason.
func errorToken(err error, v verdict) string {
	switch {
	case err == nil || throttleOf(err) != nil:
		return ""
	case v.status == metrics.StatusClientClosedRequest:
		return "client_left"
	}
	return v.proxyError
}

// trace begins the request's part of a trace. What came of it is not passed on: the
// function gets weir's own.
func (x *stream) trace(t *tracing.Tracer) {
	t.Begin(&x.spans, headFields{&x.request.Head})
	x.request.DropName("Traceparent")
	if !x.spans.Continues() {
		x.request.DropName("Tracestate")
	}
	x.account.trace, x.account.host, x.account.route = &x.spans, view(x.request.Host()), x.route
	x.account.scheme = "http"
	if x.c.tls {
		x.account.scheme = "https"
	}
}

// setTrace sets the fields of the trace that go to the function.
func (x *exchange) setTrace(h http.Header) {
	if x.spans == nil {
		return
	}
	h["Traceparent"] = []string{strings.Clone(x.spans.Traceparent())}
	if !x.spans.Continues() {
		delete(h, "Tracestate")
	}
}
