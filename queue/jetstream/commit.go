package jetstream

import (
	"context"
	"encoding/binary"
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
	// entry is a call that may share a message with others, where msgs is nil.
	id    queue.ID
	entry []byte

	size int
	err  error
	last uint64        // the place of the last message, where err is nil
	done chan struct{} // is sent something once err is set
}

var spareWrites = sync.Pool{New: func() any { return &write{done: make(chan struct{}, 1)} }}

// spare gives a write back that nobody else knows of. It keeps a small entry's memory.
func (w *write) spare() {
	*w = write{entry: w.entry[:0], done: w.done}
	if cap(w.entry) > 8<<10 {
		w.entry = nil
	}
	spareWrites.Put(w)
}

// line is where writes of one kind wait for their writer, and how many of them it takes
// at a time: so many messages or calls, so many bytes.
type line struct {
	writes      chan *write
	most, bytes int
}

// drive writes what waits in line until the store closes: whatever has come while the
// last group was on its way, together. That is group commit, which costs one fsync for
// all; a lone one goes straight through.
func (s *Store) drive(l *line, commit func(group []*write)) {
	var group []*write
	var next *write // did not fit into the last group
	for {
		w := next
		if next = nil; w == nil {
			select {
			case w = <-l.writes:
			case <-s.life.Done():
				return
			}
		}
		count, size := w.messages(), w.size
		group = append(group[:0], w)
	gather:
		for {
			select {
			case w := <-l.writes:
				if count+w.messages() > l.most || size+w.size > l.bytes {
					next = w
					break gather
				}
				group, count, size = append(group, w), count+w.messages(), size+w.size
			default:
				break gather
			}
		}
		// What waited in line while the store went down would only wait as long again.
		if err := s.Up(); err != nil {
			for _, w := range group {
				w.finish(0, err)
			}
		} else {
			commit(group)
		}
		clear(group)
	}
}

// messages is how many the write takes, if nothing is shared.
func (w *write) messages() int { return max(len(w.msgs), 1) }

// commitCalls writes new calls as one message.
func (s *Store) commitCalls(calls []*write) {
	var m *nats.Msg
	if len(calls) == 1 {
		m = s.todoMessage(calls[0].id, 1, calls[0].entry)
	} else {
		size := 0
		for _, w := range calls {
			size += w.size + binary.MaxVarintLen32
		}
		m = &nats.Msg{Subject: s.names.bundle(len(calls)), Data: make([]byte, 0, size)}
		set(m, callsField, strconv.Itoa(len(calls)))
		for _, w := range calls {
			m.Data = appendBundled(m.Data, w.entry)
		}
	}
	last, err := s.publish([]*nats.Msg{m})
	for _, w := range calls {
		w.finish(last, err)
	}
}

// smallGroup is how many writes go side by side rather than in a batch, which costs
// the server a file of its own before it is worth it.
const smallGroup = 8

// commitChanges publishes the changes in one batch. A batch is refused as a whole for the
// sake of one message; then each goes by itself.
func (s *Store) commitChanges(batch []*write) {
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
	w.done <- struct{}{}
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
	// A disk that was taken away while it was well still takes what is written, and one
	// that fails may fail without a word.
	if err := s.there(); err != nil {
		return 0, s.failed(err, true)
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

// bundled makes w the write of a new call that may share a message with others. It
// reports false where the call may not: because it takes more than a message, because it
// is large, or because others, too, fetch from the store.
func (s *Store) bundled(c *queue.Change, w *write) bool {
	call := c.Entry
	if s.directory == nil || !c.At.IsZero() || c.Record != nil || c.Key != nil || len(c.Deliveries) > 0 || call.BodySize > 0 || len(call.Body) > maxBundled {
		return false
	}
	w.entry = call.AppendHead(w.entry[:0])
	if len(w.entry)+len(call.Body) > maxBundled {
		return false
	}
	w.entry = append(w.entry, call.Body...)
	w.id, w.size = call.ID, len(w.entry)
	return true
}

// todoMessage puts an encoded call into the queue.
func (s *Store) todoMessage(id queue.ID, ticket int, data []byte) *nats.Msg {
	m := &nats.Msg{Subject: s.names.todo(id), Data: data}
	set(m, ticketField, strconv.Itoa(ticket))
	return m
}

// entryMessage puts a call into the queue, or has the server do so at a time.
func (s *Store) entryMessage(c *queue.Change) *nats.Msg {
	call := c.Entry
	data := call.AppendHead(make([]byte, 0, 512+len(call.Body)))
	m := s.todoMessage(call.ID, c.Ticket, nil)
	if call.BodySize > 0 {
		set(m, sizeField, strconv.FormatInt(call.BodySize, 10))
	} else {
		data = append(data, call.Body...)
	}
	m.Data = data
	if !c.At.IsZero() {
		s.scheduleAt(m, s.names.due(call.ID), c.At)
	}
	return m
}
