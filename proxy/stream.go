package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"weir/limits"
	"weir/proxy/h1"
	"weir/tracing"
)

// stream is what a connection needs while it carries requests, one after the
// other: buffers, heads, a slot. It is pooled, and nothing in it is allocated per
// request.
type stream struct {
	c      *clientConn
	source h1.Source // from the client
	sink   h1.Sink   // to the client

	client h1.Socket // what source and sink use, where the connection is a plain one

	request  h1.Request
	response h1.Response
	upSink   h1.Sink // to the function
	up, down h1.Relay
	limits   h1.Limits // with the body bound of the settings in force

	description
	settings *Settings
	slot     limits.Slot
	seat     *seat
	account  account
	held     []byte // the request's head
	callID   string // of the call that the request may have become

	origin     *origin
	now        time.Duration // the clock as it was read last: after each read that brought something
	started    bool          // a byte of the final response may have gone to the client
	tunnelled  bool
	readUntil  time.Duration // bound of the request as a whole
	moved      atomic.Int64  // when a byte last moved, on the clock; kept where a bound on idleness asks for it
	consumed   int           // bytes of the source that were the body at hand
	repeatable bool          // the last try's failure may be followed by another try
	body       bodyState
	keep       bool // the connection lives on after this response
	uploading  bool
	uploaded   chan error // what became of the upload, from its goroutine

	mu    sync.Mutex
	cause error

	buffer, answerBuf, sinkBuf, upBuf []byte

	spans   tracing.Request // where traces are kept
	order   AsyncRequest    // what is made of a request that is to be run later
	taken   bodyBuffer      // its body, where that is not at hand whole
	written []byte          // what weir writes of its fields
}

// bodyState says where in the source the request's body is.
type bodyState uint8

const (
	bodyUnread bodyState = iota // the next byte is its first
	bodyRead                    // the next byte is the next request's
	bodyBroken                  // in the middle of it
)

// outcome of one round on a connection.
type connState uint8

const (
	connNext     connState = iota // read another request
	connPark                      // idle: give the goroutine back
	connHandOver                  // net/http carries on
	connLinger                    // close, once the client has read
	connClose
	connClosed // by its tunnel
)

var streams = sync.Pool{New: func() any {
	return &stream{
		seat:      newSeat(),
		up:        h1.Relay{DropTrailer: func(name []byte) bool { return vouched(view(name)) }},
		uploaded:  make(chan error, 1),
		buffer:    make([]byte, readBuffer),
		answerBuf: make([]byte, answerBuffer),
		sinkBuf:   make([]byte, 0, 4<<10),
		upBuf:     make([]byte, 0, 4<<10),
	}
}}

// takeStream prepares a stream for a connection.
func takeStream(c *clientConn) *stream {
	x := streams.Get().(*stream)
	x.c, x.now = c, clock()
	var rw io.ReadWriter = c.conn
	if x.client.Reset(c.conn) {
		rw = &x.client
	}
	x.source.Reset(rw, x.buffer)
	x.sink.Reset(rw, x.sinkBuf)
	x.up.SpliceMin, x.down.SpliceMin = 0, 0 // a relay that could not splice has remembered it
	return x
}

// release gives the stream back to the pool.
func (x *stream) release() {
	x.seat.leave() // as settle did
	x.c, x.settings, x.origin, x.cause, x.held = nil, nil, nil, nil, nil
	x.account = account{}
	if len(x.buffer) != readBuffer { // grown for a large head
		x.buffer = make([]byte, readBuffer)
	}
	if len(x.answerBuf) != answerBuffer {
		x.answerBuf = make([]byte, answerBuffer)
	}
	x.source.Reset(nil, nil)
	x.sink.Reset(nil, nil)
	x.upSink.Reset(nil, nil)
	x.client.Reset(nil)
	x.request.Reset()
	x.response.Reset()
	streams.Put(x)
}

// prefixed reads bytes that were read before, then the connection.
type prefixed struct {
	read []byte
	rest io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.read) == 0 {
		return p.rest.Read(b)
	}
	n := copy(b, p.read)
	p.read = p.read[n:]
	return n, nil
}

// fill reads once from the client, until a moment on the clock.
func (x *stream) fill(until time.Duration) (int, error) {
	if err := x.c.boundRead(until); err != nil {
		return 0, err
	}
	for {
		n, err := x.source.Fill()
		if err == nil {
			x.now = clock()
			return n, nil
		}
		if again, err := x.c.readAgain(err, until); !again {
			return n, err
		}
	}
}

