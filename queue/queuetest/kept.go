package queuetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"weir/queue"
)

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
