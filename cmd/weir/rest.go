package main

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"

	"weir/limits"
)

// quiet is how long nothing may have run before weir rests, and how long a rest lasts
// at most; begun is when what only the start needed is given back, unless calls run by
// then; after is how long after a scrape that fell into a rest, the next one begins.
const (
	quiet = 30 * time.Second
	begun = 2 * time.Second
	after = 100 * time.Millisecond
)

// rest gives back memory while nothing runs: garbage of the load before and of
// scrapes, and pages of the program that only those touch.
func (s *sidecar) rest(ctx context.Context) {
	look := time.NewTimer(begun)
	defer look.Stop()
	now := rested{}
	for {
		select {
		case <-look.C:
			now.resting = now.due(s.gate.Snapshot())
			if now.resting {
				s.giveBack()
			}
			look.Reset(quiet)
		case <-s.scraped:
			if now.resting {
				look.Reset(after)
			}
		case <-ctx.Done():
			return
		}
	}
}

// noteScrapes tells rest of each scrape that h has answered.
func (s *sidecar) noteScrapes(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		select {
		case s.scraped <- struct{}{}:
		default: // it has yet to hear of one before
		}
	})
}

// giveBack returns to the kernel what is not in use.
func (s *sidecar) giveBack() {
	debug.FreeOSMemory()
	if err := releaseImage(); err != nil {
		s.log.Debug("the program's pages stay resident", "err", err)
	}
}

// rested is what the last look found.
type rested struct {
	ended   uint64
	resting bool
}

// due reports whether nothing has run since the last look.
func (r *rested) due(g limits.Snapshot) bool {
	due := g.Inflight == 0 && g.Waiting == 0 && g.Ended == r.ended
	r.ended = g.Ended
	return due
}
