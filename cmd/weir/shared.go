package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"weir/admin/api"
	"weir/config"
	"weir/limits"
	"weir/limits/lease"
	"weir/limits/lease/natskv"
	"weir/metrics"
)

// sharedLimits are those that the sidecar shares with others, and the connection over
// which it does. Nil where there is none. Configure and close are for one goroutine at a
// time.
type sharedLimits struct {
	log    *slog.Logger
	client *natskv.Client
	scopes []*sharedScope
	life   context.Context
	end    context.CancelFunc
}

// sharedScope is one of them.
type sharedScope struct {
	scope string
	part  *limits.Shared
	name  []string // its key
	// limit gives the number that is configured, 0 for none.
	limit func(*config.Config) int

	running atomic.Pointer[running] // never nil
}

// running is a lease that is held. It is immutable.
type running struct {
	lease *lease.Lease // nil for none
	stop  context.CancelFunc
	done  chan struct{} // closed once it has been given back
	ready chan struct{} // closed once it is there, or cannot be had
}

// newSharedLimits connects where there is something to connect to. Nothing is held yet.
func newSharedLimits(c *config.Config, gate *limits.Gate, log *slog.Logger) (*sharedLimits, error) {
	l := &c.Limits
	if l.NATSURL == "" {
		return nil, nil
	}
	function := []string{"function", c.Function.Name}
	if l.Account != "" {
		function = []string{"account", l.Account, "function", c.Function.Name}
	}
	s := &sharedLimits{log: log, scopes: []*sharedScope{{
		scope: string(limits.ReasonFunction), part: gate.Share(limits.ReasonFunction), name: function,
		limit: func(c *config.Config) int { return c.Limits.FunctionMaxInflight },
	}}}
	if l.Account != "" {
		s.scopes = append(s.scopes, &sharedScope{
			scope: string(limits.ReasonAccount), part: gate.Share(limits.ReasonAccount), name: []string{"account", l.Account},
			limit: func(c *config.Config) int { return c.Limits.AccountMaxInflight },
		})
	}
	for _, scope := range s.scopes {
		scope.running.Store(&running{})
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, s.configure(c)
}

// configure takes over a configuration: leases begin, change and end.
func (s *sharedLimits) configure(c *config.Config) error {
	if s == nil {
		return nil
	}
	for _, scope := range s.scopes {
		next, err := s.with(scope, scope.running.Load(), c)
		if err != nil {
			return err
		}
		scope.running.Store(next)
	}
	return nil
}

func (s *sharedLimits) with(scope *sharedScope, r *running, c *config.Config) (*running, error) {
	l := &c.Limits
	to := lease.Config{Limit: scope.limit(c), OnOutage: lease.OnOutage(l.OnOutage), Time: l.LeaseTime}
	switch {
	case to.Limit == 0 && r.lease != nil:
		r.stop()
		<-r.done
		scope.part.Unbind()
		return &running{}, nil
	case to.Limit == 0:
		return r, nil
	case r.lease != nil:
		r.lease.Configure(to)
		return r, nil
	}
	if s.client == nil {
		client, err := natskv.Open(natskv.Options{
			URL: l.NATSURL, Credentials: l.NATSCredentials, CA: l.NATSCA, Replicas: l.NATSReplicas, Log: s.log,
		})
		if err != nil {
			return r, fmt.Errorf("sharing limits: %w", err)
		}
		s.client = client
	}
	held, err := lease.New(lease.Options{
		Name: scope.scope, Store: s.client.Store(scope.name...), Part: scope.part, Config: to, Log: s.log,
	})
	if err != nil {
		return r, err
	}
	next := &running{lease: held, done: make(chan struct{}), ready: make(chan struct{})}
	var ctx context.Context
	ctx, next.stop = context.WithCancel(s.life)
	go func() {
		defer close(next.done)
		held.Run(ctx, next.ready)
	}()
	return next, nil
}

// leaseWait bounds the wait for the first leases at the start: a sidecar without any
// refuses what it could serve a moment later.
const leaseWait = 3 * time.Second

// await waits until the first leases are there, or are known to be out of reach.
func (s *sharedLimits) await() {
	if s == nil {
		return
	}
	timer := time.NewTimer(leaseWait)
	defer timer.Stop()
	for _, scope := range s.scopes {
		r := scope.running.Load()
		if r.lease == nil {
			continue
		}
		select {
		case <-r.ready:
		case <-timer.C:
			s.log.Warn("serving without a lease of a shared limit so far", "limit", scope.scope)
			return
		}
	}
}

// close gives back what is held.
func (s *sharedLimits) close() {
	if s == nil {
		return
	}
	s.end()
	for _, scope := range s.scopes {
		if r := scope.running.Load(); r.lease != nil {
			<-r.done
		}
	}
	if s.client != nil {
		s.client.Close()
	}
}

// each calls f with every limit that is shared now.
func (s *sharedLimits) each(f func(scope string, s lease.Snapshot)) {
	for _, scope := range s.scopes {
		if r := scope.running.Load(); r.lease != nil {
			f(scope.scope, r.lease.Snapshot())
		}
	}
}

func (s *sharedLimits) metrics() func() []metrics.LeaseSnapshot {
	if s == nil {
		return nil
	}
	return func() []metrics.LeaseSnapshot {
		var all []metrics.LeaseSnapshot
		s.each(func(scope string, l lease.Snapshot) {
			all = append(all, metrics.LeaseSnapshot{Scope: scope, Held: l.Held, Limit: l.InForce, Members: l.Members, Up: l.Up})
		})
		return all
	}
}

func (s *sharedLimits) state() []api.SharedLimit {
	if s == nil {
		return nil
	}
	var all []api.SharedLimit
	s.each(func(scope string, l lease.Snapshot) {
		shared := api.SharedLimit{
			Scope: scope, Held: l.Held, Limit: l.InForce, Configured: l.Limit, Free: l.Free, Members: l.Members, StoreUp: l.Up,
			LeaseSeconds: l.Time.Seconds(), LeaseConfiguredSeconds: l.Configured.Seconds(), OnOutage: string(l.OnOutage),
		}
		if l.Outage {
			shared.Outage = shared.OnOutage
		}
		all = append(all, shared)
	})
	return all
}
