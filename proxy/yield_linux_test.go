package proxy

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThreadsOfNowAndLaterRunInShortSlices(t *testing.T) {
	if err := ShortSlices(); err != nil {
		t.Fatal(err)
	}
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if own.Runtime == 0 {
		t.Skip("this kernel knows no slices of one's own: that is Linux 6.12 and later")
	}
	// Threads that did not exist yet.
	done := make(chan struct{})
	defer close(done)
	ready := make(chan struct{})
	for range 4 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- struct{}{}
			<-done
		}()
		<-ready
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	if len(tasks) < 5 {
		t.Fatalf("only %d threads", len(tasks))
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		a, err := unix.SchedGetAttr(id, 0)
		if err != nil {
			continue // it has ended
		}
		if a.Runtime != slice || a.Policy != unix.SCHED_NORMAL || a.Nice != own.Nice {
			t.Errorf("thread %d: slice %d, policy %d, nice %d", id, a.Runtime, a.Policy, a.Nice)
		}
	}
}
