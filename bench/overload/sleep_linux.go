package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleepUntil blocks its thread. The runtime's timers wait in whole milliseconds, which
// is long beside a refusal.
func sleepUntil(t time.Time) {
	for {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // interrupted, it goes on
	}
}
