package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/admin/api"
	"weir/queue"
)

// Queue is what the management API needs of the queue of asynchronous calls.
type Queue interface {
	Snapshot(context.Context) queue.Snapshot
	Record(context.Context, queue.ID) (*queue.Record, error)
	Callback(context.Context, *queue.Record) (*queue.DeliveryRecord, error)
	Calls(ctx context.Context, state queue.State, cursor string, limit int) ([]*queue.Record, string, error)
	Cancel(context.Context, queue.ID) (*queue.Record, error)
	DeadLetters(ctx context.Context, cursor string, limit int) ([]*queue.Record, string, error)
	DeadLetter(context.Context, queue.ID) (*queue.DeadLetter, error)
	RemoveDeadLetter(context.Context, queue.ID) error
	Redrive(context.Context, queue.ID) error
}

// snapshotTimeout bounds what the state may wait for the queue's store.
const snapshotTimeout = time.Second

// async gives the queue's part of the state, nil where there is no queue.
func (a *Admin) async(ctx context.Context) *api.Async {
	if a.o.Queue == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	s := a.o.Queue.Snapshot(ctx)
	return &api.Async{
		Up: s.Up, Waiting: s.Waiting, Scheduled: s.Scheduled, Running: s.Running, DeadLetters: s.DeadLetters,
		OldestAgeSeconds: s.OldestAge(time.Now()).Seconds(),
	}
}

func callOf(r *queue.Record) api.Call {
	return api.Call{
		ID: string(r.ID), State: string(r.State), Attempts: r.Attempts, Method: r.Method, Target: r.Target, EnqueuedAt: r.EnqueuedAt.UTC(),
		StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, NextAttemptAt: r.NextAttemptAt,
		StatusCode: r.StatusCode, Error: r.Error,
	}
}

// call asks the queue about one call.
func (a *Admin) call(q api.CallQuery, ask func(queue.ID) (*queue.Record, error)) (*api.Call, error) {
	id, err := a.idOf(q)
	if err != nil {
		return nil, err
	}
	r, err := ask(id)
	if err != nil {
		return nil, a.queueError(err)
	}
	c := callOf(r)
	return &c, nil
}

func (a *Admin) idOf(q api.CallQuery) (queue.ID, error) {
	if a.o.Queue == nil {
		return "", api.ErrNoQueue
	}
	id, ok := queue.ParseID(q.ID)
	if !ok {
		return "", api.ErrNoCall
	}
	return id, nil
}

// queueError says in the API's terms what the queue returned.
func (a *Admin) queueError(err error) error {
	var move *queue.MoveError
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return api.ErrNoCall
	case errors.As(err, &move):
		return fmt.Errorf("%w: it is %s", api.ErrNotNow, move.State)
	}
	a.o.Log.Warn("the queue does not answer the management API", "err", err)
	return api.ErrQueueDown
}

// Call implements api.Service.
func (a *Admin) Call(ctx context.Context, q api.CallQuery) (*api.Call, error) {
	var callback *api.Callback
	c, err := a.call(q, func(id queue.ID) (*queue.Record, error) {
		r, err := a.o.Queue.Record(ctx, id)
		if err != nil {
			return nil, err
		}
		d, err := a.o.Queue.Callback(ctx, r)
		if d != nil {
			callback = &api.Callback{State: string(d.State), Attempts: d.Attempts, LastError: d.LastError, NextAttemptAt: d.NextAttemptAt, DeliveredAt: d.DeliveredAt}
		}
		return r, err
	})
	if c != nil {
		c.Callback = callback
	}
	return c, err
}

// CancelCall implements api.Service.
func (a *Admin) CancelCall(ctx context.Context, q api.CallQuery) (*api.Call, error) {
	return a.call(q, func(id queue.ID) (*queue.Record, error) { return a.o.Queue.Cancel(ctx, id) })
}

// DeadLetters implements api.Service.
func (a *Admin) DeadLetters(ctx context.Context, q api.DeadLettersQuery) (*api.DeadLetters, error) {
	if a.o.Queue == nil {
		return nil, api.ErrNoQueue
	}
	limit := q.Limit
	if limit == 0 {
		limit = api.DefaultDeadLetters
	}
	records, next, err := a.o.Queue.DeadLetters(ctx, q.Cursor, limit)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, notCursor("?cursor")
	}
	if err != nil {
		return nil, a.queueError(err)
	}
	return &api.DeadLetters{Calls: callsOf(records), Next: next}, nil
}

func callsOf(records []*queue.Record) []api.Call {
	calls := make([]api.Call, len(records))
	for i, r := range records {
		calls[i] = callOf(r)
	}
	return calls
}

// Calls implements api.Service.
func (a *Admin) Calls(ctx context.Context, q api.CallsQuery) (*api.Calls, error) {
	if a.o.Queue == nil {
		return nil, api.ErrNoQueue
	}
	limit := q.Limit
	if limit == 0 {
		limit = api.DefaultCalls
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	records, next, err := a.o.Queue.Calls(ctx, queue.State(q.State), q.Cursor, limit)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, notCursor("?cursor")
	}
	if err != nil {
		return nil, a.queueError(err)
	}
	return &api.Calls{Calls: callsOf(records), Next: next}, nil
}

