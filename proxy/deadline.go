package proxy

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// errInterrupted is what reads and writes end with after interrupt.
var errInterrupted = errors.New("proxy: interrupted")

// deadlined is a connection whose reads and writes are bounded at almost no cost:
// the runtime's timers are moved when they have fired or run low, not for each
// message.
//
// Reads belong to one goroutine, and so do writes; interrupt may come from any.
type deadlined struct {
	conn                  net.Conn
	readArmed, writeArmed time.Duration // what the runtime's timers are set to; 0 is not
	interrupted           atomic.Bool
}

// boundRead bounds the reads to come. The timer may be left at an earlier moment:
// when it fires, readAgain tells whether the bound has been reached.
func (d *deadlined) boundRead(by time.Duration) error {
	if by == forever || (d.readArmed != 0 && d.readArmed <= by) {
		return d.stopped()
	}
	return d.armRead(by)
}

func (d *deadlined) armRead(by time.Duration) error {
	var at time.Time
	if by != forever {
		at = clockBase.Add(by)
	}
	if err := d.conn.SetReadDeadline(at); err != nil {
		return err
	}
	d.readArmed = by
	if by == forever {
		d.readArmed = 0
	}
	return d.stopped() // perhaps just before the timer was moved
}

func (d *deadlined) stopped() error {
	if d.interrupted.Load() {
		return errInterrupted
	}
	return nil
}

// readAgain reports whether a read that failed with err did so only because the
// timer was set for an earlier bound than by, and sets it for by.
func (d *deadlined) readAgain(err error, by time.Duration) (bool, error) {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, err
	}
	if d.interrupted.Load() {
		return false, errInterrupted
	}
	if by != forever && clock() >= by {
		return false, err
	}
	if err := d.armRead(by); err != nil {
		return false, err
	}
	return true, nil
}

// boundWrite bounds the writes to come to within, or up to half as much again:
// so the timer is moved once in a while only. 0 is unbounded; now is a recent
// reading of the clock.
func (d *deadlined) boundWrite(now, within time.Duration) error {
	if within == 0 {
		return d.stopped()
	}
	if d.writeArmed >= now+within {
		return d.stopped()
	}
	by := now + within + within/2
	if err := d.conn.SetWriteDeadline(clockBase.Add(by)); err != nil {
		return err
	}
	d.writeArmed = by
	return d.stopped()
}

// interrupt makes reads and writes, now and to come, fail.
func (d *deadlined) interrupt() {
	d.interrupted.Store(true)
	_ = d.conn.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection, which needs none
}

// resume undoes interrupt for whoever interrupted.
func (d *deadlined) resume() {
	if d.interrupted.CompareAndSwap(true, false) {
		_ = d.conn.SetDeadline(time.Time{}) // fails only on a closed connection
		d.readArmed, d.writeArmed = 0, 0
	}
}
