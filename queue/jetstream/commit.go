package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"weir/queue"
)

// A batch is bounded so that it is no burden to server and memory. A server takes
// at most 1000 messages in one.
const (
	maxBatch      = 512
	maxBatchBytes = 4 << 20
)

// write is a change on its way to the disk.
type write struct {
	msgs []*nats.Msg
	size int
	err  error
	last uint64        // the place of the last message, where err is nil
	done chan struct{} // closed once err is set
}

// commits is the store's only writer. Writes that come while a batch is on its way
// share the next one: group commit, which costs one fsync for all. A lone one goes
// straight through.
func (s *Store) commits() {
	defer close(s.committed)
	for {
		var first *write
		select {
		case first = <-s.writes:
		case <-s.life.Done():
			return
		}
		batch, count, size := []*write{first}, len(first.msgs), first.size
		var next *write
	gather:
		for {
			select {
			case w := <-s.writes:
				if count+len(w.msgs) > maxBatch || size+w.size > maxBatchBytes {
					next = w
					break gather
				}
				batch, count, size = append(batch, w), count+len(w.msgs), size+w.size
			default:
				break gather
			}
		}
		s.commitAll(batch)
		if next != nil {
			s.commitAll([]*write{next})
		}
	}
}

// smallGroup is how many writes go side by side rather than in a batch, which costs
// the server a file of its own before it is worth it.
const smallGroup = 8

// commitAll publishes the writes in one batch. A batch is refused as a whole for the
// sake of one message; then each goes by itself.
func (s *Store) commitAll(batch []*write) {
	// What waited in line while the store went down would only wait as long again.
	if err := s.Up(); err != nil {
		for _, w := range batch {
			w.finish(0, err)
		}
		return
	}
	if len(batch) <= smallGroup {
		var group sync.WaitGroup
		for _, w := range batch[1:] {
			group.Go(func() { w.finish(s.publish(w.msgs)) })
		}
		batch[0].finish(s.publish(batch[0].msgs))
		group.Wait()
		return
	}
	var msgs []*nats.Msg
	for _, w := range batch {
		msgs = append(msgs, w.msgs...)
	}
	last, err := s.publish(msgs)
	if err != nil && !errors.Is(err, queue.ErrUnknown) && !errors.Is(err, queue.ErrUnavailable) {
		for _, w := range batch {
			for _, m := range w.msgs {
				unbatch(m)
			}
			w.finish(s.publish(w.msgs))
		}
		return
	}
	// A batch has its messages in a row.
	place := last - uint64(len(msgs))
	for _, w := range batch {
		place += uint64(len(w.msgs))
		w.finish(place, err)
	}
}

func (w *write) finish(last uint64, err error) {
	w.last, w.err = last, err
	close(w.done)
}

func unbatch(m *nats.Msg) {
	for _, name := range []string{batchID, batchSequence, batchCommit} {
		m.Header.Del(name)
	}
}

// The fields of atomic batches (NATS ADR-50).
const (
	batchID       = "Nats-Batch-Id"
	batchSequence = "Nats-Batch-Sequence"
	batchCommit   = "Nats-Batch-Commit"
)

// publish writes messages, all or none, and waits until they are on disk. It returns
// the place of the last.
func (s *Store) publish(msgs []*nats.Msg) (uint64, error) {
	session := s.session.Load()
	last := len(msgs) - 1
	if last > 0 {
		id := nuid.Next()
		for i, m := range msgs {
			set(m, batchID, id)
			set(m, batchSequence, strconv.Itoa(i+1))
			if i == last {
				set(m, batchCommit, "1")
				break
			}
			if err := session.nc.PublishMsg(m); err != nil {
				return 0, s.failed(err, false)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.WriteTimeout)
	defer cancel()
	ack, err := session.nc.RequestMsgWithContext(ctx, msgs[last])
	if err != nil {
		return 0, s.failed(err, true)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(ack.Data, &answer); err != nil {
		return 0, s.failed(fmt.Errorf("an acknowledgement that cannot be read: %w", err), true)
	}
	switch {
	case answer.Error != nil:
		err := refusal(answer.Error)
		if errors.Is(err, queue.ErrUnavailable) {
			s.markDown(err)
		}
		return 0, err
	case answer.Seq == 0 || last > 0 && answer.Count != len(msgs):
		return 0, s.failed(fmt.Errorf("an acknowledgement of %d messages, %d were sent", answer.Count, len(msgs)), true)
	}
	return answer.Seq, nil
}

// failed turns a failure to write into the store's errors. sent tells whether the
// message that decides may have reached the server.
func (s *Store) failed(err error, sent bool) error {
	if !sent || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrMaxPayload) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrReconnectBufExceeded) {
		if errors.Is(err, nats.ErrMaxPayload) {
			return queue.ErrTooLarge
		}
		s.markDown(err)
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	s.markDown(err)
	return fmt.Errorf("%w: %w", queue.ErrUnknown, err)
}

// refusal turns the server's reason for writing nothing into the store's errors.
func refusal(e *jetstream.APIError) error {
	const (
		accountResources = 10002
		storeFailed      = 10077 // also for a stream that is full
		insufficient     = 10023
		storageResources = 10047
	)
	switch e.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return queue.ErrConflict
	case jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return queue.ErrTooLarge
	case accountResources, storageResources, insufficient, storeFailed:
		return fmt.Errorf("%w: %s", queue.ErrFull, e.Description)
	}
	return fmt.Errorf("%w: %s (%d)", queue.ErrUnavailable, e.Description, e.ErrorCode)
}

func set(m *nats.Msg, name, value string) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header[name] = []string{value}
}