// listTimeout bounds a list: a store that is busy lets some at a time read.
const listTimeout = 20 * time.Second

// DeadLetter implements api.Service.
func (a *Admin) DeadLetter(ctx context.Context, q api.CallQuery) (*api.DeadLetter, error) {
	id, err := a.idOf(q)
	if err != nil {
		return nil, err
	}
	d, err := a.o.Queue.DeadLetter(ctx, id)
	if err != nil {
		return nil, a.queueError(err)
	}
	letter := &api.DeadLetter{Call: callOf(&d.Record), Host: d.Call.Host, BodySize: max(d.Call.BodySize, int64(len(d.Call.Body)))}
	letter.Call.Method, letter.Call.Target = d.Call.Method, strings.ToValidUTF8(d.Call.Target, "?")
	if d.Response != nil {
		letter.Response = responseOf(d.Response)
	}
	return letter, nil
}

func responseOf(r *queue.Response) *api.Response {
	res := &api.Response{StatusCode: r.Status, Fields: []api.Field{}, Dropped: r.Dropped}
	for _, f := range r.Fields {
		res.Fields = append(res.Fields, api.Field{Name: f.Name, Value: strings.ToValidUTF8(f.Value, "?")})
	}
	body := r.Body
	if res.Truncated = len(body) > api.MaxBody; res.Truncated {
		body = body[:api.MaxBody]
	}
	text := body
	if res.Truncated { // maybe in the middle of a character
		if whole := bytes.ToValidUTF8(body, nil); len(body)-len(whole) < utf8.UTFMax && bytes.HasPrefix(body, whole) {
			text = whole
		}
	}
	if utf8.Valid(text) {
		res.Body = string(text)
	} else {
		res.BodyBase64 = body
	}
	return res
}

// RemoveDeadLetter implements api.Service.
func (a *Admin) RemoveDeadLetter(ctx context.Context, q api.CallQuery) (*api.Removed, error) {
	id, err := a.idOf(q)
	if err != nil {
		return nil, err
	}
	if err := a.o.Queue.RemoveDeadLetter(ctx, id); err != nil {
		return nil, a.queueError(err)
	}
	a.o.Log.Info("dead letter removed", "call", string(id), "by", "management API")
	return &api.Removed{ID: string(id)}, nil
}

// Redrive implements api.Service.
func (a *Admin) Redrive(ctx context.Context, q api.CallQuery) (*api.Redriven, error) {
	id, err := a.idOf(q)
	if err != nil {
		return nil, err
	}
	if err := a.o.Queue.Redrive(ctx, id); err != nil {
		return nil, a.queueError(err)
	}
	return &api.Redriven{Redriven: 1}, nil
}

// How much one request redrives: what is left is asked for anew, so that an answer
// comes before anybody loses patience.
const (
	redriveAtOnce = 1000
	redriveTime   = 5 * time.Second
)

// RedriveAll implements api.Service. A call that cannot be redriven is told of, and
// does not keep the others.
func (a *Admin) RedriveAll(ctx context.Context, q api.RedriveQuery) (*api.Redriven, error) {
	if a.o.Queue == nil {
		return nil, api.ErrNoQueue
	}
	began := time.Now()
	from, cursor, err := readRedriveCursor(q.Cursor, began)
	if err != nil {
		return nil, err
	}
	result := &api.Redriven{}
	for result.Redriven+len(result.Failed) < redriveAtOnce && time.Since(began) < redriveTime {
		records, next, err := a.o.Queue.DeadLetters(ctx, cursor, api.DefaultDeadLetters)
		if errors.Is(err, queue.ErrNotFound) {
			return nil, notCursor("/cursor")
		}
		if err != nil {
			return nil, a.queueError(err)
		}
		for _, r := range records {
			if r.FinishedAt.After(from) { // dead once more: not twice in one go
				next = ""
				break
			}
			switch err := a.o.Queue.Redrive(ctx, r.ID); {
			case err == nil:
				result.Redriven++
			case errors.Is(err, queue.ErrNotFound): // somebody else was faster
			default:
				result.Failed = append(result.Failed, api.FailedCall{ID: string(r.ID), Detail: a.queueError(err).Error()})
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if cursor != "" {
		result.Next = fmt.Sprintf("%d.%s", from.UnixMilli(), cursor)
	}
	if result.Redriven > 0 {
		a.o.Log.Info("dead letters redriven", "calls", result.Redriven, "failed", len(result.Failed), "by", "management API")
	}
	return result, nil
}

// readRedriveCursor reads RedriveQuery.Cursor: the queue's own, and when the first
// of the requests came.
func readRedriveCursor(text string, now time.Time) (from time.Time, cursor string, err error) {
	if text == "" {
		return now, "", nil
	}
	stamp, cursor, ok := strings.Cut(text, ".")
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || !ok || cursor == "" {
		return from, "", notCursor("/cursor")
	}
	return time.UnixMilli(ms), cursor, nil
}

func notCursor(pointer string) error {
	return &api.InvalidError{Syntax: true, Fields: []api.FieldError{{Pointer: pointer, Detail: "is not what an answer gave as next"}}}
}
