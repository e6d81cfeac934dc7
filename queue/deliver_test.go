package queue_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/queue"
)

// mailbox is a Notifier whose answers the test gives.
type mailbox struct {
	mu    sync.Mutex
	got   []queue.Delivery
	reply func(d *queue.Delivery) error
}

func (m *mailbox) Notify(_ context.Context, d *queue.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, *d)
	if m.reply == nil {
		return nil
	}
	return m.reply(d)
}

func (m *mailbox) seen() []queue.Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

// tell makes the bench's queue tell a mailbox of what ends.
func (b *bench) tell(m *mailbox) {
	b.t.Helper()
	b.notifier = m
	b.close()
	b.open()
	go b.queue.Deliver(context.Background())
}

func (b *bench) enqueueFor(body, callback string) queue.ID {
	b.t.Helper()
	c := newCall(body)
	c.Callback = callback
	a, err := b.queue.Enqueue(b.ctx(), c, "", 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.ID
}

func TestThoseWhoWantToKnowAreTold(t *testing.T) {
	b := newBench(t, 4)
	b.policy.OnSuccess, b.policy.OnFailure = "https://good.example/", "https://bad.example/"
	m := &mailbox{}
	b.tell(m)
	b.function.reply = func(c *queue.Call, _ int) (*queue.Response, error) {
		switch string(c.Body) {
		case "fails":
			return &queue.Response{Status: 404, Body: []byte("no")}, nil
		case "dies":
			return nil, errors.New("connection refused")
		}
		return &queue.Response{Status: 201, Fields: []queue.Field{{Name: "Content-Type", Value: "text/x"}}, Body: []byte("did")}, nil
	}
	want := map[string][]string{ // by message id, what it says
		string(b.enqueueFor("works", "https://c.example/?secret")) + ".": {"callback.1 https://c.example/?secret succeeded did", "on_success.1 https://good.example/ succeeded did"},
		string(b.enqueueFor("fails", "https://c.example/")) + ".":        {"callback.1 https://c.example/ failed no", "on_failure.1 https://bad.example/ failed no"},
		string(b.enqueueFor("dies", "")) + ".":                           {"on_failure.3 https://bad.example/ failed nothing"},
		string(b.enqueue("works too")) + ".":                             {"on_success.1 https://good.example/ succeeded did"},
	}
	b.run()
	b.until("six deliveries", func() bool { return len(m.seen()) == 6 })
	for _, d := range m.seen() {
		says := strings.TrimPrefix(d.MessageID(), string(d.Call)+".") + " " + d.URL + " " + string(d.State)
		if d.Response != nil {
			says += " " + string(d.Response.Body)
		} else {
			says += " nothing"
		}
		if !slices.Contains(want[string(d.Call)+"."], says) {
			t.Errorf("told %q", says)
		}
		if d.Method != "POST" || d.Target != "/x" || d.StartedAt.IsZero() || d.FinishedAt.Before(d.StartedAt) || d.CallAttempts == 0 {
			t.Errorf("told %+v", d)
		}
	}
	b.until("nothing is owed", func() bool {
		s := b.queue.Snapshot(b.ctx())
		return s.Deliveries == 0 && s.Delivered == 6
	})
}

func TestWhatIsOwedSurvivesARestart(t *testing.T) {
	b := newBench(t, 4)
	m := &mailbox{reply: func(*queue.Delivery) error { return errors.New("503") }}
	b.tell(m)
	id := b.enqueueFor("x", "https://c.example/")
	b.run()
	b.until("it was tried", func() bool { return len(m.seen()) > 0 })
	b.until("that is on record", func() bool {
		r, err := b.store.Delivery(b.ctx(), id, queue.ToCallback)
		return err == nil && r.State == queue.DeliveryPending && r.Attempts > 0 && r.LastError == "503"
	})
	b.close()
	m.mu.Lock()
	m.reply = nil
	before := len(m.got)
	m.mu.Unlock()
	b.open()
	go b.queue.Deliver(context.Background())
	b.until("it is delivered", func() bool {
		r, err := b.store.Delivery(b.ctx(), id, queue.ToCallback)
		return err == nil && r.State == queue.DeliveryDone && !r.DeliveredAt.IsZero()
	})
	all := m.seen()
	if len(all) != before+1 || all[before].MessageID() != all[0].MessageID() || all[before].Attempts < 1 {
		t.Errorf("%d attempts before, then %+v", before, all[before:])
	}
}

// A dead letter that is run again ends again, and that is told, too.
func TestARedrivenCallIsToldOfAgain(t *testing.T) {
	b := newBench(t, 4)
	m := &mailbox{}
	b.tell(m)
	b.function.reply = func(*queue.Call, int) (*queue.Response, error) { return &queue.Response{Status: 400}, nil }
	id := b.enqueueFor("x", "https://c.example/")
	b.run()
	b.until("its failure was told", func() bool { return len(m.seen()) == 1 })
	b.function.mu.Lock()
	b.function.reply = nil
	b.function.mu.Unlock()
	b.until("it is redriven", func() bool { return b.queue.Redrive(b.ctx(), id) == nil })
	b.until("its success was told", func() bool { return len(m.seen()) == 2 })
	all := m.seen()
	if all[0].State != queue.Failed || all[1].State != queue.Succeeded || all[0].MessageID() == all[1].MessageID() {
		t.Errorf("told %+v", all)
	}
}

func TestACancelledCallIsNotToldOf(t *testing.T) {
	b := newBench(t, 4)
	m := &mailbox{}
	b.tell(m)
	id := b.enqueueFor("x", "https://c.example/")
	r := b.record(id)
	if d, err := b.queue.Callback(b.ctx(), r); err != nil || d == nil || d.State != queue.DeliveryWaiting {
		t.Errorf("before it has ended: %+v, %v", d, err)
	}
	if _, err := b.queue.Cancel(b.ctx(), id); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.until("its entry is gone", func() bool {
		s := b.queue.Snapshot(b.ctx())
		return s.Up && s.Waiting+s.Held+s.Running == 0
	})
	if d, err := b.queue.Callback(b.ctx(), b.record(id)); err != nil || d != nil || len(m.seen()) != 0 {
		t.Errorf("%d were told; %+v, %v", len(m.seen()), d, err)
	}
}

// An expired call, which no attempt was made at, is told of without an answer.
func TestAnExpiredCallIsToldOf(t *testing.T) {
	b := newBench(t, 4)
	b.policy.MaxAge = time.Millisecond
	m := &mailbox{}
	b.tell(m)
	b.enqueueFor("x", "https://c.example/")
	<-time.After(5 * time.Millisecond)
	b.run()
	b.until("it was told", func() bool { return len(m.seen()) == 1 })
	if d := m.seen()[0]; d.State != queue.Expired || d.Response != nil || d.Error == "" {
		t.Errorf("told %+v", d)
	}
}
