package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/admin"
	"weir/admin/api"
	"weir/config"
	"weir/proxy"
)

// operations is the management API's side of the sidecar: its port, and what has
// been changed through it.
type operations struct {
	listener net.Listener // nil where it is switched off
	server   *http.Server
	admin    *admin.Admin
	end      context.CancelFunc // of its events

	mu      sync.Mutex
	loaded  *config.Loaded   // what the configuration says
	changes api.LimitsChange // what was changed since, none of it nil
	drained bool             // it has been asked to drain
}

// newOperations opens the port, where there is to be one.
func (s *sidecar) newOperations(loaded *config.Loaded) error {
	s.operations.loaded = loaded
	c := loaded.Config
	if c.Admin.Listen == "" {
		return nil
	}
	o := admin.Options{
		Version:  buildVersion(),
		Function: api.Function{Name: c.Function.Name, Version: c.Function.Version}, Upstream: c.Upstream.URL(),
		Gate: s.gate.Snapshot, Totals: s.metrics.Totals, Running: s.running,
		NotReady: s.notReady, Failure: s.prober.Failure,
		Limits: s.limits, SharedLimits: s.shared.state, ChangeLimits: s.changeLimits, Drain: s.refuse,
		TopCallers:         s.callers.top,
		ClientCertificates: c.Admin.TLSClientCA != "", Log: s.log,
	}
	if s.async != nil {
		o.Queue = s.async.queue
	}
	var err error
	if c.Admin.TokenFile != "" {
		if o.Token, err = admin.NewTokenFile(c.Admin.TokenFile, s.log); err != nil {
			return err
		}
	}
	s.operations.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if c.Admin.TLSCert != "" {
		files, err := proxy.NewTLSFiles(c.Admin.TLSCert, c.Admin.TLSKey, c.Admin.TLSClientCA, s.log)
		if err != nil {
			return err
		}
		s.operations.server.TLSConfig = files.Config()
	}
	if s.operations.listener, err = listen("--admin-listen", c.Admin.Listen); err != nil {
		return err
	}
	s.operations.admin = admin.New(o)
	s.operations.server.Handler = s.operations.admin.Handler()
	return nil
}

// serveAdmin begins to serve the management API.
func (s *sidecar) serveAdmin() {
	o := &s.operations
	if o.listener == nil {
		return
	}
	c := s.config.Load().Admin
	addr := o.listener.Addr()
	s.log.Info("listening", "port", "admin", "addr", addr.String())
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() && c.TLSCert == "" {
		s.log.Warn("the management API's token crosses the network in clear text; set admin.tls_cert and admin.tls_key", "addr", addr.String())
	}
	var ctx context.Context
	ctx, o.end = context.WithCancel(context.Background())
	go o.admin.Run(ctx)
	go func() {
		serve := o.server.Serve
		if o.server.TLSConfig != nil {
			serve = func(ln net.Listener) error { return o.server.ServeTLS(ln, "", "") }
		}
		if err := serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serving the management API on %s: %w", addr, err)
		}
	}()
}

// close ends the management API; who follows its events is told first.
func (o *operations) close(ctx context.Context) {
	if o.end != nil {
		o.end()
	}
	if o.listener != nil {
		_ = o.server.Shutdown(ctx) // an answer under way may finish
		_ = o.listener.Close()     // if it was never served
	}
}

// running gives the table of running requests.
func (s *sidecar) running() []api.Request {
	running := s.proxy.Running()
	requests := make([]api.Request, len(running))
	for i, r := range running {
		requests[i] = api.Request{
			ID: r.ID, Method: r.Method, Path: r.Path, Protocol: r.Protocol, Client: r.Client,
			StartedAt: r.Began.UTC(), WaitedSeconds: r.Waited.Seconds(),
		}
	}
	return requests
}

// The parts of the configuration that the management API changes. Settings of the
// first go by their names, all others by their keys: callers.rate, async.max_share,
// routes./slow.rate.
const (
	limitsSection  = "limits"
	callersSection = "callers"
	asyncSection   = "async"
	routesSection  = "routes"
)

// asyncLimits are the settings of asynchronous calls that limit how many run.
var asyncLimits = []string{"min_share", "max_share"}

// changeable are the parts besides limitsSection.
var changeable = func() []string {
	parts := []string{callersSection, routesSection}
	for _, name := range asyncLimits {
		parts = append(parts, asyncSection+"."+name)
	}
	return parts
}()

// limitSettings gives all parts as the API names them, with the rate of each route.
func limitSettings(c *config.Config) map[string]any {
	values := c.Section(limitsSection)
	for name, value := range c.Section(callersSection) {
		values[callersSection+"."+name] = value
	}
	async := c.Section(asyncSection)
	for _, name := range asyncLimits {
		values[asyncSection+"."+name] = async[name]
	}
	for name, value := range c.RouteRates() {
		values[name] = value
	}
	return values
}

// limits gives the limits in force, and those that are configured.
func (s *sidecar) limits() api.Limits {
	o := &s.operations
	o.mu.Lock()
	defer o.mu.Unlock()
	l := api.Limits{InForce: limitSettings(s.config.Load()), Configured: limitSettings(o.loaded.Config), NeedsRestart: config.Fixed(limitsSection)}
	// Of many routes few have a rate, and the state is told every second.
	for name := range o.loaded.Config.RouteRates() {
		if l.InForce[name] == "0" && l.Configured[name] == "0" {
			delete(l.InForce, name)
			delete(l.Configured, name)
		}
	}
	return l
}

// changeLimits takes over a change, whole or not at all.
func (s *sidecar) changeLimits(change api.LimitsChange) error {
	o := &s.operations
	o.mu.Lock()
	defer o.mu.Unlock()
	configured := limitSettings(o.loaded.Config)
	changes := api.LimitsChange{}
	maps.Copy(changes, o.changes)
	for name, value := range change {
		if _, known := configured[name]; known && value == nil {
			delete(changes, name)
			continue
		}
		changes[name] = value
	}
	c, err := o.loaded.With(limitsSection, changes, changeable...)
	if err != nil {
		return err
	}
	before := limitSettings(s.config.Load())
	if err := s.use(c); err != nil {
		return err
	}
	o.changes = changes
	after := limitSettings(c)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if !reflect.DeepEqual(before[name], after[name]) {
			key := name
			if !strings.Contains(name, ".") {
				key = limitsSection + "." + name
			}
			s.log.Info("setting changed", "key", key, "from", before[name], "to", after[name], "by", "management API")
		}
	}
	return nil
}

// refuse drains without ending: not ready from now on, and once drain.delay is
// over newcomers are refused.
func (s *sidecar) refuse() {
	o := &s.operations
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drained {
		return
	}
	o.drained = true
	s.draining.Store(true)
	g, delay := s.gate.Snapshot(), s.config.Load().Drain.Delay
	s.log.Info("draining as the management API was asked to; staying until told to end", "inflight", g.Inflight, "waiting", g.Waiting, "delay", delay)
	if delay > 0 {
		time.AfterFunc(delay, s.server.Refuse)
		return
	}
	s.server.Refuse()
}

// isDrained reports whether the management API was asked to drain.
func (o *operations) isDrained() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.drained
}
