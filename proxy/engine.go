package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/proxy/h1"
)

// engine carries HTTP/1.x on proxy/h1: a goroutine for each connection that is
// doing something, nothing but a descriptor for one that is not. Requests that
// it would rather not carry it hands, with their connection, to net/http.
type engine struct {
	p                    *Proxy
	o                    ServerOptions
	poller               *poller // nil where there is none
	pool                 *pool
	limits, answerLimits h1.Limits
	// handOver gives a connection to net/http, with what was read of it.
	handOver func(conn net.Conn, read []byte)

	mu       sync.Mutex
	conns    map[*clientConn]struct{}
	parked   int         // of conns, when memory was last given back
	idleEnds *time.Timer // looks for parked connections that have been idle too long
	closed   bool
}

const (
	// readBuffer holds a request's head and the beginning of its body.
	readBuffer = 8 << 10
	// answerBuffer holds what is read of a response at a time.
	answerBuffer = 16 << 10
	// parkAfter is how long a connection may be idle and keep its goroutine.
	// Short, for each holds buffers meanwhile; long enough to be spared where
	// requests follow each other.
	parkAfter = 200 * time.Millisecond
	// parkedCheck is how often the age of parked connections is looked at.
	parkedCheck = time.Second
	// parkedWave is how many more connections must be parked for the memory that
	// they needed while they were busy to be given back at once. Left alone, the
	// runtime would keep it for minutes where little happens.
	parkedWave = 1000
	// lingering bounds how long a connection that was refused something is kept,
	// so that the client reads why before it learns that nobody listens.
	lingering = 500 * time.Millisecond
	// discardAtMost is what is read of a refused request's body for the sake of its
	// connection.
	discardAtMost = 256 << 10
)

func newEngine(p *Proxy, o ServerOptions, handOver func(net.Conn, []byte)) (*engine, error) {
	e := &engine{
		p: p, o: o, handOver: handOver, conns: map[*clientConn]struct{}{},
		// A target that leaves no room for fields is too long by itself.
		limits: h1.Limits{Head: o.MaxHeaderBytes, Target: min(o.MaxHeaderBytes/2, h1.DefaultTarget)},
	}
	poller, err := newPoller()
	if err != nil && !errors.Is(err, errNoPoller) {
		return nil, err
	}
	e.poller = poller
	e.pool = newPool(p.upstream, poller, p.upstream.maxIdle, p.upstream.idleTimeout)
	e.idleEnds = time.AfterFunc(math.MaxInt64, e.endIdle) // which needs it
	e.idleEnds.Reset(parkedCheck)
	return e, nil
}

// serve carries the requests of a new connection. It returns when the connection
// is closed, parked or handed over.
func (e *engine) serve(conn net.Conn) {
	c := &clientConn{e: e, remote: conn.RemoteAddr().String()}
	c.conn = conn
	socket := conn
	if t, ok := conn.(*tls.Conn); ok {
		c.tls, socket = true, t.NetConn()
	}
	if e.poller != nil {
		var err error
		if c.reg, err = watch(e.poller, socket, c); err != nil {
			e.p.log.Error("connection cannot be watched; its client's departure will show late", "err", err)
		}
	}
	if !e.track(c) {
		c.unwatch()
		_ = conn.Close()
		return
	}
	c.serve()
}

func (e *engine) track(c *clientConn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.conns[c] = struct{}{}
	return true
}

func (e *engine) untrack(c *clientConn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}

// endIdle closes parked connections that have been idle for longer than the
// client's idle timeout.
func (e *engine) endIdle() {
	now := clock()
	var old []*clientConn
	parked := 0
	e.mu.Lock()
	for c := range e.conns {
		since := time.Duration(c.parkedSince.Load())
		if since == 0 {
			continue
		}
		parked++
		if e.o.IdleTimeout > 0 && now-since >= e.o.IdleTimeout {
			old = append(old, c)
		}
	}
	wave := parked >= e.parked+parkedWave
	if wave || parked < e.parked {
		e.parked = parked
	}
	if !e.closed {
		e.idleEnds.Reset(parkedCheck)
	}
	e.mu.Unlock()
	for _, c := range old {
		c.closeParked()
	}
	if wave {
		// Twice, for pools keep what they hold over one collection.
		runtime.GC()
		debug.FreeOSMemory()
	}
}

// shutdown closes idle connections and refuses new ones; it reports whether any
// is left that is doing something.
func (e *engine) shutdown() (busy bool) {
	e.mu.Lock()
	e.closed = true
	e.idleEnds.Stop()
	conns := make([]*clientConn, 0, len(e.conns))
	for c := range e.conns {
		conns = append(conns, c)
	}
	e.mu.Unlock()
	for _, c := range conns {
		if !c.closeParked() && !c.closeIdle() {
			busy = true
		}
	}
	return busy
}

// close cuts everything off.
func (e *engine) close() {
	e.shutdown()
	e.mu.Lock()
	conns := make([]*clientConn, 0, len(e.conns))
	for c := range e.conns {
		conns = append(conns, c)
	}
	e.mu.Unlock()
	for _, c := range conns {
		c.cutOff()
	}
	e.pool.close()
	if e.poller != nil {
		if err := e.poller.close(); err != nil {
			e.p.log.Error("poller did not close", "err", err)
		}
	}
}

