package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/limits"
	"weir/metrics"
)

// exchange is one request from its complete head to its last byte: its slot,
// its timers and its accounts.
type exchange struct {
	description
	p        *Proxy
	settings *Settings
	r        *http.Request // as it came
	w        *responseWriter
	rc       *http.ResponseController
	body     *requestBody // nil where the request has none

	slot     limits.Slot
	admitted bool
	dog      watchdog
	cancel   context.CancelCauseFunc

	began      time.Time
	handedOver time.Time
	answered   atomic.Int64 // when the function's answer ended, after handedOver; 0 if it did not
	tunnelled  bool

	mu       sync.Mutex
	cause    error // what ended the exchange other than the function's answer
	finished bool
}

// fail notes the first thing that went wrong; later ones are its consequences.
func (x *exchange) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause == nil {
		x.cause = err
	}
}

// failure is what fail noted first, or else err.
func (x *exchange) failure(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause != nil {
		return x.cause
	}
	return err
}

// interrupt ends an exchange whose time is over: cancelled towards the
// function, and freed from whatever it waits for towards the client.
func (x *exchange) interrupt(err error) {
	x.fail(err)
	x.cancel(err)
	// Once its handler has returned, net/http may use the connection for the next
	// request: its deadlines are no longer this exchange's to set.
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished {
		return
	}
	past := time.Unix(1, 0)
	if x.dog.reading.Load() > 0 {
		x.note("read", x.rc.SetReadDeadline(past))
	}
	if x.w.started.Load() || errors.Is(err, errClientSlowToRead) {
		x.note("write", x.rc.SetWriteDeadline(past))
	}
}

func (x *exchange) note(what string, err error) {
	if err != nil {
		x.p.log.Debug("deadline could not be set", "of", what, "err", err)
	}
}

// answer ends the exchange with a response of weir's own; where the function's
// response has already begun, by aborting the connection, so that what was sent
// can not pass for the whole.
func (x *exchange) answer(err error) {
	err = x.failure(err)
	if x.r.Context().Err() != nil && !errors.Is(err, errClientGone) && statusFor(err).origin != metrics.OriginClient && !isTimeout(err) {
		err = errClientGone // whatever else failed, failed because of it
	}
	x.fail(err)
	if x.w.started.Load() || errors.Is(err, errClientGone) {
		panic(http.ErrAbortHandler)
	}
	a := answerTo(err, x.grpc, x.p.draining.Load() || x.unreadBody(err))
	h := x.w.Header()
	clear(h)
	for _, f := range a.fields {
		h[f.name] = []string{f.value}
	}
	if a.body != nil {
		h["Content-Length"] = []string{itoa(len(a.body))}
	}
	x.w.WriteHeader(a.status)
	if a.body != nil && x.r.Method != http.MethodHead {
		_, _ = x.w.Write(a.body) // a client that left cannot be told
	}
}

// unreadBody reports whether what is left of the request's body makes the
// connection useless for another request.
func (x *exchange) unreadBody(err error) bool {
	return errors.Is(err, errClientSlowToSend) || errors.Is(err, errMalformedBody) ||
		statusFor(err).status == http.StatusRequestEntityTooLarge
}

func isTimeout(err error) bool {
	return errors.Is(err, errRequestTimeout) || errors.Is(err, errResponseStartTimeout) || errors.Is(err, errIdle)
}

// finish closes the books: the slot is free and the outcome counted on every
// path, a panic included.
func (x *exchange) finish() {
	panicked := recover()
	x.dog.stop()
	x.mu.Lock()
	x.finished = true
	cause := x.cause
	x.mu.Unlock()
	if panicked != nil && cause == nil {
		cause = x.abortCause(panicked)
	}
	now := time.Now()
	v := verdict{x.w.status, metrics.OriginFunction, ""}
	if cause != nil {
		v = statusFor(cause)
	}
	x.slot.Leave(outcome(v))

	var throttle *limits.Throttle
	switch {
	case errors.As(cause, &throttle):
		x.p.metrics.Throttled(throttle, x.r.Method, v.status)
		x.logAccess(v, now, slog.String("throttled", string(throttle.Reason)))
	case !x.admitted && x.slot.Waited() > 0:
		x.p.metrics.LeftQueue(x.r.Method, x.slot.Waited())
		x.logAccess(v, now)
	default:
		ended := metrics.Request{
			Mode: metrics.Sync, Origin: v.origin, Status: v.status, Method: x.r.Method,
			Admitted: x.admitted, Duration: now.Sub(x.began), Waited: x.slot.Waited(),
		}
		if x.admitted {
			ended.Upstream = now.Sub(x.handedOver)
			if d := x.answered.Load(); d > 0 {
				ended.Upstream = time.Duration(d)
			}
		}
		x.p.metrics.Ended(ended)
		x.logAccess(v, now)
	}
	if panicked != nil {
		panic(http.ErrAbortHandler)
	}
	x.boundLeftovers()
}

// abortCause says why the forwarder gave up in the middle of a response.
func (x *exchange) abortCause(panicked any) error {
	switch {
	case panicked != http.ErrAbortHandler: //nolint:errorlint // a panic's value
		x.p.log.Error("panic while forwarding a request; this is a bug of weir's", "panic", panicked, "stack", string(debug.Stack()))
		return errInternal
	case x.w.err != nil || x.r.Context().Err() != nil:
		return errClientGone
	}
	return errCutShort
}

// boundLeftovers bounds the time in which net/http discards what is left of the
// request's body before the connection's next request.
func (x *exchange) boundLeftovers() {
	if x.r.ProtoMajor != 1 || x.tunnelled || x.r.ContentLength == 0 || x.settings.ClientReadTimeout == 0 {
		return
	}
	if x.body == nil || !x.body.ended.Load() {
		x.note("read", x.rc.SetReadDeadline(time.Now().Add(x.settings.ClientReadTimeout)))
	}
}

func outcome(v verdict) limits.Outcome {
	switch {
	case v.origin == metrics.OriginClient:
		return limits.Aborted
	case v.status == http.StatusTooManyRequests:
		return limits.Full
	case v.status >= 500:
		return limits.Failed
	}
	return limits.Succeeded
}

// logAccess writes one line for the request where the settings ask for it.
func (x *exchange) logAccess(v verdict, now time.Time, more ...slog.Attr) {
	if x.settings.AccessLog == AccessOff || (x.settings.AccessLog == AccessErrors && v.status < 400) {
		return
	}
	attrs := append([]slog.Attr{
		slog.String("method", x.r.Method),
		slog.String("path", rawPath(x.r.RequestURI)), // queries may carry secrets
		slog.String("proto", x.r.Proto),
		slog.Int("status", v.status),
		slog.String("origin", v.origin.String()),
		slog.String("client", clientAddr(x.r.RemoteAddr)),
		slog.Duration("duration", now.Sub(x.began)),
		slog.Duration("waited", x.slot.Waited()),
	}, more...)
	x.p.log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
