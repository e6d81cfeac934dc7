//go:build unix && !linux

package e2e

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// endsWithParent says whether this system tells a process of its parent's death.
const endsWithParent = false

// endsWithTests would take a process along should the tests be killed.
func endsWithTests() *syscall.SysProcAttr { return nil }

// hungUp reports whether the peer has closed the connection; where there are
// bytes before that which nobody has read, it cannot tell.
func hungUp(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	if err := raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = (err == nil && n == 0) || err == unix.ECONNRESET
	}); err != nil {
		return true // closed on this side
	}
	return gone
}
