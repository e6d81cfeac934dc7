package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"weir/config"
	"weir/queue"
	"weir/queue/jetstream"
	"weir/webhook"
)

// notifier is the queue's way to those who want to know what became of a call.
type notifier struct {
	guard   *webhook.Guard
	sender  *webhook.Sender
	secrets *webhook.SecretFile // nil for none
	store   *jetstream.Store
	config  atomic.Pointer[config.Config]
}

func newNotifier(c *config.Config, store *jetstream.Store, log *slog.Logger) (*notifier, error) {
	n := &notifier{guard: webhook.NewGuard(hostRules(c)), store: store}
	if path := c.Async.WebhookSecrets; path != "" {
		var err error
		if n.secrets, err = webhook.NewSecretFile(path, config.ParseSecrets, log); err != nil {
			return nil, err
		}
	}
	n.sender = webhook.NewSender(webhook.Options{Guard: n.guard, Secrets: n.secrets, Timeout: c.Async.WebhookTimeout})
	n.config.Store(c)
	return n, nil
}

func (n *notifier) configure(c *config.Config) {
	n.config.Store(c)
	n.guard.Configure(hostRules(c))
	n.sender.Configure(n.secrets, c.Async.WebhookTimeout)
}

func hostRules(c *config.Config) []webhook.Rule {
	rules := make([]webhook.Rule, 0, len(c.Async.CallbacksAllow))
	for _, r := range c.Async.CallbacksAllow {
		rules = append(rules, webhook.Rule{Host: r.Host, Prefix: r.Prefix, Port: r.Port})
	}
	return rules
}

// Notify implements queue.Notifier.
func (n *notifier) Notify(ctx context.Context, d *queue.Delivery) error {
	c := n.config.Load()
	o := outcome(c.Function.Name, d)
	m := o.Result()
	if d.To != queue.ToCallback && c.Async.DestinationBody == "record" {
		var err error
		if m, err = o.Record(); err != nil {
			return err
		}
	}
	if c.Async.Events == "cloudevents" {
		o.AsEvent(m)
	}
	if subject := config.Subject(d.URL); subject != "" && d.To != queue.ToCallback {
		n.sender.Sign(m)
		return n.store.Publish(ctx, subject, m.ID, m.Header, m.Body)
	}
	send := n.sender.SendToOperator
	if d.To == queue.ToCallback {
		send = n.sender.SendToCaller
	}
	err := send(ctx, d.URL, m)
	var f *webhook.Failure
	if errors.As(err, &f) {
		return &queue.Undelivered{Gone: f.Gone(), RetryAfter: f.RetryAfter, Err: err}
	}
	return err
}

func outcome(function string, d *queue.Delivery) *webhook.Outcome {
	o := &webhook.Outcome{
		ID: d.MessageID(), Call: string(d.Call), Function: function, State: string(d.State), Attempts: d.CallAttempts, Error: d.Error,
		Method: d.Method, Target: d.Target, Loop: d.Loop, EnqueuedAt: d.EnqueuedAt.UTC(), StartedAt: d.StartedAt, FinishedAt: d.FinishedAt,
	}
	if r := d.Response; r != nil {
		o.Response = &webhook.Response{Status: r.Status, Header: headerOf(r.Fields), Body: r.Body, Dropped: r.Dropped}
	}
	return o
}
