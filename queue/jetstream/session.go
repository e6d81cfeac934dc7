package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// session is one connection to a server, and the server where it is ours. A store
// whose disk has failed it opens another.
type session struct {
	server  *embedded // nil for an external one
	nc      *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream
	objects jetstream.ObjectStore
	counts  map[string]jetstream.Consumer
	inbox   inbox
	letters inbox        // where fetched deliveries arrive
	held    atomic.Int64 // messages fetched here whose end is not yet told
	bundles bundles
	early   early
	// returned is true where one was given back and not looked for since.
	returned atomic.Bool
}

// startTimeout bounds the start of a server, which reads what it has stored.
const startTimeout = 2 * time.Minute

// maxHeld bounds the entries that may be held at once, by all weirs together.
const maxHeld = 50_000

// openSession connects, starting the server first where it is to be ours, and sees
// to it that stream and consumers are there. d is nil for an external server.
func openSession(ctx context.Context, o *Options, n names, d *directory, away *outage) (_ *session, err error) {
	s := &session{}
	s.bundles.init(o.HoldTime)
	var kept *rescue
	defer func() {
		if err != nil {
			s.close()
			if kept != nil {
				err = errors.Join(err, kept.restore())
			}
		}
	}()
	if d != nil {
		place := d.place()
		if kept, err = newRescue(place, o.Dir, o.Log); err != nil {
			return nil, err
		}
		if s.server, err = startServer(o, place); err != nil {
			return nil, err
		}
		s.nc, err = nats.Connect("", nats.InProcessServer(s.server), nats.Name("weir"), nats.NoReconnect())
	} else {
		s.nc, err = connect(o, away)
	}
	if err != nil && o.URL != "" && !strings.Contains(o.URL, "@") { // which would be followed by a password
		return nil, fmt.Errorf("jetstream: connecting to %s: %w; does it run, and may it be reached from here?", o.URL, err)
	}
	if err != nil {
		return nil, fmt.Errorf("jetstream: connecting: %w", err)
	}
	if s.js, err = jetstream.New(s.nc); err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	if kept != nil {
		if err := kept.check(ctx, s.js); err != nil {
			return nil, err
		}
	}
	if err := s.prepare(ctx, o, n); err != nil {
		return nil, err
	}
	if kept != nil {
		if err := kept.end(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func connect(o *Options, away *outage) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("weir " + o.Function), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		// A write that cannot go out now must not go out later: its caller has had
		// his answer by then.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				away.noticed(err) // that it is over is known once the stream answers
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { o.Log.Debug("connected to NATS again", "server", c.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { o.Log.Warn("NATS reports", "err", err) }),
	}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.CA != "" {
		options = append(options, nats.RootCAs(o.CA))
	}
	return nats.Connect(o.URL, options...)
}

const (
	noPeers        = 10005 // the server's code for: not enough servers for the replicas
	placement      = 10 * time.Second
	placementPause = 250 * time.Millisecond
)

// placed makes what several servers are to keep: for a while again where one of them is
// offline, as when it has just come back. Where there are too few it fails at once.
func placed(ctx context.Context, make func() error) error {
	until := time.Now().Add(placement)
	for {
		err := make()
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != noPeers || !strings.Contains(api.Description, "offline") || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(placementPause):
		}
	}
}

// oldestServer is the first version with atomic batches and message schedules.
const oldestServer = "2.12"

// prepare makes stream, consumers and object store, or takes those that are there.
func (s *session) prepare(ctx context.Context, o *Options, n names) error {
	if !atLeast(s.nc.ConnectedServerVersion(), oldestServer) {
		return fmt.Errorf("jetstream: the server at %s is version %s, without atomic batches and message schedules: weir needs %s or later",
			s.place(o), s.nc.ConnectedServerVersion(), oldestServer)
	}
	if _, err := s.js.AccountInfo(ctx); err != nil {
		if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return fmt.Errorf("jetstream: the server at %s has no JetStream for this user: enable it there", s.place(o))
		}
		return fmt.Errorf("jetstream: asking for the account: %w", err)
	}
	config := jetstream.StreamConfig{
		Name: n.stream, Description: "asynchronous calls of " + o.Function, Subjects: []string{n.prefix + ">"},
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: o.Replicas,
		// A stream with schedules cannot refuse what is new, and one that is full
		// would drop what is oldest. So it has no bound of its own: room refuses new
		// calls in time, and the server's own bound is behind that.
		MaxBytes: -1, MaxMsgs: -1, MaxConsumers: -1,
		AllowRollup: true, AllowDirect: true, AllowMsgTTL: true, AllowAtomicPublish: true, AllowMsgSchedules: true,
	}
	if err := placed(ctx, func() (err error) {
		s.stream, err = s.js.CreateOrUpdateStream(ctx, config)
		return err
	}); err != nil {
		return fmt.Errorf("jetstream: the stream %s: %w", n.stream, err)
	}
	// An old server leaves out what it does not know, without a word.
	if c := s.stream.CachedInfo().Config; !c.AllowAtomicPublish || !c.AllowMsgSchedules || !c.AllowMsgTTL {
		return fmt.Errorf("jetstream: the server at %s has no atomic batches, message schedules or message TTLs: weir needs %s or later on every server of the cluster", s.place(o), oldestServer)
	}
	if s.server != nil {
		// Whoever held an entry is dead, for the directory was locked. Without the
		// consumer nobody holds it any more; waiting for that would take HoldTime.
		for _, name := range []string{dispatchConsumer, deliverConsumer} {
			if err := s.stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return fmt.Errorf("jetstream: the consumer %s: %w", name, err)
			}
		}
	}
	s.counts = map[string]jetstream.Consumer{}
	for name, filter := range map[string]string{
		dispatchConsumer: "todo", scheduledConsumer: "due", deadConsumer: "dead", deliverConsumer: "post", laterConsumer: "later",
	} {
		subject := n.every(filter)
		if name == dispatchConsumer {
			subject = n.waiting()
		}
		c, err := s.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: name, FilterSubject: subject, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: o.HoldTime, MaxDeliver: -1, MaxAckPending: maxHeld,
		})
		if err != nil {
			return fmt.Errorf("jetstream: the consumer %s: %w", name, err)
		}
		s.counts[name] = c
	}
	if err := placed(ctx, func() (err error) {
		s.objects, err = s.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: n.objects, Description: "large bodies of asynchronous calls of " + o.Function,
			MaxBytes: o.MaxBytes / 2, Replicas: o.Replicas,
		})
		return err
	}); err != nil {
		return fmt.Errorf("jetstream: the object store %s: %w", n.objects, err)
	}
	if s.server == nil {
		return nil
	}
	return s.readProgress(ctx, n)
}

// place names the server for a message, without its credentials.
func (s *session) place(o *Options) string {
	if o.URL == "" {
		return o.Dir
	}
	return s.nc.ConnectedUrlRedacted()
}

// atLeast compares the first two numbers of versions.
func atLeast(version, least string) bool {
	var v, l [2]int
	for i, to := range []*[2]int{&v, &l} {
		text := []string{version, least}[i]
		if n, _ := fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d", &to[0], &to[1]); n != 2 {
			return false
		}
	}
	return v[0] > l[0] || v[0] == l[0] && v[1] >= l[1]
}

func (s *session) close() {
	if s.nc != nil {
		if s.nc.IsConnected() {
			_ = s.nc.FlushTimeout(time.Second) // what is not said is said again after the next start
		}
		s.nc.Close()
	}
	if s.server != nil {
		stopServer(s.server)
	}
}
