//go:build !linux

package h1

import (
	"errors"
	"net"
)

// Socket is for Linux; elsewhere connections are read and written by their own
// methods.
type Socket struct{ raw rawConn }

// Reset reports that conn's own methods are to be used.
func (*Socket) Reset(net.Conn) bool { return false }

// Read always fails.
func (*Socket) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Write always fails.
func (*Socket) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (*Socket) writeVec(net.Buffers) (int64, error) { return 0, errors.ErrUnsupported }