// Fields of messages: the server's, and weir's own.
const (
	expectedRevision = "Nats-Expected-Last-Subject-Sequence"
	rollup           = "Nats-Rollup"
	ttl              = "Nats-TTL"
	schedule         = "Nats-Schedule"
	scheduleTarget   = "Nats-Schedule-Target"

	ticketField = "Weir-Ticket"
	sizeField   = "Weir-Body-Size" // of a body that is kept apart
)

// replace makes a message that takes the place of all others of its subject.
func replace(subject string, data []byte, keep time.Duration) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{rollup: []string{"sub"}}}
	expire(m, keep)
	return m
}

// expire makes the message go after a time; at once is not to be had.
func expire(m *nats.Msg, keep time.Duration) {
	if keep > 0 {
		set(m, ttl, strconv.FormatInt(int64(max(keep, time.Second)/time.Second), 10))
	}
}

// messages turns a change into what is written for it, the record last.
func (s *Store) messages(c *queue.Change) ([]*nats.Msg, error) {
	var msgs []*nats.Msg
	n := s.names
	if c.Key != nil {
		m := &nats.Msg{Subject: n.key(c.Key.Key), Data: append([]byte(c.Key.ID), c.Key.Hash[:]...)}
		set(m, expectedRevision, "0")
		expire(m, c.KeepKey)
		msgs = append(msgs, m)
	}
	if c.Entry != nil {
		msgs = append(msgs, s.entryMessage(c))
	}
	for _, d := range c.Deliveries {
		more, err := s.deliveryMessages(&queue.DeliveryChange{
			Record: &queue.DeliveryRecord{Call: d.Call, To: d.To, Ticket: d.Ticket, State: queue.DeliveryPending}, Entry: d,
		})
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, more...)
	}
	if r := c.Record; r != nil {
		data, err := encodeRecord(r, c.Response)
		if err != nil {
			return nil, err
		}
		keep := time.Duration(0)
		if r.State.Final() {
			keep = c.Keep
		}
		m := replace(n.call(r.ID), data, keep)
		set(m, expectedRevision, strconv.FormatUint(r.Revision, 10))
		if c.Dead != nil {
			data, err := encodeGrave(c.Dead)
			if err != nil {
				return nil, err
			}
			grave := replace(n.grave(r.ID), data, c.KeepDead)
			if c.Dead.Call.BodySize > 0 {
				set(grave, sizeField, strconv.FormatInt(c.Dead.Call.BodySize, 10))
			}
			dead, err := encodeRecord(r, nil) // to be listed: without the response
			if err != nil {
				return nil, err
			}
			msgs = append(msgs, grave, replace(n.dead(r.ID), dead, c.KeepDead))
		}
		msgs = append(msgs, m)
	}
	if len(msgs) == 0 {
		return nil, errors.New("jetstream: a change of nothing")
	}
	return msgs, nil
}

// entryMessage puts a call into the queue, or has the server do so at a time.
func (s *Store) entryMessage(c *queue.Change) *nats.Msg {
	call := c.Entry
	data := call.AppendHead(make([]byte, 0, 512+len(call.Body)))
	m := &nats.Msg{Subject: s.names.todo(call.ID)}
	set(m, ticketField, strconv.Itoa(c.Ticket))
	if call.BodySize > 0 {
		set(m, sizeField, strconv.FormatInt(call.BodySize, 10))
	} else {
		data = append(data, call.Body...)
	}
	m.Data = data
	if !c.At.IsZero() {
		set(m, schedule, "@at "+c.At.UTC().Format(time.RFC3339Nano))
		set(m, scheduleTarget, m.Subject)
		m.Subject = s.names.due(call.ID)
	}
	return m
}
