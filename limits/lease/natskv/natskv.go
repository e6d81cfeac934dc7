// Package natskv keeps the records of shared limits in a key-value bucket of NATS
// JetStream: a key for each limit, changed by compare-and-set on its revision.
package natskv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/limits/lease"
)

// Bucket is the name of the bucket.
const Bucket = "weir_limits"

// Options says where the bucket is.
type Options struct {
	// URL is that of a server or cluster, several separated by commas.
	URL string
	// Credentials is a file with a user's JWT and key, CA one with the authorities to
	// trust; empty for none.
	Credentials, CA string
	// Replicas is the number of servers of a cluster that keep the bucket; 0 is 1.
	Replicas int
	Log      *slog.Logger
}

// Client is a connection to the bucket, kept up for as long as it is open. It is safe
// for concurrent use.
type Client struct {
	o  Options
	nc *nats.Conn
	js jetstream.JetStream

	mu sync.Mutex
	kv jetstream.KeyValue // nil until it has been found, and after it is lost
}

// Open begins to connect. It does not wait for the server: one that cannot be reached
// shows in what is asked of it.
func Open(o Options) (*Client, error) {
	options := []nats.Option{
		nats.Name("weir limits"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(time.Second),
		// A write that cannot go out now must not go out later.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { o.Log.Warn("NATS reports", "err", err) }),
	}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.CA != "" {
		options = append(options, nats.RootCAs(o.CA))
	}
	nc, err := nats.Connect(o.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("natskv: connecting: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("natskv: %w", err)
	}
	return &Client{o: o, nc: nc, js: js}, nil
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// Store is the one of a limit, by the parts of its name.
func (c *Client) Store(name ...string) lease.Store {
	return &store{client: c, key: strings.Join(name, "/")}
}

// ErrUnreachable says that there is no connection to the server.
var ErrUnreachable = errors.New("natskv: not connected to NATS")

// bucket finds the bucket, or makes it.
func (c *Client) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if !c.nc.IsConnected() {
		return nil, ErrUnreachable
	}
	c.mu.Lock()
	kv := c.kv
	c.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	kv, err := c.js.KeyValue(ctx, Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: Bucket, Description: "leases of limits that sidecars share", Replicas: max(c.o.Replicas, 1),
			Storage: jetstream.FileStorage, History: 1,
		})
		if err == nil {
			c.o.Log.Info("the bucket of shared limits has been made", "bucket", Bucket)
		}
	}
	if err != nil {
		if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return nil, fmt.Errorf("natskv: the server at %s has no JetStream for this user: enable it there", c.nc.ConnectedUrlRedacted())
		}
		return nil, fmt.Errorf("natskv: the bucket %s: %w", Bucket, err)
	}
	c.mu.Lock()
	c.kv = kv
	c.mu.Unlock()
	return kv, nil
}

// forget looks for the bucket anew: it may be gone.
func (c *Client) forget() {
	c.mu.Lock()
	c.kv = nil
	c.mu.Unlock()
}

type store struct {
	client *Client
	key    string
	// connection is the one at the last Get, by how many there were before it. A server
	// that has lost writes gives their revisions to others, and none comes back with the
	// connections that it had: what was read before is of no use after it.
	connection uint64
}

func (s *store) Get(ctx context.Context) (*lease.Record, uint64, error) {
	s.connection = s.client.nc.Stats().Reconnects
	kv, err := s.client.bucket(ctx)
	if err != nil {
		return nil, 0, err
	}
	e, err := kv.Get(ctx, s.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		s.client.forget()
		return nil, 0, fmt.Errorf("natskv: reading %s: %w", s.key, err)
	}
	r, err := lease.Decode(e.Value())
	if err != nil {
		return nil, 0, fmt.Errorf("natskv: %s in the bucket %s: %w; delete it there if nothing of yours needs it", s.key, Bucket, err)
	}
	return r, e.Revision(), nil
}

func (s *store) Put(ctx context.Context, r *lease.Record, revision uint64) (uint64, error) {
	kv, err := s.client.bucket(ctx)
	if err != nil {
		return 0, err
	}
	if s.connection != s.client.nc.Stats().Reconnects {
		return 0, lease.ErrConflict
	}
	var written uint64
	if revision == 0 {
		written, err = kv.Create(ctx, s.key, r.Encode())
	} else {
		written, err = kv.Update(ctx, s.key, r.Encode(), revision)
	}
	if conflicts(err) {
		return 0, lease.ErrConflict
	}
	if err != nil {
		s.client.forget()
		return 0, fmt.Errorf("natskv: writing %s: %w", s.key, err)
	}
	return written, nil
}

// conflicts reports whether the key was not of the revision that was named.
func conflicts(err error) bool {
	var e *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) ||
		errors.As(err, &e) && e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
