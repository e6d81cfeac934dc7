//go:build noqueueserver

package jetstream

import (
	"errors"
	"net"
)

// embedded is not in this build.
type embedded struct{}

var errNoServer = errors.New("jetstream: this build of weir has no queue of its own: set async.nats_url to an external server, or use the build that is not slim")

func startServer(*Options, string) (*embedded, error) { return nil, errNoServer }

func stopServer(*embedded) {}

// InProcessConn is never reached, for there is no server.
func (*embedded) InProcessConn() (net.Conn, error) { return nil, errNoServer }
