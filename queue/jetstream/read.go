package jetstream

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/queue"
)

func notFound(err error) bool { return errors.Is(err, jetstream.ErrMsgNotFound) }

// last reads the message of a subject, or queue.ErrNotFound.
func (s *Store) last(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	if err := s.Up(); err != nil {
		return nil, err
	}
	m, err := s.session.Load().stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case notFound(err):
		return nil, queue.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("jetstream: reading %s: %w", subject, err)
	}
	return m, nil
}

// Record implements queue.Store.
func (s *Store) Record(ctx context.Context, id queue.ID) (*queue.Record, error) {
	m, err := s.last(ctx, s.names.call(id))
	if errors.Is(err, queue.ErrNotFound) {
		return s.waiting(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return readRecord(m.Data, m.Sequence)
}

// encodeRecord writes a record and, behind it, the response of a call that has one:
// a change of both is then one message.
func encodeRecord(r *queue.Record, res *queue.Response) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("jetstream: a record that cannot be written: %w", err)
	}
	b := binary.AppendUvarint(make([]byte, 0, len(data)+8), uint64(len(data)))
	b = append(b, data...)
	if res == nil {
		return b, nil
	}
	response, err := res.MarshalBinary()
	return append(b, response...), err
}

// splitRecord parts what encodeRecord wrote.
func splitRecord(data []byte, revision uint64) (record, response []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return nil, nil, fmt.Errorf("jetstream: the record at %d cannot be read", revision)
	}
	return data[size : size+int(n)], data[size+int(n):], nil
}

func readRecord(data []byte, revision uint64) (*queue.Record, error) {
	record, _, err := splitRecord(data, revision)
	if err != nil {
		return nil, err
	}
	r := &queue.Record{}
	if err := json.Unmarshal(record, r); err != nil {
		return nil, fmt.Errorf("jetstream: the record at %d: %w", revision, err)
	}
	r.Revision = revision
	return r, nil
}

// An entry is written at most so long before or after the moment that its id names:
// the clocks of weir and its server differ, and writing takes time.
const (
	entryBefore = 5 * time.Second
	entryAfter  = 20 * time.Second
)

// waiting looks for a call that has no record yet: its entry, by the time at which
// it must have been written.
func (s *Store) waiting(ctx context.Context, id queue.ID) (*queue.Record, error) {
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-ctx.Done():
		return nil, fmt.Errorf("jetstream: looking for a call: %w", context.Cause(ctx))
	}
	from, until := id.Time().Add(-entryBefore), id.Time().Add(entryAfter)
	request := getRequest{NextFor: s.names.todo(id), StartTime: &from, Batch: 64, MaxBytes: 1 << 20}
	for {
		var found *queue.Record
		seq, past := uint64(0), false
		err := s.scan(ctx, &request, func(m *stored) error {
			seq = m.seq
			if m.time.After(until) {
				past = true
				return nil
			}
			c, ticket, err := readEntry(m.header, m.data)
			if err == nil && c.ID == id {
				found = queue.NewRecord(c, queue.Enqueued, ticket)
			}
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case found != nil:
			return found, nil
		case seq == 0 || past:
			if s.directory != nil {
				if found, err = s.inBundle(ctx, id); found != nil || err != nil {
					return found, err
				}
			}
			// Its first attempt may have begun just now.
			m, err := s.last(ctx, s.names.call(id))
			if err != nil {
				return nil, err
			}
			return readRecord(m.Data, m.Sequence)
		}
		request.StartTime, request.Seq = nil, seq+1
	}
}

