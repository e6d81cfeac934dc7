package proxy

import (
	"math"
	"sync/atomic"
	"time"
)

// watchdog bounds one exchange by every timeout that applies to it with a
// single timer, which is set for the earliest moment at which any of them could
// be over and looks then. Progress only stores a time; it moves no timer.
type watchdog struct {
	base  time.Time
	timer *time.Timer
	bite  func(error) // called at most once, from the timer's goroutine

	request       time.Duration // since base; 0 is off
	responseStart time.Duration // since base; 0 is off
	idle          time.Duration
	read          time.Duration
	write         time.Duration

	started   atomic.Bool  // the response's final head is there
	moved     atomic.Int64 // when a byte last moved, since base
	reading   atomic.Int64 // since when a read of the client's body blocks; 0 is not
	writing   atomic.Int64 // since when a write to the client blocks; 0 is not
	done      atomic.Bool
	hasBitten atomic.Bool
}

// watch starts the watchdog; request and response-start timeouts count from now.
func (d *watchdog) watch(bite func(error)) {
	d.base, d.bite = time.Now(), bite
	if next, _ := d.look(0); next > 0 {
		d.timer = time.AfterFunc(math.MaxInt64, d.check) // check needs the timer
		d.timer.Reset(next)
	}
}

// stop ends the watch: the exchange is over, or has become a tunnel.
func (d *watchdog) stop() {
	d.done.Store(true)
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (d *watchdog) now() int64 { return max(int64(time.Since(d.base)), 1) }

// begin and end bracket an operation that may block on the client.
func (d *watchdog) begin(op *atomic.Int64) { op.Store(d.now()) }

func (d *watchdog) end(op *atomic.Int64, n int) {
	op.Store(0)
	if n > 0 {
		d.moved.Store(d.now())
	}
}

// check runs in the timer's goroutine.
func (d *watchdog) check() {
	if d.done.Load() {
		return
	}
	next, err := d.look(time.Since(d.base))
	if err != nil {
		if d.hasBitten.CompareAndSwap(false, true) {
			d.bite(err)
		}
		return
	}
	if next > 0 {
		d.timer.Reset(next)
	}
}

// look returns the error whose time is over at now, or how long nothing can be
// over, 0 for ever.
func (d *watchdog) look(now time.Duration) (next time.Duration, err error) {
	consider := func(deadline time.Duration, e error) {
		left := deadline - now
		if left <= 0 && err == nil {
			err = e
		}
		if next == 0 || left < next {
			next = left
		}
	}
	// since is the start of what is bounded, or now where it has not begun.
	since := func(t *atomic.Int64) time.Duration {
		if v := time.Duration(t.Load()); v > 0 {
			return v
		}
		return now
	}
	if d.write > 0 {
		consider(since(&d.writing)+d.write, errClientSlowToRead)
	}
	if d.read > 0 {
		consider(since(&d.reading)+d.read, errClientSlowToSend)
	}
	if d.request > 0 {
		consider(d.request, errRequestTimeout)
	}
	if d.responseStart > 0 && !d.started.Load() {
		consider(d.responseStart, errResponseStartTimeout)
	}
	if d.idle > 0 {
		consider(time.Duration(d.moved.Load())+d.idle, errIdle)
	}
	return next, err
}
