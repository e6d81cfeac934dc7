package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"weir/admin"
	"weir/config"
	"weir/limits"
	"weir/metrics"
	"weir/proxy"
	"weir/tracing"
)

// sidecar is all the rooms joined, from listening to the end of a drain.
type sidecar struct {
	log      *slog.Logger
	level    *slog.LevelVar
	config   atomic.Pointer[config.Config]
	gate     *limits.Gate
	rates    routeRates // guarded by whatever serialises reloads
	metrics  *metrics.Metrics
	upstream *proxy.Upstream
	prober   *proxy.Prober
	proxy    *proxy.Proxy
	server   *proxy.Server

	data, public net.Listener
	publicServer *http.Server
	started      atomic.Bool // data is being served
	draining     atomic.Bool
	drained      chan struct{} // closed once a drain is over, however it ended
	scraped      chan struct{} // holds one while a scrape has not been noted by rest
	failed       chan error    // of a server that stopped by itself

	operations operations
	async      *async // nil where it is not asked for
	shared     *sharedLimits
	callers    *callers
	tracer     *tracing.Tracer // nil where no traces are kept
}

// newSidecar opens the ports and joins the rooms; nothing is served yet. On an
// error nothing is left open.
func newSidecar(loaded *config.Loaded, log *slog.Logger, level *slog.LevelVar) (_ *sidecar, err error) {
	c := loaded.Config
	s := &sidecar{log: log, level: level, rates: routeRates{}, drained: make(chan struct{}), scraped: make(chan struct{}, 1), failed: make(chan error, 3)}
	s.config.Store(c)
	if s.gate, err = limits.NewGate(policy(c)); err != nil {
		return nil, err
	}
	s.callers = newCallers(s.gate)
	s.callers.identifiedBy(c.Callers.Kind, c.Callers.Name)
	if s.shared, err = newSharedLimits(c, s.gate, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.shared.close()
		}
	}()
	if c.Async.Enabled {
		if s.async, err = newAsync(c, s.gate, log); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, s.async.close())
			}
		}()
	}
	if s.tracer, err = newTracer(c, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.closeTracer()
		}
	}()
	s.metrics = metrics.New(metrics.Options{
		Function: c.Function.Name, FunctionVersion: c.Function.Version, BuildVersion: buildVersion(),
		OpenFaaS: c.Metrics.Compat == "openfaas", Gate: s.gate.Snapshot, Async: s.async.metrics(), Leases: s.shared.metrics(),
		Traces: traceMetrics(s.tracer),
	})
	s.metrics.Reloaded(time.Now(), true)
	if s.upstream, err = proxy.NewUpstream(proxy.UpstreamOptions{
		Scheme: c.Upstream.Scheme, Address: c.Upstream.Address, ConnectTimeout: c.Upstream.ConnectTimeout,
		IdleTimeout: c.Upstream.IdleTimeout, MaxIdle: c.Upstream.MaxIdle, CA: c.Upstream.CA,
	}); err != nil {
		return nil, err
	}
	s.prober = proxy.NewProber(s.upstream, s.metrics, probeOptions(c), log)
	health := &admin.Health{NotReady: s.notReady, Drained: s.drained}
	s.proxy = proxy.New(proxy.Options{
		Gate: s.gate, Metrics: s.metrics, Upstream: s.upstream, Settings: settings(c, s.rates), Log: log,
		OpenFaaS: c.OpenFaaS, Ready: http.HandlerFunc(health.Ready),
		Enqueuer: s.async.enqueuer(), Calls: s.async.handler(), Tracer: s.tracer,
	})
	if s.async != nil {
		s.async.invoker.proxy = s.proxy
	}
	var tlsConfig *tls.Config
	if c.TLS.Cert != "" {
		files, err := proxy.NewTLSFiles(c.TLS.Cert, c.TLS.Key, c.TLS.ClientCA, log)
		if err != nil {
			return nil, err
		}
		tlsConfig = files.Config()
	}
	if s.server, err = proxy.NewServer(s.proxy, proxy.ServerOptions{
		HeaderTimeout: c.Client.HeaderTimeout, IdleTimeout: c.Client.IdleTimeout,
		MaxHeaderBytes: c.Client.MaxHeaderBytes, TLS: tlsConfig, NetHTTP: c.Client.HTTPEngine == "nethttp",
	}); err != nil {
		return nil, err
	}
	s.publicServer = &http.Server{
		Handler:           health.Handler(s.noteScrapes(s.metrics.Handler(log))),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if s.data, err = listen("--listen", c.Listen); err != nil {
		return nil, err
	}
	if s.public, err = listen("--metrics-listen", c.Metrics.Listen); err != nil {
		return nil, errors.Join(err, s.data.Close())
	}
	if err = s.newOperations(loaded); err != nil {
		return nil, errors.Join(err, s.data.Close(), s.public.Close())
	}
	return s, nil
}

// listen says which setting to change where the address cannot be had.
func listen(flag, address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s: the address is in use by another process; stop that or choose another address", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return ln, nil
}

// notReady is why the sidecar should get no traffic, "" if it should.
func (s *sidecar) notReady() string {
	if s.draining.Load() {
		return "draining"
	}
	if !s.started.Load() {
		return "starting"
	}
	if why := s.prober.Failure(); why != "" {
		return why
	}
	if s.config.Load().Ready.FailOnOverload {
		if g := s.gate.Snapshot(); g.Limit > 0 && g.Inflight >= g.Limit {
			return fmt.Sprintf("overloaded: all %d slots are taken", g.Limit)
		}
	}
	return ""
}

