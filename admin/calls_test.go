package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
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
	last    *queue.Response
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

func (q *queueStub) Callback(_ context.Context, r *queue.Record) (*queue.DeliveryRecord, error) {
	return &queue.DeliveryRecord{Call: r.ID, State: queue.DeliveryPending, Attempts: 2, LastError: "the receiver answered 503"}, q.down
}

func (q *queueStub) Cancel(ctx context.Context, id queue.ID) (*queue.Record, error) {
	r, err := q.Record(ctx, id)
	if err != nil {
		return nil, err
	}
	return r, &queue.MoveError{State: r.State, Event: queue.Cancel}
}

// Calls lists the letters, and shows in their targets what it was asked.
func (q *queueStub) Calls(ctx context.Context, state queue.State, cursor string, limit int) ([]*queue.Record, string, error) {
	records, next, err := q.DeadLetters(ctx, cursor, limit)
	for _, r := range records {
		r.Target = "/" + string(state)
	}
	return records, next, err
}

func (q *queueStub) DeadLetter(ctx context.Context, id queue.ID) (*queue.DeadLetter, error) {
	r, err := q.Record(ctx, id)
	if err != nil {
		return nil, err
	}
	return &queue.DeadLetter{Record: *r, Call: &queue.Call{Method: "PUT", Target: "/t\xff", Host: "h", BodySize: 7}, Response: q.last}, nil
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

func TestCallsAreListed(t *testing.T) {
	_, o := newStub(t)
	q := newQueueStub(250)
	o.Queue = q
	a := New(o)
	n := 0
	for query := (api.CallsQuery{State: "running"}); ; {
		list, err := a.Calls(t.Context(), query)
		if err != nil || n > 250 {
			t.Fatal(n, err)
		}
		for i, c := range list.Calls {
			if c.ID != string(q.letters[n+i].ID) || c.Target != "/running" {
				t.Fatalf("got %+v", c)
			}
		}
		n += len(list.Calls)
		if query.Cursor = list.Next; query.Cursor == "" {
			break
		}
	}
	if n != 250 {
		t.Errorf("%d are listed", n)
	}
	var invalid *api.InvalidError
	if _, err := a.Calls(t.Context(), api.CallsQuery{Cursor: "x"}); !errors.As(err, &invalid) || invalid.Fields[0].Pointer != "?cursor" {
		t.Errorf("%v", err)
	}
	q.down = errors.New("no store")
	if _, err := a.Calls(t.Context(), api.CallsQuery{}); !errors.Is(err, api.ErrQueueDown) {
		t.Errorf("%v", err)
	}
}

func TestADeadLetterShowsItsLastResponse(t *testing.T) {
	_, o := newStub(t)
	q := newQueueStub(1)
	o.Queue = q
	a := New(o)
	id := api.CallQuery{ID: string(q.letters[0].ID)}
	letter := func() *api.DeadLetter {
		t.Helper()
		d, err := a.DeadLetter(t.Context(), id)
		if err != nil || d.Call.ID != id.ID || d.Call.Method != "PUT" || d.Call.Target != "/t?" || d.Host != "h" || d.BodySize != 7 {
			t.Fatalf("got %+v, %v", d, err)
		}
		return d
	}
	if d := letter(); d.Response != nil {
		t.Errorf("a response out of nothing: %+v", d.Response)
	}
	long := strings.Repeat("ü", api.MaxBody/2)
	for _, c := range []struct {
		kept queue.Response
		want api.Response
	}{
		{queue.Response{Status: 500, Body: []byte("sorry"), Fields: []queue.Field{{Name: "A", Value: "caf\xe9"}}}, api.Response{StatusCode: 500, Body: "sorry", Fields: []api.Field{{Name: "A", Value: "caf?"}}}},
		{queue.Response{Status: 500, Dropped: true}, api.Response{StatusCode: 500, Dropped: true}},
		{queue.Response{Status: 500, Body: []byte("a\xff")}, api.Response{StatusCode: 500, BodyBase64: []byte("a\xff")}},
		{queue.Response{Status: 500, Body: []byte(long)}, api.Response{StatusCode: 500, Body: long}},
		{queue.Response{Status: 500, Body: []byte("x" + long)}, api.Response{StatusCode: 500, Body: "x" + long[:api.MaxBody-2], Truncated: true}},
		{queue.Response{Status: 500, Body: []byte("\xff" + long)}, api.Response{StatusCode: 500, BodyBase64: []byte("\xff" + long[:api.MaxBody-1]), Truncated: true}},
	} {
		if c.want.Fields == nil {
			c.want.Fields = []api.Field{}
		}
		q.last = &c.kept
		if d := letter(); !reflect.DeepEqual(d.Response, &c.want) {
			t.Errorf("a body of %d bytes: got %d bytes, %d in base 64, %+v", len(c.kept.Body), len(d.Response.Body), len(d.Response.BodyBase64), d.Response.Fields)
		}
	}
	if _, err := a.DeadLetter(t.Context(), api.CallQuery{ID: string(queue.NewID(time.Now()))}); !errors.Is(err, api.ErrNoCall) {
		t.Errorf("%v", err)
	}
}

func TestErrorsOfTheQueue(t *testing.T) {
	_, o := newStub(t)
	q := newQueueStub(3)
	o.Queue = q
	a := New(o)
	id := api.CallQuery{ID: string(q.letters[0].ID)}
	if c, err := a.Call(t.Context(), id); err != nil || c.ID != id.ID || c.State != "failed" || !reflect.DeepEqual(c.Callback, &api.Callback{State: "pending", Attempts: 2, LastError: "the receiver answered 503"}) {
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
