package sim

import (
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/platinummonkey/go-concurrency-limits/core"
	"github.com/platinummonkey/go-concurrency-limits/limit"

	"weir/limits"
)

// Others' adaptive limits, with their own defaults but for a ceiling that leaves
// room.

const peerCeiling = 1000

// failsafe is failsafe-go's adaptive limiter.
type failsafe struct {
	adaptivelimiter.AdaptiveLimiter[any]
}

func newFailsafe() Limiter {
	return failsafe{adaptivelimiter.NewBuilder[any]().WithLimits(1, peerCeiling, 20).Build()}
}

func (f failsafe) Enter() func(limits.Outcome) {
	permit, ok := f.TryAcquirePermit()
	if !ok {
		return nil
	}
	return func(o limits.Outcome) {
		if o == limits.Succeeded {
			permit.Record()
		} else {
			permit.Drop()
		}
	}
}

// gradient2 is Netflix's algorithm as go-concurrency-limits has it.
type gradient2 struct {
	algorithm core.Limit
	inflight  int
	base      time.Time
}

func newGradient2() Limiter {
	l, err := limit.NewGradient2Limit("sim", 20, peerCeiling, 1, nil, 0.2, 600, nil, nil)
	if err != nil {
		panic(err)
	}
	// In windows, as Netflix's own is used.
	return &gradient2{algorithm: limit.NewDefaultWindowedLimit("sim", l, nil), base: time.Now()}
}

func (g *gradient2) Enter() func(limits.Outcome) {
	if g.inflight >= g.algorithm.EstimatedLimit() {
		return nil
	}
	g.inflight++
	began := time.Now()
	return func(o limits.Outcome) {
		now := time.Now()
		g.algorithm.OnSample(int64(began.Sub(g.base)), int64(now.Sub(began)), g.inflight, o == limits.Failed)
		g.inflight--
	}
}

func (g *gradient2) Limit() int { return g.algorithm.EstimatedLimit() }
