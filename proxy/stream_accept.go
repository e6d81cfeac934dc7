package proxy

import (
	"context"
	"net/http"

	"weir/proxy/h1"
)

// accept reads the request whole and has it run later, by the rules of
// exchange.acceptance. The connection goes on after it.
func (x *stream) accept(spilled bool) connState {
	defer x.forgetOrder()
	a, err := x.acceptance(spilled)
	if err != nil {
		x.now = clock()
		return x.refuse(err)
	}
	x.now = clock()
	x.account.accepted, x.account.status = true, a.status
	closing := !x.request.KeepAlive() || x.c.e.p.draining.Load()
	ok := x.reply(&a, closing)
	x.settle(nil)
	switch {
	case !ok:
		return connClose
	case closing && len(x.source.Buffered()) > 0:
		return connLinger
	case closing:
		return connClose
	}
	return connNext
}

func (x *stream) acceptance(spilled bool) (answer, error) {
	p, r := x.c.e.p, &x.request
	body := r.Body()
	head := asyncHead{
		method: x.account.method, target: x.account.target, host: view(r.Host()), length: body.Length,
		upgrade: r.Has("Upgrade"), fields: headFields{&r.Head},
	}
	if body.Kind == h1.ByChunks {
		head.length = -1
	}
	a, limit, err := p.order(x.settings, &x.description, &head)
	if err != nil {
		return answer{}, err
	}
	fields := x.order.Fields[:0]
	x.order = a
	if x.order.Body, err = x.readBody(limit); err != nil {
		return answer{}, err
	}
	x.order.Fields = x.endToEnd(fields)
	// The client may leave: what it has sent is accepted all the same.
	ctx, cancel := context.WithTimeout(context.Background(), enqueueTimeout)
	defer cancel()
	receipt, err := p.enqueuer.Enqueue(ctx, &x.order)
	x.callID = receipt.ID
	if err != nil {
		return answer{}, err
	}
	return p.answerToCall(x.c, &x.description, receipt.ID, spilled), nil
}

// forgetOrder gives up what the accepted request needed.
func (x *stream) forgetOrder() {
	x.c.e.p.bodies.release(x.taken.size)
	x.taken = bodyBuffer{}
	clear(x.order.Fields)
	x.order = AsyncRequest{Fields: x.order.Fields[:0]}
}

// reply writes the answer to an accepted request and reports whether that succeeded.
func (x *stream) reply(a *answer, closing bool) bool {
	if err := x.c.boundWrite(x.now, x.settings.ClientWriteTimeout); err != nil {
		return false
	}
	b := a.appendHead(x.sink.Begin())
	dated := false
	for _, f := range a.fields {
		dated = dated || f.name == "Date"
	}
	if !dated {
		b = x.appendDate(b)
	}
	b = h1.AppendConnection(b, x.options(closing))
	if a.body != nil {
		b = h1.Framing{Kind: h1.ByLength, Length: int64(len(a.body))}.AppendTo(b)
	}
	b = h1.AppendEnd(b)
	if x.request.Method() != h1.HEAD {
		b = append(b, a.body...)
	}
	x.sink.Commit(b)
	return x.sink.Flush() == nil
}

// readBody reads the request's body whole, at most limit bytes. One that is at hand
// stays where it lies.
func (x *stream) readBody(limit int64) ([]byte, error) {
	body := x.request.Body()
	if x.body == bodyRead {
		return nil, nil
	}
	if b := x.source.Buffered(); body.Kind == h1.ByLength && int64(len(b)) >= body.Length {
		x.source.Discard(int(body.Length))
		x.body = bodyRead
		return b[:body.Length:body.Length], nil
	}
	size := body.Length
	if body.Kind == h1.ByChunks {
		size = min(firstRead, limit)
	}
	x.taken.budget = &x.c.e.p.bodies
	if !x.taken.grow(size) {
		return nil, errTooMuchBody
	}
	if x.source.Room() < readBuffer/2 {
		x.growForBody()
	}
	x.limits.Body = limit
	x.upSink.Reset(&x.taken, x.upBuf)
	x.up.Start(&x.source, &x.upSink, body, h1.Framing{Kind: h1.ByClose}, &x.limits)
	x.body = bodyBroken
	for {
		done, err := x.stepUp()
		if done {
			x.body = bodyRead
			return x.taken.bytes, nil
		}
		if err != nil {
			if x.taken.refused {
				return nil, errTooMuchBody
			}
			return nil, x.uploadFailure(err)
		}
	}
}

// endToEnd gives the fields that the function gets of the request, as
// exchange.endToEnd does.
func (x *stream) endToEnd(list []Field) []Field {
	r, p := &x.request, x.c.peer(x.settings)
	x.dropVouched(p)
	for i := range r.Len() {
		if !r.Forwards(i, h1.Framing{}) {
			continue
		}
		name := http.CanonicalHeaderKey(view(r.Name(i)))
		switch name {
		case "Host", "Expect", "X-Call-Id": // weir's own takes the last one's place
			continue
		}
		list = append(list, Field{name, view(r.Value(i))})
	}
	host, b := r.Host(), x.written[:0]
	add := func(name string, from int) { list = append(list, Field{name, view(b[from:])}) }
	b = append(x.appendSent(b, "X-Forwarded-For", p), x.c.client...)
	add("X-Forwarded-For", 0)
	list = x.sentOr(list, "X-Forwarded-Host", p, view(host))
	list = x.sentOr(list, "X-Forwarded-Proto", p, p.scheme)
	from := len(b)
	b = x.appendElement(x.appendSent(b, "Forwarded", p), p, host)
	add("Forwarded", from)
	from = len(b)
	b = x.appendPassed(b)
	add(loopField, from)
	via := "1.1 weir"
	if r.Minor() == 0 {
		via = "1.0 weir"
	}
	x.written = b
	if x.account.trace != nil {
		list = append(list, Field{"Traceparent", x.spans.AcceptedTraceparent()})
	}
	return append(list, Field{"Via", via})
}

// sentOr appends what a trusted peer sent, or else own.
func (x *stream) sentOr(list []Field, name string, p *peer, own string) []Field {
	if p.trusted {
		if i := x.request.Find(name, 0); i >= 0 {
			for ; i >= 0; i = x.request.Find(name, i+1) {
				list = append(list, Field{name, view(x.request.Value(i))})
			}
			return list
		}
	}
	return append(list, Field{name, own})
}

// bodyBuffer takes a body that comes in pieces. Its memory counts in the budget.
type bodyBuffer struct {
	budget  *budget
	bytes   []byte
	size    int64 // of the memory
	refused bool  // the budget had no more
}

func (w *bodyBuffer) grow(n int64) bool {
	if !w.budget.take(n) {
		w.refused = true
		return false
	}
	w.size += n
	w.bytes = append(make([]byte, 0, w.size), w.bytes...)
	return true
}

// Write is an h1.Sink's; what is too large the relay has refused.
func (w *bodyBuffer) Write(p []byte) (int, error) {
	if need := int64(len(w.bytes)+len(p)) - w.size; need > 0 && !w.grow(max(need, w.size)) {
		return 0, errTooMuchBody
	}
	w.bytes = append(w.bytes, p...)
	return len(p), nil
}