// clientConn is one client's connection: small while it is parked.
type clientConn struct {
	deadlined
	e       *engine
	reg     *registration // nil where it is not watched
	remote  string
	tls     bool
	served  uint32 // requests
	sniffed bool   // it is known not to be HTTP/2
	client  string // the peer's address as it is told to the function
	peerIs  peer
	peerOf  *Settings // under which peerIs was made

	certificateName string
	certificateRead bool

	parkedSince atomic.Int64 // on the clock; 0 while it is not parked
	hup         atomic.Bool  // the poller has told of a hang-up
	gone        atomic.Bool  // the client has left: it hung up and nothing is unread

	mu sync.Mutex
	// idle is true while the connection waits for the first byte of a request.
	idle bool
	// origin is the connection to the function that a departing client interrupts.
	origin *origin
	left   chan struct{} // closed when the client leaves; made when asked for
	reader rawReader     // for looking at what is unread
}

// serve reads and carries requests until the connection ends, is handed over or
// is parked.
func (c *clientConn) serve() {
	x := takeStream(c)
	for {
		switch x.next() {
		case connNext:
			if c.served++; c.served%yieldEvery == 0 {
				yield()
			}
			continue
		case connPark:
			x.release()
			c.park()
			return
		case connHandOver:
			rest := append([]byte(nil), x.source.Buffered()...)
			x.release()
			c.detach()
			c.e.handOver(c.conn, rest)
			return
		case connLinger:
			c.linger(x)
		case connClosed:
			x.release()
			c.e.untrack(c)
			return
		case connClose:
		}
		x.release()
		c.close()
		return
	}
}

// park gives the connection to the poller.
func (c *clientConn) park() {
	c.parkedSince.Store(int64(clock()))
	c.e.mu.Lock()
	closed := c.e.closed
	c.e.mu.Unlock()
	if err := c.armRead(forever); err != nil || closed {
		c.parkedSince.Store(0)
		c.close()
		return
	}
	if err := c.e.poller.park(c.reg); err != nil {
		c.e.p.log.Error("connection cannot be parked", "err", err)
		c.parkedSince.Store(0)
		c.close()
	}
}

// readable goes on with a parked connection.
func (c *clientConn) readable() {
	c.parkedSince.Store(0)
	c.serve()
}

// closeParked closes the connection if it is parked, and reports whether it
// was.
func (c *clientConn) closeParked() bool {
	if c.reg == nil || c.parkedSince.Load() == 0 || !c.e.poller.remove(c.reg) {
		return false
	}
	c.close()
	return true
}

// closeIdle ends the connection if it waits for a request, and reports whether
// it did.
func (c *clientConn) closeIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle {
		c.interrupt()
	}
	return c.idle
}

// cutOff ends the connection whatever it does.
func (c *clientConn) cutOff() {
	c.closeParked()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt()
	if c.origin != nil {
		c.origin.interrupt()
	}
	c.leave()
}

// detach takes the connection out of the engine's hands, open.
func (c *clientConn) detach() {
	c.unwatch()
	c.e.untrack(c)
	_ = c.conn.SetDeadline(time.Time{}) // fails on a closed connection only
}

func (c *clientConn) close() {
	c.unwatch()
	c.e.untrack(c)
	_ = c.conn.Close()
}

// unwatch ends the poller's watch. The connection must not be parked by anyone
// else.
func (c *clientConn) unwatch() {
	if c.reg != nil {
		c.e.poller.remove(c.reg)
	}
}

// linger reads on for a moment after the last response, for closing with bytes
// unread would reset the connection, and the response with it.
func (c *clientConn) linger(x *stream) {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	x.source.Release()
	x.source.Discard(len(x.source.Buffered()))
	c.resume()
	until := clock() + lingering
	for read := 0; read < discardAtMost; {
		n, err := x.fill(until)
		if err != nil {
			return
		}
		read += n
		x.source.Discard(n)
	}
}

// hungUp is told by the poller that the client has closed its side.
func (c *clientConn) hungUp() {
	c.hup.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	// What is unread comes first: requests that were sent ahead. Over TLS it is
	// the notice of the end itself.
	if c.idle || !c.tls && !c.reader.atEnd(c.conn) {
		return
	}
	c.leave()
	if c.origin != nil {
		c.origin.interrupt()
	}
}

// leftAlready reports whether the client hung up before anybody looked, right after it
// sent its request.
func (c *clientConn) leftAlready() bool {
	if !c.hup.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tls || c.reader.atEnd(c.conn) {
		c.leave()
	}
	return c.gone.Load()
}

// leave notes that the client has left. It needs mu.
func (c *clientConn) leave() {
	c.gone.Store(true)
	if c.left != nil {
		select {
		case <-c.left:
		default:
			close(c.left)
		}
	}
}

// A clientConn is the context of what waits for its sake: the gate's queue, a
// connection attempt. Its channel is made only when somebody waits.
var _ context.Context = (*clientConn)(nil)

// Deadline is none: deadlines are the requests'.
func (c *clientConn) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the client leaves.
func (c *clientConn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == nil {
		c.left = make(chan struct{})
		if c.gone.Load() {
			close(c.left)
		}
	}
	return c.left
}

// Err is context.Canceled once the client has left.
func (c *clientConn) Err() error {
	if c.gone.Load() {
		return context.Canceled
	}
	return nil
}

// Value is nil for every key.
func (c *clientConn) Value(any) any { return nil }
