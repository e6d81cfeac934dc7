package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/limits"
	"weir/metrics"
	"weir/tracing"
	"weir/tracing/otlptest"
)

const (
	callersTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan   = "00f067aa0ba902b7"
	callersParent = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// traced is a Server that keeps traces, in front of a function that notes what it is sent.
type traced struct {
	*served
	tracer   *tracing.Tracer
	receiver *otlptest.Receiver
	metrics  *metrics.Metrics
	proxy    *Proxy
	seen     chan http.Header // by the function
	hold     chan struct{}    // it answers once it has received of it; nil at once
	accepted []Field          // of the last request that was to be run later
}

func (s *traced) CheckCallback(string) error { return nil }

func (s *traced) Enqueue(_ context.Context, r *AsyncRequest) (AsyncReceipt, error) {
	s.accepted = nil
	for _, f := range r.Fields {
		s.accepted = append(s.accepted, Field{strings.Clone(f.Name), strings.Clone(f.Value)})
	}
	return AsyncReceipt{ID: "id"}, nil
}

func (s *traced) Await(context.Context, string) (*AsyncResponse, error) { return nil, nil }

func trace(t *testing.T, netHTTP bool, p limits.Policy, settings Settings) *traced {
	t.Helper()
	s := &traced{receiver: otlptest.Start(t), seen: make(chan http.Header, 10)}
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.seen <- r.Header
		if s.hold != nil {
			<-s.hold
		}
		if r.URL.Path == "/fails" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(function.Close)
	address := strings.TrimPrefix(function.URL, "http://")
	s.tracer = tracing.New(tracing.Options{
		Endpoint: s.receiver.URL, Sample: 1, Service: "weir", Function: "f", Upstream: address, UpstreamURL: function.URL, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.tracer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	settings.Async = &AsyncSettings{Function: "f", MaxBody: 1 << 20}
	s.served = serve(t, address, p, settings, func(o *Options, so *ServerOptions) {
		o.Tracer, o.Enqueuer, so.NetHTTP, s.metrics = s.tracer, s, netHTTP, o.Metrics
	})
	s.proxy = s.server.proxy
	return s
}

// ask sends a request and gives the answer's status.
func (s *traced) ask(t *testing.T, path string, fields ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header[fields[i]] = append(r.Header[fields[i]], fields[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// spans gives the n that were recorded since the last time.
func (s *traced) spans(t *testing.T, n int) []otlptest.Span {
	t.Helper()
	eventually(t, "the books are closed", func() bool { return s.gate.Snapshot().Inflight == 0 })
	deadline := time.Now().Add(10 * time.Second)
	for len(s.receiver.Spans()) < n && time.Now().Before(deadline) {
		if err := s.tracer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s.receiver.Await(n)
}

func engines(t *testing.T, test func(t *testing.T, netHTTP bool)) {
	for name, netHTTP := range map[string]bool{"own engine": false, "net/http": true} {
		t.Run(name, func(t *testing.T) { test(t, netHTTP) })
	}
}

func TestSpansChain(t *testing.T) {
	engines(t, func(t *testing.T, netHTTP bool) {
		s := trace(t, netHTTP, limits.Policy{MaxInflight: 1}, Settings{Routes: []Route{{Path: "/fails"}}})
		if got := s.ask(t, "/fails?token=s3cret", "traceparent", callersParent, "tracestate", "vendor=some", "Connection", "traceparent"); got != http.StatusInternalServerError {
			t.Fatalf("status %d", got)
		}
		sent := <-s.seen
		all := s.spans(t, 2)
		server, call := all[0], all[1]
		if server.Kind != "SERVER" || call.Kind != "CLIENT" || server.Parent != callersSpan || call.Parent != server.ID || server.TraceID != callersTrace || call.TraceID != callersTrace {
			t.Errorf("%+v", all)
		}
		if want := []string{"00-" + callersTrace + "-" + call.ID + "-01"}; !slices.Equal(sent["Traceparent"], want) || !slices.Equal(sent["Tracestate"], []string{"vendor=some"}) {
			t.Errorf("the function is told %q, %q, want %q", sent["Traceparent"], sent["Tracestate"], want)
		}
		if server.Name != "GET /fails" || server.Attributes["http.route"] != "/fails" || !server.Error || server.Attributes["error.type"] != "500" ||
			server.Attributes["weir.origin"] != "function" || call.Attributes["http.response.status_code"] != int64(500) {
			t.Errorf("%+v", all)
		}
		if strings.Contains(fmt.Sprint(all), "s3cret") {
			t.Error("the query is in the spans")
		}
		if server.Start.After(call.Start) || server.End.Before(call.End) || time.Since(server.Start) > time.Minute {
			t.Errorf("%+v", all)
		}
		eventually(t, "the exemplar is of the same trace", func() bool { return slices.Contains(exemplars(t, s.metrics), callersTrace) })
	})
}

// exemplars gives the ids that histograms have.
func exemplars(t *testing.T, m *metrics.Metrics) (ids []string) {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, b := range metric.GetHistogram().GetBucket() {
				for _, l := range b.GetExemplar().GetLabel() {
					ids = append(ids, l.GetValue())
				}
			}
		}
	}
	return ids
}

func TestATraceBeginsAtWeir(t *testing.T) {
	engines(t, func(t *testing.T, netHTTP bool) {
		s := trace(t, netHTTP, limits.Policy{}, Settings{})
		for i, fields := range [][]string{
			{}, {"traceparent", "00-x", "tracestate", "vendor=some"}, {"traceparent", callersParent, "traceparent", callersParent, "tracestate", "vendor=some"},
		} {
			s.ask(t, "/", fields...)
			sent := <-s.seen
			all := s.spans(t, 2*(i+1))[2*i:]
			if all[0].Parent != "" || all[0].TraceID == callersTrace || all[0].State != "" {
				t.Errorf("%v: %+v", fields, all[0])
			}
			if p := sent["Traceparent"]; len(p) != 1 || !strings.Contains(p[0], all[0].TraceID+"-"+all[1].ID) || len(sent["Tracestate"]) > 0 {
				t.Errorf("%v: the function is told %q, %q", fields, p, sent["Tracestate"])
			}
			eventually(t, "an exemplar", func() bool { return len(exemplars(t, s.metrics)) > 0 })
		}
		s.tracer.SetSample(0)
		s.ask(t, "/")
		if p := <-s.seen; !strings.HasSuffix(p.Get("Traceparent"), "-02") {
			t.Errorf("the function is told %q of a trace that is not recorded", p.Get("Traceparent"))
		}
		s.ask(t, "/", "traceparent", strings.TrimSuffix(callersParent, "1")+"0")
		if p := (<-s.seen).Get("Traceparent"); !strings.HasSuffix(p, "-00") || !strings.Contains(p, callersTrace) {
			t.Errorf("the function is told %q of a trace that its caller does not record", p)
		}
		s.spans(t, 6) // no more
	})
}

func TestWaitingHasASpan(t *testing.T) {
	engines(t, func(t *testing.T, netHTTP bool) {
		s := trace(t, netHTTP, limits.Policy{MaxInflight: 1, Overflow: limits.OverflowWait, QueueDepth: 1, QueueTimeout: 10 * time.Second}, Settings{})
		s.hold = make(chan struct{})
		const long = 120 * time.Millisecond
		answered := make(chan int, 2)
		go func() { answered <- s.ask(t, "/first") }()
		<-s.seen
		began := time.Now()
		go func() { answered <- s.ask(t, "/second") }()
		eventually(t, "one waits", func() bool { return s.gate.Snapshot().Waiting == 1 })
		waiting := time.Now()
		if got := s.ask(t, "/third"); got != http.StatusTooManyRequests {
			t.Errorf("status %d with a full queue", got)
		}
		time.Sleep(time.Until(waiting.Add(long))) // the time that the span is to have
		s.hold <- struct{}{}
		freed := time.Now()
		<-s.seen
		s.hold <- struct{}{}
		<-answered
		<-answered
		all := s.spans(t, 2+3+1)
		by := func(path, kind string) otlptest.Span {
			t.Helper()
			for _, server := range all {
				if server.Attributes["url.path"] != path {
					continue
				}
				for _, s := range all {
					if s.Kind == kind && (s.ID == server.ID || s.Parent == server.ID) {
						return s
					}
				}
			}
			t.Fatalf("no %s of %s in %+v", kind, path, all)
			return otlptest.Span{}
		}
		wait, call := by("/second", "INTERNAL"), by("/second", "CLIENT")
		if wait.Took() < long || wait.Start.Before(began) || wait.Start.After(waiting) || wait.End.Before(freed.Add(-time.Millisecond)) || wait.End.After(call.Start) {
			t.Errorf("waited %s from %s to %s; asked at %s, seen to wait at %s, freed at %s, called at %s", wait.Took(), wait.Start, wait.End, began, waiting, freed, call.Start)
		}
		refused := by("/third", "SERVER")
		if refused.Attributes["weir.throttled"] != "queue_full" || refused.Attributes["http.response.status_code"] != int64(429) || refused.Attributes["weir.origin"] != "weir" || refused.Error {
			t.Errorf("%+v", refused)
		}
	})
}

func TestAnUnreachableFunctionIsInTheSpans(t *testing.T) {
	engines(t, func(t *testing.T, netHTTP bool) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nobody := ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		s := trace(t, netHTTP, limits.Policy{}, Settings{})
		s.served = serve(t, nobody, limits.Policy{}, Settings{}, func(o *Options, so *ServerOptions) { o.Tracer, so.NetHTTP = s.tracer, netHTTP })
		if got := s.ask(t, "/"); got != http.StatusBadGateway {
			t.Fatalf("status %d", got)
		}
		all := s.spans(t, 2)
		for _, span := range all {
			if !span.Error || span.Attributes["error.type"] != "connection_refused" {
				t.Errorf("%+v", span)
			}
		}
		if all[0].Attributes["http.response.status_code"] != int64(502) || all[0].Attributes["weir.origin"] != "weir" || all[1].Attributes["http.response.status_code"] != nil {
			t.Errorf("%+v", all)
		}
	})
}

func TestAnAsynchronousCallStaysInItsTrace(t *testing.T) {
	engines(t, func(t *testing.T, netHTTP bool) {
		s := trace(t, netHTTP, limits.Policy{}, Settings{})
		if got := s.ask(t, "/job", "Prefer", "respond-async", "Traceparent", callersParent, "Tracestate", "vendor=some"); got != http.StatusAccepted {
			t.Fatalf("status %d", got)
		}
		accepted := s.spans(t, 1)[0]
		if accepted.Parent != callersSpan || accepted.Attributes["http.response.status_code"] != int64(202) || accepted.Attributes["weir.origin"] != "weir" {
			t.Errorf("%+v", accepted)
		}
		h := http.Header{}
		for _, f := range s.accepted {
			h.Add(f.Name, f.Value)
		}
		if want := []string{"00-" + callersTrace + "-" + accepted.ID + "-01"}; !slices.Equal(h["Traceparent"], want) || h.Get("Tracestate") != "vendor=some" {
			t.Errorf("stored are %q, %q, want %q", h["Traceparent"], h["Tracestate"], want)
		}
		for attempt := 1; attempt <= 2; attempt++ {
			if _, _, err := s.proxy.Invoke(t.Context(), &Invocation{ID: "id", Attempt: attempt, Method: "GET", Target: "/fails", Host: "f", Header: h.Clone()}, 1<<10); err != nil {
				t.Fatal(err)
			}
			sent := <-s.seen
			call := s.spans(t, 1+attempt)[attempt]
			if call.Kind != "CLIENT" || call.Parent != accepted.ID || call.TraceID != callersTrace || call.Attributes["weir.attempt"] != int64(attempt) || !call.Error {
				t.Errorf("%+v", call)
			}
			if want := []string{"00-" + callersTrace + "-" + call.ID + "-01"}; !slices.Equal(sent["Traceparent"], want) || sent.Get("Tracestate") != "vendor=some" {
				t.Errorf("the function is told %q, %q, want %q", sent["Traceparent"], sent["Tracestate"], want)
			}
		}
	})
}

// Without a tracer, what belongs to a trace passes as it came.
func TestTracesPassUnchanged(t *testing.T) {
	engines(t, func(t *testing.T, netHTTP bool) {
		seen := make(chan http.Header, 1)
		function := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
		t.Cleanup(function.Close)
		s := &traced{served: serve(t, strings.TrimPrefix(function.URL, "http://"), limits.Policy{}, Settings{}, func(_ *Options, so *ServerOptions) { so.NetHTTP = netHTTP })}
		s.ask(t, "/", "traceparent", callersParent, "tracestate", "vendor=some,other=thing")
		if h := <-seen; !slices.Equal(h["Traceparent"], []string{callersParent}) || !slices.Equal(h["Tracestate"], []string{"vendor=some,other=thing"}) {
			t.Errorf("the function is told %q, %q", h["Traceparent"], h["Tracestate"])
		}
	})
}

func BenchmarkForwardTraced(b *testing.B) {
	for name, sample := range map[string]float64{"off": -1, "not recorded": 0, "recorded": 1} {
		b.Run(name, func(b *testing.B) {
			receiver := otlptest.Start(b)
			receiver.Unread = true
			var tracer *tracing.Tracer
			if sample >= 0 {
				tracer = tracing.New(tracing.Options{Endpoint: receiver.URL, Sample: sample, Service: "weir", Upstream: "f:1", Log: slog.New(slog.DiscardHandler)})
				b.Cleanup(func() { _ = tracer.Close(context.Background()) })
			}
			s := serve(b, rawOrigin(b, plainAnswer), limits.Policy{MaxInflight: 10}, Settings{}, func(o *Options, _ *ServerOptions) { o.Tracer = tracer })
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			request, last, buf := []byte(plainRequest), []byte("0123456789"), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				roundTrip(b, conn, request, last, buf)
			}
		})
	}
}
