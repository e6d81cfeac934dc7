package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"weir/queue"
)

// fetchWait is how long a fetch waits for a delivery: asking all the time would cost an
// idle weir.
const fetchWait = 20 * time.Second

// FetchDelivery implements queue.Outbox. A delivery that cannot be read is left where it
// is, held until its time lapses, and an error.
func (s *Store) FetchDelivery(ctx context.Context) (*queue.DeliveryEntry, error) {
	if err := s.Up(); err != nil {
		return nil, err
	}
	session := s.session.Load()
	ctx, cancel := context.WithTimeout(ctx, fetchWait+s.o.WriteTimeout)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	request := fmt.Sprintf(`{"batch":1,"expires":%d}`, fetchWait)
	m, err := session.letters.ask(ctx, session.nc, "$JS.API.CONSUMER.MSG.NEXT."+s.names.stream+"."+deliverConsumer, []byte(request))
	if err != nil {
		return nil, fmt.Errorf("jetstream: fetching a delivery: %w", err)
	}
	if status := m.Header.Get("Status"); status != "" {
		if status == "404" || status == "408" || status == "409" {
			return nil, nil
		}
		return nil, fmt.Errorf("jetstream: fetching a delivery: %s %s", status, m.Header.Get("Description"))
	}
	d := &queue.Delivery{}
	if err := d.UnmarshalBinary(m.Data); err != nil {
		return nil, fmt.Errorf("jetstream: a delivery: %w", err)
	}
	return &queue.DeliveryEntry{Delivery: d, Handle: &handle{session: session, reply: m.Reply, held: new(atomic.Int64)}}, nil
}

// CommitDelivery implements queue.Outbox.
func (s *Store) CommitDelivery(ctx context.Context, c *queue.DeliveryChange) error {
	if err := s.Up(); err != nil {
		return err
	}
	msgs, err := s.deliveryMessages(c)
	if err != nil {
		return err
	}
	set(msgs[len(msgs)-1], expectedRevision, strconv.FormatUint(c.Record.Revision, 10))
	last, err := s.write(ctx, msgs)
	if err == nil {
		c.Record.Revision = last
	}
	return err
}

// deliveryMessages turns a change into what is written for it, the record last.
func (s *Store) deliveryMessages(c *queue.DeliveryChange) ([]*nats.Msg, error) {
	var msgs []*nats.Msg
	if d := c.Entry; d != nil {
		data, err := d.MarshalBinary()
		if err != nil {
			return nil, err
		}
		m := &nats.Msg{Subject: s.names.post(d.Call), Data: data}
		if !c.At.IsZero() {
			set(m, schedule, "@at "+c.At.UTC().Format(time.RFC3339Nano))
			set(m, scheduleTarget, m.Subject)
			m.Subject = s.names.later(d.Call, d.To)
		}
		msgs = append(msgs, m)
	}
	r := c.Record
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("jetstream: a delivery's record that cannot be written: %w", err)
	}
	keep := time.Duration(0)
	if r.State != queue.DeliveryPending {
		keep = c.Keep
	}
	return append(msgs, replace(s.names.note(r.Call, r.To), data, keep)), nil
}

// Delivery implements queue.Outbox.
func (s *Store) Delivery(ctx context.Context, call queue.ID, to queue.Audience) (*queue.DeliveryRecord, error) {
	m, err := s.last(ctx, s.names.note(call, to))
	if err != nil {
		return nil, err
	}
	r := &queue.DeliveryRecord{}
	if err := json.Unmarshal(m.Data, r); err != nil {
		return nil, fmt.Errorf("jetstream: a delivery's record at %d: %w", m.Sequence, err)
	}
	if r.Call != call || r.To != to {
		return nil, errors.New("jetstream: a delivery's record is another one's")
	}
	r.Revision = m.Sequence
	return r, nil
}
