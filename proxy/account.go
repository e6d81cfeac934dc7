package proxy

import (
	"context"
	"log/slog"
	"time"

	"weir/limits"
	"weir/metrics"
	"weir/tracing"
)

// account is what the books need of a request that has ended, whichever engine
// carried it. Times are on the clock.
type account struct {
	method, target, proto, client string
	traceparent                   string           // the field of that name
	trace                         *tracing.Request // nil where none is kept
	scheme, host, route           string           // for the trace

	began      time.Duration // the head was complete
	handedOver time.Duration // to the function, once admitted
	answered   time.Duration // the function's answer ended; 0 if it did not

	admitted bool
	accepted bool  // to be run later: what becomes of it then counts
	status   int   // of the function's response, where there is no cause
	cause    error // what ended the request other than the function's answer; nil for that
}

// settle frees the slot and counts the outcome. It is called once per request,
// on every path.
func (p *Proxy) settle(s *Settings, slot *limits.Slot, a *account) {
	v := verdict{a.status, metrics.OriginFunction, ""}
	if a.cause != nil {
		v = statusFor(a.cause)
	}
	slot.Leave(outcome(v))

	now, waited := clock(), slot.Waited()
	slot.Forget() // the connection's next request may not get as far as the gate
	throttled := ""
	switch t := throttleOf(a.cause); {
	case t != nil:
		throttled = string(t.Reason)
		p.metrics.Throttled(t, a.method, v.status)
	case a.accepted && a.cause == nil:
	case !a.admitted && waited > 0:
		p.metrics.LeftQueue(a.method, waited)
	default:
		ended := metrics.Request{
			Mode: metrics.Sync, Origin: v.origin, Status: v.status, Method: a.method,
			Admitted: a.admitted, Duration: now - a.began, Waited: waited, Traceparent: a.traceparent,
		}
		if a.admitted {
			ended.Upstream = now - a.handedOver
			if a.answered > 0 {
				ended.Upstream = a.answered - a.handedOver
			}
		}
		p.metrics.Ended(ended)
	}
	if a.trace != nil && a.trace.Recorded() {
		p.recordSpans(a, v, now, waited, throttled)
	}
	if s.logs(v.status) {
		p.logAccess(s, a, v, now-a.began, waited, throttled)
	}
}

func outcome(v verdict) limits.Outcome {
	switch {
	case v.origin == metrics.OriginClient:
		return limits.Aborted
	case v.status == 429:
		return limits.Full
	case v.status >= 500:
		return limits.Failed
	}
	return limits.Succeeded
}

func (p *Proxy) logAccess(s *Settings, a *account, v verdict, took, waited time.Duration, throttled string) {
	attrs := []slog.Attr{
		slog.String("method", a.method),
		slog.String("path", rawPath(a.target)), // queries may carry secrets
		slog.String("proto", a.proto),
		slog.Int("status", v.status),
		slog.String("origin", v.origin.String()),
		slog.String("client", clientAddr(a.client)),
		slog.Duration("duration", took),
		slog.Duration("waited", waited),
	}
	if throttled != "" {
		attrs = append(attrs, slog.String("throttled", throttled))
	}
	if s.AccessLog == AccessSampled {
		attrs = append(attrs, slog.Int("one_in", s.AccessEvery))
	}
	p.log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
