package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// What a server refuses to do. Each has its status in ProblemOf.
var (
	ErrUnauthorized    = errors.New("a token is needed: send it as Authorization: Bearer TOKEN")
	ErrWrongToken      = errors.New("the token is not the one in force")
	ErrMisdirected     = errors.New("the Host field names no loopback address; without a token, only those are answered")
	ErrCrossOrigin     = errors.New("the request comes from a page of another origin")
	ErrMediaType       = errors.New("a change needs Content-Type: application/json")
	ErrNotFound        = errors.New("there is no such endpoint")
	ErrMethod          = errors.New("the endpoint does not know this method")
	ErrTooManyWatchers = errors.New("too many clients follow the events already")
	ErrNoQueue         = errors.New("asynchronous calls are switched off (async.enabled)")
	ErrNoCall          = errors.New("there is no such call, or it is not kept any more")
	ErrNotNow          = errors.New("the call is not in a state for that")
	ErrQueueDown       = errors.New("the queue of asynchronous calls does not answer")
	ErrEnding          = errors.New("weir is about to end")
)

// InvalidError is a request that cannot be read, or asks for what cannot be.
type InvalidError struct {
	// Syntax is true where the request is no JSON of the expected form, and false
	// where values in it are wrong.
	Syntax bool
	Fields []FieldError
}

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}

// invalidSyntax is an InvalidError about one place.
func invalidSyntax(pointer, format string, args ...any) error {
	return &InvalidError{Syntax: true, Fields: []FieldError{{Pointer: pointer, Detail: fmt.Sprintf(format, args...)}}}
}

// FieldError says what is wrong with one part of a request.
type FieldError struct {
	// Pointer names the part: a JSON pointer (RFC 6901) into the body, or
	// "?name" for a parameter of the query; empty for the whole.
	Pointer string `json:"pointer,omitempty"`
	Detail  string `json:"detail"`
}

// FieldAt is a FieldError about the member of that name.
func FieldAt(name, detail string) FieldError {
	return FieldError{Pointer: pointerTo(name), Detail: detail}
}

func pointerTo(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func (f FieldError) String() string {
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(strings.TrimPrefix(f.Pointer, "/"))
	if name == "" {
		return f.Detail
	}
	return name + ": " + f.Detail
}

// Problem is an error on the wire (RFC 9457), and what a Client returns for it.
type Problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
}

func (p *Problem) Error() string {
	if len(p.Errors) > 0 {
		return (&InvalidError{Fields: p.Errors}).Error()
	}
	if p.Detail != "" {
		return fmt.Sprintf("%s (%d %s)", p.Detail, p.Status, p.Title)
	}
	return fmt.Sprintf("%d %s", p.Status, p.Title)
}

// ProblemOf is the only place where the API's errors become statuses.
func ProblemOf(err error) *Problem {
	var (
		invalid  *InvalidError
		tooLarge *http.MaxBytesError
		problem  *Problem
	)
	status, detail := http.StatusInternalServerError, "weir failed; its log says more"
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &invalid):
		p := newProblem(http.StatusUnprocessableEntity, "")
		if invalid.Syntax {
			p = newProblem(http.StatusBadRequest, "")
		}
		p.Detail, p.Errors = err.Error(), slices.Clone(invalid.Fields)
		return p
	case errors.As(err, &tooLarge):
		status, detail = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
	case errors.Is(err, ErrUnauthorized), errors.Is(err, ErrWrongToken):
		status, detail = http.StatusUnauthorized, err.Error()
	case errors.Is(err, ErrCrossOrigin):
		status, detail = http.StatusForbidden, err.Error()
	case errors.Is(err, ErrMisdirected):
		status, detail = http.StatusMisdirectedRequest, err.Error()
	case errors.Is(err, ErrMediaType):
		status, detail = http.StatusUnsupportedMediaType, err.Error()
	case errors.Is(err, ErrNotNow):
		status, detail = http.StatusConflict, err.Error()
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNoQueue), errors.Is(err, ErrNoCall):
		status, detail = http.StatusNotFound, err.Error()
	case errors.Is(err, ErrMethod):
		status, detail = http.StatusMethodNotAllowed, err.Error()
	case errors.Is(err, ErrTooManyWatchers), errors.Is(err, ErrEnding), errors.Is(err, ErrQueueDown):
		status, detail = http.StatusServiceUnavailable, err.Error()
	}
	return newProblem(status, detail)
}

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// WriteProblem answers with err.
func WriteProblem(_ context.Context, err error, w http.ResponseWriter) {
	p := ProblemOf(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="weir"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that left cannot be told
}
