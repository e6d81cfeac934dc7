package main

import (
	"context"
	"runtime/debug"
	"time"

	"weir/limits"
)

// quiet is how long nothing may have run before weir rests, and how long a rest lasts;
// begun is when what only the start needed is given back, unless calls run by then.
const (
	quiet = 30 * time.Second
	begun = 2 * time.Second
)

// rest gives back memory while nothing runs: garbage of the load before and of
// scrapes, and pages of the program that only load touches.
func (s *sidecar) rest(ctx context.Context) {
	look := time.NewTimer(begun)
	defer look.Stop()
	now := rested{}
	for {
		select {
		case <-look.C:
			if now.due(s.gate.Snapshot()) {
				s.giveBack()
			}
			look.Reset(quiet)
		case <-ctx.Done():
			return
		}
	}
}

// giveBack returns to the kernel what is not in use.
func (s *sidecar) giveBack() {
	debug.FreeOSMemory()
	if err := releaseImage(); err != nil {
		s.log.Debug("the program's pages stay resident", "err", err)
	}
}

// rested is what the last look found.
type rested struct{ ended uint64 }

// due reports whether nothing has run since the last look.
func (r *rested) due(g limits.Snapshot) bool {
	due := g.Inflight == 0 && g.Waiting == 0 && g.Ended == r.ended
	r.ended = g.Ended
	return due
}
