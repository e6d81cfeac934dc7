package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"weir/metrics"
)

// ProbeOptions says how the function's readiness is probed.
type ProbeOptions struct {
	Path     string        // of a GET; empty probes by connecting
	Interval time.Duration // between two probes
	Timeout  time.Duration // of one
}

// Prober asks the function at intervals whether it takes requests. Make one
// with NewProber.
type Prober struct {
	upstream *Upstream
	metrics  *metrics.Metrics
	log      *slog.Logger
	options  atomic.Pointer[ProbeOptions]
	failure  atomic.Pointer[string] // why the last probe failed, "" if it did not
}

// NewProber makes a Prober whose function counts as down until a probe has
// succeeded.
func NewProber(u *Upstream, m *metrics.Metrics, o ProbeOptions, log *slog.Logger) *Prober {
	p := &Prober{upstream: u, metrics: m, log: log}
	unknown := "the function has not been probed yet"
	p.failure.Store(&unknown)
	p.Configure(o)
	return p
}

// Configure changes the options from the next probe on.
func (p *Prober) Configure(o ProbeOptions) { p.options.Store(&o) }

// Failure is why the function counts as down, "" while it is up.
func (p *Prober) Failure() string { return *p.failure.Load() }

// Once probes now.
func (p *Prober) Once(ctx context.Context) error {
	o := p.options.Load()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	err := p.upstream.Probe(ctx, o.Path)
	failure := ""
	if err != nil {
		failure = "the function does not take requests: " + err.Error()
	}
	if old := *p.failure.Swap(&failure); (old == "") != (failure == "") {
		if err == nil {
			p.log.Info("the function takes requests")
		} else {
			p.log.Warn("the function does not take requests", "err", err)
		}
	}
	p.metrics.UpstreamUp(err == nil)
	return err
}

// Run probes until ctx ends.
func (p *Prober) Run(ctx context.Context) {
	for {
		_ = p.Once(ctx) // kept in Failure
		timer := time.NewTimer(p.options.Load().Interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
