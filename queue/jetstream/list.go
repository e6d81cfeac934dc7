package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/queue"
)

// A list reads places of the stream in order, of one kind of subject after the other,
// and goes on from a place: the cursor is kind.sequence. It reads one message at a time:
// for each batch the server counts all that are left, and writes nothing meanwhile.
const (
	listBatch   = 64   // messages that are read before their records are looked up
	listMost    = 2000 // messages that one list reads
	listTime    = time.Second
	listLookups = 8 // records that are looked up at once
)

// listed is one kind of subject, and which of its calls are listed.
type listed struct {
	kind  string
	until uint64 // the last place of interest
	// keep tells whether a record is listed, and entry, of the kinds that hold entries,
	// with which record: nil where there is none but the entry.
	keep  func(r *queue.Record) bool
	entry func(written *queue.Record, ticket int) bool
}

// listedFor gives where calls in a state are found. Those that have not ended have an
// entry, those that have a record; of all others of a kind there may be a million.
func (s *Store) listedFor(ctx context.Context, state queue.State) ([]listed, error) {
	const everything = math.MaxUint64
	if state == "" {
		// A call moves from the first to the second, never back: none is missed.
		return []listed{
			{kind: "todo", until: everything, entry: func(written *queue.Record, _ int) bool { return written == nil }},
			{kind: "call", until: everything, keep: func(*queue.Record) bool { return true }},
		}, nil
	}
	inState := func(r *queue.Record) bool { return r.State == state }
	current := func(written *queue.Record, ticket int) bool {
		if written == nil {
			return state == queue.Enqueued
		}
		return written.State == state && written.Ticket == ticket
	}
	switch {
	case state.Final():
		return []listed{{kind: "call", until: everything, keep: inState}}, nil
	case state == queue.Enqueued:
		return []listed{{kind: "todo", until: everything, entry: current}}, nil
	case state == queue.Running:
		c, err := s.session.Load().stream.Consumer(ctx, dispatchConsumer)
		if err != nil {
			return nil, fmt.Errorf("jetstream: asking for the consumer %s: %w", dispatchConsumer, err)
		}
		return []listed{{kind: "todo", until: c.CachedInfo().Delivered.Stream, entry: current}}, nil
	case state == queue.Scheduled, state == queue.Retrying:
		// Those whose time has come wait among the others.
		return []listed{{kind: "due", until: everything, entry: current}, {kind: "todo", until: everything, entry: current}}, nil
	}
	return nil, fmt.Errorf("%w: there is no state %q", queue.ErrNotFound, state)
}

// Calls implements queue.Store.
func (s *Store) Calls(ctx context.Context, state queue.State, cursor string, limit int) ([]*queue.Record, string, error) {
	if err := s.Up(); err != nil {
		return nil, "", err
	}
	select {
	case s.searches <- struct{}{}:
		defer func() { <-s.searches }()
	case <-ctx.Done():
		return nil, "", fmt.Errorf("jetstream: listing calls: %w", context.Cause(ctx))
	}
	kinds, err := s.listedFor(ctx, state)
	if err != nil {
		return nil, "", err
	}
	at, seq, err := readCursor(kinds, cursor)
	if err != nil {
		return nil, "", err
	}
	l := &list{store: s, limit: limit, began: time.Now()}
	for ; at < len(kinds); at, seq = at+1, 0 {
		last, more, err := l.read(ctx, &kinds[at], seq)
		if err != nil {
			return nil, "", err
		}
		if more {
			return l.records, kinds[at].kind + "." + strconv.FormatUint(last, 10), nil
		}
	}
	return l.records, "", nil
}

// readCursor gives the kind that a list goes on with, and the place after which.
func readCursor(kinds []listed, cursor string) (at int, seq uint64, err error) {
	if cursor == "" {
		return 0, 0, nil
	}
	kind, text, _ := strings.Cut(cursor, ".")
	for at := range kinds {
		if kinds[at].kind == kind {
			if seq, err = strconv.ParseUint(text, 10, 63); err == nil {
				return at, seq, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("%w: %q is no cursor of this list", queue.ErrNotFound, cursor)
}

// list is a list that is being read.
type list struct {
	store   *Store
	limit   int
	began   time.Time
	looked  int // messages read so far
	records []*queue.Record
}

// found is a call that was read, and what has to be compared.
type found struct {
	record *queue.Record
	seq    uint64
	ticket int // of its entry
	keep   bool
}

// read lists calls of one kind behind a place, and tells where it has come to and
// whether there may be more.
func (l *list) read(ctx context.Context, k *listed, seq uint64) (last uint64, more bool, err error) {
	subject := l.store.names.every(k.kind)
	for {
		// The first list reads in any case, so that asking on comes to an end.
		if left := l.limit - len(l.records); left <= 0 || l.looked > 0 && (l.looked >= listMost || time.Since(l.began) > listTime) {
			return seq, true, nil
		}
		var batch []*found
		past := false
		for after := seq; len(batch) < min(listBatch, l.limit) && !past; {
			m, err := l.store.next(ctx, subject, after)
			if errors.Is(err, queue.ErrNotFound) || err == nil && m.seq > k.until {
				past = true
				break
			}
			if err != nil {
				return seq, false, err
			}
			f, err := k.readFound(m)
			if err != nil {
				return seq, false, err
			}
			batch, after = append(batch, f), m.seq
		}
		if k.entry != nil {
			if err := l.compare(ctx, k, batch); err != nil {
				return seq, false, err
			}
		}
		for _, f := range batch {
			if f.keep && len(l.records) == l.limit {
				return seq, true, nil
			}
			seq = f.seq
			l.looked++
			if f.keep {
				l.records = append(l.records, f.record)
			}
		}
		if past {
			return seq, false, nil
		}
	}
}

func (k *listed) readFound(m *stored) (*found, error) {
	if k.entry == nil {
		r, err := readRecord(m.data, m.seq)
		if err != nil {
			return nil, err
		}
		return &found{record: r, seq: m.seq, keep: k.keep(r)}, nil
	}
	c, ticket, err := readEntry(m.header, m.data)
	if err != nil {
		return nil, fmt.Errorf("jetstream: the entry at %d: %w", m.seq, err)
	}
	return &found{record: queue.NewRecord(c, queue.Enqueued, ticket), seq: m.seq, ticket: ticket}, nil
}

// compare looks up what is written of the calls that entries are of.
func (l *list) compare(ctx context.Context, k *listed, batch []*found) error {
	var (
		group sync.WaitGroup
		next  = make(chan *found)
		fail  error
		once  sync.Once
	)
	for range min(listLookups, len(batch)) {
		group.Go(func() {
			for f := range next {
				written, err := l.store.written(ctx, f.record.ID)
				if err != nil {
					once.Do(func() { fail = err })
					continue
				}
				if f.keep = k.entry(written, f.ticket); f.keep && written != nil {
					f.record = written
				}
			}
		})
	}
	for _, f := range batch {
		next <- f
	}
	close(next)
	group.Wait()
	return fail
}

// written gives a call's record, nil where there is only an entry.
func (s *Store) written(ctx context.Context, id queue.ID) (*queue.Record, error) {
	m, err := s.last(ctx, s.names.call(id))
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return readRecord(m.Data, m.Sequence)
}
