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

// AsyncRequest is a request that is to be run later, as the function will get it.
type AsyncRequest struct {
	Method, Target, Host string
	Header               http.Header // end to end
	Body                 []byte
	Key                  string        // idempotency key, "" for none
	Delay                time.Duration // before its first attempt
}

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

// accept reads the request whole and has it run later.
func (x *exchange) accept(spilled bool) {
	if err := x.acceptance(spilled); err != nil {
		x.answer(err)
	}
}

func (x *exchange) acceptance(spilled bool) error {
	p, s := x.p, x.settings
	switch {
	case x.r.Method == http.MethodConnect:
		return errConnect
	case !isToken(x.r.Method):
		return errMethod
	case x.r.RequestURI == "*":
		return errTarget
	case x.grpc:
		return errAsyncGRPC
	case x.r.Header.Get("Upgrade") != "" && x.r.ProtoMajor == 1:
		return errAsyncUpgrade
	case x.r.Header.Get("X-Callback-Url") != "" && !spilled:
		return errAsyncCallback
	case p.draining.Load():
		return &limits.Throttle{Reason: limits.ReasonDraining, RetryAfter: time.Second}
	}
	target, err := asyncTarget(s.Async.Function, originForm(x.r.RequestURI))
	if err != nil {
		return err
	}
	a := &AsyncRequest{Method: x.r.Method, Target: target, Host: x.r.Host}
	if a.Delay, err = asyncDelay(x.r.Header); err != nil {
		return err
	}
	if a.Key, err = asyncKey(x.r.Header); err != nil {
		return err
	}
	limit := s.Async.MaxBody
	if s.MaxBodyBytes > 0 {
		limit = min(limit, s.MaxBodyBytes)
	}
	if x.r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	if a.Body, err = x.readBody(limit); err != nil {
		return err
	}
	defer p.bodies.release(int64(cap(a.Body)))
	a.Header = x.endToEnd()
	// The client may leave: what it has sent is accepted all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), enqueueTimeout)
	defer cancel()
	receipt, err := p.enqueuer.Enqueue(ctx, a)
	x.callID = receipt.ID
	if err != nil {
		return err
	}
	if wait := x.wait; wait > 0 && !spilled {
		if res := x.await(receipt.ID, wait); res != nil {
			x.replay(res)
			return nil
		}
	}
	h := x.w.Header()
	h["Location"] = []string{"/_weir/calls/" + receipt.ID}
	h["X-Call-Id"] = []string{receipt.ID}
	h["Proxy-Status"] = []string{"weir"}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Length"] = []string{"0"}
	if x.preferred {
		h["Preference-Applied"] = []string{"respond-async"}
	}
	if x.closing() {
		h["Connection"] = []string{"close"}
	}
	x.accepted = true
	x.w.WriteHeader(http.StatusAccepted)
	return nil
}

// await gives the answer to a call that ends within the time that its client is
// ready to wait.
func (x *exchange) await(id string, wait time.Duration) *AsyncResponse {
	ctx, cancel := context.WithTimeout(x.r.Context(), wait)
	defer cancel()
	res, err := x.p.enqueuer.Await(ctx, id)
	if err != nil {
		x.p.log.Debug("a call's end could not be awaited", "call", id, "err", err)
		return nil
	}
	return res
}

// replay answers with what the function has answered to the call.
func (x *exchange) replay(res *AsyncResponse) {
	h := x.w.Header()
	for name, values := range res.Header {
		h[name] = values
	}
	h["X-Call-Id"] = []string{x.callID}
	h["Content-Length"] = []string{itoa(len(res.Body))}
	if x.closing() {
		h["Connection"] = []string{"close"}
	}
	x.accepted = true
	x.w.WriteHeader(res.Status)
	if x.r.Method != http.MethodHead && res.Status != http.StatusNoContent && res.Status != http.StatusNotModified {
		_, _ = x.w.Write(res.Body) // a client that left cannot be told
	}
}

// endToEnd gives the fields that the function gets of the request.
func (x *exchange) endToEnd() http.Header {
	out := x.r.Header.Clone()
	removeHopByHop(out)
	out.Del("Content-Length")
	out.Del("X-Call-Id") // weir's own takes its place
	x.forwardPeer(out)
	return out
}
