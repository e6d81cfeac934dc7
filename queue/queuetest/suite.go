package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"weir/queue"
)

// Opener opens a store. An empty one, where function was not used before; the same
// one again, after it was closed, where it was. HoldTime must be 1 s.
type Opener func(t *testing.T, function string) queue.Store

// patience is how long what must happen may take on a busy machine.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *stage)
	}{
		{"an accepted call is fetched as it was", fetchedAsItWas},
		{"entries come first in first out", firstInFirstOut},
		{"a fetched entry is nobody else's until its hold lapses", holdLapses},
		{"an entry that is held on to stays its holder's", heldOn},
		{"a returned entry comes again at once", returned},
		{"what is done does not come again", doneStaysDone},
		{"a record replaces the one that it was made for, and no other", compareAndSwap},
		{"a change is written whole or not at all", wholeOrNot},
		{"a call that waits has a record", waitingRecord},
		{"a key is taken once", keys},
		{"concurrent commits do not disturb each other", concurrent},
		{"one bad change does not spoil those beside it", badApple},
		{"an entry for later comes at its time", scheduled},
		{"records, responses and keys go after their time", expiry},
		{"dead letters are kept, listed and removed", deadLetters},
		{"a large body is kept apart", largeBody},
		{"all of it is there after a reopening", reopening},
		{"stats count", stats},
		{"a closed store takes nothing", closed},
		{"what was not asked for is not found", notFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &stage{t: t, open: open, function: fmt.Sprintf("f%x", queue.NewID(time.Now())[10:])}
			s.reopen()
			t.Cleanup(func() {
				if err := s.store.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			c.test(t, s)
		})
	}
}

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

func fetchedAsItWas(t *testing.T, s *stage) {
	for _, body := range []string{"", "x", string(bytes.Repeat([]byte{0, 255}, 5000))} {
		c := s.enqueue(body)
		e := s.fetch()
		if e.Ticket != 1 || e.Place == 0 {
			t.Errorf("ticket %d, place %d", e.Ticket, e.Place)
		}
		if len(e.Call.Body) == 0 {
			e.Call.Body = []byte{}
		}
		if !reflect.DeepEqual(e.Call, c) {
			t.Errorf("got  %+v\nwant %+v", e.Call, c)
		}
		if err := e.Done(); err != nil {
			t.Error(err)
		}
	}
}

