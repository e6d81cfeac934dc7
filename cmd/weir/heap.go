package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapRoom is how much garbage may gather before it is collected, however little
// is in use, while much is made. Twice what is in use, the runtime's rule, is next
// to nothing for a sidecar: over HTTP/2, whose requests allocate, it would spend a
// quarter of its CPU on collections.
const heapRoom = 16 << 20

// Bounds of the collector's percentage: the runtime's rule, and what gives an empty
// heap its room (the smallest heap is 4 MiB times the percentage).
const (
	leastPercent = 100
	mostPercent  = 100 * heapRoom / (4 << 20)
)

// often is how soon after one collection the next one says that much garbage is
// made. What scrapes and probes leave behind takes minutes to fill a heap: an idle
// weir stays as small as it can.
const often = 2 * time.Second

// giveHeapRoom keeps the collector's percentage such that the heap has heapRoom
// whenever collections come often. Whoever sets GOGC has decided otherwise;
// GOMEMLIMIT bounds it as ever.
func giveHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	now, last := leastPercent, time.Time{}
	var adjust func(*collection)
	adjust = func(c *collection) {
		t := time.Now()
		// A change stops the world for a moment: not for little.
		if want := percentFor(liveHeap(), t.Sub(last)); want < now*9/10 || want > now*11/10 {
			debug.SetGCPercent(want)
			now = want
		}
		last = t
		runtime.SetFinalizer(c, adjust)
	}
	runtime.SetFinalizer(new(collection), adjust)
}

// collection is an object that nobody holds: its finalizer runs after each
// collection.
type collection struct{ _ *int }

// percentFor is the percentage to go on with after a collection that found live
// bytes in use and came so long after the one before.
func percentFor(live uint64, since time.Duration) int {
	if since > often {
		return leastPercent
	}
	return int(min(max(100*heapRoom/max(live, 1), leastPercent), mostPercent))
}

// liveHeap is what the last collection found in use, in bytes.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
