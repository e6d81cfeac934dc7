package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"weir/limits"
)

// Enqueuer accepts requests that are to be run later.
type Enqueuer interface {
	// CheckCallback says why the outcome would not be sent to a URL, in words that fit
	// behind "the URL" and do not show it.
	CheckCallback(url string) error
	// Enqueue makes the request durable. It returns one of the errors below, or a
	// *limits.Throttle; with ErrOutcomeUnknown the receipt has the id that the call
	// has if it was written.
	Enqueue(ctx context.Context, r *AsyncRequest) (AsyncReceipt, error)
	// Await waits until the call has ended, or ctx has. It returns what the function
	// answered, nil where there is nothing to show by then.
	Await(ctx context.Context, id string) (*AsyncResponse, error)
}

// What an Enqueuer may answer.
var (
	// ErrKeyReused says that the idempotency key stands for another request.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrQueueUnavailable says that the request was not written.
	ErrQueueUnavailable = errors.New("the queue of asynchronous calls is not available")
	// ErrHeadTooLarge says that the queue does not take a head of this size.
	ErrHeadTooLarge = errors.New("the request's head is too large to be run asynchronously")
	// ErrOutcomeUnknown says that the request may have been written or not.
	ErrOutcomeUnknown = errors.New("the queue of asynchronous calls did not answer in time: the call may run or not")
)

// AsyncRequest is a request that is to be run later, as the function will get it. Its
// strings and its body lie in the buffers of a connection: they are valid until
// Enqueue has returned.
type AsyncRequest struct {
	Method, Target, Host string
	Fields               []Field // end to end, with canonical names
	Body                 []byte
	Key                  string        // idempotency key, "" for none
	Callback             string        // URL that is to be told of the outcome, "" for none
	Delay                time.Duration // before its first attempt
}

// Field is one line of a request's field section.
type Field struct{ Name, Value string }

// AsyncReceipt is what is known of an accepted request.
type AsyncReceipt struct{ ID string }

// AsyncResponse is what the function answered to a call.
type AsyncResponse struct {
	Status int
	Header http.Header
	Body   []byte
}

// AsyncSettings say which requests are run later.
type AsyncSettings struct {
	// Function is the name under /async-function/.
	Function string
	// MaxBody bounds a request's body, in bytes.
	MaxBody int64
	// Spill runs requests later that find every slot taken.
	Spill bool
}

// How long a caller may have a request wait, and itself be kept waiting.
const (
	maxDelay = 24 * time.Hour
	maxWait  = 5 * time.Minute
)

// enqueueTimeout bounds the wait for the queue's answer: a caller that is told
// nothing for longer has gone.
const enqueueTimeout = 10 * time.Second

// spills reports whether a refusal is one that asynchronous calls need not mind.
func spills(err error) bool {
	t := throttleOf(err)
	return t != nil && (t.Reason == limits.ReasonMaxInflight || t.Reason == limits.ReasonQueueFull || t.Reason == limits.ReasonQueueTimeout)
}

// asyncHead is what the rules for accepting a request look at, whichever engine has
// read it.
type asyncHead struct {
	method, target, host string // as they came
	upgrade              bool   // it is an HTTP/1.1 request that asks for another protocol
	length               int64  // of its body, -1 where it is not known yet
	fields               fieldLines
}

// fieldLines gives a request's fields by their canonical names.
type fieldLines interface {
	fields
	// Line gives the field's value number i, from 0, and whether there is one.
	Line(name string, i int) (string, bool)
}

type headerLines struct{ http.Header }

func (h headerLines) Line(name string, i int) (string, bool) {
	if values := h.Header[name]; i < len(values) {
		return values[i], true
	}
	return "", false
}

// order makes what is stored of a request, but for its fields and its body, and gives
// the bound of the latter; or it says why the request cannot be run later.
func (p *Proxy) order(s *Settings, d *description, h *asyncHead) (a AsyncRequest, limit int64, err error) {
	switch {
	case h.method == http.MethodConnect:
		return a, 0, errConnect
	case !isToken(h.method):
		return a, 0, errMethod
	case h.target == "*":
		return a, 0, errTarget
	case d.grpc:
		return a, 0, errAsyncGRPC
	case h.upgrade:
		return a, 0, errAsyncUpgrade
	case p.draining.Load():
		return a, 0, &limits.Throttle{Reason: limits.ReasonDraining, RetryAfter: time.Second}
	}
	a.Method, a.Host = h.method, h.host
	if a.Target, err = asyncTarget(s.Async.Function, originForm(h.target)); err != nil {
		return a, 0, err
	}
	if a.Delay, err = asyncDelay(h.fields); err != nil {
		return a, 0, err
	}
	if a.Key, err = asyncKey(h.fields); err != nil {
		return a, 0, err
	}
	if a.Callback, err = asyncCallback(p.enqueuer, h.fields); err != nil {
		return a, 0, err
	}
	limit = s.Async.MaxBody
	if s.MaxBodyBytes > 0 {
		limit = min(limit, s.MaxBodyBytes)
	}
	if h.length > limit {
		return a, 0, &http.MaxBytesError{Limit: limit}
	}
	return a, limit, nil
}

