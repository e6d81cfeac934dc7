package queuetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"weir/queue"
)

func newDelivery(c *queue.Call, to queue.Audience) *queue.Delivery {
	return &queue.Delivery{
		Call: c.ID, To: to, Ticket: 1, URL: "https://example.com/hook?a=b", State: queue.Failed, CallAttempts: 3, Error: "it failed",
		Method: c.Method, Target: c.Target, Loop: "weir-f", EnqueuedAt: c.EnqueuedAt, StartedAt: c.EnqueuedAt.Add(time.Second), FinishedAt: c.EnqueuedAt.Add(2 * time.Second),
		Response: &queue.Response{Status: 500, Fields: []queue.Field{{Name: "Content-Type", Value: "text/caf\xe9"}}, Body: []byte("sorry\x00")},
		GiveUpAt: c.EnqueuedAt.Add(time.Hour),
	}
}

// settle ends a call with deliveries to audiences.
func (s *stage) settle(c *queue.Call, to ...queue.Audience) {
	s.t.Helper()
	change := &queue.Change{Record: recordOf(c, queue.Failed, 0), Keep: time.Hour}
	for _, a := range to {
		change.Deliveries = append(change.Deliveries, newDelivery(c, a))
	}
	s.commit(change)
}

// fetchDelivery takes the next delivery, or fails after patience.
func (s *stage) fetchDelivery() *queue.DeliveryEntry {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		e, err := s.store.FetchDelivery(ctx(s.t))
		if err != nil {
			s.t.Fatalf("fetching a delivery: %v", err)
		}
		if e != nil {
			return e
		}
	}
	s.t.Fatal("no delivery came")
	return nil
}

// noDelivery fails where a delivery comes within a time.
func (s *stage) noDelivery(within time.Duration) {
	s.t.Helper()
	short, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if e, err := s.store.FetchDelivery(short); e != nil {
		s.t.Errorf("the delivery of %s to %s came (%v)", e.Call, e.To, err)
	}
}

func (s *stage) delivery(c *queue.Call, to queue.Audience) *queue.DeliveryRecord {
	s.t.Helper()
	r, err := s.store.Delivery(ctx(s.t), c.ID, to)
	if err != nil {
		s.t.Fatalf("the record of a delivery of %s: %v", c.ID, err)
	}
	return r
}

func deliveredAsItWas(t *testing.T, s *stage) {
	c := newCall("x")
	s.settle(c, queue.ToCallback, queue.OnFailure)
	if r := s.record(c.ID); r.State != queue.Failed {
		t.Errorf("the call's record is %+v", r)
	}
	s.reopen()
	got := map[queue.Audience]*queue.DeliveryEntry{}
	for range 2 {
		e := s.fetchDelivery()
		got[e.To] = e
	}
	for _, to := range []queue.Audience{queue.ToCallback, queue.OnFailure} {
		e := got[to]
		if e == nil {
			t.Fatalf("nothing for %s came", to)
		}
		if want := newDelivery(c, to); !reflect.DeepEqual(e.Delivery, want) {
			t.Errorf("fetched %+v\nwant    %+v", e.Delivery, want)
		}
		if r := s.delivery(c, to); r.State != queue.DeliveryPending || r.Attempts != 0 || r.Ticket != 1 || r.Revision == 0 {
			t.Errorf("its record is %+v", r)
		}
		if err := e.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.store.Delivery(ctx(t), c.ID, queue.OnSuccess); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the record of a delivery that is not owed: %v", err)
	}
	if e := s.tryFetch(); e != nil {
		t.Error("a delivery came as a call")
	}
	s.noDelivery(1500 * time.Millisecond) // longer than its hold
}

func deliveryWithItsEnd(t *testing.T, s *stage) {
	c := newCall("x")
	err := s.store.Commit(ctx(t), &queue.Change{Record: recordOf(c, queue.Failed, 99999), Deliveries: []*queue.Delivery{newDelivery(c, queue.ToCallback)}})
	if !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.store.Delivery(ctx(t), c.ID, queue.ToCallback); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the record of a delivery whose call has not ended: %v", err)
	}
	s.noDelivery(200 * time.Millisecond)
}

