//go:build !linux

package child

import (
	"errors"
	"syscall"
)

// processAttributes puts the function into a session of its own. Only Linux can
// also have it killed when weir is.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}

// awaitExit would wait without reaping; only Linux offers that portably enough.
func awaitExit(int) bool { return false }

// groupRuns reports whether any process of the group is left.
func groupRuns(pgid int) bool {
	return !errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH)
}