// acceptedAnswer tells the caller of a call that is on disk.
func acceptedAnswer(id string, preferred bool) answer {
	a := answer{status: http.StatusAccepted, body: []byte{}, fields: make([]field, 0, 5)}
	a.fields = append(a.fields, field{"Location", callsPrefix + id}, field{"X-Call-Id", id}, field{"Proxy-Status", "weir"}, field{"Cache-Control", "no-store"})
	if preferred {
		a.fields = append(a.fields, field{"Preference-Applied", "respond-async"})
	}
	return a
}

// replayedAnswer is what the function has answered to a call.
func replayedAnswer(id string, res *AsyncResponse) answer {
	a := answer{status: res.Status, body: res.Body}
	for name, values := range res.Header {
		for _, v := range values {
			a.fields = append(a.fields, field{name, v})
		}
	}
	a.fields = append(a.fields, field{"X-Call-Id", id})
	if a.body == nil {
		a.body = []byte{}
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		a.body = nil
	}
	return a
}

// awaitCall gives the function's answer to a call that ends within the time that its
// client is ready to wait; ctx ends when the client leaves.
func (p *Proxy) awaitCall(ctx context.Context, id string, wait time.Duration) *AsyncResponse {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	res, err := p.enqueuer.Await(ctx, id)
	if err != nil {
		p.log.Debug("a call's end could not be awaited", "call", id, "err", err)
		return nil
	}
	return res
}

// answerToCall is what the client is told of a call that was written just now.
func (p *Proxy) answerToCall(ctx context.Context, d *description, id string, spilled bool) answer {
	if d.wait > 0 && !spilled {
		if res := p.awaitCall(ctx, id, d.wait); res != nil {
			return replayedAnswer(id, res)
		}
	}
	return acceptedAnswer(id, d.preferred)
}

// accept reads the request whole and has it run later.
func (x *exchange) accept(spilled bool) {
	if err := x.acceptance(spilled); err != nil {
		x.answer(err)
	}
}

func (x *exchange) acceptance(spilled bool) error {
	p := x.p
	a, limit, err := p.order(x.settings, &x.description, &asyncHead{
		method: x.r.Method, target: x.r.RequestURI, host: x.r.Host, length: x.r.ContentLength,
		upgrade: x.r.Header.Get("Upgrade") != "" && x.r.ProtoMajor == 1, fields: headerLines{x.r.Header},
	})
	if err != nil {
		return err
	}
	if a.Body, err = x.readBody(limit); err != nil {
		return err
	}
	defer p.bodies.release(int64(cap(a.Body)))
	a.Fields = x.endToEnd()
	// The client may leave: what it has sent is accepted all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), enqueueTimeout)
	defer cancel()
	receipt, err := p.enqueuer.Enqueue(ctx, &a)
	x.callID = receipt.ID
	if err != nil {
		return err
	}
	x.write(p.answerToCall(x.r.Context(), &x.description, receipt.ID, spilled))
	return nil
}

// write sends the answer to an accepted request.
func (x *exchange) write(a answer) {
	h := x.w.Header()
	for _, f := range a.fields {
		h[f.name] = append(h[f.name], f.value)
	}
	if a.body != nil {
		h["Content-Length"] = []string{itoa(len(a.body))}
	}
	if x.closing() {
		h["Connection"] = []string{"close"}
	}
	x.accepted = true
	x.w.WriteHeader(a.status)
	if len(a.body) > 0 && x.r.Method != http.MethodHead {
		_, _ = x.w.Write(a.body) // a client that left cannot be told
	}
}

// endToEnd gives the fields that the function gets of the request.
func (x *exchange) endToEnd() []Field {
	out := x.r.Header.Clone()
	removeHopByHop(out)
	out.Del("Content-Length")
	out.Del("X-Call-Id") // weir's own takes its place
	x.forwardPeer(out)
	if x.spans != nil {
		x.setTrace(out)
		out["Traceparent"] = []string{x.spans.AcceptedTraceparent()}
	}
	list := make([]Field, 0, len(out)+2)
	for name, values := range out {
		for _, v := range values {
			list = append(list, Field{name, v})
		}
	}
	return list
}
