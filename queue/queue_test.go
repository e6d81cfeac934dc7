package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/faults"
	"weir/limits"
	"weir/queue"
	"weir/queue/jetstream"
)

func verifyNoLeaks(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := faults.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

const patience = 30 * time.Second

// function is an Invoker whose answers the test gives.
type function struct {
	mu    sync.Mutex
	calls []seen
	reply func(c *queue.Call, attempt int) (*queue.Response, error)
	// block, where set, is waited for before the reply.
	block chan struct{}
}

type seen struct {
	id      queue.ID
	body    string
	attempt int
}

func (f *function) Invoke(ctx context.Context, c *queue.Call, attempt int, _ int64) (*queue.Response, error) {
	f.mu.Lock()
	f.calls = append(f.calls, seen{c.ID, string(c.Body), attempt})
	block, reply := f.block, f.reply
	f.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if reply == nil {
		return &queue.Response{Status: 200, Body: []byte("ok " + string(c.Body))}, nil
	}
	return reply(c, attempt)
}

func (f *function) seen() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]seen(nil), f.calls...)
}

// bench is a queue on a real store.
type bench struct {
	t        *testing.T
	dir      string
	store    *jetstream.Store
	gate     *limits.Gate
	function *function
	policy   queue.Policy
	notifier queue.Notifier
	queue    *queue.Queue
}

func newBench(t *testing.T, limit int) *bench {
	t.Helper()
	gate, err := limits.NewGate(limits.Policy{MaxInflight: limit, QueueDepth: 10})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: t.TempDir(), gate: gate, function: &function{}, policy: queue.DefaultPolicy()}
	b.policy.Backoff, b.policy.BackoffMax = time.Millisecond, 10*time.Millisecond
	b.open()
	t.Cleanup(func() { b.close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if b.store, err = jetstream.Open(ctx, jetstream.Options{
		Function: "f", Dir: b.dir, AnyFilesystem: true, MaxBytes: 64 << 20, HoldTime: time.Second, WriteTimeout: 20 * time.Second, Log: b.log(),
	}); err != nil {
		b.t.Fatal(err)
	}
	b.on(b.store)
}

// on makes the queue work on a store.
func (b *bench) on(s queue.Store) {
	b.queue = queue.New(queue.Options{Store: s, Gate: b.gate, Invoker: b.function, Notifier: b.notifier, Policy: b.policy, Log: b.log(), Poll: 50 * time.Millisecond})
}

func (b *bench) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(b.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (b *bench) run() { go b.queue.Run(context.Background()) }

func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.queue.Drain(ctx); err != nil {
		b.t.Error(err)
	}
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
	b.until("every slot is free", func() bool { return b.gate.Snapshot().Inflight == 0 })
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *bench) enqueue(body string) queue.ID {
	b.t.Helper()
	a, err := b.queue.Enqueue(b.ctx(), newCall(body), "", 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.ID
}

func newCall(body string) *queue.Call {
	return &queue.Call{Method: "POST", Target: "/x", Host: "h", Body: []byte(body)}
}

func (b *bench) record(id queue.ID) *queue.Record {
	b.t.Helper()
	r, err := b.queue.Record(b.ctx(), id)
	if err != nil {
		b.t.Fatalf("record of %s: %v", id, err)
	}
	return r
}

func (b *bench) until(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("it never came to be that %s", what)
		}
	}
}

func (b *bench) reaches(id queue.ID, s queue.State) *queue.Record {
	b.t.Helper()
	var r *queue.Record
	b.until("the call is "+string(s), func() bool { r = b.record(id); return r.State == s })
	return r
}

func TestACallRunsAndItsResponseIsKept(t *testing.T) {
	b := newBench(t, 2)
	b.run()
	id := b.enqueue("hello")
	r := b.reaches(id, queue.Succeeded)
	if r.Attempts != 1 || r.StatusCode != 200 || r.Error != "" || r.StartedAt.IsZero() || r.FinishedAt.Before(r.StartedAt) {
		t.Errorf("got %+v", r)
	}
	res, err := b.queue.Response(b.ctx(), id)
	if err != nil || string(res.Body) != "ok hello" {
		t.Errorf("got %+v, %v", res, err)
	}
	b.until("nothing is left in the queue", func() bool {
		s := b.queue.Snapshot(b.ctx())
		return s.Up && s.Waiting == 0 && s.Held == 0 && s.Running == 0 && s.Succeeded == 1 && s.Attempts == 1 && s.Enqueued == 1
	})
}

