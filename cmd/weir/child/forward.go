package child

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Forwarded are the signals that mean nothing to weir and something to many
// functions, so they are handed on: reopen the log files, dump the state, grow.
//
// Not among them: SIGTERM and SIGINT (weir drains first, then Stop), SIGHUP
// (weir reads its configuration again), SIGQUIT (weir's own stack dump), SIGCHLD,
// SIGURG and SIGPIPE (the Go runtime's), SIGTSTP, SIGTTIN, SIGTTOU and SIGCONT
// (job control of a terminal that the function is detached from), and SIGWINCH:
// nginx and httpd end themselves on it, so that resizing the window in which weir
// runs would stop the function.
var Forwarded = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2}

// Forward hands each of the Forwarded signals that weir receives on to the
// function's process, until stop is called. One that comes after the function
// has ended is dropped, rather than ending weir by its default action.
//
// As everywhere, a signal that comes before the function has installed its
// handler ends it by the default action.
func (c *Child) Forward() (stop func()) {
	// Room for a burst: signals that find the channel full are lost.
	received := make(chan os.Signal, 64)
	signal.Notify(received, Forwarded...)
	quit := make(chan struct{})
	var forwarding sync.WaitGroup
	forwarding.Go(func() {
		for {
			select {
			case sig := <-received:
				if err := c.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
					c.log.Warn("cannot forward a signal to the function", "error", err)
				}
			case <-quit:
				return
			}
		}
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			signal.Stop(received)
			close(quit)
		})
		forwarding.Wait()
	}
}
