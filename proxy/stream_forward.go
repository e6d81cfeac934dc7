package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"weir/proxy/h1"
)

// forward hands an admitted request to the function and its answer to the
// client. A connection that the function closed while it was idle is no answer:
// the request goes out once more, on a fresh one, where that is safe.
func (x *stream) forward() connState {
	o := x.c.e.pool.take()
	for {
		if o == nil {
			var err error
			if o, err = x.connect(); err != nil {
				return x.failed(err)
			}
			x.now = clock()
		}
		err := x.try(o)
		if err == nil {
			return x.conclude()
		}
		retry := o.reused && x.repeatable
		x.drop(o)
		if !retry {
			return x.failed(err)
		}
		o = nil
	}
}

// connect makes a new connection to the function, within the request's time.
func (x *stream) connect() (*origin, error) {
	var ctx context.Context = x.c
	if x.readUntil != forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, clockBase.Add(x.readUntil), errRequestTimeout)
		defer cancel()
	}
	o, err := x.c.e.pool.connect(ctx)
	switch {
	case err == nil:
		return o, nil
	case x.c.gone.Load():
		return nil, errClientGone
	case context.Cause(ctx) == errRequestTimeout: //nolint:errorlint // set above
		return nil, errRequestTimeout
	}
	return nil, err
}

// hold makes o the connection that the client's departure interrupts.
func (x *stream) hold(o *origin) error {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	if x.c.gone.Load() {
		return errClientGone
	}
	x.c.origin, x.origin = o, o
	return nil
}

// letGo makes o nobody's to interrupt.
func (x *stream) letGo() {
	x.c.mu.Lock()
	x.c.origin, x.origin = nil, nil
	x.c.mu.Unlock()
}

// drop gives a connection up, with what was to be sent on it.
func (x *stream) drop(o *origin) {
	x.letGo()
	o.close()
	x.endUpload(o)
}

// try sends the request on o and relays the answer. repeatable tells afterwards
// whether a failure may be followed by another try.
func (x *stream) try(o *origin) error {
	x.repeatable = false
	if err := x.hold(o); err != nil {
		return err
	}
	o.source.Reset(o.rw, x.answerBuf)
	sent, err := x.send(o)
	if err != nil {
		var sink *h1.SinkError
		x.repeatable = errors.As(err, &sink) && (sent == 0 || x.request.Method().Idempotent()) && x.takeBack()
		return x.because(err)
	}
	n, err := x.head(o)
	if err != nil {
		if n == 0 && (errors.Is(err, io.EOF) || isReset(err)) {
			x.repeatable = x.request.Method().Idempotent() && x.takeBack()
		}
		return x.because(err)
	}
	return x.relay(o, n)
}

// takeBack makes the body readable again for another try, if all of it was at
// hand and still is.
func (x *stream) takeBack() bool {
	if !x.request.HasBody() {
		return true
	}
	if x.body != bodyRead || !x.source.Unread(x.consumed) {
		return false
	}
	x.body = bodyUnread
	return true
}

// send writes the request's head with what is at hand of its body, and leaves
// the rest of it to a goroutine. It returns how many bytes went out.
func (x *stream) send(o *origin) (sent int64, err error) {
	if err := o.boundWrite(x.now, x.requestTimeout); err != nil {
		return 0, err
	}
	x.upSink.Reset(o.rw, x.upBuf)
	x.upSink.Commit(x.appendRequest(x.upSink.Begin()))
	done := true
	if x.request.HasBody() {
		body := x.request.Body()
		before := len(x.source.Buffered())
		x.up.Start(&x.source, &x.upSink, body, body, &x.limits)
		x.body = bodyBroken
		if done, err = x.up.Move(); err != nil {
			return 0, x.uploadFailure(err)
		}
		x.consumed = before - len(x.source.Buffered())
		if done {
			x.body = bodyRead
		}
	}
	if err := x.upSink.Flush(); err != nil {
		return x.upSink.Written(), err
	}
	x.progress()
	sent = x.upSink.Written()
	if !done {
		if x.source.Room() < readBuffer/2 {
			x.growForBody()
		}
		x.uploading = true
		go x.upload(o) // the sink is its own from here on
	}
	return sent, nil
}

