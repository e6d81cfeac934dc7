package main

import (
	"context"
	"runtime/debug"
	"time"

	"weir/limits"
)

// quiet is how long nothing may have run before weir rests, and how long a rest lasts.
const quiet = 30 * time.Second

// rest gives back memory while nothing runs: garbage of the load before and of
// scrapes, and pages of the program that only load touches.
func (s *sidecar) rest(ctx context.Context) {
	looks := time.NewTicker(quiet)
	defer looks.Stop()
	now := rested{}
	for {
		select {
		case <-looks.C:
			if now.due(s.gate.Snapshot()) {
				s.giveBack()
			}
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
