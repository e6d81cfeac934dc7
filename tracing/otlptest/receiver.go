// Package otlptest receives spans over HTTP as a collector does, for tests: it reads them
// with the official types, and refuses what these would not take.
package otlptest

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that was received.
type Span struct {
	TraceID, ID, Parent  string // in hexadecimal; Parent is "" for a root
	State                string
	Name                 string
	Kind                 string // as in SPAN_KIND_SERVER, without the first two words
	Start, End           time.Time
	Attributes, Resource map[string]any // string, bool or int64
	Error                bool
	Flags                uint32
}

// Took is how long it lasted.
func (s Span) Took() time.Duration { return s.End.Sub(s.Start) }

// Receiver is one. Answer may be set before the first request and says what each is
// answered with; nil takes all spans.
type Receiver struct {
	URL    string // of the requests, with their path
	Answer http.HandlerFunc

	// Unread is for benchmarks: batches are taken without a look at them, and with nothing
	// of what that costs.
	Unread bool

	tb     testing.TB
	server *httptest.Server

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
}

// Start starts one that lives as long as the test.
func Start(tb testing.TB) *Receiver {
	r := &Receiver{tb: tb}
	r.server = httptest.NewServer(r)
	r.URL = r.server.URL + "/v1/traces"
	tb.Cleanup(r.server.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if r.Unread {
		_, _ = io.Copy(io.Discard, q.Body)
		return
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender gave up
	}
	var sent collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &sent); err != nil || len(sent.ProtoReflect().GetUnknown()) > 0 {
		r.tb.Errorf("a batch cannot be read: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if q.Method != http.MethodPost || q.URL.Path != "/v1/traces" || q.Header.Get("Content-Type") != "application/x-protobuf" {
		r.tb.Errorf("a batch came as %s %s, %s", q.Method, q.URL, q.Header.Get("Content-Type"))
	}
	r.mu.Lock()
	r.headers = append(r.headers, q.Header)
	r.mu.Unlock()
	if r.Answer != nil {
		r.Answer(w, q)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range sent.GetResourceSpans() {
		resource := attributes(of.GetResource().GetAttributes())
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, Span{
					TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					State: s.GetTraceState(), Name: s.GetName(), Kind: s.GetKind().String()[len("SPAN_KIND_"):],
					Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
					Attributes: attributes(s.GetAttributes()), Resource: resource, Error: s.GetStatus().GetCode() == 2, Flags: s.GetFlags(),
				})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func attributes(list []*common.KeyValue) map[string]any {
	m := map[string]any{}
	for _, a := range list {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[a.GetKey()] = v.StringValue
		case *common.AnyValue_BoolValue:
			m[a.GetKey()] = v.BoolValue
		case *common.AnyValue_IntValue:
			m[a.GetKey()] = v.IntValue
		default:
			m[a.GetKey()] = fmt.Sprint(v)
		}
	}
	return m
}

// Headers gives those of the requests so far.
func (r *Receiver) Headers() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.headers)
}

// Spans gives those taken so far, by when they began; parents before their children.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.spans)
	slices.SortStableFunc(all, func(a, b Span) int {
		return cmp.Or(a.Start.Compare(b.Start), -a.End.Compare(b.End))
	})
	return all
}

// Await waits for n spans and returns them; more are an error.
func (r *Receiver) Await(n int) []Span {
	r.tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		all := r.Spans()
		if len(all) == n {
			return all
		}
		if len(all) > n || time.Now().After(deadline) {
			r.tb.Fatalf("%d spans came, want %d: %+v", len(all), n, all)
		}
		time.Sleep(5 * time.Millisecond) // until one more comes, which has no other sign
	}
}