// head reads the answer's head into x.response, passing interim ones on. It
// returns how many bytes the final head has, or how many have come with an error.
func (x *stream) head(o *origin) (n int, err error) {
	x.response.Reset()
	for interim := 0; ; {
		if b := o.source.Buffered(); len(b) > 0 {
			n, err := x.response.Parse(b, x.request.Method(), &x.c.e.answerLimits)
			if err != nil {
				return len(b), err
			}
			if n > 0 && !x.response.Interim() {
				if x.response.Status() == http.StatusSwitchingProtocols && !(x.request.UpgradesToWebSocket() && x.response.UpgradesToWebSocket()) {
					return n, errUpgrade
				}
				return n, nil
			}
			if n > 0 {
				if interim++; interim > maxInterim {
					return n, &h1.Error{Fault: h1.FaultStatusLine, Status: http.StatusBadGateway}
				}
				if err := x.interim(); err != nil {
					return n, err
				}
				o.source.Discard(n)
				x.response.Reset()
				continue
			}
		}
		if err := x.fillAnswer(o); err != nil {
			return len(o.source.Buffered()), err
		}
	}
}

// maxInterim bounds the interim responses to one request.
const maxInterim = 128

// interim passes an interim response on, at once. HTTP/1.0 has none.
func (x *stream) interim() error {
	if x.request.Minor() == 0 {
		return nil
	}
	if err := x.c.boundWrite(x.now, x.settings.ClientWriteTimeout); err != nil {
		return err
	}
	b := x.response.AppendLine(x.sink.Begin())
	b = x.response.AppendFields(b, h1.Framing{})
	x.sink.Commit(h1.AppendEnd(b))
	return x.sink.Flush()
}

// fillAnswer reads once from the function, within every bound on its answer.
func (x *stream) fillAnswer(o *origin) error {
	for {
		by := x.answerBy()
		if err := o.boundRead(by); err != nil {
			return err
		}
		n, err := o.source.Fill()
		if n > 0 {
			x.now = clock()
			x.progress()
			return nil
		}
		if errors.Is(err, h1.ErrBufferFull) {
			x.answerBuf = make([]byte, 2*len(x.answerBuf))
			o.source.Grow(x.answerBuf)
			continue
		}
		if again, err := o.readAgain(err, x.answerBy()); !again {
			return err
		}
	}
}

// progress notes that a byte moved just now. It may be called by the upload.
func (x *stream) progress() {
	if x.settings.IdleTimeout > 0 {
		x.moved.Store(int64(clock()))
	}
}

// answerBy is the earliest bound on the next byte of the answer.
func (x *stream) answerBy() time.Duration {
	by := x.readUntil
	if x.responseStartTimeout > 0 && !x.started {
		by = min(by, x.account.handedOver+x.responseStartTimeout)
	}
	if x.settings.IdleTimeout > 0 {
		by = min(by, time.Duration(x.moved.Load())+x.settings.IdleTimeout)
	}
	return by
}

// relay passes on the answer whose head is the next n bytes.
func (x *stream) relay(o *origin, n int) error {
	if x.response.Status() == http.StatusSwitchingProtocols {
		return x.tunnel(o, n)
	}
	// In full duplex the body may well end before the response does.
	x.keep = (x.fullDuplex || x.uploadedSoon()) && x.request.KeepAlive() && !x.c.e.p.draining.Load()
	body, out := x.response.Body(), x.response.Forwarded(x.request.Minor())
	x.keep = x.keep && out.Kind != h1.ByClose
	if err := x.c.boundWrite(x.now, x.settings.ClientWriteTimeout); err != nil {
		return x.because(err)
	}
	b := x.response.AppendLine(x.sink.Begin())
	b = x.response.AppendFields(b, out)
	if !x.response.Has("Date") {
		b = x.appendDate(b)
	}
	b = h1.AppendConnection(b, x.options(!x.keep))
	b = out.AppendTo(b)
	x.sink.Commit(h1.AppendEnd(b))
	x.account.status = x.response.Status()
	x.started = true
	o.source.Discard(n)
	if body.Kind == h1.NoBody {
		out = body
	}
	x.down.Start(&o.source, &x.sink, body, out, &x.c.e.answerLimits)
	for {
		by := x.answerBy()
		if err := o.boundRead(by); err != nil {
			return x.because(err)
		}
		if err := x.c.boundWrite(x.now, x.settings.ClientWriteTimeout); err != nil {
			return x.because(err)
		}
		done, err := x.down.Step()
		if done {
			return nil
		}
		if err == nil {
			x.now = clock()
			x.progress()
			continue
		}
		var source *h1.SourceError
		if errors.As(err, &source) {
			if again, _ := o.readAgain(source.Err, x.answerBy()); again && x.down.Resume() {
				continue
			}
		}
		return x.because(err)
	}
}

