package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Async is how the queue of asynchronous calls stands.
type Async struct {
	Up        bool `json:"up"`        // whether calls are accepted
	Waiting   int  `json:"waiting"`   // calls that are due
	Scheduled int  `json:"scheduled"` // calls whose time has not come
	Running   int  `json:"running"`   // attempts under way in this sidecar
	// DeadLetters are calls that failed or expired, and are kept.
	DeadLetters int `json:"dead_letters"`
	// OldestAgeSeconds is the age of the oldest call that waits; 0 where none does.
	OldestAgeSeconds float64 `json:"oldest_age_seconds"`
}

// Call is how an asynchronous call stands. Zero times are unknown, or do not apply.
type Call struct {
	ID            string    `json:"id"`
	State         string    `json:"state"`
	Attempts      int       `json:"attempts"` // begun so far
	EnqueuedAt    time.Time `json:"enqueued_at"`
	StartedAt     time.Time `json:"started_at,omitzero"` // the latest attempt
	FinishedAt    time.Time `json:"finished_at,omitzero"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	StatusCode    int       `json:"status_code,omitempty"` // of the latest answer
	Error         string    `json:"error,omitempty"`       // why the latest attempt, or the call, failed
}

// CallQuery names a call.
type CallQuery struct{ ID string }

// DeadLettersQuery says which dead letters to list.
type DeadLettersQuery struct {
	Cursor string // DeadLetters.Next of the list before, "" for the first
	Limit  int    // 1 to MaxDeadLetters; 0 is DefaultDeadLetters
}

// Bounds of DeadLettersQuery.Limit.
const (
	DefaultDeadLetters = 100
	MaxDeadLetters     = 1000
)

// DeadLetters are some of the dead letters, the oldest first.
type DeadLetters struct {
	Calls []Call `json:"calls"`
	Next  string `json:"next,omitempty"` // goes on; empty at the end
}

// RedriveQuery says where to go on with all dead letters.
type RedriveQuery struct {
	Cursor string // Redriven.Next of the answer before, "" for the first
}

// Redriven is what became of dead letters that were to get another chance.
type Redriven struct {
	Redriven int          `json:"redriven"`
	Failed   []FailedCall `json:"failed,omitempty"`
	Next     string       `json:"next,omitempty"` // goes on; empty at the end
}

// FailedCall is a call that nothing could be done for.
type FailedCall struct {
	ID     string `json:"id"`
	Detail string `json:"detail"`
}

// Removed is a dead letter that is not there any more; it may not have been before.
type Removed struct {
	ID string `json:"id"`
}

// idVariable stands for a call's id in a path.
const idVariable = "{id}"

// writeID puts a call's id into the path.
func writeID(r *http.Request, q CallQuery) error {
	if q.ID == "" || strings.Trim(strings.ToLower(q.ID), "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return invalidSyntax("", "%q is no id of a call", q.ID)
	}
	r.URL.Path, r.URL.RawPath = strings.Replace(r.URL.Path, idVariable, q.ID, 1), ""
	return nil
}

func writeIDAndBody(r *http.Request, q CallQuery) error {
	if err := writeID(r, q); err != nil {
		return err
	}
	return writeBody(r, struct{}{})
}

func readID(r *http.Request) (CallQuery, error) {
	_, err := checkQuery(r)
	return CallQuery{ID: r.PathValue("id")}, err
}

func readIDAndBody(r *http.Request) (CallQuery, error) {
	_, err := readEmptyObject(r)
	return CallQuery{ID: r.PathValue("id")}, err
}

func writeDeadLettersQuery(r *http.Request, q DeadLettersQuery) error {
	query := url.Values{}
	if q.Cursor != "" {
		query.Set("cursor", q.Cursor)
	}
	if q.Limit != 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	r.URL.RawQuery = query.Encode()
	return nil
}

func readDeadLettersQuery(r *http.Request) (DeadLettersQuery, error) {
	query, err := checkQuery(r, "cursor", "limit")
	if err != nil {
		return DeadLettersQuery{}, err
	}
	limit, err := readLimit(query, DefaultDeadLetters, MaxDeadLetters)
	return DeadLettersQuery{Cursor: query.Get("cursor"), Limit: limit}, err
}

func writeRedriveQuery(r *http.Request, q RedriveQuery) error {
	body := map[string]string{}
	if q.Cursor != "" {
		body["cursor"] = q.Cursor
	}
	return writeBody(r, body)
}

func readRedriveQuery(r *http.Request) (RedriveQuery, error) {
	object, err := readChange(r)
	if err != nil {
		return RedriveQuery{}, err
	}
	q := RedriveQuery{}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		text, ok := object[name].(string)
		if name != "cursor" {
			return q, invalidSyntax("/"+name, "is unknown here; there is cursor")
		}
		if !ok {
			return q, invalidSyntax("/cursor", "is no text")
		}
		q.Cursor = text
	}
	return q, nil
}
