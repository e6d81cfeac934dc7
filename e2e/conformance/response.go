package conformance

import (
	"encoding/json"
	"net/http"
	"testing"
)

// Response is what came back, whatever carried it.
type Response struct {
	Proto   string
	Status  int
	Fields  http.Header
	Body    []byte
	Trailer http.Header
	// Interim are the 1xx responses before the final one, in order.
	Interim []Interim
	// BodyErr is nil when the body ended as its framing announced.
	BodyErr error
	// Attempts is how often an HTTP client of Go's sent the request; 0 where the
	// case itself wrote it.
	Attempts int
	// Lines are the field lines as they came; only where raw bytes were read.
	Lines []string
}

// Interim is a 1xx response.
type Interim struct {
	Status int
	Fields http.Header
}

// Get gives a field's first value, empty when absent.
func (r *Response) Get(name string) string { return r.Fields.Get(name) }

// want fails the case when the status is another, or the body is cut short.
func (r *Response) want(t testing.TB, status int) *Response {
	t.Helper()
	if r.Status != status {
		t.Fatalf("status %d, want %d; fields %v, body %.300q", r.Status, status, r.Fields, r.Body)
	}
	if r.BodyErr != nil {
		t.Fatalf("status %d as wanted, but its body failed after %d bytes: %v", status, len(r.Body), r.BodyErr)
	}
	return r
}

// wantBody is want with the body compared as well.
func (r *Response) wantBody(t testing.TB, status int, body string) *Response {
	t.Helper()
	r.want(t, status)
	if string(r.Body) != body {
		t.Fatalf("body %.300q, want %.300q", r.Body, body)
	}
	return r
}

// echoed reads the answer of an echo.
func (r *Response) echoed(t testing.TB) Seen {
	t.Helper()
	r.want(t, http.StatusOK)
	var seen Seen
	if err := json.Unmarshal(r.Body, &seen); err != nil {
		t.Fatalf("the echo is no JSON: %v; body %.300q", err, r.Body)
	}
	return seen
}