// servePublic begins to serve metrics and health, and the management API.
func (s *sidecar) servePublic() {
	s.log.Info("listening", "port", "metrics", "addr", s.public.Addr().String())
	go func() {
		if err := s.publicServer.Serve(s.public); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serving metrics on %s: %w", s.public.Addr(), err)
		}
	}()
	s.serveAdmin()
}

// serveData begins to serve requests.
func (s *sidecar) serveData() {
	c := s.config.Load()
	s.log.Info("listening", "port", "data", "addr", s.data.Addr().String(),
		"function", c.Function.Name, "max_inflight", maxInflight(c), "overflow", string(c.Limits.Overflow))
	s.started.Store(true)
	if s.async != nil {
		go s.async.queue.Run(context.Background()) // until it is drained
		go s.async.queue.Deliver(context.Background())
	}
	// Not before: the function, if it is a child, is not to inherit it.
	if err := proxy.ShortSlices(); err != nil {
		s.log.Debug("threads run in slices of the usual length", "err", err)
	}
	go func() {
		if err := s.server.Serve(s.data); err != nil {
			s.failed <- err
		}
	}()
}

// apply takes over a reloaded configuration, whole or not at all. What was changed
// through the management API is gone then.
func (s *sidecar) apply(l *config.Loaded) error {
	o := &s.operations
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.use(l.Config); err != nil {
		return err
	}
	if len(o.changes) > 0 {
		s.log.Info("the configuration has changed; limits that the management API had changed are as configured again")
	}
	o.loaded, o.changes = l, nil
	return nil
}

// use puts a configuration in force, whole or not at all.
func (s *sidecar) use(c *config.Config) error {
	s.callers.identifiedBy(c.Callers.Kind, c.Callers.Name) // before any such key is known
	if err := s.gate.SetPolicy(policy(c)); err != nil {
		return err
	}
	if err := s.shared.configure(c); err != nil {
		return err
	}
	s.proxy.Configure(settings(c, s.rates))
	if s.async != nil {
		s.async.queue.Configure(asyncPolicy(c))
		s.async.notifier.configure(c)
	}
	if s.tracer != nil {
		s.tracer.SetSample(c.Tracing.Sample)
	}
	s.prober.Configure(probeOptions(c))
	setLevel(s.level, c)
	s.config.Store(c)
	return nil
}

// reloaded reports the outcome of a reload in log and metric.
func (s *sidecar) reloaded(r config.Reload) {
	s.metrics.Reloaded(r.Time, r.Err == nil)
	if r.Err != nil {
		s.log.Error("configuration not taken over; the old one stays in force", "err", r.Err)
		return
	}
	for _, c := range r.Changes {
		s.log.Info("setting changed", "key", c.Key, "from", c.From, "to", c.To)
	}
	s.log.Info("configuration taken over", "changes", len(r.Changes))
}

// drain ends the data port in order. The end of ctx cuts it short.
func (s *sidecar) drain(ctx context.Context) error {
	c := s.config.Load()
	s.draining.Store(true)
	defer close(s.drained) // stop, the only caller, calls once
	if c.Drain.Delay > 0 && !s.operations.isDrained() {
		s.log.Info("not ready any more, still admitting", "for", c.Drain.Delay)
		timer := time.NewTimer(c.Drain.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	g := s.gate.Snapshot()
	s.log.Info("draining", "inflight", g.Inflight, "waiting", g.Waiting, "timeout", c.Drain.Timeout)
	ctx, cancel := context.WithTimeout(ctx, c.Drain.Timeout)
	defer cancel()
	if err := s.drainAll(ctx); err != nil {
		g := s.gate.Snapshot()
		s.log.Error("drain ended early; what still ran was cut off", "inflight", g.Inflight, "waiting", g.Waiting, "err", err)
		return err
	}
	s.log.Info("drained")
	return nil
}

// drainAll drains both ways at once: the gate counts the calls of both. Attempts at
// asynchronous calls that do not end in time are handed back.
func (s *sidecar) drainAll(ctx context.Context) error {
	if s.async == nil {
		return s.server.Drain(ctx)
	}
	handedBack := make(chan error, 1)
	// A moment earlier, so that handing back does not count as a drain cut short.
	earlier := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		earlier, cancel = context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/10, 2*time.Second)))
		defer cancel()
	}
	go func() { handedBack <- s.async.queue.Drain(earlier) }()
	err := s.server.Drain(ctx)
	if err := <-handedBack; err != nil {
		s.log.Warn("asynchronous calls that did not end in time are handed back", "err", err)
	}
	return err
}

// close gives up what is left once nothing is served any more.
func (s *sidecar) close() {
	_ = s.server.Close()
	_ = s.data.Close() // if it was never served
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.operations.close(ctx)
	_ = s.publicServer.Shutdown(ctx) // a scrape under way may finish
	_ = s.public.Close()
	if err := s.async.close(); err != nil {
		s.log.Error("the queue of asynchronous calls did not close cleanly", "err", err)
	}
	s.shared.close()
	s.upstream.Close()
	s.closeTracer() // after all that may end a request
}
