package webhook

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Outcome is what became of a call.
type Outcome struct {
	ID       string // of the message: the same each time it is told
	Call     string
	Function string
	State    string // "succeeded", "failed" or "expired"
	Attempts int
	Error    string // why it did not succeed, "" where it did

	Method, Target                    string // of the request
	Loop                              string // CDN-Loop of the request, with an entry of this weir's, "" for none
	EnqueuedAt, StartedAt, FinishedAt time.Time

	Response *Response // nil where the function has not answered
}

// Response is what the function has answered.
type Response struct {
	Status  int
	Header  http.Header
	Body    []byte
	Dropped bool // it was larger than what is kept
}

// Message is what is sent.
type Message struct {
	ID     string
	Header http.Header
	Body   []byte
}

// noAnswer is the status that stands for an answer that never came, as OpenFaaS' queue
// worker has it.
const noAnswer = http.StatusServiceUnavailable

// Result makes a message with the function's answer for its body, and beside it the
// fields that OpenFaaS' queue worker sends.
func (o *Outcome) Result() *Message {
	m := &Message{ID: o.ID, Header: http.Header{}}
	h := m.Header
	h.Set("X-Call-Id", o.Call)
	h.Set("X-Function-Name", o.Function)
	h.Set("X-Function-Status", strconv.Itoa(noAnswer))
	h.Set("X-Duration-Seconds", strconv.FormatFloat(o.duration().Seconds(), 'f', 6, 64))
	h.Set("Weir-Call-State", o.State)
	if o.Loop != "" { // the receiver may be a function that calls again (RFC 8586)
		h.Set("CDN-Loop", o.Loop)
	}
	if r := o.Response; r != nil {
		h.Set("X-Function-Status", strconv.Itoa(r.Status))
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language"} {
			if v := r.Header.Get(name); v != "" {
				h.Set(name, v)
			}
		}
		m.Body = r.Body
		if r.Dropped {
			h.Set("Weir-Response-Dropped", "true")
		}
	}
	return m
}

// duration is that of the last attempt.
func (o *Outcome) duration() time.Duration {
	if o.StartedAt.IsZero() || o.FinishedAt.Before(o.StartedAt) {
		return 0
	}
	return o.FinishedAt.Sub(o.StartedAt)
}

// record is the body that docs/async.md describes.
type record struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	Function   string          `json:"function"`
	State      string          `json:"state"`
	Error      string          `json:"error,omitempty"`
	Attempts   int             `json:"attempts"`
	EnqueuedAt time.Time       `json:"enqueued_at"`
	StartedAt  time.Time       `json:"started_at,omitzero"`
	FinishedAt time.Time       `json:"finished_at"`
	Duration   float64         `json:"duration_seconds"`
	Request    recordRequest   `json:"request"`
	Response   *recordResponse `json:"response,omitempty"`
}

type recordRequest struct {
	Method string `json:"method"`
	Target string `json:"target"`
}

type recordResponse struct {
	Status      int    `json:"status"`
	ContentType string `json:"content_type,omitempty"`
	// One of the next two, none where the body is empty or Dropped.
	Body    *string         `json:"body,omitempty"`        // text
	JSON    json.RawMessage `json:"json,omitempty"`        // a body of JSON, as it is
	Base64  string          `json:"body_base64,omitempty"` // neither
	Dropped bool            `json:"body_dropped,omitempty"`
}

// Record makes a message whose body tells of the call and its answer as JSON.
func (o *Outcome) Record() (*Message, error) {
	r := record{
		Version: "1", ID: o.Call, Function: o.Function, State: o.State, Error: o.Error, Attempts: o.Attempts,
		EnqueuedAt: o.EnqueuedAt, StartedAt: o.StartedAt, FinishedAt: o.FinishedAt, Duration: o.duration().Seconds(),
		Request: recordRequest{o.Method, strings.ToValidUTF8(o.Target, "\ufffd")},
	}
	if a := o.Response; a != nil {
		r.Response = answer(a)
	}
	body, err := json.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("webhook: a record that cannot be written: %w", err)
	}
	m := o.Result()
	m.Body = body
	whole := m.Header
	m.Header = http.Header{"Content-Type": {"application/json"}}
	for _, name := range []string{"X-Call-Id", "X-Function-Name", "Cdn-Loop"} {
		if v := whole[name]; v != nil {
			m.Header[name] = v
		}
	}
	return m, nil
}

func answer(a *Response) *recordResponse {
	r := &recordResponse{Status: a.Status, ContentType: a.Header.Get("Content-Type"), Dropped: a.Dropped}
	kind, _, _ := mime.ParseMediaType(r.ContentType)
	plain := a.Header.Get("Content-Encoding") == ""
	switch {
	case len(a.Body) == 0:
	case plain && (kind == "application/json" || strings.HasSuffix(kind, "+json")) && json.Valid(a.Body) && utf8.Valid(a.Body):
		r.JSON = a.Body
	case plain && utf8.Valid(a.Body):
		text := string(a.Body)
		r.Body = &text
	default:
		r.Base64 = base64.StdEncoding.EncodeToString(a.Body)
	}
	return r
}

// AsEvent adds the attributes of a CloudEvent in binary mode (CloudEvents 1.0.2, HTTP
// protocol binding, 3.1; the NATS binding has the same names).
func (o *Outcome) AsEvent(m *Message) {
	for name, v := range map[string]string{
		"ce-specversion": "1.0", "ce-id": o.ID, "ce-source": "/functions/" + o.Function, "ce-type": "weir.call." + o.State,
		"ce-subject": o.Call, "ce-time": o.FinishedAt.UTC().Format(time.RFC3339Nano),
	} {
		m.Header.Set(name, eventValue(v))
	}
	if m.Header.Get("Content-Type") == "" && len(m.Body) > 0 {
		m.Header.Set("Content-Type", "application/octet-stream")
	}
}

// eventValue encodes an attribute (HTTP protocol binding, 3.1.3.2).
func eventValue(v string) string {
	var b strings.Builder
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
