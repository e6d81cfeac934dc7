package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapRoom is how much garbage may gather before it is collected, however little
// is in use. Twice what is in use, the runtime's rule, is next to nothing for a
// sidecar: over HTTP/2, whose requests allocate, it would spend a quarter of its CPU
// on collections. An idle weir does not gather it: the runtime collects every two
// minutes in any case, and gives memory back.
const heapRoom = 16 << 20

// Bounds of the collector's percentage: the runtime's rule, and what gives an empty
// heap its room (the smallest heap is 4 MiB times the percentage).
const (
	leastPercent = 100
	mostPercent  = 100 * heapRoom / (4 << 20)
)

// giveHeapRoom keeps the collector's percentage such that the heap has heapRoom from
// now on. Whoever sets GOGC has decided otherwise; GOMEMLIMIT bounds it as ever.
func giveHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	now := leastPercent
	var adjust func(*collection)
	adjust = func(c *collection) {
		// A change stops the world for a moment: not for little.
		if want := percentFor(liveHeap()); want < now*9/10 || want > now*11/10 {
			debug.SetGCPercent(want)
			now = want
		}
		runtime.SetFinalizer(c, adjust)
	}
	adjust(new(collection))
}

// collection is an object that nobody holds: its finalizer runs after each
// collection.
type collection struct{ _ *int }

// percentFor is the percentage that leaves heapRoom beside live bytes.
func percentFor(live uint64) int {
	return int(min(max(100*heapRoom/max(live, 1), leastPercent), mostPercent))
}

// liveHeap is what the last collection found in use, in bytes.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
