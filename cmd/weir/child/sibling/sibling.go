// Package sibling finds the weir that serves in the same container, so that
// another weir process, started there by a lifecycle hook, can tell it to drain.
//
// It promises to signal nothing but that: a process that runs this very program
// file, as `weir run`. Process 1 will not do as a guess: in a pod whose containers
// share their processes it is the pod itself.
package sibling

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ErrNone says that no `weir run` of this program is running here.
var ErrNone = errors.New("no running `weir run` of this program found")

// Drain sends SIGTERM, on which weir drains and ends, to the weir that runs here,
// and returns its process id without waiting for it. Where that weir is itself
// the function of another one, the outer one is told.
//
// The error wraps ErrNone if there is none, or names all of them if there are
// several that do not belong together. Linux only.
func Drain() (pid int, err error) {
	candidates, unseen, err := running()
	if err != nil {
		return 0, fmt.Errorf("drain: %w", err)
	}
	candidates = outermost(candidates)
	switch len(candidates) {
	case 1:
	case 0:
		err := fmt.Errorf("drain: %w; run this in its container, as its user", ErrNone)
		if unseen > 0 {
			err = fmt.Errorf("%w (%d processes of other users were not looked at)", err, unseen)
		}
		return 0, err
	default:
		return 0, fmt.Errorf("drain: several run here: %s; send SIGTERM to the one that is meant", describe(candidates))
	}
	found := candidates[0]
	// The handle was taken before the process was looked at, so that its number
	// cannot have passed to another one in between.
	if err := found.handle.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("drain: send SIGTERM to process %d: %w", found.pid, err)
	}
	return found.pid, nil
}

// A process is one that runs this program.
type process struct {
	pid, parent int
	handle      *os.Process
}

// serves reports whether a command line is one of a weir that stands in front of
// a function, rather than of a hook or a health check.
func serves(command []string) bool {
	return len(command) > 1 && command[1] == "run"
}

// outermost leaves out those whose parent is one of them.
func outermost(processes []process) []process {
	pids := make(map[int]bool, len(processes))
	for _, p := range processes {
		pids[p.pid] = true
	}
	var outer []process
	for _, p := range processes {
		if !pids[p.parent] {
			outer = append(outer, p)
		}
	}
	return outer
}

func describe(processes []process) string {
	lines := make([]string, len(processes))
	for i, p := range processes {
		lines[i] = fmt.Sprintf("process %d", p.pid)
	}
	return strings.Join(lines, ", ")
}