// preface begins a connection of HTTP/2 with prior knowledge (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// next reads one request and carries it.
func (x *stream) next() connState {
	x.request.Reset()
	x.limits = x.c.e.limits
	began := x.now
	var headBy time.Duration
	for {
		if b := x.source.Buffered(); len(b) > 0 {
			if headBy == 0 {
				headBy = forever
				if t := x.c.e.o.HeaderTimeout; t > 0 {
					headBy = x.now + t
				}
			}
			switch {
			case x.c.sniffed || !strings.HasPrefix(preface, view(b[:min(len(b), len(preface))])):
				x.c.sniffed = true
				n, err := x.request.Parse(b, &x.limits)
				if err != nil {
					return x.refuseHead(err)
				}
				if n > 0 {
					return x.carry(n)
				}
			case len(b) >= len(preface):
				return connHandOver
			}
		}
		until := headBy
		waiting := headBy == 0
		if waiting {
			until = x.idleUntil(began)
			x.setIdle(true)
		}
		_, err := x.fill(until)
		if waiting {
			x.setIdle(false)
		}
		switch {
		case err == nil:
		case errors.Is(err, h1.ErrBufferFull):
			if !x.grow() {
				return x.refuseHead(&h1.Error{Fault: h1.FaultHeadTooLarge, Status: http.StatusRequestHeaderFieldsTooLarge})
			}
		case waiting && x.mayPark() && isDeadline(err) && !x.c.interrupted.Load():
			return connPark
		case !waiting && isDeadline(err) && !x.c.interrupted.Load():
			return x.refuseHead(errHeadTimeout)
		default:
			return connClose
		}
	}
}

func (x *stream) setIdle(idle bool) {
	x.c.mu.Lock()
	x.c.idle = idle
	x.c.mu.Unlock()
}

// mayPark reports whether the poller sees all that the client sends. Over TLS
// some of it may have been read and not been decrypted.
func (x *stream) mayPark() bool { return x.c.reg != nil && !x.c.tls }

// idleUntil is how long to wait for the first byte of a request that may come
// from began on: a moment where the connection can be parked then.
func (x *stream) idleUntil(began time.Duration) time.Duration {
	idle := x.c.e.o.IdleTimeout
	if x.mayPark() && (idle == 0 || idle > parkAfter) {
		idle = parkAfter
	}
	if idle == 0 {
		return forever
	}
	return began + idle
}

// grow doubles the read buffer for a large head, up to the bound on heads and
// some room for a body.
func (x *stream) grow() bool {
	size := 2 * len(x.buffer)
	if size > 2*(x.c.e.o.MaxHeaderBytes+readBuffer) {
		return false
	}
	x.buffer = make([]byte, size)
	x.source.Grow(x.buffer)
	return true
}

// view is b as a string that shares its bytes: for as long as they stay.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// headFields gives describe the fields of a head.
type headFields struct{ *h1.Head }

func (h headFields) Get(name string) string { return view(h.Head.Get(name)) }

func (h headFields) Line(name string, i int) (string, bool) {
	at := h.Find(name, 0)
	for ; i > 0 && at >= 0; i-- {
		at = h.Find(name, at+1)
	}
	if at < 0 {
		return "", false
	}
	return view(h.Value(at)), true
}

// last gives the last field of a name in the request's head.
func (x *stream) last(name string) string {
	for i := x.request.Len() - 1; i >= 0; i-- {
		if strings.EqualFold(view(x.request.Name(i)), name) {
			return view(x.request.Value(i))
		}
	}
	return ""
}

// certificate is the name in the client's certificate, found once.
func (c *clientConn) certificate() string {
	if !c.certificateRead {
		c.certificateRead = true
		if t, ok := c.conn.(*tls.Conn); ok {
			state := t.ConnectionState()
			c.certificateName = certificateName(&state)
		}
	}
	return c.certificateName
}

func (x *stream) beginAccount() {
	x.started, x.cause, x.readUntil = false, nil, forever
	x.consumed, x.keep, x.repeatable, x.tunnelled, x.callID = 0, false, false, false, ""
	x.settings = x.c.e.p.settings.Load()
	x.account = account{proto: "HTTP/1.1", client: x.c.remote, began: x.now}
}

// refuseHead answers a message that is no request.
func (x *stream) refuseHead(err error) connState {
	x.beginAccount()
	x.answer(err, true)
	x.settle(err)
	return connLinger
}

// carry takes the request whose head is the next n bytes all its way.
func (x *stream) carry(n int) connState {
	x.beginAccount()
	if x.rare() {
		return connHandOver
	}
	if x.request.Minor() == 0 {
		x.account.proto = "HTTP/1.0"
	}
	x.account.method = x.request.Method().String()
	if x.account.method == "" {
		x.account.method = string(x.request.MethodBytes())
	}
	x.description = describe(x.settings, x.account.method, view(x.request.Target()), headFields{&x.request.Head})
	if x.finishAborted && !x.async {
		return connHandOver
	}
	x.limits.Body = x.settings.MaxBodyBytes
	x.body = bodyUnread
	if !x.request.HasBody() {
		x.body = bodyRead
	}
	x.held = x.source.Hold(n)
	x.request.Rebase(x.held)
	x.account.target = view(x.request.Target())
	if t := x.c.e.p.tracer; t != nil {
		x.trace(t)
	}
	if x.settings.identifies() && !x.async {
		x.settings.identify(&x.call, headFields{&x.request.Head}, sender{x.c.peer(x.settings), x.c.certificate, x.last})
	}
	state := connClose
	switch err := x.loop(); {
	case err != nil:
		state = x.refuse(err)
	case x.async:
		state = x.accept(false)
	case x.c.leftAlready():
		x.settle(errClientGone)
	default:
		state = x.admitAndForward()
	}
	x.source.Release()
	return state
}