func TestAFailedAttemptIsRepeatedUntilItSucceeds(t *testing.T) {
	b := newBench(t, 2)
	b.function.reply = func(_ *queue.Call, attempt int) (*queue.Response, error) {
		switch attempt {
		case 1:
			return &queue.Response{Status: 503}, nil
		case 2:
			return nil, errors.New("connection refused")
		}
		return &queue.Response{Status: 201}, nil
	}
	b.run()
	id := b.enqueue("x")
	r := b.reaches(id, queue.Succeeded)
	if r.Attempts != 3 || r.StatusCode != 201 || r.Ticket != 3 {
		t.Errorf("got %+v", r)
	}
	for i, s := range b.function.seen() {
		if s.attempt != i+1 || s.id != id || s.body != "x" {
			t.Errorf("attempt %d came as %+v", i+1, s)
		}
	}
}

func TestACallWithoutAttemptsLeftIsADeadLetterThatCanBeRedriven(t *testing.T) {
	b := newBench(t, 2)
	b.function.reply = func(*queue.Call, int) (*queue.Response, error) {
		return &queue.Response{Status: 500, Body: []byte("sorry")}, nil
	}
	b.run()
	id := b.enqueue("x")
	r := b.reaches(id, queue.Failed)
	if r.Attempts != 3 || r.StatusCode != 500 || r.Error != "the function answered 500, in attempt 3 of 3" {
		t.Errorf("got %+v", r)
	}
	dead, _, err := b.queue.DeadLetters(b.ctx(), "", 10)
	if err != nil || len(dead) != 1 || dead[0].ID != id {
		t.Fatalf("dead letters: %v, %v", dead, err)
	}
	d, err := b.store.DeadLetter(b.ctx(), id)
	if err != nil || string(d.Response.Body) != "sorry" || string(d.Call.Body) != "x" {
		t.Fatalf("got %+v, %v", d, err)
	}
	b.function.mu.Lock()
	b.function.reply = nil
	b.function.mu.Unlock()
	if err := b.queue.Redrive(b.ctx(), id); err != nil {
		t.Fatal(err)
	}
	if r := b.reaches(id, queue.Succeeded); r.Attempts != 1 {
		t.Errorf("after the redrive: %+v", r)
	}
	if dead, _, err := b.queue.DeadLetters(b.ctx(), "", 10); err != nil || len(dead) != 0 {
		t.Errorf("dead letters after the redrive: %v, %v", dead, err)
	}
	if err := b.queue.Redrive(b.ctx(), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a second redrive: %v", err)
	}
}

