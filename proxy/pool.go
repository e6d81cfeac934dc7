package proxy

import (
	"context"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/proxy/h1"
)

// pool keeps idle connections to the function, last in first out: those in use
// stay warm, the others age and are closed. A connection that the function
// closes while it is idle is taken out as that happens.
type pool struct {
	dial    func(context.Context) (net.Conn, error)
	poller  *poller // nil where there is none
	maxIdle int
	maxAge  time.Duration

	mu     sync.Mutex
	idle   []*origin
	closed bool
	sweep  *time.Timer // runs while there is something idle
}

// origin is one connection to the function. It belongs to whoever took it.
type origin struct {
	deadlined
	socket h1.Socket
	rw     io.ReadWriter // the socket, or the connection where there is none
	source h1.Source
	reg    *registration
	pool   *pool
	dead   atomic.Bool   // the function has closed its side
	reused bool          // it has carried a request before
	since  time.Duration // idle since
	at     int           // in pool.idle, -1 where it is not
}

func newPool(u *Upstream, p *poller, maxIdle int, maxAge time.Duration) *pool {
	pl := &pool{dial: u.dial, poller: p, maxIdle: maxIdle, maxAge: maxAge}
	pl.sweep = time.AfterFunc(math.MaxInt64, pl.sweepIdle)
	pl.sweep.Stop()
	return pl
}

// take returns an idle connection, nil if there is none.
func (p *pool) take() *origin {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	o := p.idle[n-1]
	p.drop(o)
	return o
}

// drop takes o off the stack. It needs mu.
func (p *pool) drop(o *origin) {
	p.idle = append(p.idle[:o.at], p.idle[o.at+1:]...)
	for i := o.at; i < len(p.idle); i++ {
		p.idle[i].at = i
	}
	o.at = -1
}

// connect makes a new connection.
func (p *pool) connect(ctx context.Context) (*origin, error) {
	conn, err := p.dial(ctx)
	if err != nil {
		return nil, err
	}
	o := &origin{pool: p, at: -1}
	o.conn, o.rw = conn, conn
	if o.socket.Reset(conn) {
		o.rw = &o.socket
	}
	if p.poller != nil {
		if o.reg, err = watch(p.poller, conn, o); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return o, nil
}

// watch adds a connection to the poller.
func watch(p *poller, conn net.Conn, w watched) (reg *registration, err error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	if cerr := raw.Control(func(fd uintptr) { reg, err = p.add(int(fd), w) }); cerr != nil {
		return nil, cerr
	}
	return reg, err
}

// give puts a connection back that is between two messages.
func (p *pool) give(o *origin, now time.Duration) {
	o.reused = true
	p.mu.Lock()
	if p.closed || o.dead.Load() || o.interrupted.Load() || len(p.idle) >= p.maxIdle {
		p.mu.Unlock()
		o.close()
		return
	}
	o.since = now
	o.at = len(p.idle)
	p.idle = append(p.idle, o)
	if len(p.idle) == 1 {
		p.sweep.Reset(p.maxAge)
	}
	p.mu.Unlock()
}

// sweepIdle closes what has been idle for too long, and runs again when the next
// one will have been.
func (p *pool) sweepIdle() {
	now := clock()
	var old []*origin
	p.mu.Lock()
	for len(p.idle) > 0 && now-p.idle[0].since >= p.maxAge {
		old = append(old, p.idle[0])
		p.drop(p.idle[0])
	}
	if len(p.idle) > 0 && !p.closed {
		p.sweep.Reset(max(p.maxAge-(now-p.idle[0].since), time.Millisecond))
	}
	p.mu.Unlock()
	for _, o := range old {
		o.close()
	}
}

// close gives up every idle connection, now and to come.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	for _, o := range idle {
		o.at = -1
	}
	p.sweep.Stop()
	p.mu.Unlock()
	for _, o := range idle {
		o.close()
	}
}

func (o *origin) close() {
	o.unwatch()
	_ = o.conn.Close()
}

func (o *origin) unwatch() {
	if o.reg != nil {
		o.pool.poller.remove(o.reg)
		o.reg = nil
	}
}

// readable is never called: idle connections to the function are not parked.
func (o *origin) readable() {}

// hungUp takes a connection that the function has closed off the stack.
func (o *origin) hungUp() {
	o.dead.Store(true)
	o.pool.mu.Lock()
	idle := o.at >= 0
	if idle {
		o.pool.drop(o)
	}
	o.pool.mu.Unlock()
	if idle {
		o.close()
	}
}
