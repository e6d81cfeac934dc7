package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	kithttp "github.com/go-kit/kit/transport/http"
)

// nothing is what most endpoints are asked with.
type nothing struct{}

// The endpoints.
var (
	getState = operation[nothing, *State]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/state"},
		encode: noBody, decode: readNothing,
		do: func(ctx context.Context, s Service, _ nothing) (*State, error) { return s.State(ctx) },
	}
	getHistory = operation[nothing, *History]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/history"},
		encode: noBody, decode: readNothing,
		do: func(ctx context.Context, s Service, _ nothing) (*History, error) { return s.History(ctx) },
	}
	getInflight = operation[InflightQuery, *Inflight]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/inflight"},
		encode: writeInflightQuery, decode: readInflightQuery,
		do: func(ctx context.Context, s Service, q InflightQuery) (*Inflight, error) { return s.Inflight(ctx, q) },
	}
	getLimits = operation[nothing, *Limits]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/limits"},
		encode: noBody, decode: readNothing,
		do: func(ctx context.Context, s Service, _ nothing) (*Limits, error) { return s.Limits(ctx) },
	}
	patchLimits = operation[LimitsChange, *Limits]{
		Route:  Route{Method: http.MethodPatch, Path: "/v1/limits", Changes: true},
		encode: writeLimitsChange, decode: readLimitsChange,
		do: func(ctx context.Context, s Service, q LimitsChange) (*Limits, error) { return s.ChangeLimits(ctx, q) },
	}
	postDrain = operation[nothing, *Draining]{
		Route:  Route{Method: http.MethodPost, Path: "/v1/drain", Changes: true},
		encode: emptyObject, decode: readEmptyObject,
		do: func(ctx context.Context, s Service, _ nothing) (*Draining, error) { return s.Drain(ctx) },
	}
	getCalls = operation[CallsQuery, *Calls]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/calls"},
		encode: writeCallsQuery, decode: readCallsQuery,
		do: func(ctx context.Context, s Service, q CallsQuery) (*Calls, error) { return s.Calls(ctx, q) },
	}
	getCall = operation[CallQuery, *Call]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/calls/" + idVariable},
		encode: writeID, decode: readID,
		do: func(ctx context.Context, s Service, q CallQuery) (*Call, error) { return s.Call(ctx, q) },
	}
	deleteCall = operation[CallQuery, *Call]{
		Route:  Route{Method: http.MethodDelete, Path: "/v1/calls/" + idVariable, Changes: true},
		encode: writeID, decode: readID,
		do: func(ctx context.Context, s Service, q CallQuery) (*Call, error) { return s.CancelCall(ctx, q) },
	}
	getDeadLetters = operation[DeadLettersQuery, *DeadLetters]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/dead-letters"},
		encode: writeDeadLettersQuery, decode: readDeadLettersQuery,
		do: func(ctx context.Context, s Service, q DeadLettersQuery) (*DeadLetters, error) {
			return s.DeadLetters(ctx, q)
		},
	}
	getDeadLetter = operation[CallQuery, *DeadLetter]{
		Route:  Route{Method: http.MethodGet, Path: "/v1/dead-letters/" + idVariable},
		encode: writeID, decode: readID,
		do: func(ctx context.Context, s Service, q CallQuery) (*DeadLetter, error) { return s.DeadLetter(ctx, q) },
	}
	deleteDeadLetter = operation[CallQuery, *Removed]{
		Route:  Route{Method: http.MethodDelete, Path: "/v1/dead-letters/" + idVariable, Changes: true},
		encode: writeID, decode: readID,
		do: func(ctx context.Context, s Service, q CallQuery) (*Removed, error) { return s.RemoveDeadLetter(ctx, q) },
	}
	postRedrive = operation[CallQuery, *Redriven]{
		Route:  Route{Method: http.MethodPost, Path: "/v1/dead-letters/" + idVariable + "/redrive", Changes: true},
		encode: writeIDAndBody, decode: readIDAndBody,
		do: func(ctx context.Context, s Service, q CallQuery) (*Redriven, error) { return s.Redrive(ctx, q) },
	}
	postRedriveAll = operation[RedriveQuery, *Redriven]{
		Route:  Route{Method: http.MethodPost, Path: "/v1/dead-letters/redrive", Changes: true},
		encode: writeRedriveQuery, decode: readRedriveQuery,
		do: func(ctx context.Context, s Service, q RedriveQuery) (*Redriven, error) { return s.RedriveAll(ctx, q) },
	}
	// getEvents is no operation: it never ends by itself.
	getEvents = Route{Method: http.MethodGet, Path: "/v1/events"}
)