func deliveryRepeated(t *testing.T, s *stage) {
	c := newCall("x")
	s.settle(c, queue.ToCallback)
	e := s.fetchDelivery()
	r := s.delivery(c, queue.ToCallback)
	old := *r
	at := time.Now().Add(700 * time.Millisecond)
	again := *e.Delivery
	again.Attempts = 1
	r.Attempts, r.NextAttemptAt, r.LastError = 1, at.UTC().Truncate(time.Millisecond), "503"
	if err := s.store.CommitDelivery(ctx(t), &queue.DeliveryChange{Record: r, Entry: &again, At: at}); err != nil {
		t.Fatal(err)
	}
	if err := e.Done(); err != nil {
		t.Fatal(err)
	}
	if got := s.delivery(c, queue.ToCallback); !reflect.DeepEqual(got, r) || got.Revision <= old.Revision {
		t.Errorf("the record is %+v, want %+v", got, r)
	}
	if err := s.store.CommitDelivery(ctx(t), &queue.DeliveryChange{Record: &old, Entry: e.Delivery}); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("a change made for an old revision: %v", err)
	}
	s.until("it is counted", func() bool {
		st, err := s.store.Stats(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		return st.Deliveries == 1
	})
	e = s.fetchDelivery()
	if now := time.Now(); now.Before(at) {
		t.Errorf("it came %v early", at.Sub(now))
	}
	if e.Attempts != 1 || string(e.Response.Body) != "sorry\x00" {
		t.Errorf("then came %+v", e.Delivery)
	}
	if err := e.Return(); err != nil {
		t.Fatal(err)
	}
	e = s.fetchDelivery()
	r.State, r.Attempts, r.NextAttemptAt = queue.DeliveryDone, 2, time.Time{}
	if err := s.store.CommitDelivery(ctx(t), &queue.DeliveryChange{Record: r, Keep: time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := e.Done(); err != nil {
		t.Fatal(err)
	}
	s.until("its record is gone", func() bool {
		_, err := s.store.Delivery(ctx(t), c.ID, queue.ToCallback)
		return errors.Is(err, queue.ErrNotFound)
	})
}

func deliveryReplaced(t *testing.T, s *stage) {
	c := newCall("x")
	s.settle(c, queue.ToCallback)
	first := s.fetchDelivery()
	r := s.delivery(c, queue.ToCallback)
	later := newDelivery(c, queue.ToCallback)
	later.Ticket = 2
	s.commit(&queue.Change{Record: recordOf(c, queue.Succeeded, s.record(c.ID).Revision), Deliveries: []*queue.Delivery{later}})
	r.State = queue.DeliveryDone
	if err := s.store.CommitDelivery(ctx(t), &queue.DeliveryChange{Record: r, Keep: time.Hour}); !errors.Is(err, queue.ErrConflict) {
		t.Errorf("the delivery of an earlier end was written over that of a later one: %v", err)
	}
	if err := first.Done(); err != nil {
		t.Fatal(err)
	}
	if e := s.fetchDelivery(); e.Ticket != 2 || s.delivery(c, queue.ToCallback).Ticket != 2 {
		t.Errorf("then came ticket %d", e.Ticket)
	}
}

func deliveryHeld(t *testing.T, s *stage) {
	c := newCall("x")
	s.settle(c, queue.ToCallback)
	e := s.fetchDelivery()
	for range 6 { // twice HoldTime
		if err := e.Hold(); err != nil {
			t.Fatal(err)
		}
		s.noDelivery(s.store.HoldTime() / 3)
	}
	e.Leave()
	if again := s.fetchDelivery(); again.Call != c.ID {
		t.Errorf("then came that of %s", again.Call)
	}
}