func firstInFirstOut(t *testing.T, s *stage) {
	var want []queue.ID
	for range 50 {
		want = append(want, s.enqueue("x").ID)
	}
	for i, id := range want {
		if pending, err := s.store.Pending(ctx(t)); err != nil || !pending {
			t.Errorf("before entry %d: pending is %v, %v", i, pending, err)
		}
		e := s.fetch()
		if more := i < len(want)-1; e.More != more {
			t.Errorf("entry %d of %d says that more wait: %v", i+1, len(want), e.More)
		}
		if e.Call.ID != id {
			t.Fatalf("entry %d is not the one that came as number %d", i, i)
		}
		if err := e.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if e := s.tryFetch(); e != nil {
		t.Errorf("an entry too many: %s", e.Call.ID)
	}
}

func holdLapses(t *testing.T, s *stage) {
	c := s.enqueue("x")
	began := time.Now()
	first := s.fetch()
	if e := s.tryFetch(); e != nil && time.Since(began) < s.store.HoldTime() {
		t.Fatal("a held entry was fetched")
	}
	first.Leave()
	s.until("the lapsed entry is pending", func() bool {
		pending, err := s.store.Pending(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		return pending
	})
	second := s.fetch()
	if second.Call.ID != c.ID || second.Place != first.Place {
		t.Errorf("got %s at %d, want %s at %d", second.Call.ID, second.Place, c.ID, first.Place)
	}
	if waited := time.Since(began); waited < s.store.HoldTime() {
		t.Errorf("it came again after %v, the hold lasts %v", waited, s.store.HoldTime())
	}
}

func heldOn(t *testing.T, s *stage) {
	s.enqueue("x")
	e := s.fetch()
	lastHold := time.Now()
	for end := time.Now().Add(3 * s.store.HoldTime()); time.Now().Before(end); {
		if err := e.Hold(); err != nil {
			t.Fatal(err)
		}
		gap := time.Since(lastHold)
		lastHold = time.Now()
		other := s.tryFetch()
		if gap = max(gap, time.Since(lastHold)); gap > s.store.HoldTime()/2 {
			t.Skipf("the machine paused for %v: the hold may have lapsed", gap)
		}
		if other != nil {
			t.Fatal("an entry that is held on to was fetched by another")
		}
		pause()
	}
}

func returned(t *testing.T, s *stage) {
	first, second := s.enqueue("1"), s.enqueue("2")
	e := s.fetch()
	if err := e.Return(); err != nil {
		t.Fatal(err)
	}
	if pending, err := s.store.Pending(ctx(t)); err != nil || !pending {
		t.Errorf("after a return: pending is %v, %v", pending, err)
	}
	if e := s.fetch(); e.Call.ID != first.ID {
		t.Errorf("after a return came %q", e.Call.Body)
	}
	if e := s.fetch(); e.Call.ID != second.ID {
		t.Errorf("then came %q", e.Call.Body)
	}
}

func doneStaysDone(t *testing.T, s *stage) {
	s.enqueue("x")
	if err := s.fetch().Done(); err != nil {
		t.Fatal(err)
	}
	s.until("nothing is waiting or held", func() bool {
		st, err := s.store.Stats(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		return st.Waiting == 0 && st.Held == 0
	})
	s.reopen()
	if e := s.tryFetch(); e != nil {
		t.Error("it came again")
	}
}

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
		s.fetch()
	}
	if e := s.tryFetch(); e != nil {
		t.Error("an entry too many")
	}
}

func scheduled(t *testing.T, s *stage) {
	c := newCall("later")
	at := time.Now().Add(1500 * time.Millisecond)
	r := recordOf(c, queue.Scheduled, 0)
	r.NextAttemptAt = at
	s.commit(&queue.Change{Record: r, Entry: c, At: at, Ticket: 1})
	past := newCall("past")
	s.commit(&queue.Change{Entry: past, At: time.Now().Add(-time.Minute), Ticket: 3})
	e := s.fetch()
	if e.Call.ID != past.ID || e.Ticket != 3 {
		t.Fatalf("got %q, ticket %d", e.Call.Body, e.Ticket)
	}
	s.reopen()
	if e := s.fetch(); e.Call.ID == past.ID { // it was held when the store was closed
		if err := e.Done(); err != nil {
			t.Fatal(err)
		}
		if e = s.fetch(); e.Call.ID != c.ID {
			t.Errorf("then came %q", e.Call.Body)
		}
	}
	if now := time.Now(); now.Before(at) {
		t.Errorf("it came %v early", at.Sub(now))
	}
}

func expiry(t *testing.T, s *stage) {
	c := s.enqueue("x")
	s.commit(&queue.Change{Record: recordOf(c, queue.Running, 0)})
	r := s.record(c.ID)
	r.State = queue.Succeeded
	s.commit(&queue.Change{Record: r, Response: &queue.Response{Status: 200}, Keep: 2 * time.Second})
	if s.record(c.ID).State != queue.Succeeded {
		t.Error("not succeeded")
	}
	k := newCall("k")
	s.commit(&queue.Change{Entry: k, Ticket: 1, Key: &queue.Key{Key: "k", ID: k.ID}, KeepKey: time.Second})
	s.until("response and key are gone", func() bool {
		_, noResponse := s.store.Response(ctx(t), c.ID)
		_, noKey := s.store.Key(ctx(t), "k")
		return errors.Is(noResponse, queue.ErrNotFound) && errors.Is(noKey, queue.ErrNotFound)
	})
}

func deadLetters(t *testing.T, s *stage) {
	var want []queue.ID
	for i := range 5 {
		c := newCall(fmt.Sprint("body ", i))
		r := recordOf(c, queue.Failed, 0)
		r.Error = "no attempt is left"
		d := &queue.DeadLetter{Call: c, Response: &queue.Response{Status: 500, Body: []byte("sorry")}}
		if i == 0 {
			d.Response = nil
		}
		s.commit(&queue.Change{Record: r, Dead: d, Keep: time.Hour, KeepDead: time.Hour})
		want = append(want, c.ID)
	}
	var got []queue.ID
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		records, next, err := s.store.DeadLetters(ctx(t), cursor, 2)
		if err != nil || len(records) > 2 || pages > 3 {
			t.Fatalf("page %d: %d records, %v", pages, len(records), err)
		}
		for _, r := range records {
			if r.State != queue.Failed || r.Error == "" {
				t.Errorf("got %+v", r)
			}
			got = append(got, r.ID)
		}
		cursor = next
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	if d, err := s.store.DeadLetter(ctx(t), want[0]); err != nil || d.Response != nil || string(d.Call.Body) != "body 0" {
		t.Errorf("got %+v, %v", d, err)
	}
	d, err := s.store.DeadLetter(ctx(t), want[3])
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Call.Body) != "body 3" || string(d.Response.Body) != "sorry" || d.Record.Revision != s.record(want[3]).Revision {
		t.Errorf("got %+v", d)
	}
	for range 2 {
		if err := s.store.RemoveDeadLetter(ctx(t), want[3]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.store.DeadLetter(ctx(t), want[3]); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
	s.until("four are counted", func() bool {
		st, err := s.store.Stats(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		return st.DeadLetters == 4
	})
}

func largeBody(t *testing.T, s *stage) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	c := newCall(string(body))
	s.commit(&queue.Change{Entry: c, Ticket: 1})
	s.reopen()
	e := s.fetch()
	if e.Call.BodySize != int64(len(body)) || e.Call.Body != nil {
		t.Fatalf("fetched with %d bytes of %d", len(e.Call.Body), e.Call.BodySize)
	}
	if err := s.store.LoadBody(ctx(t), e.Call); err != nil || !bytes.Equal(e.Call.Body, body) {
		t.Fatalf("the body that comes back is not the one that went in: %d bytes, %v", len(e.Call.Body), err)
	}
	r := recordOf(c, queue.Failed, 0)
	s.commit(&queue.Change{Record: r, Dead: &queue.DeadLetter{Call: e.Call}, Keep: time.Hour, KeepDead: time.Hour})
	d, err := s.store.DeadLetter(ctx(t), c.ID)
	if err != nil || d.Call.Body != nil {
		t.Fatalf("dead letter: %+v, %v", d, err)
	}
	if err := s.store.LoadBody(ctx(t), d.Call); err != nil || !bytes.Equal(d.Call.Body, body) {
		t.Fatalf("the dead letter's body: %v", err)
	}
	huge := newCall("x")
	huge.Target = "/" + string(bytes.Repeat([]byte("t"), 2<<20))
	if err := s.store.Commit(ctx(t), &queue.Change{Entry: huge, Ticket: 1}); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("a head of 2 MiB: %v", err)
	}
}

func reopening(t *testing.T, s *stage) {
	waiting, held := s.enqueue("1"), newCall("held")
	s.commit(&queue.Change{Record: recordOf(held, queue.Running, 0), Response: &queue.Response{Status: 201}})
	s.commit(&queue.Change{Entry: held, Ticket: 2, Key: &queue.Key{Key: "k", ID: held.ID}, KeepKey: time.Hour})
	first := s.fetch()
	s.reopen()
	if r := s.record(waiting.ID); r.State != queue.Enqueued {
		t.Errorf("got %+v", r)
	}
	if r := s.record(held.ID); r.State != queue.Running || r.Revision == 0 {
		t.Errorf("got %+v", r)
	}
	if r, err := s.store.Response(ctx(t), held.ID); err != nil || r.Status != 201 {
		t.Errorf("got %+v, %v", r, err)
	}
	if k, err := s.store.Key(ctx(t), "k"); err != nil || k.ID != held.ID {
		t.Errorf("got %+v, %v", k, err)
	}
	seen := map[queue.ID]bool{}
	for len(seen) < 2 {
		e := s.fetch()
		seen[e.Call.ID] = true
		if e.Call.ID == waiting.ID && e.Place != first.Place {
			t.Errorf("its place changed from %d to %d", first.Place, e.Place)
		}
	}
}

func stats(t *testing.T, s *stage) {
	before := time.Now()
	for range 3 {
		s.enqueue("x")
	}
	s.commit(&queue.Change{Entry: newCall("later"), At: time.Now().Add(time.Hour), Ticket: 1})
	e := s.fetch()
	var got queue.Stats
	s.until("2 wait, 1 is held, 1 is scheduled", func() bool {
		if err := e.Hold(); err != nil {
			t.Fatal(err)
		}
		var err error
		if got, err = s.store.Stats(ctx(t)); err != nil {
			t.Fatal(err)
		}
		return got.Waiting == 2 && got.Held == 1 && got.Scheduled == 1
	})
	if got.Oldest.Before(before.Add(-time.Minute)) || got.Oldest.After(time.Now().Add(time.Minute)) {
		t.Errorf("the oldest is of %v", got.Oldest)
	}
}

func closed(t *testing.T, s *stage) {
	store := s.open(t, s.function+"x")
	if err := store.Up(); err != nil {
		t.Errorf("up: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(ctx(t), &queue.Change{Entry: newCall("x"), Ticket: 1}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func notFound(t *testing.T, s *stage) {
	s.enqueue("x")
	id := queue.NewID(time.Now())
	if r, err := s.store.Record(ctx(t), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("record: %+v, %v", r, err)
	}
	if _, err := s.store.Response(ctx(t), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("response: %v", err)
	}
	if _, err := s.store.DeadLetter(ctx(t), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("dead letter: %v", err)
	}
	if records, next, err := s.store.DeadLetters(ctx(t), "", 10); err != nil || len(records) != 0 || next != "" {
		t.Errorf("dead letters: %v, %q, %v", records, next, err)
	}
}
