package queue

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// CallsPath is where callers find the calls that they have made: CallsPath/<id>, and
// below it /response.
const CallsPath = "/_weir/calls/"

// task is a call as its caller sees it.
type task struct {
	ID            ID        `json:"id"`
	State         State     `json:"state"`
	Attempts      int       `json:"attempts"`
	EnqueuedAt    time.Time `json:"enqueued_at"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	FinishedAt    time.Time `json:"finished_at,omitzero"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	StatusCode    int       `json:"status_code,omitempty"`
	Error         string    `json:"error,omitempty"`
	ResponseURL   string    `json:"response_url,omitempty"`
	Callback      *callback `json:"callback,omitempty"`
}

// callback is how the delivery of a call's outcome to its caller stands.
type callback struct {
	State         DeliveryState `json:"state"`
	Attempts      int           `json:"attempts"`
	LastError     string        `json:"last_error,omitempty"`
	NextAttemptAt time.Time     `json:"next_attempt_at,omitzero"`
	DeliveredAt   time.Time     `json:"delivered_at,omitzero"`
}

// taskOf gives a call as its caller sees it.
func (q *Queue) taskOf(ctx context.Context, r *Record) (*task, error) {
	t := taskOf(r)
	d, err := q.Callback(ctx, r)
	if d != nil {
		t.Callback = &callback{d.State, d.Attempts, d.LastError, d.NextAttemptAt, d.DeliveredAt}
	}
	return t, err
}

func taskOf(r *Record) *task {
	t := &task{
		ID: r.ID, State: r.State, Attempts: r.Attempts, EnqueuedAt: r.EnqueuedAt.UTC(), StartedAt: r.StartedAt,
		FinishedAt: r.FinishedAt, NextAttemptAt: r.NextAttemptAt, StatusCode: r.StatusCode, Error: r.Error,
	}
	if r.State.Final() && r.StatusCode != 0 {
		t.ResponseURL = CallsPath + string(r.ID) + "/response"
	}
	return t
}

// apiTimeout bounds what a caller's question may take.
const apiTimeout = 10 * time.Second

// Handler serves the task API:
//
//	GET    /_weir/calls/<id>            how the call stands
//	GET    /_weir/calls/<id>/response   what the function answered, with its status
//	DELETE /_weir/calls/<id>            takes it back
//
// An id is the right to its call; what is no id, or nobody's, is not found.
func (q *Queue) Handler() http.Handler { return http.HandlerFunc(q.serveTask) }

func (q *Queue) serveTask(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTimeout)
	defer cancel()
	rest, _ := strings.CutPrefix(r.URL.Path, CallsPath)
	text, part, deeper := strings.Cut(rest, "/")
	id, ok := ParseID(text)
	switch {
	case !ok || deeper && part != "response":
		q.problem(w, r, ErrNotFound)
	case deeper && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		q.serveResponse(ctx, w, r, id)
	case !deeper && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		record, err := q.Record(ctx, id)
		var t *task
		if err == nil {
			t, err = q.taskOf(ctx, record)
		}
		if err != nil {
			q.problem(w, r, err)
			return
		}
		writeJSON(w, r, http.StatusOK, "application/json", t)
	case !deeper && r.Method == http.MethodDelete:
		record, err := q.Cancel(ctx, id)
		if err != nil {
			q.problem(w, r, err)
			return
		}
		writeJSON(w, r, http.StatusOK, "application/json", taskOf(record))
	default:
		w.Header().Set("Allow", "GET, HEAD, DELETE")
		if deeper {
			w.Header().Set("Allow", "GET, HEAD")
		}
		q.problem(w, r, errMethod)
	}
}

func (q *Queue) serveResponse(ctx context.Context, w http.ResponseWriter, r *http.Request, id ID) {
	res, err := q.Response(ctx, id)
	if errors.Is(err, ErrNotFound) {
		// A call that is there has no answer yet, or ended without one.
		if _, recordErr := q.Record(ctx, id); recordErr == nil {
			err = errNoResponse
		}
	}
	switch {
	case err == nil && res.Dropped:
		err = errDropped
		fallthrough
	case err != nil:
		q.problem(w, r, err)
		return
	}
	h := w.Header()
	for _, f := range res.Fields {
		h.Add(f.Name, f.Value)
	}
	h.Set("X-Call-Id", string(id))
	h.Set("Content-Length", strconv.Itoa(len(res.Body)))
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // none of net/http's guesses
	}
	w.WriteHeader(res.Status)
	if r.Method != http.MethodHead && res.Status != http.StatusNoContent && res.Status != http.StatusNotModified {
		_, _ = w.Write(res.Body) // a client that left cannot be told
	}
}

var (
	errMethod     = errors.New("the method is not for this")
	errNoResponse = errors.New("the call has no response: it has not ended yet, or it ended without an answer of the function")
	errDropped    = errors.New("the response was larger than what is kept of one")
)

// problem answers with an error, as RFC 9457 has it.
func (q *Queue) problem(w http.ResponseWriter, r *http.Request, err error) {
	status, detail := http.StatusServiceUnavailable, "The queue of asynchronous calls is not available."
	var move *MoveError
	switch {
	case errors.Is(err, ErrNotFound):
		status, detail = http.StatusNotFound, "There is no such call, or it is not kept any more."
	case errors.Is(err, errNoResponse):
		status, detail = http.StatusNotFound, sentence(err)
	case errors.Is(err, errDropped):
		status, detail = http.StatusGone, sentence(err)
	case errors.Is(err, errMethod):
		status, detail = http.StatusMethodNotAllowed, sentence(err)
	case errors.As(err, &move):
		status, detail = http.StatusConflict, "The call has ended already: it is "+string(move.State)+"."
	default:
		q.log.Warn("a question about a call could not be answered", "err", err)
	}
	token := "http_request_error"
	if status == http.StatusServiceUnavailable {
		token = "destination_unavailable"
	}
	w.Header().Set("Proxy-Status", "weir; error="+token)
	writeJSON(w, r, status, "application/problem+json", map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}

func sentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times always marshal
	}
	h := w.Header()
	if h.Get("Proxy-Status") == "" {
		h.Set("Proxy-Status", "weir")
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(b, '\n')) // a client that left cannot be told
	}
}
