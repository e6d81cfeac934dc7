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
// and goes on from a place: the cursor is kind.sequence, within a bundle
// kind.sequence.calls. It reads one message at a time:
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
	at, from, err := readCursor(kinds, cursor)
	if err != nil {
		return nil, "", err
	}
	l := &list{store: s, limit: limit, began: time.Now()}
	for ; at < len(kinds); at, from = at+1, (place{}) {
		last, more, err := l.read(ctx, &kinds[at], from)
		if err != nil {
			return nil, "", err
		}
		if more {
			return l.records, kinds[at].kind + "." + last.String(), nil
		}
	}
	return l.records, "", nil
}

// readCursor gives the kind that a list goes on with, and the place after which.
func readCursor(kinds []listed, cursor string) (at int, from place, err error) {
	if cursor == "" {
		return 0, place{}, nil
	}
	kind, text, _ := strings.Cut(cursor, ".")
	for at := range kinds {
		if kinds[at].kind == kind {
			if from, err = readPlace(text); err == nil {
				return at, from, nil
			}
		}
	}
	return 0, place{}, fmt.Errorf("%w: %q is no cursor of this list", queue.ErrNotFound, cursor)
}

// place is how far a list has come: up to a message, or so many calls into it where it
// is a bundle that has more.
type place struct {
	seq   uint64
	calls int
}

func (p place) String() string {
	text := strconv.FormatUint(p.seq, 10)
	if p.calls > 0 {
		text += "." + strconv.Itoa(p.calls)
	}
	return text
}

func readPlace(text string) (p place, err error) {
	seq, calls, within := strings.Cut(text, ".")
	if p.seq, err = strconv.ParseUint(seq, 10, 63); err == nil && within {
		if p.calls, err = strconv.Atoi(calls); err == nil && (p.calls < 1 || p.seq == 0) {
			err = strconv.ErrRange
		}
	}
	return p, err
}

// last is the message up to which everything was read.
func (p place) last() uint64 {
	if p.calls > 0 {
		return p.seq - 1
	}
	return p.seq
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
	after  place // how far whoever has seen it has come
	ticket int   // of its entry
	keep   bool
}

// read lists calls of one kind behind a place, and tells where it has come to and
// whether there may be more.
func (l *list) read(ctx context.Context, k *listed, from place) (last place, more bool, err error) {
	subject := l.store.names.every(k.kind)
	if k.kind == "todo" {
		subject = l.store.names.waiting()
	}
	for {
		// The first list reads in any case, so that asking on comes to an end.
		if left := l.limit - len(l.records); left <= 0 || l.looked > 0 && (l.looked >= listMost || time.Since(l.began) > listTime) {
			return from, true, nil
		}
		var batch []*found
		past := false
		for after := from; len(batch) < min(listBatch, l.limit); {
			m, err := l.store.next(ctx, subject, after.last())
			if errors.Is(err, queue.ErrNotFound) || err == nil && m.seq > k.until {
				past = true
				break
			}
			if err != nil {
				return from, false, err
			}
			if m.seq != after.seq {
				after.calls = 0
			}
			calls, err := l.readFound(k, m, after.calls)
			if err != nil {
				return from, false, err
			}
			batch, after = append(batch, calls...), place{seq: m.seq}
		}
		if k.entry != nil {
			if err := l.compare(ctx, k, batch); err != nil {
				return from, false, err
			}
		}
		for _, f := range batch {
			if f.keep && len(l.records) == l.limit {
				return from, true, nil
			}
			from = f.after
			l.looked++
			if f.keep {
				l.records = append(l.records, f.record)
			}
		}
		if past {
			return from, false, nil
		}
	}
}

// readFound reads the calls of a message, of a bundle's all but the first skip.
func (l *list) readFound(k *listed, m *stored, skip int) ([]*found, error) {
	if k.entry == nil {
		r, err := readRecord(m.data, m.seq)
		if err != nil {
			return nil, err
		}
		return []*found{{record: r, after: place{seq: m.seq}, keep: k.keep(r)}}, nil
	}
	if m.header.Get(callsField) == "" {
		c, ticket, err := readEntry(m.header, m.data)
		if err != nil {
			return nil, fmt.Errorf("jetstream: the entry at %d: %w", m.seq, err)
		}
		return []*found{{record: queue.NewRecord(c, queue.Enqueued, ticket), after: place{seq: m.seq}, ticket: ticket}}, nil
	}
	entries, err := splitBundle(m.header, m.data)
	if err != nil {
		return nil, fmt.Errorf("jetstream: the bundle at %d: %w", m.seq, err)
	}
	var calls []*found
	for i := skip; i < len(entries); i++ {
		if l.store.session.Load().bundles.hasEnded(m.seq, m.time, i) {
			continue
		}
		c, err := readBundled(entries[i])
		if err != nil {
			return nil, fmt.Errorf("jetstream: the bundle at %d: %w", m.seq, err)
		}
		calls = append(calls, &found{record: queue.NewRecord(c, queue.Enqueued, 1), after: place{m.seq, i + 1}, ticket: 1})
	}
	if len(calls) > 0 {
		calls[len(calls)-1].after.calls = 0
	}
	return calls, nil
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
