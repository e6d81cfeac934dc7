package proxy

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A thread that is never out of work is taken off its core by the kernel's clock
// tick, every 4 ms at 250 Hz, and until the next one what waits in its queue is
// stuck with it. That is what the slowest requests of a busy machine are made of.
// Threads that ask for short slices and offer their core from time to time keep
// them short.

// yieldEvery is after how many requests of a connection its thread offers its
// core to other threads of the machine: often enough for some times a millisecond
// under load, seldom enough to cost nothing.
const yieldEvery = 16

// yield offers the thread's core to others.
func yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) } // always succeeds

// slice is the time on a core that weir's threads ask for at a time. It changes
// when they run, not how much.
const slice = 100_000 // ns, the shortest there is

// ShortSlices asks the kernel to let the threads of this process, those there are
// and those to come, run in short slices. Linux does so from 6.12 on; before, it
// ignores it. It is to be called early, and only once.
func ShortSlices() error {
	seen := map[int]bool{}
	// New threads inherit it from the one that starts them, which may be one that
	// has not been reached yet: until all have.
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("/proc/self/task: %w", err)
			}
			if seen[id] {
				continue
			}
			seen[id], again = true, true
			if err := shortSlices(id); err != nil && !errors.Is(err, unix.ESRCH) {
				return os.NewSyscallError("sched_setattr", err)
			}
		}
	}
	return nil
}

// shortSlices changes nothing else about a thread.
func shortSlices(id int) error {
	a, err := unix.SchedGetAttr(id, 0)
	if err != nil {
		return err
	}
	if a.Policy != unix.SCHED_NORMAL {
		return nil // somebody has chosen another
	}
	a.Runtime = slice
	return unix.SchedSetAttr(id, a, 0)
}
