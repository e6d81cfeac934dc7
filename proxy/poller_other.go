//go:build !linux

package proxy

import "net"

// poller is not to be had here: connections keep their goroutines, and a
// client's departure shows when something is written to it.
type poller struct{}

func newPoller() (*poller, error)                       { return nil, errNoPoller }
func (*poller) add(int, watched) (*registration, error) { return nil, errNoPoller }
func (*poller) park(*registration) error                { return errNoPoller }
func (*poller) remove(*registration) (wasParked bool)   { return false }
func (*poller) close() error                            { return nil }

// rawReader cannot look at unread bytes here.
type rawReader struct{}

func (*rawReader) atEnd(net.Conn) bool { return false }
