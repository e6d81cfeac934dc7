package queuetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"weir/queue"
)

func compareAndSwap(t *testing.T, s *stage) {
	c := s.enqueue("x")
	first := recordOf(c, queue.Running, 0)
	s.commit(&queue.Change{Record: first})
	if got := s.record(c.ID).Revision; first.Revision != got {
		t.Errorf("the commit said revision %d, it is %d", first.Revision, got)
	}
	if err := s.store.Commit(ctx(t), &queue.Change{Record: recordOf(c, queue.Cancelled, 0)}); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("a second first record: %v", err)
	}
	r := s.record(c.ID)
	if r.State != queue.Running || r.Revision == 0 {
		t.Fatalf("got %+v", r)
	}
	old := r.Revision
	r.Attempts = 2
	s.commit(&queue.Change{Record: r})
	if err := s.store.Commit(ctx(t), &queue.Change{Record: recordOf(c, queue.Cancelled, old)}); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("a change made for an old revision: %v", err)
	}
	if r := s.record(c.ID); r.Attempts != 2 || r.Revision <= old {
		t.Errorf("got %+v", r)
	}
}

func wholeOrNot(t *testing.T, s *stage) {
	c := s.enqueue("x")
	if err := s.fetch().Done(); err != nil {
		t.Fatal(err)
	}
	s.commit(&queue.Change{Record: recordOf(c, queue.Running, 0)})
	err := s.store.Commit(ctx(t), &queue.Change{
		Record:   recordOf(c, queue.Retrying, 99999),
		Response: &queue.Response{Status: 200},
		Entry:    c, Ticket: 2,
		Key: &queue.Key{Key: "k", ID: c.ID},
	})
	if !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	if e := s.tryFetch(); e != nil {
		t.Error("the entry is there")
	}
	if _, err := s.store.Response(ctx(t), c.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the response: %v", err)
	}
	if _, err := s.store.Key(ctx(t), "k"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the key: %v", err)
	}
	r := s.record(c.ID)
	r.State = queue.Retrying
	s.commit(&queue.Change{Record: r, Response: &queue.Response{Status: 503, Body: []byte("no")}, Entry: c, Ticket: 2})
	if got := s.record(c.ID).Revision; r.Revision != got {
		t.Errorf("the commit said revision %d, it is %d", r.Revision, got)
	}
	if e := s.fetch(); e.Ticket != 2 {
		t.Errorf("ticket %d", e.Ticket)
	}
	if r, err := s.store.Response(ctx(t), c.ID); err != nil || r.Status != 503 || string(r.Body) != "no" {
		t.Errorf("response %+v, %v", r, err)
	}
}

func waitingRecord(t *testing.T, s *stage) {
	var calls []*queue.Call
	for i := range 200 {
		calls = append(calls, s.enqueue(fmt.Sprint(i)))
	}
	for _, c := range calls {
		r := s.record(c.ID)
		if r.State != queue.Enqueued || r.Revision != 0 || r.Ticket != 1 || !r.EnqueuedAt.Equal(c.EnqueuedAt) {
			t.Fatalf("got %+v", r)
		}
	}
	// It may be taken back as it stands.
	s.commit(&queue.Change{Record: recordOf(calls[7], queue.Cancelled, 0), Keep: time.Hour})
	if r := s.record(calls[7].ID); r.State != queue.Cancelled {
		t.Errorf("got %+v", r)
	}
}

func keys(t *testing.T, s *stage) {
	a, b := newCall("a"), newCall("b")
	const key = "order 7/ü.*>"
	s.commit(&queue.Change{Entry: a, Ticket: 1, Key: &queue.Key{Key: key, ID: a.ID, Hash: a.Hash()}, KeepKey: time.Hour})
	err := s.store.Commit(ctx(t), &queue.Change{Entry: b, Ticket: 1, Key: &queue.Key{Key: key, ID: b.ID, Hash: b.Hash()}, KeepKey: time.Hour})
	if !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("the same key again: %v", err)
	}
	k, err := s.store.Key(ctx(t), key)
	if err != nil || k.ID != a.ID || k.Hash != a.Hash() || k.Key != key {
		t.Errorf("got %+v, %v", k, err)
	}
	if e := s.fetch(); e.Call.ID != a.ID {
		t.Error("the wrong call is in the queue")
	}
	if e := s.tryFetch(); e != nil {
		t.Error("both calls are in the queue")
	}
}

func concurrent(t *testing.T, s *stage) {
	const writers, each = 16, 25
	ids := make(chan queue.ID, writers*each)
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				c := newCall("x")
				if err := s.store.Commit(ctx(t), &queue.Change{Entry: c, Ticket: 1}); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
				ids <- c.ID
			}
		})
	}
	group.Wait()
	close(ids)
	want := map[queue.ID]bool{}
	for id := range ids {
		want[id] = true
	}
	for range len(want) {
		e := s.fetch()
		if !want[e.Call.ID] {
			t.Fatalf("%s came twice, or was never written", e.Call.ID)
		}
		delete(want, e.Call.ID)
		if err := e.Done(); err != nil { // a slow store would have its hold lapse
			t.Fatal(err)
		}
	}
}

func badApple(t *testing.T, s *stage) {
	taken := newCall("taken")
	s.commit(&queue.Change{Entry: taken, Ticket: 1, Key: &queue.Key{Key: "k", ID: taken.ID}, KeepKey: time.Hour})
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() {
			c := newCall("x")
			change := &queue.Change{Entry: c, Ticket: 1}
			if i%3 == 0 {
				change.Key, change.KeepKey = &queue.Key{Key: "k", ID: c.ID}, time.Hour
			}
			err := s.store.Commit(ctx(t), change)
			if bad := i%3 == 0; bad != errors.Is(err, queue.ErrConflict) || !bad && err != nil {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	group.Wait()
	for range 41 {
		if err := s.fetch().Done(); err != nil {
			t.Fatal(err)
		}
	}
	if e := s.tryFetch(); e != nil {
		t.Error("an entry too many")
	}
}
