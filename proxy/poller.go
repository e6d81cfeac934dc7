package proxy

import "errors"

// watched is a connection that a poller watches.
type watched interface {
	// readable is called, in a goroutine of its own, when a parked connection has
	// something to read or has ended. The connection is not parked any more.
	readable()
	// hungUp is called from the poller's goroutine when the peer has closed its
	// side of a connection that is not parked. It may be called for nothing, and
	// must not block.
	hungUp()
}

// registration is one connection's place in a poller.
type registration struct {
	fd   int
	conn watched
	// parked is guarded by the poller's lock.
	parked bool
}

// errNoPoller is returned where the system has none that weir knows to use.
var errNoPoller = errors.New("proxy: this system has no epoll")
