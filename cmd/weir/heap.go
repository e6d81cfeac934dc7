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

// idleRoom is the same while little garbage is made, of scrapes and probes: the
// runtime's rule lets at least 4 MiB gather, twice what an idle weir has in use.
const idleRoom = 512 << 10

// Bounds of the collector's percentage. The least heap that is collected at all is
// runtimeHeap times the percentage.
const (
	runtimeHeap  = 4 << 20
	leastPercent = 100 * idleRoom / runtimeHeap
	mostPercent  = 100 * heapRoom / runtimeHeap // gives an empty heap its room
)

// giveHeapRoom keeps the collector's percentage such that the heap has heapRoom
// while much garbage is made, and idleRoom otherwise. Whoever sets GOGC has decided
// otherwise; GOMEMLIMIT bounds it as ever.
func giveHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return
	}
	now, pace := 100, pace{at: time.Now()} // the runtime's
	var adjust func(*collection)
	adjust = func(c *collection) {
		live, made := heap()
		// A change stops the world for a moment: not for little.
		if want := percentFor(live, pace.much(time.Now(), made)); want < now*9/10 || want > now*11/10 {
			debug.SetGCPercent(want)
			now = want
		}
		runtime.SetFinalizer(c, adjust)
	}
	runtime.SetFinalizer(new(collection), adjust)
}

// collection is an object that nobody holds: its finalizer runs after each
// collection.
type collection struct{ _ *int }

// percentFor is the percentage to go on with after a collection that found live
// bytes in use.
func percentFor(live uint64, much bool) int {
	if much {
		return int(min(max(100*heapRoom/max(live, 1), 100), mostPercent))
	}
	return int(min(max(100*(live+idleRoom)/runtimeHeap, leastPercent), 100))
}

// Garbage is much if it is more than muchGarbage, in bytes, over paceWindow. One
// scrape is not, though it can bring two collections.
const (
	paceWindow  = 2 * time.Second
	muchGarbage = 4 << 20
)

// pace is how fast the heap is filled: where it was paceWindow ago or more.
type pace struct {
	at   time.Time
	made uint64
}

// much reports whether the heap is filled fast, where made bytes have been
// allocated since the start.
func (p *pace) much(now time.Time, made uint64) bool {
	since := now.Sub(p.at)
	rate := float64(made-p.made) / max(since, paceWindow).Seconds()
	if since >= paceWindow {
		*p = pace{now, made}
	}
	return rate >= muchGarbage/paceWindow.Seconds()
}

// heap is what the last collection found in use, and what has been allocated since
// the start, in bytes.
func heap() (live, made uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
