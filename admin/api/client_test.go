package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Service that gives what it holds, and keeps what it was asked.
type fake struct {
	state  State
	hist   History
	table  Inflight
	limits Limits
	err    error

	call    Call
	calls   Calls
	dead    DeadLetters
	letter  DeadLetter
	redrive Redriven
	asked   []any // about calls

	query  InflightQuery
	change LimitsChange
	drains int
}

func (f *fake) State(context.Context) (*State, error)     { return &f.state, f.err }
func (f *fake) History(context.Context) (*History, error) { return &f.hist, f.err }
func (f *fake) Limits(context.Context) (*Limits, error)   { return &f.limits, f.err }
func (f *fake) Inflight(_ context.Context, q InflightQuery) (*Inflight, error) {
	f.query = q
	return &f.table, f.err
}

func (f *fake) ChangeLimits(_ context.Context, c LimitsChange) (*Limits, error) {
	f.change = c
	return &f.limits, f.err
}

func (f *fake) about(q any) { f.asked = append(f.asked, q) }

func (f *fake) Calls(_ context.Context, q CallsQuery) (*Calls, error) {
	f.about(q)
	return &f.calls, f.err
}

func (f *fake) DeadLetter(_ context.Context, q CallQuery) (*DeadLetter, error) {
	f.about(q)
	return &f.letter, f.err
}

func (f *fake) Call(_ context.Context, q CallQuery) (*Call, error) {
	f.about(q)
	return &f.call, f.err
}

func (f *fake) CancelCall(_ context.Context, q CallQuery) (*Call, error) {
	f.about(q)
	return &f.call, f.err
}

func (f *fake) DeadLetters(_ context.Context, q DeadLettersQuery) (*DeadLetters, error) {
	f.about(q)
	return &f.dead, f.err
}

func (f *fake) RemoveDeadLetter(_ context.Context, q CallQuery) (*Removed, error) {
	f.about(q)
	return &Removed{q.ID}, f.err
}

func (f *fake) Redrive(_ context.Context, q CallQuery) (*Redriven, error) {
	f.about(q)
	return &f.redrive, f.err
}

func (f *fake) RedriveAll(_ context.Context, q RedriveQuery) (*Redriven, error) {
	f.about(q)
	return &f.redrive, f.err
}

func (f *fake) Drain(context.Context) (*Draining, error) {
	f.drains++
	return &Draining{Draining: true, Inflight: 3}, f.err
}

// serveFake serves f and gives a client of it.
func serveFake(t *testing.T, f *fake, events http.HandlerFunc, wrap func(http.Handler) http.Handler) (*Client, string) {
	t.Helper()
	mux := http.NewServeMux()
	for _, h := range Handlers(f, events, func(error) {}) {
		mux.Handle(h.Method+" "+h.Path, h)
	}
	var handler http.Handler = mux
	if wrap != nil {
		handler = wrap(mux)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := NewClient(ClientOptions{Address: server.URL, Token: "the-token"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, server.URL
}

func TestBothEndsAgree(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	f := &fake{
		state: State{
			Time: at, Version: "1", Function: Function{"f", "2"}, Inflight: 3, Limit: 4, Throttles: map[string]uint64{"rate": 7},
			Limits: Limits{InForce: map[string]any{"overflow": "wait", "max_inflight": 4.0}, Configured: map[string]any{}},
			Second: Sample{Sequence: 9, Throttled: map[string]uint64{"rate": 1}, P50: 0.25},
		},
		table:  Inflight{Total: 2, Requests: []Request{{ID: "1.1", Method: "GET", Path: "/x", StartedAt: at, AgeSeconds: 1.5}}},
		limits: Limits{InForce: map[string]any{"max_inflight": 5.0}, Configured: map[string]any{"max_inflight": 4.0}},
		hist:   History{Sequence: 2, Concurrency: []Thousandth{1.5}, Throttled: map[string][]uint64{"rate": {1}}},
	}
	var auth []string
	c, _ := serveFake(t, f, nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			auth = append(auth, r.Header.Get("Authorization"))
			next.ServeHTTP(w, r)
		})
	})
	ctx := t.Context()
	if got, err := c.State(ctx); err != nil || !reflect.DeepEqual(*got, f.state) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, f.state)
	}
	if got, err := c.History(ctx); err != nil || !reflect.DeepEqual(*got, f.hist) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Inflight(ctx, InflightQuery{Limit: 7}); err != nil || !reflect.DeepEqual(*got, f.table) || f.query.Limit != 7 {
		t.Errorf("got %+v, %v, asked %+v", got, err, f.query)
	}
	if _, err := c.Inflight(ctx, InflightQuery{}); err != nil || f.query.Limit != DefaultInflightRows {
		t.Errorf("%v, asked %+v", err, f.query)
	}
	if got, err := c.Limits(ctx); err != nil || !reflect.DeepEqual(*got, f.limits) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.ChangeLimits(ctx, LimitsChange{"overflow": "wait", "queue_timeout": nil}); err != nil || !reflect.DeepEqual(*got, f.limits) ||
		!reflect.DeepEqual(f.change, LimitsChange{"overflow": "wait", "queue_timeout": nil}) {
		t.Errorf("got %+v, %v, asked %v", got, err, f.change)
	}
	if got, err := c.Drain(ctx); err != nil || *got != (Draining{true, 3, 0}) || f.drains != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, a := range auth {
		if a != "Bearer the-token" {
			t.Errorf("Authorization is %q", a)
		}
	}
}

