package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// handOvers is the listener from which net/http gets the connections that the
// engine would rather not carry.
type handOvers struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandOvers() *handOvers {
	return &handOvers{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over; after Close it is closed.
func (h *handOvers) give(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		_ = conn.Close()
	}
}

func (h *handOvers) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handOvers) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// keptOpen is a listener that its server does not close.
type keptOpen struct{ net.Listener }

func (keptOpen) Close() error { return nil }

func (h *handOvers) Addr() net.Addr { return handOverAddr{} }

type handOverAddr struct{}

func (handOverAddr) Network() string { return "weir" }
func (handOverAddr) String() string  { return "handed over" }

// handedOver is a connection of which something has been read already.
type handedOver struct {
	net.Conn
	rest prefixed
	info connInfo
}

func (c *handedOver) Read(b []byte) (int, error) { return c.rest.Read(b) }

// CloseWrite passes a tunnel's half-close on.
func (c *handedOver) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// connInfo is what net/http's requests do not tell of their connection, or not
// without an effort for each.
type connInfo struct {
	once   bool       // it carries one request only
	tls    bool       // it was so when it was handed over
	addr   netip.Addr // the peer's, invalid where it is no IP address
	client string     // the same as it is told to the function
}

type connInfoKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	info := &connInfo{}
	if h, ok := c.(*handedOver); ok {
		*info = h.info
	}
	info.addr, info.client = peerAddr(c.RemoteAddr().String())
	return context.WithValue(ctx, connInfoKey{}, info)
}

// connInfoOf is for requests that came by a Server.
func connInfoOf(ctx context.Context) *connInfo { return ctx.Value(connInfoKey{}).(*connInfo) }