// getRequest asks for messages in order (NATS ADR-31).
type getRequest struct {
	Seq       uint64     `json:"seq,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
}

// stored is a message of the stream.
type stored struct {
	subject string
	header  nats.Header
	data    []byte
	seq     uint64
	time    time.Time
}

// scan reads up to Batch messages and hands them on in order.
func (s *Store) scan(ctx context.Context, r *getRequest, each func(*stored) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.WriteTimeout)
	defer cancel()
	return scan(ctx, s.session.Load().nc, s.names, r, each)
}

func scan(ctx context.Context, nc *nats.Conn, n names, r *getRequest, each func(*stored) error) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("jetstream: %w", err)
	}
	inbox, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return fmt.Errorf("jetstream: reading the stream: %w", err)
	}
	defer func() { _ = inbox.Unsubscribe() }() // fails on a closed connection only
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+n.stream, inbox.Subject, payload); err != nil {
		return fmt.Errorf("jetstream: reading the stream: %w", err)
	}
	for {
		m, err := inbox.NextMsgWithContext(ctx)
		if err != nil {
			return fmt.Errorf("jetstream: reading the stream: %w", err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404":
			return nil
		default:
			return fmt.Errorf("jetstream: reading the stream: %s %s", status, m.Header.Get("Description"))
		}
		got, err := readStored(m)
		if err != nil {
			return err
		}
		if err := each(got); err != nil {
			return err
		}
	}
}

func readStored(m *nats.Msg) (*stored, error) {
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return nil, fmt.Errorf("jetstream: reading the stream: %w", err)
	}
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("jetstream: reading the stream: %w", err)
	}
	return &stored{m.Header.Get("Nats-Subject"), m.Header, m.Data, seq, at}, nil
}

// next reads the first message of subjects behind a place, or queue.ErrNotFound.
func (s *Store) next(ctx context.Context, subject string, after uint64) (*stored, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.WriteTimeout)
	defer cancel()
	payload, err := json.Marshal(&getRequest{Seq: after + 1, NextFor: subject})
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	m, err := s.session.Load().nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+s.names.stream, payload)
	if err != nil {
		return nil, fmt.Errorf("jetstream: reading the stream: %w", err)
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		return readStored(m)
	case "404":
		return nil, queue.ErrNotFound
	default:
		return nil, fmt.Errorf("jetstream: reading the stream: %s %s", status, m.Header.Get("Description"))
	}
}

// Response implements queue.Store.
func (s *Store) Response(ctx context.Context, id queue.ID) (*queue.Response, error) {
	m, err := s.last(ctx, s.names.call(id))
	if err != nil {
		return nil, err
	}
	_, response, err := splitRecord(m.Data, m.Sequence)
	if err != nil {
		return nil, err
	}
	if len(response) == 0 {
		return nil, queue.ErrNotFound
	}
	r := &queue.Response{}
	if err := r.UnmarshalBinary(response); err != nil {
		return nil, err
	}
	return r, nil
}

// Key implements queue.Store.
func (s *Store) Key(ctx context.Context, key string) (*queue.Key, error) {
	m, err := s.last(ctx, s.names.key(key))
	if err != nil {
		return nil, err
	}
	k := &queue.Key{Key: key}
	at := len(m.Data) - len(k.Hash)
	if at < 0 {
		return nil, fmt.Errorf("jetstream: a key of %d bytes", len(m.Data))
	}
	k.ID = queue.ID(m.Data[:at])
	copy(k.Hash[:], m.Data[at:])
	return k, nil
}

// encodeGrave writes what DeadLetter reads: the response with its length before it,
// then the call.
func encodeGrave(d *queue.DeadLetter) ([]byte, error) {
	var response []byte
	if d.Response != nil {
		var err error
		if response, err = d.Response.MarshalBinary(); err != nil {
			return nil, err
		}
	}
	b := binary.AppendUvarint(nil, uint64(len(response)))
	b = append(b, response...)
	b = d.Call.AppendHead(b)
	if d.Call.BodySize > 0 {
		return b, nil
	}
	return append(b, d.Call.Body...), nil
}

// DeadLetter implements queue.Store.
func (s *Store) DeadLetter(ctx context.Context, id queue.ID) (*queue.DeadLetter, error) {
	dead, err := s.last(ctx, s.names.dead(id))
	if err != nil {
		return nil, err
	}
	r, err := readRecord(dead.Data, 0)
	if err != nil {
		return nil, err
	}
	grave, err := s.last(ctx, s.names.grave(id))
	if err != nil {
		return nil, err
	}
	d := &queue.DeadLetter{Record: *r, Call: &queue.Call{}}
	n, size := binary.Uvarint(grave.Data)
	if size <= 0 || n > uint64(len(grave.Data)-size) {
		return nil, fmt.Errorf("jetstream: the dead letter %s cannot be read", id)
	}
	response, rest := grave.Data[size:size+int(n)], grave.Data[size+int(n):]
	if n > 0 {
		d.Response = &queue.Response{}
		if err := d.Response.UnmarshalBinary(response); err != nil {
			return nil, err
		}
	}
	body, err := d.Call.DecodeHead(rest)
	if err != nil {
		return nil, err
	}
	if err := bodyOf(d.Call, grave.Header, body); err != nil {
		return nil, err
	}
	// The record in force may be newer, and is what a change must be made for.
	current, err := s.last(ctx, s.names.call(id))
	switch {
	case errors.Is(err, queue.ErrNotFound): // kept for a shorter time
	case err != nil:
		return nil, err
	default:
		d.Record.Revision = current.Sequence
	}
	return d, nil
}

// DeadLetters implements queue.Store. The cursor is a place in the stream.
func (s *Store) DeadLetters(ctx context.Context, cursor string, limit int) ([]*queue.Record, string, error) {
	if err := s.Up(); err != nil {
		return nil, "", err
	}
	from := uint64(1)
	if cursor != "" {
		n, err := strconv.ParseUint(cursor, 10, 63)
		if err != nil {
			return nil, "", fmt.Errorf("%w: %q is no cursor", queue.ErrNotFound, cursor)
		}
		from = n + 1
	}
	var records []*queue.Record
	for len(records) < limit {
		m, err := s.next(ctx, s.names.every("dead"), from-1)
		if errors.Is(err, queue.ErrNotFound) {
			return records, "", nil
		}
		if err != nil {
			return records, "", err
		}
		r, err := readRecord(m.data, 0)
		if err != nil {
			return records, "", err
		}
		records, from = append(records, r), m.seq+1
	}
	return records, strconv.FormatUint(from-1, 10), nil
}

// RemoveDeadLetter implements queue.Store.
func (s *Store) RemoveDeadLetter(ctx context.Context, id queue.ID) error {
	for _, subject := range []string{s.names.dead(id), s.names.grave(id)} {
		if err := s.session.Load().stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("jetstream: removing %s: %w", subject, err)
		}
	}
	return nil
}
