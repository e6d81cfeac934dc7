package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// drawer is an Outbox in memory, in virtual time.
type drawer struct {
	mu      sync.Mutex
	records map[string]DeliveryRecord
	due     []*Delivery
	more    chan struct{}
	commits int
	fail    error // of every commit
}

func newDrawer() *drawer {
	return &drawer{records: map[string]DeliveryRecord{}, more: make(chan struct{}, 1)}
}

func (d *drawer) HoldTime() time.Duration { return time.Hour }

func (d *drawer) put(x *Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = append(d.due, x)
	select {
	case d.more <- struct{}{}:
	default:
	}
}

func (d *drawer) owe(url string, n int) []*Delivery {
	var all []*Delivery
	now := time.Now()
	for range n {
		x := &Delivery{Call: NewID(now), To: ToCallback, Ticket: 1, URL: url, State: Succeeded, FinishedAt: now, GiveUpAt: now.Add(24 * time.Hour)}
		d.mu.Lock()
		d.records[string(x.Call)] = DeliveryRecord{Call: x.Call, To: x.To, Ticket: 1, State: DeliveryPending, Revision: 1}
		d.mu.Unlock()
		d.put(x)
		all = append(all, x)
	}
	return all
}

func (d *drawer) FetchDelivery(ctx context.Context) (*DeliveryEntry, error) {
	for {
		d.mu.Lock()
		if len(d.due) > 0 {
			x := d.due[0]
			d.due = d.due[1:]
			d.mu.Unlock()
			return &DeliveryEntry{x, inDrawer{d, x}}, nil
		}
		d.mu.Unlock()
		select {
		case <-d.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *drawer) CommitDelivery(_ context.Context, c *DeliveryChange) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits++
	if d.fail != nil {
		return d.fail
	}
	if d.records[string(c.Record.Call)].Revision != c.Record.Revision {
		return ErrConflict
	}
	c.Record.Revision++
	d.records[string(c.Record.Call)] = *c.Record
	if c.Entry != nil {
		time.AfterFunc(time.Until(c.At), func() { d.put(c.Entry) })
	}
	return nil
}

func (d *drawer) Delivery(_ context.Context, call ID, _ Audience) (*DeliveryRecord, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.records[string(call)]
	if !ok {
		return nil, ErrNotFound
	}
	return &r, nil
}

func (d *drawer) states() map[DeliveryState]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := map[DeliveryState]int{}
	for _, r := range d.records {
		n[r.State]++
	}
	return n
}

type inDrawer struct {
	d *drawer
	x *Delivery
}

func (h inDrawer) Hold() error   { return nil }
func (h inDrawer) Done() error   { return nil }
func (h inDrawer) Leave()        {}
func (h inDrawer) Return() error { h.d.put(h.x); return nil }

type notifierFunc func(ctx context.Context, d *Delivery) error

func (f notifierFunc) Notify(ctx context.Context, d *Delivery) error { return f(ctx, d) }

// inOutbox runs an outbox in virtual time.
func inOutbox(t *testing.T, notify notifierFunc, test func(t *testing.T, d *drawer, q *Queue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newDrawer()
		q := New(Options{Notifier: notify, Policy: DefaultPolicy(), Log: slog.New(slog.DiscardHandler)})
		q.outbox.store = d
		ended := make(chan struct{})
		go func() {
			q.Deliver(t.Context())
			close(ended)
		}()
		test(t, d, q)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := q.Drain(ctx); err != nil {
			t.Error(err)
		}
		<-ended
		if b := q.outbox; b.inHand != 0 || b.telling != 0 {
			t.Errorf("%d in hand, %d under way after the drain", b.inHand, b.telling)
		}
	})
}

func TestADeliveryIsRepeatedUntilItIsTaken(t *testing.T) {
	var tried []time.Time
	var ids []string
	inOutbox(t, func(_ context.Context, d *Delivery) error {
		tried, ids = append(tried, time.Now()), append(ids, d.MessageID())
		if len(tried) == 2 {
			return &Undelivered{RetryAfter: 3 * time.Hour, Err: errors.New("503")}
		}
		if len(tried) < 5 {
			return errors.New("connection refused")
		}
		return nil
	}, func(t *testing.T, d *drawer, q *Queue) {
		d.owe("https://a.example/x", 1)
		time.Sleep(time.Second / 2)
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		if n := d.states(); n[DeliveryDone] != 1 {
			t.Fatalf("after %d attempts: %v", len(tried), n)
		}
		if got := tried[2].Sub(tried[1]); got < 3*time.Hour || got > 3*time.Hour+time.Minute {
			t.Errorf("after Retry-After of 3 h the next attempt came after %v", got)
		}
		for i, id := range ids {
			if id != ids[0] {
				t.Errorf("attempt %d has the id %s, the first %s", i+1, id, ids[0])
			}
		}
		if s := q.outbox; s.counts.delivered.Load() != 1 || s.counts.retried.Load() != 4 || s.counts.failed.Load()+s.counts.gone.Load() != 0 {
			t.Error("the counts are wrong")
		}
	})
}

func TestADeliveryIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		failure  error
		attempts func(int) bool
	}{
		"after its time":                      {errors.New("refused"), func(n int) bool { return n > 20 && n < 600 }},
		"at once, where the receiver is gone": {&Undelivered{Gone: true, Err: errors.New("410")}, func(n int) bool { return n == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			attempts := 0
			last := time.Time{}
			inOutbox(t, func(context.Context, *Delivery) error {
				attempts++
				last = time.Now()
				return c.failure
			}, func(t *testing.T, d *drawer, q *Queue) {
				x := d.owe("https://a.example/x", 1)[0]
				time.Sleep(25 * time.Hour)
				synctest.Wait()
				if n := d.states(); n[DeliveryAbandoned] != 1 || !c.attempts(attempts) || last.After(x.GiveUpAt) {
					t.Errorf("%v after %d attempts, the last at %v of %v", n, attempts, last, x.GiveUpAt)
				}
				if s := q.outbox; s.counts.failed.Load()+s.counts.gone.Load() != 1 || s.counts.retried.Load() != uint64(attempts-1) {
					t.Error("the counts are wrong")
				}
			})
		})
	}
}

// One dead receiver with a long line, each attempt at which takes a minute, must not
// hold up another.
func TestADeadReceiverHoldsUpNobodyElse(t *testing.T) {
	var mu sync.Mutex
	took := map[ID]time.Time{}
	at, most := 0, 0
	inOutbox(t, func(ctx context.Context, d *Delivery) error {
		if d.URL == "https://dead.example/" {
			mu.Lock()
			at++
			most = max(most, at)
			mu.Unlock()
			defer func() { mu.Lock(); at--; mu.Unlock() }()
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return errors.New("timeout")
		}
		time.Sleep(10 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		took[d.Call] = time.Now()
		return nil
	}, func(t *testing.T, d *drawer, _ *Queue) {
		d.owe("https://dead.example/", 2000)
		time.Sleep(10 * time.Minute)
		mu.Lock()
		most = 0
		mu.Unlock()
		began := time.Now()
		alive := d.owe("https://alive.example/", 100)
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		for _, x := range alive {
			if when, ok := took[x.Call]; !ok || when.Sub(began) > 5*time.Second {
				t.Fatalf("the living receiver was told of %d of 100, one of them after %v", len(took), when.Sub(began))
			}
		}
		if most > 1 {
			t.Errorf("%d attempts at once at a receiver that has failed", most)
		}
	})
}

func TestALeftoverIsNotTold(t *testing.T) {
	told := 0
	inOutbox(t, func(context.Context, *Delivery) error { told++; return nil }, func(t *testing.T, d *drawer, _ *Queue) {
		x := d.owe("https://a.example/", 1)[0]
		synctest.Wait()
		d.put(x) // its removal was lost
		newer := *x
		newer.Ticket = 2
		d.put(&newer) // of an end that the record does not know
		synctest.Wait()
		if told != 1 {
			t.Errorf("it was told %d times", told)
		}
	})
}

func TestAnOutcomeIsWrittenOnceTheStoreIsBack(t *testing.T) {
	told := 0
	inOutbox(t, func(context.Context, *Delivery) error { told++; return nil }, func(t *testing.T, d *drawer, _ *Queue) {
		d.fail = fmt.Errorf("%w: the disk is full", ErrUnavailable)
		d.owe("https://a.example/", 1)
		time.Sleep(time.Minute)
		d.mu.Lock()
		d.fail = nil
		d.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := d.states(); n[DeliveryDone] != 1 || told != 1 {
			t.Errorf("%v, told %d times", n, told)
		}
	})
}

func TestADrainHandsDeliveriesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrawer()
		q := New(Options{Policy: DefaultPolicy(), Log: slog.New(slog.DiscardHandler), Notifier: notifierFunc(func(ctx context.Context, _ *Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		})})
		q.outbox.store = d
		go q.Deliver(t.Context())
		d.owe("https://a.example/", 20)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := q.Drain(ctx); err == nil {
			t.Error("the drain says that all has ended")
		}
		if len(d.due) != 20 || d.states()[DeliveryPending] != 20 {
			t.Errorf("%d of 20 are in line again, %v", len(d.due), d.states())
		}
	})
}
