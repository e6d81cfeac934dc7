package queuetest

import (
	"context"
	"testing"
	"time"

	"weir/queue"
)

// stage is a store to test and what tests do with it all the time.
type stage struct {
	t        *testing.T
	open     Opener
	function string
	store    queue.Store
}

func (s *stage) reopen() {
	s.t.Helper()
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.store = s.open(s.t, s.function)
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

func newCall(body string) *queue.Call {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return &queue.Call{
		ID: queue.NewID(now), Method: "POST", Target: "/p%2Fq?a=b", Host: "function.example",
		Fields: []queue.Field{{Name: "Content-Type", Value: "text/plain"}, {Name: "X-Raw", Value: "caf\xe9"}},
		Body:   []byte(body), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour), Callback: "https://example.com/",
	}
}

func (s *stage) commit(c *queue.Change) {
	s.t.Helper()
	if err := s.store.Commit(ctx(s.t), c); err != nil {
		s.t.Fatalf("commit: %v", err)
	}
}

func (s *stage) enqueue(body string) *queue.Call {
	s.t.Helper()
	c := newCall(body)
	s.commit(&queue.Change{Entry: c, Ticket: 1})
	return c
}

// fetch takes the next entry, or fails after patience.
func (s *stage) fetch() *queue.Entry {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if e := s.tryFetch(); e != nil {
			return e
		}
		pause()
	}
	s.t.Fatal("no entry came")
	return nil
}

func (s *stage) tryFetch() *queue.Entry {
	s.t.Helper()
	e, err := s.store.Fetch(ctx(s.t))
	if err != nil {
		s.t.Fatalf("fetch: %v", err)
	}
	return e
}

// until repeats a check until it holds.
func (s *stage) until(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); pause() {
		if time.Now().After(deadline) {
			s.t.Fatalf("it never came to be that %s", what)
		}
	}
}

// pause keeps a poll of a real server from taking the machine.
func pause() { <-time.After(20 * time.Millisecond) }

func (s *stage) record(id queue.ID) *queue.Record {
	s.t.Helper()
	r, err := s.store.Record(ctx(s.t), id)
	if err != nil {
		s.t.Fatalf("record of %s: %v", id, err)
	}
	return r
}

func recordOf(c *queue.Call, state queue.State, revision uint64) *queue.Record {
	return &queue.Record{ID: c.ID, State: state, EnqueuedAt: c.EnqueuedAt, Ticket: 1, Revision: revision}
}
