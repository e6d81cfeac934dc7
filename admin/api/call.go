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
	ID       string `json:"id"`
	State    string `json:"state"`    // one of States
	Attempts int    `json:"attempts"` // begun so far
	// Method and Target are those of the request; a long target is cut short. They are
	// empty for calls whose attempts began under a version that did not keep them.
	Method        string    `json:"method,omitempty"`
	Target        string    `json:"target,omitempty"`
	EnqueuedAt    time.Time `json:"enqueued_at"`
	StartedAt     time.Time `json:"started_at,omitzero"` // the latest attempt
	FinishedAt    time.Time `json:"finished_at,omitzero"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	StatusCode    int       `json:"status_code,omitempty"` // of the latest answer
	Error         string    `json:"error,omitempty"`       // why the latest attempt, or the call, failed
	// Callback is how the delivery of the outcome to the caller stands, nil where none
	// is owed, or it is not known any more. Lists leave it out.
	Callback *Callback `json:"callback,omitempty"`
}

// Callback is how it stands with telling a caller what became of its call.
type Callback struct {
	State         string    `json:"state"`    // waiting (for the call's end), pending, delivered or failed
	Attempts      int       `json:"attempts"` // at telling it
	LastError     string    `json:"last_error,omitempty"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	DeliveredAt   time.Time `json:"delivered_at,omitzero"`
}

// CallQuery names a call.
type CallQuery struct{ ID string }

// States are those that a call can be in. Of the last four nothing leads on by itself.
func States() []string {
	return []string{"enqueued", "scheduled", "running", "retrying", "succeeded", "failed", "expired", "cancelled"}
}

// CallsQuery says which calls to list.
type CallsQuery struct {
	State  string // one of States, "" for all
	Cursor string // Calls.Next of the list before, "" for the first
	Limit  int    // 1 to MaxCalls; 0 is DefaultCalls
}

// Bounds of CallsQuery.Limit.
const (
	DefaultCalls = 100
	MaxCalls     = 1000
)

// Calls are some of the calls: those of one state in the order in which they came into
// it, or into the queue. Where all are asked for, those that wait for their first
// attempt come first. One that changes while the list is read may come again.
type Calls struct {
	Calls []Call `json:"calls"`
	// Next goes on; empty at the end. A list is bounded in the calls that it looks at:
	// it may hold fewer than were asked for, even none, and go on.
	Next string `json:"next,omitempty"`
}

// DeadLetter is a call that failed or expired, with what there is to look into it.
type DeadLetter struct {
	Call     Call      `json:"call"` // its error is the reason
	Host     string    `json:"host"` // of the request
	BodySize int64     `json:"body_size"`
	Response *Response `json:"response,omitempty"` // the last one; none where no attempt was answered
}

// Response is what the function answered.
type Response struct {
	StatusCode int     `json:"status_code"`
	Fields     []Field `json:"fields"`
	// Body is the body where that is text, and else BodyBase64; both are empty where
	// it was too large to be kept. At most MaxBody bytes are shown: Truncated.
	Body       string `json:"body,omitempty"`
	BodyBase64 []byte `json:"body_base64,omitempty"`
	Truncated  bool   `json:"truncated,omitempty"`
	Dropped    bool   `json:"dropped,omitempty"` // the body was not kept
}

// MaxBody bounds what is shown of a response's body, in bytes.
const MaxBody = 64 << 10

// Field is one header field.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

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
	r.URL.RawQuery = pageQuery(q.Cursor, q.Limit).Encode()
	return nil
}

func pageQuery(cursor string, limit int) url.Values {
	query := url.Values{}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return query
}

func readDeadLettersQuery(r *http.Request) (DeadLettersQuery, error) {
	query, err := checkQuery(r, "cursor", "limit")
	if err != nil {
		return DeadLettersQuery{}, err
	}
	limit, err := readLimit(query, DefaultDeadLetters, MaxDeadLetters)
	return DeadLettersQuery{Cursor: query.Get("cursor"), Limit: limit}, err
}

func writeCallsQuery(r *http.Request, q CallsQuery) error {
	query := pageQuery(q.Cursor, q.Limit)
	if q.State != "" {
		query.Set("state", q.State)
	}
	r.URL.RawQuery = query.Encode()
	return nil
}

func readCallsQuery(r *http.Request) (CallsQuery, error) {
	query, err := checkQuery(r, "state", "cursor", "limit")
	if err != nil {
		return CallsQuery{}, err
	}
	q := CallsQuery{State: query.Get("state"), Cursor: query.Get("cursor")}
	if query.Has("state") && !slices.Contains(States(), q.State) {
		return q, invalidSyntax("?state", "%q is none of %s", q.State, strings.Join(States(), ", "))
	}
	q.Limit, err = readLimit(query, DefaultCalls, MaxCalls)
	return q, err
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