// rare reports whether the request is one that net/http carries.
func (x *stream) rare() bool {
	r := &x.request
	if r.Method() == h1.CONNECT || r.ExpectsContinue() || r.ExpectsOther() {
		return true
	}
	if x.c.e.p.calls != nil && strings.HasPrefix(view(r.Path()), callsPrefix) {
		return true
	}
	if x.c.e.p.openfaas {
		if p := string(r.Path()); p == "/_/health" || p == "/_/ready" {
			return true
		}
	}
	return false
}

// admitAndForward asks the gate, then forwards or refuses.
func (x *stream) admitAndForward() connState {
	p := x.c.e.p
	if body := x.request.Body(); x.limits.Body > 0 && body.Length > x.limits.Body {
		return x.refuse(&http.MaxBytesError{Limit: x.limits.Body})
	}
	if err := p.gate.Enter(x.c, &x.call, &x.slot); err != nil {
		if errors.Is(err, context.Canceled) {
			x.settle(errClientGone)
			return connClose
		}
		if x.slot.Waited() > 0 {
			x.now = clock()
		}
		if x.spill && !x.grpc && spills(err) {
			return x.accept(true)
		}
		return x.refuse(err)
	}
	x.now = clock()
	x.account.admitted = true
	x.account.handedOver = x.now
	x.seat.take(p, &x.account, x.slot.Waited())
	if x.requestTimeout > 0 {
		x.readUntil = x.account.handedOver + x.requestTimeout
	}
	return x.forward()
}

// refuse answers without the function, and keeps the connection if the rest of
// the request is small.
func (x *stream) refuse(err error) connState {
	closing := !x.request.KeepAlive() || x.c.e.p.draining.Load() || !x.worthReading()
	ok := x.answer(err, closing)
	x.settle(err)
	switch {
	case !ok:
		return connClose
	case closing, x.body == bodyUnread && !x.discard():
		return connLinger
	}
	return connNext
}

// worthReading reports whether what is left of the request's body can be read for
// the connection's sake.
func (x *stream) worthReading() bool {
	return x.body == bodyRead || x.body == bodyUnread && x.request.Body().Length <= discardAtMost
}

// discard reads what is left of the request's body.
func (x *stream) discard() bool {
	body := x.request.Body()
	x.up.Start(&x.source, nil, body, body, &x.limits)
	for x.up.Moved() <= discardAtMost {
		done, err := x.stepUp()
		if done {
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

// answer writes a response of weir's own and reports whether that succeeded.
func (x *stream) answer(err error, closing bool) bool {
	if err := x.c.boundWrite(x.now, x.settings.ClientWriteTimeout); err != nil {
		return false
	}
	a := x.c.e.p.refusals.answerTo(err, x.grpc, false)
	b := a.appendHead(x.sink.Begin())
	if x.callID != "" {
		b = h1.AppendField(b, "X-Call-Id", x.callID)
	}
	b = x.appendDate(b)
	b = h1.AppendConnection(b, x.options(closing))
	b = h1.Framing{Kind: h1.ByLength, Length: int64(len(a.body))}.AppendTo(b)
	b = h1.AppendEnd(b)
	if x.request.Method() != h1.HEAD {
		b = append(b, a.body...)
	}
	x.sink.Commit(b)
	return x.sink.Flush() == nil
}

// options are the connection options of a response.
func (x *stream) options(closing bool) h1.Option {
	switch {
	case closing:
		return h1.OptionClose
	case x.request.Minor() == 0:
		return h1.OptionKeepAlive
	}
	return 0
}

func (x *stream) appendDate(b []byte) []byte {
	b = append(b, "Date: "...)
	b = append(b, httpDate()...)
	return append(b, '\r', '\n')
}

// fail notes the first thing that went wrong.
func (x *stream) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause == nil {
		x.cause = err
	}
}

func (x *stream) failure() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.cause
}

// settle closes the request's books; err is nil where the function's answer
// ended it.
func (x *stream) settle(err error) {
	x.account.cause = err
	switch {
	case x.account.trace != nil:
		x.account.traceparent = x.spans.Traceparent()
	case x.account.admitted:
		x.account.traceparent = view(x.request.Get("Traceparent"))
	}
	x.seat.leave()
	x.c.e.p.settle(x.settings, &x.slot, &x.account)
}

func isDeadline(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
