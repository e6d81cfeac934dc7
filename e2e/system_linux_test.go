package e2e

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// endsWithParent says whether this system tells a process of its parent's death.
const endsWithParent = true

// endsWithTests takes a process along should the tests be killed.
func endsWithTests() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// hungUp reports whether the peer has closed the connection, even where there
// are bytes before that which nobody has read.
func hungUp(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	if err := raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n == 1
	}); err != nil {
		return true // closed on this side
	}
	return gone
}
