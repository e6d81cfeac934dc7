package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"weir/queue"
)

// inbox is where a session's fetched entries arrive. Not by way of the connection's
// requests: those tell answers apart by their subject, and an entry comes under the
// subject that it was stored with.
type inbox struct {
	mu  sync.Mutex // one fetch at a time, so that answers are not mixed up
	sub *nats.Subscription
}

// ask sends a request to the consumer and returns its answer.
func (i *inbox) ask(ctx context.Context, nc *nats.Conn, subject string, request []byte) (_ *nats.Msg, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sub == nil {
		if i.sub, err = nc.SubscribeSync(nats.NewInbox()); err != nil {
			i.sub = nil
			return nil, err
		}
	}
	if err = nc.PublishRequest(subject, i.sub.Subject, request); err == nil {
		var m *nats.Msg
		if m, err = i.sub.NextMsgWithContext(ctx); err == nil {
			return m, nil
		}
	}
	// What comes late must not be taken for the next answer. An entry among it comes
	// again once its hold has lapsed.
	_ = i.sub.Unsubscribe()
	i.sub = nil
	return nil, err
}

// Fetch implements queue.Store. Entries in hand come first. One that cannot be read is
// left where it is, held until its time lapses, and an error: it is nobody's to throw
// away.
func (s *Store) Fetch(ctx context.Context) (*queue.Entry, error) {
	if err := s.Up(); err != nil {
		return nil, err
	}
	session := s.session.Load()
	for {
		if e := session.early.next(time.Now(), s.o.HoldTime); e != nil {
			return e, nil
		}
		if e, err := session.bundles.next(); e != nil || err != nil {
			return e, err
		}
		e, again, err := s.fetchMessage(ctx, session)
		if !again {
			return e, err
		}
	}
}

// fetchMessage fetches an entry, or a bundle: again is true where what came is in hand
// then.
func (s *Store) fetchMessage(ctx context.Context, session *session) (_ *queue.Entry, again bool, _ error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.WriteTimeout)
	defer cancel()
	m, err := session.inbox.ask(ctx, session.nc,
		"$JS.API.CONSUMER.MSG.NEXT."+s.names.stream+"."+dispatchConsumer, []byte(`{"batch":1,"no_wait":true}`))
	if err != nil {
		return nil, false, fmt.Errorf("jetstream: fetching: %w", err)
	}
	if status := m.Header.Get("Status"); status != "" {
		if status == "404" || status == "408" || status == "409" { // nothing there, or as many held as may be
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("jetstream: fetching: %s %s", status, m.Header.Get("Description"))
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, false, fmt.Errorf("jetstream: fetching: %w", err)
	}
	if m.Header.Get(callsField) != "" {
		if err := session.bundles.adopt(session, m, meta); err != nil {
			return nil, false, fmt.Errorf("jetstream: the message at %d: %w", meta.Sequence.Stream, err)
		}
		return nil, true, nil
	}
	// One that comes again may be followed by others like it, which the server does not
	// count.
	more := meta.NumPending > 0 || meta.NumDelivered > 1
	e := &queue.Entry{Place: meta.Sequence.Stream, More: more, Handle: &handle{session: session, reply: m.Reply, held: &session.held}}
	if e.Call, e.Ticket, err = readEntry(m.Header, m.Data); err != nil {
		return nil, false, fmt.Errorf("jetstream: the entry at %d: %w", e.Place, err)
	}
	due, err := dueOf(m.Header)
	if err != nil {
		return nil, false, fmt.Errorf("jetstream: the entry at %d: %w", e.Place, err)
	}
	session.held.Add(1)
	if now := time.Now(); due.After(now) {
		session.early.add(e, due, now)
		return nil, true, nil
	}
	return e, false, nil
}

// readEntry reads what entryMessage has written.
func readEntry(h nats.Header, data []byte) (*queue.Call, int, error) {
	ticket, err := strconv.Atoi(h.Get(ticketField))
	if err != nil {
		return nil, 0, errors.New("no ticket")
	}
	c := &queue.Call{}
	body, err := c.DecodeHead(data)
	if err != nil {
		return nil, 0, err
	}
	if err := bodyOf(c, h, body); err != nil {
		return nil, 0, err
	}
	return c, ticket, nil
}

// bodyOf gives c the body, or its size where that is kept apart.
func bodyOf(c *queue.Call, h nats.Header, body []byte) error {
	c.Body = body
	if size := h.Get(sizeField); size != "" {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n <= 0 {
			return fmt.Errorf("a body of %q bytes", size)
		}
		c.Body, c.BodySize = nil, n
	}
	return nil
}