func TestBothEndsAgreeOnCalls(t *testing.T) {
	const id = "0123456789abcdefghijklmnop"
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := &fake{
		call:    Call{ID: id, State: "failed", Attempts: 3, EnqueuedAt: at, StatusCode: 503, Error: "x"},
		redrive: Redriven{Redriven: 2, Failed: []FailedCall{{ID: id, Detail: "x"}}, Next: "7"},
	}
	f.calls, f.dead = Calls{Calls: []Call{f.call}, Next: "call.9"}, DeadLetters{Calls: []Call{f.call}, Next: "9"}
	f.letter = DeadLetter{Call: f.call, Host: "h", BodySize: 7, Response: &Response{StatusCode: 503, Fields: []Field{{"A", "b"}}, BodyBase64: []byte{0, 255}}}
	c, _ := serveFake(t, f, nil, nil)
	ctx, q := t.Context(), CallQuery{ID: id}
	if got, err := c.Call(ctx, q); err != nil || *got != f.call {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.CancelCall(ctx, q); err != nil || *got != f.call {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.DeadLetters(ctx, DeadLettersQuery{Cursor: "a&b=c", Limit: 7}); err != nil || !reflect.DeepEqual(*got, f.dead) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Calls(ctx, CallsQuery{State: "retrying", Cursor: "due.7", Limit: 8}); err != nil || !reflect.DeepEqual(*got, f.calls) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.DeadLetter(ctx, q); err != nil || !reflect.DeepEqual(*got, f.letter) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.RemoveDeadLetter(ctx, q); err != nil || got.ID != id {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Redrive(ctx, q); err != nil || !reflect.DeepEqual(*got, f.redrive) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.RedriveAll(ctx, RedriveQuery{Cursor: "7"}); err != nil || !reflect.DeepEqual(*got, f.redrive) {
		t.Errorf("got %+v, %v", got, err)
	}
	if want := []any{q, q, DeadLettersQuery{"a&b=c", 7}, CallsQuery{"retrying", "due.7", 8}, q, q, q, RedriveQuery{"7"}}; !reflect.DeepEqual(f.asked, want) {
		t.Errorf("asked %+v, want %+v", f.asked, want)
	}
	for _, wrong := range []string{"", "a/b", "..", "a?b", "a%2fb"} {
		if _, err := c.CancelCall(ctx, CallQuery{ID: wrong}); err == nil || !strings.Contains(err.Error(), "is no id of a call") {
			t.Errorf("%q gives %v", wrong, err)
		}
	}
	if n := len(f.asked); n != 8 {
		t.Errorf("%d questions arrived", n)
	}
}

func TestDurationsThatAreUnknownAreNull(t *testing.T) {
	f := &fake{state: State{Second: Sample{P50: Seconds(math.NaN()), P95: 0.123456789}}}
	c, _ := serveFake(t, f, nil, nil)
	got, err := c.State(t.Context())
	if err != nil || got.Second.P50.Known() || got.Second.P95 != 0.123457 {
		t.Errorf("%v, %v, %v", got.Second.P50, got.Second.P95, err)
	}
}

func TestErrorsKeepWhatTheySay(t *testing.T) {
	invalid := &InvalidError{Fields: []FieldError{{"/max_inflight", "is no number"}, {"", "nothing works"}}}
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{invalid, 422, "max_inflight: is no number; nothing works"},
		{&InvalidError{Syntax: true, Fields: invalid.Fields[:1]}, 400, "max_inflight: is no number"},
		{ErrUnauthorized, 401, "a token is needed: send it as Authorization: Bearer TOKEN (401 Unauthorized)"},
		{ErrWrongToken, 401, "the token is not the one in force (401 Unauthorized)"},
		{ErrCrossOrigin, 403, "the request comes from a page of another origin (403 Forbidden)"},
		{ErrNoQueue, 404, "asynchronous calls are switched off (async.enabled) (404 Not Found)"},
		{ErrNoCall, 404, "there is no such call, or it is not kept any more (404 Not Found)"},
		{ErrNotNow, 409, "the call is not in a state for that (409 Conflict)"},
		{ErrQueueDown, 503, "the queue of asynchronous calls does not answer (503 Service Unavailable)"},
		{ErrNotFound, 404, "there is no such endpoint (404 Not Found)"},
		{ErrMethod, 405, "the endpoint does not know this method (405 Method Not Allowed)"},
		{&http.MaxBytesError{Limit: 5}, 413, "the body is larger than 5 bytes (413 Request Entity Too Large)"},
		{ErrMediaType, 415, "a change needs Content-Type: application/json (415 Unsupported Media Type)"},
		{ErrMisdirected, 421, "the Host field names no loopback address; without a token, only those are answered (421 Misdirected Request)"},
		{ErrTooManyWatchers, 503, "too many clients follow the events already (503 Service Unavailable)"},
		{ErrEnding, 503, "weir is about to end (503 Service Unavailable)"},
		{errors.New("secret detail"), 500, "weir failed; its log says more (500 Internal Server Error)"},
	} {
		f := &fake{err: fmt.Errorf("doing it: %w", c.err)}
		if _, ok := c.err.(*InvalidError); ok { //nolint:errorlint // of the table
			f.err = c.err
		}
		client, address := serveFake(t, f, nil, nil)
		_, err := client.Limits(t.Context())
		var p *Problem
		want := c.text
		if !errors.As(err, &p) || p.Status != c.status || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v gives %v", c.err, err)
		}
		res, err := http.Get(address + "/v1/limits")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		h := res.Header
		if h.Get("Content-Type") != "application/problem+json" || (c.status == 503) != (h.Get("Retry-After") != "") || (c.status == 401) != (h.Get("WWW-Authenticate") != "") {
			t.Errorf("%v gives the fields %v", c.err, h)
		}
	}
}

func TestRequestsAreReadStrictly(t *testing.T) {
	f := &fake{}
	_, address := serveFake(t, f, nil, nil)
	const json = "application/json"
	for _, c := range []struct {
		method, path, media, body string
		status                    int
		says                      string
	}{
		{"GET", "/v1/state?x=1", "", "", 400, `?x`},
		{"GET", "/v1/state?%zz", "", "", 400, `the query cannot be read`},
		{"GET", "/v1/inflight?limit=0", "", "", 400, `is not a number from 1 to 10000`},
		{"GET", "/v1/inflight?limit=10001", "", "", 400, `is not a number from 1 to 10000`},
		{"GET", "/v1/inflight?limit=ten", "", "", 400, `is not a number from 1 to 10000`},
		{"GET", "/v1/inflight?limit=1&limit=2", "", "", 400, `is there twice`},
		{"GET", "/v1/inflight?limit=10000", "", "", 200, ""},
		{"PATCH", "/v1/limits", json, `{"max_inflight": 5}`, 200, ""},
		{"PATCH", "/v1/limits", "Application/JSON; charset=utf-8", `{"max_inflight": 5}`, 200, ""},
		{"PATCH", "/v1/limits", "application/merge-patch+json", `{"max_inflight": null}`, 200, ""},
		{"PATCH", "/v1/limits", "", `{"max_inflight": 5}`, 415, "Content-Type"},
		{"PATCH", "/v1/limits", "text/plain", `{"max_inflight": 5}`, 415, "Content-Type"},
		{"PATCH", "/v1/limits", "application/x-www-form-urlencoded", `max_inflight=5`, 415, "Content-Type"},
		{"PATCH", "/v1/limits", json, `{}`, 400, "names no setting"},
		{"PATCH", "/v1/limits", json, ``, 400, "names no setting"},
		{"PATCH", "/v1/limits?force=1", json, `{"max_inflight": 5}`, 400, "?force"},
		{"POST", "/v1/drain", json, ``, 200, ""},
		{"POST", "/v1/drain", json, `{}`, 200, ""},
		{"POST", "/v1/drain", json, `{"now": true}`, 400, "/now"},
		{"POST", "/v1/drain", json, `[]`, 400, "no JSON object"},
		{"POST", "/v1/drain", "", ``, 415, "Content-Type"},
		{"GET", "/v1/calls?state=dead", "", "", 400, "is none of enqueued, scheduled, running"},
		{"GET", "/v1/calls?state=", "", "", 400, "?state"},
		{"GET", "/v1/calls?state=running&limit=0", "", "", 400, "is not a number from 1 to 1000"},
		{"GET", "/v1/calls?offset=1", "", "", 400, "?offset"},
		{"GET", "/v1/calls?state=running&limit=1000&cursor=todo.7", "", "", 200, ""},
		{"GET", "/v1/dead-letters?limit=1001", "", "", 400, "is not a number from 1 to 1000"},
		{"GET", "/v1/dead-letters?offset=1", "", "", 400, "?offset"},
		{"POST", "/v1/dead-letters/redrive", json, `{"cursor": 7}`, 400, "/cursor"},
		{"POST", "/v1/dead-letters/redrive", json, `{"all": true}`, 400, "/all"},
		{"POST", "/v1/dead-letters/redrive", "", ``, 415, "Content-Type"},
		{"POST", "/v1/dead-letters/x/redrive", json, `{"x": 1}`, 400, "/x"},
		{"DELETE", "/v1/calls/x?force=1", "", ``, 400, "?force"},
		{"POST", "/v1/drain", "application/merge-patch+json", `{}`, 415, "Content-Type"},
	} {
		before := f.drains
		f.change = nil
		r, err := http.NewRequestWithContext(t.Context(), c.method, address+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.media != "" {
			r.Header.Set("Content-Type", c.media)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != c.status || !strings.Contains(string(body), c.says) {
			t.Errorf("%s %s %s %s: %d %s %v, want %d %s", c.method, c.path, c.media, c.body, res.StatusCode, body, err, c.status, c.says)
		}
		if c.status != 200 && (f.drains != before || f.change != nil) {
			t.Errorf("%s %s %s was refused, and done", c.method, c.path, c.body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9465": "http://127.0.0.1:9465", "http://weir:9465": "http://weir:9465",
		"https://[::1]:1/below": "https://[::1]:1/below", "localhost:9465": "http://localhost:9465",
	} {
		if u, err := ParseAddress(address); err != nil || u.String() != want {
			t.Errorf("%s gives %v, %v", address, u, err)
		}
	}
	for _, address := range []string{"", ":9465", "ftp://x", "http://", "http://a:b@c", "http://x?y=z", "http://x#y", "unix:///x", "http://[::1"} {
		if u, err := ParseAddress(address); err == nil || strings.Contains(err.Error(), "a:b") {
			t.Errorf("%s gives %v, %v", address, u, err)
		}
	}
}

func TestWhoeverIsNotWeir(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer elsewhere.Close()
	text := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer text.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for address, want := range map[string]string{
		other.URL:     "/v1/state is not answered by a weir's management API (404 Not Found)",
		elsewhere.URL: "/v1/state is not answered by a weir's management API (302 Found)",
		text.URL:      "/v1/state is not what a weir of this version sends: invalid character",
		gone.URL:      "no sidecar answers: Get ",
	} {
		c, err := NewClient(ClientOptions{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.State(t.Context())
		c.Close()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		var unreachable *UnreachableError
		if errors.As(err, &unreachable) != (address == gone.URL) {
			t.Errorf("%v", err)
		}
	}
}

func TestEvents(t *testing.T) {
	c, _ := serveFake(t, &fake{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "retry: 2000\n\n: a comment\n")
		for i := range 3 {
			_ = WriteEvent(w, uint64(i), []byte(fmt.Sprintf(`{"inflight": %d}`, i)))
		}
	}, nil)
	var got []int
	var end error
	for s, err := range c.Events(t.Context()) {
		if err != nil {
			end = err
			break
		}
		got = append(got, s.Inflight)
	}
	if !reflect.DeepEqual(got, []int{0, 1, 2}) || !errors.Is(end, io.EOF) {
		t.Errorf("%v, %v", got, end)
	}
	for _, err := range c.Events(t.Context()) { // leaving early
		if err != nil {
			t.Error(err)
		}
		break
	}
	full, _ := serveFake(t, &fake{}, func(w http.ResponseWriter, r *http.Request) { WriteProblem(r.Context(), ErrTooManyWatchers, w) }, nil)
	var p *Problem
	for _, err := range full.Events(t.Context()) {
		if !errors.As(err, &p) || p.Status != 503 {
			t.Errorf("%v", err)
		}
	}
}