// because turns what a read or a write ended with into what ended the request.
func (x *stream) because(err error) error {
	if cause := x.failure(); cause != nil {
		return cause // of the upload, which interrupted this side
	}
	var (
		source *h1.SourceError
		sink   *h1.SinkError
		framed *h1.Error
	)
	switch {
	case x.c.gone.Load():
		return errClientGone
	case errors.Is(err, errInterrupted), x.c.interrupted.Load():
		return errShutdown
	case errors.As(err, &sink) && x.started:
		if isDeadline(err) {
			return errClientSlowToRead
		}
		return errClientGone
	case isDeadline(err):
		switch now := clock(); {
		case now >= x.readUntil:
			return errRequestTimeout
		case x.responseStartTimeout > 0 && !x.started && now >= x.account.handedOver+x.responseStartTimeout:
			return errResponseStartTimeout
		case x.settings.IdleTimeout > 0:
			return errIdle
		}
		return errRequestTimeout // writing to the function took too long
	case errors.As(err, &source):
		return errCutShort
	case errors.As(err, &framed) && x.started:
		return errCutShort
	}
	return err
}

// conclude ends a request that the function has answered.
func (x *stream) conclude() connState {
	o := x.origin
	x.letGo()
	if x.tunnelled {
		x.account.answered = clock()
		x.settle(x.failure())
		return connClosed
	}
	x.account.answered = x.now
	uploading := x.uploading && !x.uploadedSoon()
	x.endUpload(o)
	if uploading || !x.response.KeepAlive() || len(o.source.Buffered()) > 0 {
		o.close()
	} else {
		o.pool.give(o, x.now)
	}
	x.settle(nil)
	switch {
	case uploading:
		return connLinger
	case !x.keep && (x.body != bodyRead || len(x.source.Buffered()) > 0):
		return connLinger
	case !x.keep:
		return connClose
	}
	return connNext
}

// failed ends a request that the function has not answered, or not whole.
func (x *stream) failed(err error) connState {
	if x.started || errors.Is(err, errClientGone) {
		x.settle(err)
		// A reset, lest a body until close look whole.
		if t, ok := x.c.conn.(interface{ SetLinger(int) error }); ok {
			_ = t.SetLinger(0)
		}
		return connClose
	}
	x.now = clock()
	x.sink.Abandon()
	x.c.resume()
	return x.refuse(err)
}

// isReset tells a connection that the function reset from other failures.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// tunnel joins the two connections after a 101 until both directions have ended.
// The request keeps its slot, and no timeout applies.
func (x *stream) tunnel(o *origin, n int) error {
	x.letGo() // a half-close is no departure now: the relay sees to it
	x.c.unwatch()
	o.unwatch()
	x.tunnelled = true
	x.account.status = x.response.Status()
	x.started = true
	b := x.response.AppendLine(x.sink.Begin())
	b = x.response.AppendFields(b, h1.Framing{})
	b = h1.AppendField(b, "Upgrade", "websocket")
	b = h1.AppendConnection(b, h1.OptionUpgrade)
	x.sink.Commit(h1.AppendEnd(b))
	o.source.Discard(n)
	t := &tunnel{client: x.c.conn, upstream: &upgraded{Conn: o.conn, rest: prefixed{o.source.Buffered(), o.conn}}}
	defer t.close()
	x.origin = o
	if err := x.sink.Flush(); err != nil {
		x.fail(errClientGone)
		return nil
	}
	if !x.c.e.p.addTunnel(t) {
		x.fail(errShutdown)
		return nil
	}
	defer x.c.e.p.removeTunnel(t)
	if x.c.conn.SetDeadline(time.Time{}) != nil || o.conn.SetDeadline(time.Time{}) != nil {
		x.fail(errClientGone)
		return nil
	}
	t.run(&prefixed{x.source.Buffered(), x.c.conn})
	return nil
}

// upgraded is the function's side of a tunnel, with what was read of it early.
type upgraded struct {
	net.Conn
	rest prefixed
}

func (u *upgraded) Read(b []byte) (int, error) { return u.rest.Read(b) }

func (u *upgraded) CloseWrite() error {
	if half, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return u.Close()
}