// served is an operation, whatever is asked and answered.
type served interface {
	route() Route
	handler(s Service, options ...kithttp.ServerOption) http.Handler
}

func operations() []served {
	return []served{
		getState, getHistory, getInflight, getLimits, patchLimits, postDrain,
		getCalls, getCall, deleteCall,
		getDeadLetters, getDeadLetter, deleteDeadLetter, postRedrive, postRedriveAll,
	}
}

// Handler is one endpoint, served.
type Handler struct {
	Route
	http.Handler
}

// Handlers serves all endpoints on s, with events for the one that streams.
func Handlers(s Service, events http.Handler, failed func(error)) []Handler {
	options := []kithttp.ServerOption{
		kithttp.ServerErrorEncoder(func(ctx context.Context, err error, w http.ResponseWriter) {
			if ProblemOf(err).Status == http.StatusInternalServerError {
				failed(err)
			}
			WriteProblem(ctx, err, w)
		}),
	}
	var handlers []Handler
	for _, o := range operations() {
		handlers = append(handlers, Handler{o.route(), o.handler(s, options...)})
	}
	return append(handlers, Handler{getEvents, events})
}

// CheckQuery refuses parameters that the endpoint does not know.
func checkQuery(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalidSyntax("", "the query cannot be read")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return nil, invalidSyntax("?"+name, "is no parameter of this endpoint")
		}
		if len(query[name]) > 1 {
			return nil, invalidSyntax("?"+name, "is there twice")
		}
	}
	return query, nil
}

func noBody(*http.Request, nothing) error { return nil }

func readNothing(r *http.Request) (nothing, error) {
	_, err := checkQuery(r)
	return nothing{}, err
}

func writeInflightQuery(r *http.Request, q InflightQuery) error {
	if q.Limit != 0 {
		r.URL.RawQuery = url.Values{"limit": {strconv.Itoa(q.Limit)}}.Encode()
	}
	return nil
}

func readInflightQuery(r *http.Request) (InflightQuery, error) {
	query, err := checkQuery(r, "limit")
	if err != nil {
		return InflightQuery{}, err
	}
	limit, err := readLimit(query, DefaultInflightRows, MaxInflightRows)
	return InflightQuery{Limit: limit}, err
}

// readLimit reads how many rows to list at most.
func readLimit(query url.Values, usual, most int) (int, error) {
	if !query.Has("limit") {
		return usual, nil
	}
	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n < 1 || n > most {
		return 0, invalidSyntax("?limit", "%q is not a number from 1 to %d", query.Get("limit"), most)
	}
	return n, nil
}

func emptyObject(r *http.Request, _ nothing) error { return writeBody(r, struct{}{}) }

func readEmptyObject(r *http.Request) (nothing, error) {
	object, err := readChange(r)
	if err != nil {
		return nothing{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		return nothing{}, invalidSyntax("/"+name, "is unknown here; the body is an empty object")
	}
	return nothing{}, nil
}

func writeLimitsChange(r *http.Request, q LimitsChange) error { return writeBody(r, q) }

func readLimitsChange(r *http.Request) (LimitsChange, error) {
	object, err := readChange(r)
	if err == nil && len(object) == 0 {
		return nil, invalidSyntax("", `the body names no setting, such as {"max_inflight": 50}`)
	}
	return LimitsChange(object), err
}

// readChange reads the body of a request that changes something.
func readChange(r *http.Request) (map[string]any, error) {
	if _, err := checkQuery(r); err != nil {
		return nil, err
	}
	switch media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case err != nil:
		return nil, ErrMediaType
	case media == "application/json", media == "application/merge-patch+json" && r.Method == http.MethodPatch:
		return readObject(r.Body)
	}
	return nil, ErrMediaType
}

func writeBody(r *http.Request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("the request cannot be written: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, err = r.GetBody()
	return err
}
