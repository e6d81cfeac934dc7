package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"weir/config"
	"weir/limits"
	"weir/metrics"
	"weir/proxy"
	"weir/queue"
	"weir/queue/jetstream"
	"weir/webhook"
)

// async is the queue and what joins it with the data path.
type async struct {
	store    *jetstream.Store
	queue    *queue.Queue
	invoker  *invoker
	notifier *notifier
}

// How often the store is asked for calls that nobody here has put into it: an
// external one less often, for all weirs ask it.
const (
	pollOwn      = 250 * time.Millisecond
	pollExternal = time.Second
)

// openTimeout bounds the opening of the queue, which reads what it has stored.
const openTimeout = 5 * time.Minute

func newAsync(c *config.Config, gate *limits.Gate, log *slog.Logger) (*async, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	store, err := jetstream.Open(ctx, jetstream.Options{
		Function: c.Function.Name, Dir: c.Async.Dir, AnyFilesystem: c.Async.AnyFilesystem, MaxBytes: c.Async.MaxStore,
		URL: c.Async.NATSURL, Credentials: c.Async.NATSCredentials, CA: c.Async.NATSCA, Replicas: c.Async.NATSReplicas,
		Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the queue of asynchronous calls: %w", err)
	}
	poll, where := pollOwn, c.Async.Dir
	if c.Async.NATSURL != "" {
		poll, where = pollExternal, "external"
	}
	a := &async{store: store, invoker: &invoker{}}
	if a.notifier, err = newNotifier(c, store, log); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	a.queue = queue.New(queue.Options{
		Store: store, Gate: gate, Invoker: a.invoker, Notifier: a.notifier, Policy: asyncPolicy(c), Log: log, Poll: poll,
	})
	log.Info("queue of asynchronous calls opened", "store", where, "took", time.Since(began).Round(time.Millisecond))
	return a, nil
}

// asyncPolicy is what is set about all calls, and about those of routes, which are
// found by what the function gets of a call.
func asyncPolicy(c *config.Config) queue.Policy {
	p := generalPolicy(c)
	var (
		own     []*queue.Policy // nil where a route says nothing
		any     bool
		matcher proxy.Settings
	)
	for _, r := range c.Routes {
		matcher.Routes = append(matcher.Routes, proxy.Route{Path: r.Path, Methods: r.Methods})
		own = append(own, routePolicy(p, &r.Async))
		any = any || own[len(own)-1] != nil
	}
	if any {
		p.Of = func(method, target string) *queue.Policy {
			if i := matcher.RouteOf(method, target); i >= 0 {
				return own[i]
			}
			return nil
		}
	}
	return p
}

func routePolicy(p queue.Policy, r *config.RouteAsync) *queue.Policy {
	if *r == (config.RouteAsync{}) {
		return nil
	}
	if r.Attempts != nil {
		p.MaxAttempts = *r.Attempts
	}
	if r.RetryStatuses != nil {
		p.RetryStatuses = *r.RetryStatuses
	}
	for to, from := range map[*time.Duration]*time.Duration{
		&p.Backoff: r.Backoff, &p.BackoffMax: r.BackoffMax, &p.AttemptTimeout: r.Timeout,
		&p.MaxAge: r.MaxAge, &p.Retention: r.Retention, &p.DeadRetention: r.DeadRetention,
	} {
		if from != nil {
			*to = *from
		}
	}
	return &p
}

func generalPolicy(c *config.Config) queue.Policy {
	p := queue.DefaultPolicy()
	p.RetryStatuses = c.Async.RetryStatuses
	p.MaxAttempts, p.Backoff, p.BackoffMax = c.Async.Attempts, c.Async.Backoff, c.Async.BackoffMax
	p.AttemptTimeout, p.MaxAge = c.Async.Timeout, c.Async.MaxAge
	p.Retention, p.KeyRetention, p.DeadRetention = c.Async.Retention, c.Async.KeyRetention, c.Async.DeadRetention
	p.MaxResponse = c.Async.MaxResponse
	p.OnSuccess, p.OnFailure = c.Async.OnSuccess, c.Async.OnFailure
	p.DeliveryMaxAge, p.DeliveryBackoffMax = c.Async.WebhookMaxAge, c.Async.WebhookBackoffMax
	return p
}

// close hands back what still runs and closes the store.
func (a *async) close() error {
	if a == nil {
		return nil
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	err := errors.Join(ignoreCanceled(a.queue.Drain(ended)), a.store.Close())
	a.notifier.sender.Close()
	return err
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// snapshotTimeout bounds what a scrape may wait for the store.
const snapshotTimeout = 2 * time.Second

func (a *async) metrics() func() metrics.AsyncSnapshot {
	if a == nil {
		return nil
	}
	return func() metrics.AsyncSnapshot {
		ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
		defer cancel()
		s := a.queue.Snapshot(ctx)
		return metrics.AsyncSnapshot{
			Up: s.Up, Depth: s.Waiting + s.Scheduled, Running: s.Running, DeadLetters: s.DeadLetters, OldestAge: s.OldestAge(time.Now()),
			Enqueued: s.Enqueued, Attempts: s.Attempts, Succeeded: s.Succeeded, Failed: s.Failed,
			Retried: s.Retried, Expired: s.Expired, Cancelled: s.Cancelled, DeadLettered: s.DeadLettered,
			CallbacksPending: s.Deliveries,
			Callbacks: metrics.CallbackCounts{
				Delivered: s.Delivered, Retried: s.DeliveriesRetried, Gone: s.DeliveriesGone, Failed: s.DeliveriesFailed,
			},
		}
	}
}

func (a *async) handler() http.Handler {
	if a == nil {
		return nil
	}
	return a.queue.Handler()
}

func (a *async) enqueuer() proxy.Enqueuer {
	if a == nil {
		return nil
	}
	return enqueuer{a.queue, a.notifier.guard}
}

// enqueuer is the proxy's way into the queue.
type enqueuer struct {
	queue *queue.Queue
	guard *webhook.Guard
}

func (e enqueuer) CheckCallback(url string) error { return e.guard.Check(url) }

// fullRetryAfter is when a full store may have room again.
const fullRetryAfter = 30 * time.Second

func (e enqueuer) Enqueue(ctx context.Context, r *proxy.AsyncRequest) (proxy.AsyncReceipt, error) {
	c := &queue.Call{Method: r.Method, Target: r.Target, Host: r.Host, Body: r.Body, Callback: r.Callback}
	c.Fields = make([]queue.Field, len(r.Fields))
	for i, f := range r.Fields {
		c.Fields[i] = queue.Field(f)
	}
	accepted, err := e.queue.Enqueue(ctx, c, r.Key, r.Delay)
	receipt := proxy.AsyncReceipt{ID: string(accepted.ID)}
	switch {
	case err == nil:
		return receipt, nil
	case errors.Is(err, queue.ErrKeyReused):
		return proxy.AsyncReceipt{}, proxy.ErrKeyReused
	case errors.Is(err, queue.ErrFull):
		return proxy.AsyncReceipt{}, &limits.Throttle{Reason: limits.ReasonQueueFull, RetryAfter: fullRetryAfter}
	case errors.Is(err, queue.ErrTooLarge):
		return proxy.AsyncReceipt{}, proxy.ErrHeadTooLarge
	case errors.Is(err, queue.ErrUnavailable):
		return proxy.AsyncReceipt{}, errors.Join(proxy.ErrQueueUnavailable, err)
	}
	return receipt, errors.Join(proxy.ErrOutcomeUnknown, err)
}

func (e enqueuer) Await(ctx context.Context, id string) (*proxy.AsyncResponse, error) {
	r, err := e.queue.Await(ctx, queue.ID(id))
	if err != nil || !r.State.Final() {
		return nil, err
	}
	res, err := e.queue.Response(ctx, queue.ID(id))
	if errors.Is(err, queue.ErrNotFound) || err == nil && res.Dropped {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &proxy.AsyncResponse{Status: res.Status, Header: headerOf(res.Fields), Body: res.Body}, nil
}

func headerOf(fields []queue.Field) http.Header {
	h := http.Header{}
	for _, f := range fields {
		h[f.Name] = append(h[f.Name], f.Value)
	}
	return h
}

// invoker is the queue's way to the function.
type invoker struct{ proxy *proxy.Proxy }

func (i *invoker) Invoke(ctx context.Context, c *queue.Call, attempt int, maxBody int64) (*queue.Response, error) {
	res, dropped, err := i.proxy.Invoke(ctx, &proxy.Invocation{
		ID: string(c.ID), Attempt: attempt, EnqueuedAt: c.EnqueuedAt,
		Method: c.Method, Target: c.Target, Host: c.Host, Header: headerOf(c.Fields), Body: c.Body,
	}, maxBody)
	if err != nil {
		return nil, err
	}
	out := &queue.Response{Status: res.Status, Body: res.Body, Dropped: dropped}
	for name, values := range res.Header {
		for _, v := range values {
			out.Fields = append(out.Fields, queue.Field{Name: name, Value: v})
		}
	}
	return out, nil
}