func TestAnAnswerThatAllowsNoOtherEndsTheCall(t *testing.T) {
	b := newBench(t, 2)
	b.function.reply = func(*queue.Call, int) (*queue.Response, error) { return &queue.Response{Status: 404}, nil }
	b.run()
	if r := b.reaches(b.enqueue("x"), queue.Failed); r.Attempts != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestACallThatIsTooOldExpires(t *testing.T) {
	b := newBench(t, 2)
	b.policy.MaxAge = time.Nanosecond
	b.queue.Configure(b.policy)
	b.run()
	r := b.reaches(b.enqueue("x"), queue.Expired)
	if r.Attempts != 0 || len(b.function.seen()) != 0 {
		t.Errorf("got %+v, run %v", r, b.function.seen())
	}
	if dead, _, err := b.queue.DeadLetters(b.ctx(), "", 10); err != nil || len(dead) != 1 {
		t.Errorf("dead letters: %v, %v", dead, err)
	}
}

func TestADelayedCallWaitsForItsTime(t *testing.T) {
	b := newBench(t, 2)
	b.run()
	const delay = 1500 * time.Millisecond
	a, err := b.queue.Enqueue(b.ctx(), newCall("later"), "", delay)
	if err != nil {
		t.Fatal(err)
	}
	if r := b.record(a.ID); r.State != queue.Scheduled || r.NextAttemptAt.Sub(r.EnqueuedAt) != delay {
		t.Errorf("got %+v", r)
	}
	r := b.reaches(a.ID, queue.Succeeded)
	if waited := r.StartedAt.Sub(r.EnqueuedAt); waited < delay {
		t.Errorf("it began after %v", waited)
	}
}

func TestWhatIsCancelledDoesNotRun(t *testing.T) {
	b := newBench(t, 1)
	waiting := b.enqueue("waiting")
	if r, err := b.queue.Cancel(b.ctx(), waiting); err != nil || r.State != queue.Cancelled {
		t.Fatalf("got %+v, %v", r, err)
	}
	b.function.block = make(chan struct{})
	b.run()
	running := b.enqueue("running")
	b.reaches(running, queue.Running)
	if _, err := b.queue.Cancel(b.ctx(), running); err != nil {
		t.Fatal(err)
	}
	b.until("the attempt is cut off", func() bool { return b.gate.Snapshot().Inflight == 0 })
	close(b.function.block)
	last := b.enqueue("last")
	b.reaches(last, queue.Succeeded)
	var impossible *queue.MoveError
	if _, err := b.queue.Cancel(b.ctx(), last); !errors.As(err, &impossible) {
		t.Errorf("cancelling what has ended: %v", err)
	}
	for _, s := range b.function.seen() {
		if s.id == waiting {
			t.Error("the call that was cancelled first ran")
		}
	}
	if r := b.record(running); r.State != queue.Cancelled {
		t.Errorf("got %+v", r)
	}
}

func TestAKeyGivesTheFirstCall(t *testing.T) {
	b := newBench(t, 1)
	first, err := b.queue.Enqueue(b.ctx(), newCall("x"), "order-7", 0)
	if err != nil || first.Repeated {
		t.Fatalf("got %+v, %v", first, err)
	}
	if again, err := b.queue.Enqueue(b.ctx(), newCall("x"), "order-7", 0); err != nil || again.ID != first.ID || !again.Repeated {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := b.queue.Enqueue(b.ctx(), newCall("other"), "order-7", 0); !errors.Is(err, queue.ErrKeyReused) {
		t.Errorf("another payload: %v", err)
	}
	b.run()
	b.reaches(first.ID, queue.Succeeded)
	if n := len(b.function.seen()); n != 1 {
		t.Errorf("it ran %d times", n)
	}
	// At once, from many sides.
	ids := make(chan queue.ID, 20)
	var group sync.WaitGroup
	for range cap(ids) {
		group.Go(func() {
			a, err := b.queue.Enqueue(b.ctx(), newCall("y"), "order-8", 0)
			if err != nil {
				t.Errorf("got %v", err)
			}
			ids <- a.ID
		})
	}
	group.Wait()
	one := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != one {
			t.Errorf("two calls of one key: %s and %s", one, id)
		}
	}
}

func TestNothingIsFetchedWithoutASlot(t *testing.T) {
	b := newBench(t, 2)
	var taken [2]limits.Slot
	for i := range taken {
		defer taken[i].Leave(limits.Aborted)
		if err := b.gate.Enter(b.ctx(), &limits.Call{}, &taken[i]); err != nil {
			t.Fatal(err)
		}
	}
	b.run()
	for i := range 6 {
		b.enqueue(fmt.Sprint(i))
	}
	// Longer than the queue takes to look for something to do.
	for range 20 {
		<-time.After(10 * time.Millisecond)
		if s := b.queue.Snapshot(b.ctx()); s.Held != 0 || s.Waiting != 6 || s.Running != 0 {
			t.Fatalf("without a slot: %+v", s)
		}
	}
	b.function.mu.Lock()
	b.function.block = make(chan struct{})
	b.function.mu.Unlock()
	taken[0].Leave(limits.Succeeded)
	b.until("one runs", func() bool { return len(b.function.seen()) == 1 })
	if s := b.gate.Snapshot(); s.Inflight != 2 {
		t.Errorf("in flight: %d", s.Inflight)
	}
	taken[1].Leave(limits.Succeeded)
	close(b.function.block)
	b.until("all have run", func() bool { return b.queue.Snapshot(b.ctx()).Succeeded == 6 })
	for i, s := range b.function.seen()[:1] {
		if s.body != fmt.Sprint(i) {
			t.Errorf("number %d was %q", i, s.body)
		}
	}
	if high := b.gate.Snapshot().HighWater; high > 2 {
		t.Errorf("%d ran at once", high)
	}
}

func TestALongRunIsNotRepeated(t *testing.T) {
	b := newBench(t, 3)
	b.function.block = make(chan struct{})
	b.run()
	id := b.enqueue("long")
	b.reaches(id, queue.Running)
	// Three times as long as a fetched entry is held without a sign of life.
	<-time.After(3 * b.store.HoldTime())
	close(b.function.block)
	if r := b.reaches(id, queue.Succeeded); r.Attempts != 1 || len(b.function.seen()) != 1 {
		t.Errorf("got %+v, run %d times", r, len(b.function.seen()))
	}
}

// Nor by another weir that shares the server.
func TestALongRunIsNotRepeatedByAnother(t *testing.T) {
	url := faults.StartNATS(t, "").URL
	var weirs []*bench
	for range 2 {
		b := newBench(t, 3)
		external, err := jetstream.Open(b.ctx(), jetstream.Options{Function: "f", URL: url, HoldTime: time.Second, WriteTimeout: 20 * time.Second, Log: b.log()})
		if err != nil {
			t.Fatal(err)
		}
		own := b.store
		t.Cleanup(func() {
			if err := own.Close(); err != nil {
				t.Error(err)
			}
		})
		b.store = external
		b.on(external)
		b.function.block = make(chan struct{})
		b.run()
		weirs = append(weirs, b)
	}
	id := weirs[0].enqueue("long")
	weirs[0].reaches(id, queue.Running)
	<-time.After(3 * weirs[0].store.HoldTime())
	for _, b := range weirs {
		close(b.function.block)
	}
	if r := weirs[1].reaches(id, queue.Succeeded); r.Attempts != 1 || len(weirs[0].function.seen())+len(weirs[1].function.seen()) != 1 {
		t.Errorf("got %+v, run as %v and %v", r, weirs[0].function.seen(), weirs[1].function.seen())
	}
}

func TestADrainHandsBackWhatDoesNotEnd(t *testing.T) {
	b := newBench(t, 2)
	b.function.block = make(chan struct{})
	b.run()
	id := b.enqueue("x")
	b.until("the function has it", func() bool { return len(b.function.seen()) == 1 }) // its record says so before
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.queue.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.function.block = nil
	b.open()
	b.run()
	if r := b.reaches(id, queue.Succeeded); r.Attempts != 2 {
		t.Errorf("got %+v", r)
	}
	if s := b.function.seen(); len(s) != 2 || s[1].attempt != 2 {
		t.Errorf("the function saw %+v", s)
	}
}

func TestADrainWaitsForWhatRuns(t *testing.T) {
	b := newBench(t, 2)
	b.function.block = make(chan struct{})
	b.run()
	id := b.enqueue("x")
	b.reaches(id, queue.Running)
	drained := make(chan error, 1)
	go func() { drained <- b.queue.Drain(b.ctx()) }()
	late := b.enqueue("late")
	close(b.function.block)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if r := b.record(id); r.State != queue.Succeeded {
		t.Errorf("got %+v", r)
	}
	if r := b.record(late); r.State != queue.Enqueued {
		t.Errorf("what came after the drain began: %+v", r)
	}
}

func TestALargeBodyReachesTheFunction(t *testing.T) {
	b := newBench(t, 2)
	b.run()
	body := string(bytes.Repeat([]byte("abcdefgh"), 1<<18))
	b.reaches(b.enqueue(body), queue.Succeeded)
	if s := b.function.seen(); len(s) != 1 || s[0].body != body {
		t.Error("the body is not the one that went in")
	}
}

func TestAwaitReturnsWhenTheCallHasEnded(t *testing.T) {
	b := newBench(t, 2)
	b.function.block = make(chan struct{})
	b.run()
	id := b.enqueue("x")
	b.reaches(id, queue.Running)
	short, cancel := context.WithTimeout(b.ctx(), time.Millisecond)
	defer cancel()
	if r, err := b.queue.Await(short, id); err != nil || r.State.Final() {
		t.Errorf("after a short wait: %+v, %v", r, err)
	}
	go close(b.function.block)
	if r, err := b.queue.Await(b.ctx(), id); err != nil || r.State != queue.Succeeded {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err := b.queue.Await(b.ctx(), id); err != nil || r.State != queue.Succeeded {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
}

func TestNoMoreRunAtOnceThanTheirShare(t *testing.T) {
	b := newBench(t, 10)
	b.policy.MaxRunning = 2
	b.queue.Configure(b.policy)
	b.run()
	for range 20 {
		b.enqueue("x")
	}
	b.until("all have run", func() bool { return b.queue.Snapshot(b.ctx()).Succeeded == 20 })
	if high := b.gate.Snapshot().HighWater; high > 3 { // one may hold a slot to fetch with
		t.Errorf("%d slots were taken at once", high)
	}
}
