package proxy

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/limits"
	"weir/metrics"
	"weir/tracing"
)

// exchange is one request from its complete head to its last byte: its slot,
// its timers and its accounts.
type exchange struct {
	description
	p        *Proxy
	settings *Settings
	r        *http.Request // as it came
	w        responseWriter
	body     *requestBody // its request, nil where the request has none
	bodies   struct {     // memory for what is one each
		request  requestBody
		response responseBody
	}

	spans    *tracing.Request // nil where no traces are kept
	slot     limits.Slot
	seat     *seat // nil until it is admitted
	admitted bool
	dog      watchdog
	cancel   context.CancelCauseFunc

	began      time.Duration
	handedOver time.Duration
	answered   atomic.Int64 // when the function's answer ended; 0 if it did not
	tunnelled  bool
	accepted   bool   // to be run later
	callID     string // of the call that it may be then

	mu       sync.Mutex
	cause    error // what ended the exchange other than the function's answer
	finished bool
}

// control reaches the connection beyond what an http.ResponseWriter can.
func (x *exchange) control() *http.ResponseController {
	return http.NewResponseController(x.w.ResponseWriter)
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
	// Asked before the cancellation: after it weir's own answer may have begun.
	stuck := x.w.started.Load() || errors.Is(err, errClientSlowToRead)
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
		x.note("read", x.control().SetReadDeadline(past))
	}
	if stuck {
		x.note("write", x.control().SetWriteDeadline(past))
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
	if x.clientLeft() && !errors.Is(err, errClientGone) && statusFor(err).origin != metrics.OriginClient && !isTimeout(err) {
		err = errClientGone // whatever else failed, failed because of it
	}
	x.fail(err)
	if x.w.started.Load() || errors.Is(err, errClientGone) {
		panic(http.ErrAbortHandler)
	}
	a := x.p.refusals.answerTo(err, x.grpc, x.closing() || x.unreadBody(err))
	h := x.w.Header()
	clear(h)
	for _, f := range a.fields {
		h[f.name] = []string{f.value}
	}
	if x.callID != "" {
		h["X-Call-Id"] = []string{x.callID}
	}
	if a.body != nil {
		h["Content-Length"] = []string{itoa(len(a.body))}
	}
	x.w.WriteHeader(a.status)
	if a.body != nil && x.r.Method != http.MethodHead {
		_, _ = x.w.Write(a.body) // a client that left cannot be told
	}
}

// clientLeft reports whether the request's context has ended because the client
// left, and not because the reading of its body was cut short.
func (x *exchange) clientLeft() bool {
	return x.r.Context().Err() != nil && (x.body == nil || !x.body.isInterrupted())
}

// closing reports whether the connection ends with this exchange.
func (x *exchange) closing() bool {
	return x.p.draining.Load() || connInfoOf(x.r.Context()).once
}

// unreadBody reports whether what is left of the request's body makes the
// connection useless for another request.
func (x *exchange) unreadBody(err error) bool {
	return errors.Is(err, errClientSlowToSend) || errors.Is(err, errMalformedBody) || errors.Is(err, errTarget) ||
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
	if x.body != nil {
		_ = x.body.Close() // always nil
	}
	x.mu.Lock()
	x.finished = true
	cause := x.cause
	x.mu.Unlock()
	if panicked != nil && cause == nil {
		cause = x.abortCause(panicked)
	}
	a := account{
		method: x.r.Method, target: x.r.RequestURI, proto: x.r.Proto, client: x.r.RemoteAddr,
		traceparent: x.r.Header.Get("Traceparent"),
		began:       x.began, handedOver: x.handedOver, answered: time.Duration(x.answered.Load()),
		admitted: x.admitted, accepted: x.accepted, status: x.w.status, cause: cause,
	}
	if x.spans != nil {
		a.trace, a.traceparent = x.spans, x.spans.Traceparent()
		a.host, a.route, a.scheme = x.r.Host, x.route, "http"
		if x.r.TLS != nil || connInfoOf(x.r.Context()).tls {
			a.scheme = "https"
		}
	}
	if x.seat != nil {
		x.seat.leave()
		spareSeats.Put(x.seat)
	}
	x.p.settle(x.settings, &x.slot, &a)
	if panicked != nil {
		if x.r.ProtoMajor == 1 && !x.tunnelled {
			// net/http would wait for the rest of the body before it closes.
			x.note("read", x.control().SetReadDeadline(time.Unix(1, 0)))
		}
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
	case x.w.err != nil || x.clientLeft():
		return errClientGone
	}
	return errCutShort
}

// boundLeftovers bounds the time in which net/http discards what is left of the
// request's body before the connection's next request, or its end.
func (x *exchange) boundLeftovers() {
	if x.r.ProtoMajor != 1 || x.tunnelled || x.r.ContentLength == 0 || x.body != nil && x.body.ended.Load() {
		return
	}
	within := x.settings.ClientReadTimeout
	if x.body != nil && x.body.isInterrupted() {
		// The answer was there before the body: the client shall get to reading it.
		within = lingering
	}
	if within > 0 {
		x.note("read", x.control().SetReadDeadline(time.Now().Add(within)))
	}
}
