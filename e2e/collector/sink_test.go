package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// sink takes what a Collector sends on, and reads it with the Collector's own types.
type sink struct {
	url   string
	mu    sync.Mutex
	spans []arrived
}

// arrived is a span as it has come out of the Collector.
type arrived struct {
	ptrace.Span
	resource, scope, schema string
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := ptraceotlp.NewExportRequest()
		if err == nil {
			err = request.UnmarshalProto(body)
		}
		if err != nil {
			t.Error(err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, rs := range request.Traces().ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, span := range ss.Spans().All() {
					s.spans = append(s.spans, arrived{span, text(rs.Resource().Attributes()), ss.Scope().Name(), rs.SchemaUrl()})
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/v1/traces"
	return s
}

// of gives the spans of a trace, those that began first first.
func (s *sink) of(trace string) []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []arrived
	for _, span := range s.spans {
		if span.TraceID().String() == trace {
			all = append(all, span)
		}
	}
	slices.SortStableFunc(all, func(a, b arrived) int { return a.StartTimestamp().AsTime().Compare(b.StartTimestamp().AsTime()) })
	return all
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spans)
}

// await waits for so many spans of a trace.
func (s *sink) await(t *testing.T, trace string, n int) []arrived {
	t.Helper()
	eventually(t, fmt.Sprintf("%d spans of the trace %s", n, trace), func() (bool, string) {
		got := len(s.of(trace))
		return got >= n, fmt.Sprintf("%d spans", got)
	})
	return s.of(trace)
}

// text writes attributes in order, with the types of those that are no strings.
func text(attributes pcommon.Map) string {
	var b strings.Builder
	all := attributes.AsRaw()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch v := all[key].(type) {
		case string:
			fmt.Fprintf(&b, " %s=%s", key, v)
		default:
			fmt.Fprintf(&b, " %s=%T(%v)", key, v, v)
		}
	}
	return strings.TrimPrefix(b.String(), " ")
}

// exchange is one of weir's requests to the Collector, and how that answered it.
type exchange struct {
	at                    time.Time // of the answer
	contentType, encoding string
	status                int
	retryAfter            string
	partial               string // what the answer says of spans that were rejected
}

// tap stands between weir and a Collector, and writes down what passes.
type tap struct {
	url string
	mu  sync.Mutex
	all []exchange
}

func newTap(t *testing.T, collector string) *tap {
	t.Helper()
	tap := &tap{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: collector})
	proxy.ModifyResponse = func(res *http.Response) error {
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		res.Body = io.NopCloser(strings.NewReader(string(body)))
		x := exchange{
			at: time.Now(), status: res.StatusCode, retryAfter: res.Header.Get("Retry-After"),
			contentType: res.Request.Header.Get("Content-Type"), encoding: res.Request.Header.Get("Content-Encoding"),
		}
		if res.StatusCode == http.StatusOK {
			answer := ptraceotlp.NewExportResponse()
			if err := answer.UnmarshalProto(body); err != nil {
				t.Errorf("the Collector's answer: %v", err)
			}
			if p := answer.PartialSuccess(); p.RejectedSpans() != 0 || p.ErrorMessage() != "" {
				x.partial = fmt.Sprintf("%d rejected: %s", p.RejectedSpans(), p.ErrorMessage())
			}
		}
		tap.mu.Lock()
		defer tap.mu.Unlock()
		tap.all = append(tap.all, x)
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	tap.url = server.URL
	return tap
}

func (t *tap) exchanges() []exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}
