package child

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sweepEvery catches what SIGCHLD did not tell: signals are not queued.
const sweepEvery = 5 * time.Second

// functions are the processes that somebody in this package waits for. The lock
// is held while one is started, so that the reaper cannot see a process before
// it is known to be no orphan.
var functions = struct {
	sync.Mutex
	pids map[int]struct{}
}{pids: make(map[int]struct{})}

// startOwned starts a process that reapers will leave alone.
func startOwned(start func() (pid int, err error)) error {
	functions.Lock()
	defer functions.Unlock()
	pid, err := start()
	if err == nil {
		functions.pids[pid] = struct{}{}
	}
	return err
}

func disown(pid int) {
	functions.Lock()
	defer functions.Unlock()
	delete(functions.pids, pid)
}

// A reaper waits for the processes that process 1 of a PID namespace inherits
// when their parents end; nobody else does, and each would stay a zombie and
// keep its number for as long as the container lives.
//
// It peeks at what has ended without reaping it (WNOWAIT), and reaps by number
// whatever is none of the functions: their exit status belongs to who started
// them. A wait for "any" process (-1) would take it now and then.
//
// The methods of a nil reaper do nothing.
type reaper struct {
	log    *slog.Logger
	again  chan struct{} // a function was reaped that may have hidden others
	quit   chan struct{}
	closed sync.Once
	ended  chan struct{}
}

func startReaper(log *slog.Logger) *reaper {
	r := &reaper{
		log:   log,
		again: make(chan struct{}, 1),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	go func() {
		defer close(r.ended)
		defer signal.Stop(died)
		sweep := time.NewTicker(sweepEvery)
		defer sweep.Stop()
		for {
			r.sweep()
			select {
			case <-died:
			case <-r.again:
			case <-sweep.C:
			case <-r.quit:
				return
			}
		}
	}()
	return r
}

func (r *reaper) wake() {
	if r == nil {
		return
	}
	select {
	case r.again <- struct{}{}:
	default: // a sweep is due already
	}
}

func (r *reaper) close() {
	if r == nil {
		return
	}
	r.closed.Do(func() { close(r.quit) })
	<-r.ended
}

// sweep reaps until nothing that ended is left, or one of the functions is next:
// the kernel shows the same process until it is reaped. Whoever waits for that
// one does so at once, and calls wake.
func (r *reaper) sweep() {
	for r.reapOne() {
	}
}

func (r *reaper) reapOne() bool {
	functions.Lock()
	defer functions.Unlock()
	pid, err := peek()
	switch {
	case errors.Is(err, unix.EINTR):
		return true
	case errors.Is(err, unix.ECHILD):
		return false
	case err != nil:
		r.log.Error("cannot look for orphans that ended", "error", err)
		return false
	}
	if _, ours := functions.pids[pid]; pid == 0 || ours {
		return false
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); err != nil && !errors.Is(err, unix.EINTR) {
		r.log.Error("cannot reap an orphan", "process", pid, "error", err)
		return false
	}
	r.log.Debug("reaped an orphan", "process", pid)
	return true
}

// siginfoChild is siginfo_t as waitid(2) fills it in; package unix does not
// export the fields behind the first three.
type siginfoChild struct {
	signo int32
	_     [2]int32 // si_errno and si_code, in this order or the other
	_     [unsafe.Sizeof(uintptr(0))/4 - 1]int32
	pid   int32
	_     [128 - 4*4 - 4*(unsafe.Sizeof(uintptr(0))/4-1)]byte
}

// The kernel writes a whole siginfo_t, so neither may be the smaller one.
var (
	_ [unsafe.Sizeof(siginfoChild{}) - unsafe.Sizeof(unix.Siginfo{})]struct{}
	_ [unsafe.Sizeof(unix.Siginfo{}) - unsafe.Sizeof(siginfoChild{})]struct{}
)

// peek returns the number of a child that has ended and leaves it unreaped; 0
// if none has, ECHILD if there is no child at all.
func peek() (int, error) {
	var info siginfoChild
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return int(info.pid), err
}
