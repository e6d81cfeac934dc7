package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/admin/api"
	"weir/queue"
)

// queueStub holds dead letters in the order in which they died.
type queueStub struct {
	letters []*queue.Record
	broken  map[queue.ID]error // what redriving these returns
	again   bool               // what is redriven dies at once
	down    error
	records int // that were listed
}

func (q *queueStub) Snapshot(context.Context) queue.Snapshot {
	s := queue.Snapshot{Up: q.down == nil, Running: 2}
	s.Waiting, s.DeadLetters, s.Oldest = 3, len(q.letters), time.Now().Add(-time.Minute)
	return s
}

func (q *queueStub) Record(_ context.Context, id queue.ID) (*queue.Record, error) {
	for _, r := range q.letters {
		if r.ID == id {
			return r, q.down
		}
	}
	return nil, queue.ErrNotFound
}

func (q *queueStub) Cancel(ctx context.Context, id queue.ID) (*queue.Record, error) {
	r, err := q.Record(ctx, id)
	if err != nil {
		return nil, err
	}
	return r, &queue.MoveError{State: r.State, Event: queue.Cancel}
}

// DeadLetters counts places as the store does: they stay with their letters. Here
// the cursor is the ticket of the last one.
func (q *queueStub) DeadLetters(_ context.Context, cursor string, limit int) ([]*queue.Record, string, error) {
	after := 0
	if cursor != "" {
		var err error
		if after, err = strconv.Atoi(cursor); err != nil {
			return nil, "", fmt.Errorf("%w: no cursor", queue.ErrNotFound)
		}
	}
	var list []*queue.Record
	for _, r := range q.letters {
		if r.Ticket > after && len(list) < limit {
			list = append(list, r)
			q.records++
		}
	}
	if q.down != nil || len(list) < limit {
		return list, "", q.down
	}
	return list, strconv.Itoa(list[len(list)-1].Ticket), nil
}

func (q *queueStub) RemoveDeadLetter(_ context.Context, id queue.ID) error {
	for i, r := range q.letters {
		if r.ID == id {
			q.letters = append(q.letters[:i:i], q.letters[i+1:]...)
			break
		}
	}
	return q.down
}

func (q *queueStub) Redrive(ctx context.Context, id queue.ID) error {
	if err := q.broken[id]; err != nil {
		return err
	}
	r, err := q.Record(ctx, id)
	if err != nil {
		return err
	}
	last := q.letters[len(q.letters)-1].Ticket
	if err := q.RemoveDeadLetter(ctx, id); err != nil {
		return err
	}
	if q.again {
		dead := *r
		dead.FinishedAt, dead.Ticket = time.Now(), last+1
		q.letters = append(q.letters, &dead)
	}
	return nil
}

func newQueueStub(n int) *queueStub {
	q := &queueStub{broken: map[queue.ID]error{}}
	died := time.Now().Add(-time.Hour)
	for i := range n {
		q.letters = append(q.letters, &queue.Record{ID: queue.NewID(died), State: queue.Failed, FinishedAt: died, Ticket: i + 1})
	}
	return q
}

// redriveEverything asks until there is no more.
func redriveEverything(t *testing.T, a *Admin) (redriven, requests int, failed []api.FailedCall) {
	t.Helper()
	for q := (api.RedriveQuery{}); ; {
		r, err := a.RedriveAll(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		redriven, failed = redriven+r.Redriven, append(failed, r.Failed...)
		if requests++; requests > 1000 {
			t.Fatal("it does not end")
		}
		if q.Cursor = r.Next; q.Cursor == "" {
			return redriven, requests, failed
		}
	}
}

func TestAllDeadLettersAreRedrivenInSomeRequests(t *testing.T) {
	_, o := newStub(t)
	q := newQueueStub(2500)
	broken := q.letters[1234].ID
	q.broken[broken] = errors.New("cannot be read")
	q.broken[q.letters[7].ID] = queue.ErrNotFound // somebody else was faster
	o.Queue = q
	redriven, requests, failed := redriveEverything(t, New(o))
	if redriven != 2498 || requests < 3 || len(failed) != 1 || failed[0] != (api.FailedCall{ID: string(broken), Detail: api.ErrQueueDown.Error()}) {
		t.Errorf("%d redriven in %d requests, failed %v", redriven, requests, failed)
	}
	if len(q.letters) != 2 {
		t.Errorf("%d letters are left", len(q.letters))
	}
}

// A function that fails at once makes dead letters as fast as they are redriven.
func TestWhatDiesAgainIsLeftForAnotherTime(t *testing.T) {
	_, o := newStub(t)
	q := newQueueStub(1500)
	q.again = true
	o.Queue = q
	redriven, _, failed := redriveEverything(t, New(o))
	if redriven != 1500 || len(failed) != 0 || len(q.letters) != 1500 {
		t.Errorf("%d redriven, failed %v, %d letters", redriven, failed, len(q.letters))
	}
}

func TestErrorsOfTheQueue(t *testing.T) {
	_, o := newStub(t)
	q := newQueueStub(3)
	o.Queue = q
	a := New(o)
	id := api.CallQuery{ID: string(q.letters[0].ID)}
	if c, err := a.Call(t.Context(), id); err != nil || c.ID != id.ID || c.State != "failed" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := a.CancelCall(t.Context(), id); !errors.Is(err, api.ErrNotNow) || !strings.HasSuffix(err.Error(), "it is failed") {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "x", "../state", string(queue.NewID(time.Now()))} {
		if _, err := a.Call(t.Context(), api.CallQuery{ID: text}); !errors.Is(err, api.ErrNoCall) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var invalid *api.InvalidError
	for _, cursor := range []string{"x", "5", "5.", ".5", "x.5", "5.x"} {
		if _, err := a.RedriveAll(t.Context(), api.RedriveQuery{Cursor: cursor}); !errors.As(err, &invalid) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
	if _, err := a.DeadLetters(t.Context(), api.DeadLettersQuery{Cursor: "x"}); !errors.As(err, &invalid) {
		t.Errorf("%v", err)
	}
	s, err := a.State(t.Context())
	if err != nil || s.Async == nil || !s.Async.Up || s.Async.Waiting != 3 || s.Async.DeadLetters != 3 || s.Async.Running != 2 || s.Async.OldestAgeSeconds < 60 {
		t.Errorf("%+v, %v", s.Async, err)
	}
	q.down = errors.New("no store")
	if _, err := a.DeadLetters(t.Context(), api.DeadLettersQuery{}); !errors.Is(err, api.ErrQueueDown) {
		t.Errorf("%v", err)
	}
	if _, err := a.RemoveDeadLetter(t.Context(), id); !errors.Is(err, api.ErrQueueDown) {
		t.Errorf("%v", err)
	}
	if s, err := a.State(t.Context()); err != nil || s.Async.Up {
		t.Errorf("%+v, %v", s.Async, err)
	}
}
