package queuetest

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"weir/queue"
)

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

// Of those that were returned, or whose holds have lapsed, each that is fetched says that
// there may be others: else a dispatcher would leave pauses between them.
func comeAgain(t *testing.T, s *stage) {
	const entries = 10
	left := map[queue.ID]bool{}
	for range entries {
		left[s.enqueue("x").ID] = true
	}
	var fetched []*queue.Entry
	for range entries {
		fetched = append(fetched, s.fetch())
	}
	for i, e := range fetched {
		if i%2 == 0 {
			e.Leave()
		} else if err := e.Return(); err != nil {
			t.Fatal(err)
		}
	}
	for more := false; len(left) > 0; {
		if !more {
			s.until("an entry is pending", func() bool {
				pending, err := s.store.Pending(ctx(t))
				if err != nil {
					t.Fatal(err)
				}
				return pending
			})
		}
		e := s.tryFetch()
		if more = e != nil; e == nil {
			continue
		}
		if more = e.More; !more && len(left) > 1 {
			t.Errorf("an entry that came again says that none follows; %d are to", len(left)-1)
		}
		delete(left, e.Call.ID)
		if err := e.Done(); err != nil {
			t.Fatal(err)
		}
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
