package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// function is what weir stands in front of: /hold waits until it is let go, /fail answers
// 500, /flaky 503 and then 200.
type function struct {
	*httptest.Server
	held, release chan struct{}
}

func newFunction(t *testing.T) *function {
	t.Helper()
	f := &function{held: make(chan struct{}, 1), release: make(chan struct{})}
	var flaky atomic.Int32
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hold":
			f.held <- struct{}{}
			<-f.release
		case "/fail":
			w.WriteHeader(http.StatusInternalServerError)
		case "/flaky":
			if flaky.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
	}))
	t.Cleanup(f.Close)
	return f
}

const (
	callersSpan = "00f067aa0ba902b7"
	secret      = "hush"
)

// traceID gives the id of the trace number n.
func traceID(n int) string { return fmt.Sprintf("0af7651916cd43dd8448eb211c80%04x", n) }

// within are the fields of a request in a trace.
func within(trace, flags string) []string {
	return []string{"Traceparent", "00-" + trace + "-" + callersSpan + "-" + flags, "Tracestate", "vendor=some"}
}

// TestSpansOfEachKindOfCall follows calls through weir and a Collector: what comes out of it
// is what OpenTelemetry's conventions for HTTP say of such calls, and nothing was rejected.
func TestSpansOfEachKindOfCall(t *testing.T) {
	sink := newSink(t)
	c := newCollector(t, sink.url)
	tap := newTap(t, c.address)
	f := newFunction(t)
	config := filepath.Join(t.TempDir(), "weir.yaml")
	write(t, config, "routes:\n  - path: /reports\n")
	w := newWeir(t, "--config="+config, "--upstream="+f.URL, "--function=resize", "--function-version=7", "--max-inflight=1", "--overflow=wait", "--queue-depth=1",
		"--tracing-endpoint="+tap.url, "--tracing-attributes=k8s.pod.name=resize-1",
		"--async", "--async-dir="+t.TempDir(), "--async-any-filesystem", "--async-backoff=100ms")
	inflight := func(name string, n float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s is %v", name, n), func() (bool, string) {
			v := value(t, "http://"+w.metrics+"/metrics", name)
			return v == n, fmt.Sprint(v)
		})
	}
	ports := strings.NewReplacer("port=int64("+portOf(t, w.data)+")", "port=WEIR", "port=int64("+portOf(t, f.Listener.Addr().String())+")", "port=FUNCTION",
		f.Listener.Addr().String(), "FUNCTION")

	const (
		synchronous = iota
		unknownMethod
		failing
		holding
		waiting
		refused
		asynchronous
		unrecorded
	)
	for _, tt := range []struct {
		trace          int
		method, target string
		status         int
		flags          string
	}{
		{synchronous, "GET", "/reports/today?token=" + secret, http.StatusOK, "01"},
		{unknownMethod, "BREW", "/pot", http.StatusOK, "01"},
		{failing, "GET", "/fail", http.StatusInternalServerError, "01"},
		{unrecorded, "GET", "/quiet", http.StatusOK, "00"},
	} {
		if got := w.send(t, tt.method, tt.target, within(traceID(tt.trace), tt.flags)...); got != tt.status {
			t.Errorf("%s %s: status %d, want %d", tt.method, tt.target, got, tt.status)
		}
		inflight("weir_inflight_requests", 0) // a slot is free some time after its answer
	}
	done := make(chan int, 2)
	go func() { done <- w.send(t, "GET", "/hold", within(traceID(holding), "01")...) }()
	<-f.held
	go func() { done <- w.send(t, "GET", "/later", within(traceID(waiting), "01")...) }()
	inflight("weir_waiting_requests", 1)
	if got := w.send(t, "GET", "/more", within(traceID(refused), "01")...); got != http.StatusTooManyRequests {
		t.Errorf("status %d of one too many", got)
	}
	close(f.release)
	for range 2 {
		if got := <-done; got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
	if got := w.send(t, "POST", "/flaky", append(within(traceID(asynchronous), "01"), "Prefer", "respond-async")...); got != http.StatusAccepted {
		t.Errorf("status %d", got)
	}

	const server, client = " client.address=127.0.0.1 http.request.method=", " http.request.method="
	expected := map[int][]string{
		synchronous: {
			"Server GET /reports of the caller, Unset:" + server + "GET http.response.status_code=int64(200) http.route=/reports network.protocol.version=1.1" +
				" server.address=127.0.0.1 server.port=WEIR url.path=/reports/today url.scheme=http weir.origin=function",
			"Client GET of GET /reports, Unset:" + client + "GET http.response.status_code=int64(200) server.address=127.0.0.1 server.port=FUNCTION" +
				" url.full=http://FUNCTION/reports/today",
		},
		unknownMethod: {
			"Server HTTP of the caller, Unset:" + server + "_OTHER http.request.method_original=BREW http.response.status_code=int64(200)" +
				" network.protocol.version=1.1 server.address=127.0.0.1 server.port=WEIR url.path=/pot url.scheme=http weir.origin=function",
			"Client HTTP of HTTP, Unset:" + client + "_OTHER http.request.method_original=BREW http.response.status_code=int64(200)" +
				" server.address=127.0.0.1 server.port=FUNCTION url.full=http://FUNCTION/pot",
		},
		failing: {
			"Server GET of the caller, Error: client.address=127.0.0.1 error.type=500 http.request.method=GET http.response.status_code=int64(500)" +
				" network.protocol.version=1.1 server.address=127.0.0.1 server.port=WEIR url.path=/fail url.scheme=http weir.origin=function",
			"Client GET of GET, Error: error.type=500 http.request.method=GET http.response.status_code=int64(500)" +
				" server.address=127.0.0.1 server.port=FUNCTION url.full=http://FUNCTION/fail",
		},
		holding: {
			"Server GET of the caller, Unset:" + server + "GET http.response.status_code=int64(200) network.protocol.version=1.1" +
				" server.address=127.0.0.1 server.port=WEIR url.path=/hold url.scheme=http weir.origin=function",
			"Client GET of GET, Unset:" + client + "GET http.response.status_code=int64(200) server.address=127.0.0.1 server.port=FUNCTION url.full=http://FUNCTION/hold",
		},
		waiting: {
			"Server GET of the caller, Unset:" + server + "GET http.response.status_code=int64(200) network.protocol.version=1.1" +
				" server.address=127.0.0.1 server.port=WEIR url.path=/later url.scheme=http weir.origin=function",
			"Internal wait for a slot of GET, Unset:",
			"Client GET of GET, Unset:" + client + "GET http.response.status_code=int64(200) server.address=127.0.0.1 server.port=FUNCTION url.full=http://FUNCTION/later",
		},
		refused: {
			"Server GET of the caller, Unset: client.address=127.0.0.1 error.type=queue_full http.request.method=GET http.response.status_code=int64(429)" +
				" network.protocol.version=1.1 server.address=127.0.0.1 server.port=WEIR url.path=/more url.scheme=http weir.origin=weir weir.throttled=queue_full",
		},
		asynchronous: {
			"Server POST of the caller, Unset:" + server + "POST http.response.status_code=int64(202) network.protocol.version=1.1" +
				" server.address=127.0.0.1 server.port=WEIR url.path=/flaky url.scheme=http weir.origin=weir",
			"Client POST of POST, Error: error.type=503 http.request.method=POST http.response.status_code=int64(503)" +
				" server.address=127.0.0.1 server.port=FUNCTION url.full=http://FUNCTION/flaky weir.attempt=int64(1)",
			"Client POST of POST, Unset:" + client + "POST http.request.resend_count=int64(1) http.response.status_code=int64(200)" +
				" server.address=127.0.0.1 server.port=FUNCTION url.full=http://FUNCTION/flaky weir.attempt=int64(2)",
		},
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for n, want := range expected {
		total += len(want)
		spans := sink.await(t, traceID(n), len(want))
		names := map[string]string{callersSpan: "the caller"}
		for _, s := range spans {
			names[s.SpanID().String()] = s.Name()
		}
		for i, s := range spans {
			got := ports.Replace(fmt.Sprintf("%s %s of %s, %s: %s", s.Kind(), s.Name(), names[s.ParentSpanID().String()], s.Status().Code(), text(s.Attributes())))
			if i >= len(want) || strings.TrimSpace(got) != strings.TrimSpace(want[i]) {
				t.Errorf("trace %d: got  %s\nwant %q", n, got, want[min(i, len(want)-1)])
			}
			if s.TraceState().AsRaw() != "vendor=some" || s.Flags()&1 == 0 || s.EndTimestamp() < s.StartTimestamp() || s.Events().Len()+s.Links().Len() > 0 {
				t.Errorf("%s: state %q, flags %x, from %s to %s", got, s.TraceState().AsRaw(), s.Flags(), s.StartTimestamp(), s.EndTimestamp())
			}
			// Whether the parent is in another process: bits 8 and 9 of the flags.
			if remote := s.ParentSpanID().String() == callersSpan || s.Attributes().AsRaw()["weir.attempt"] != nil; s.Flags()>>8 != 1+2*b2i(remote) {
				t.Errorf("%s: flags %x", got, s.Flags())
			}
			if s.scope != "weir/tracing" || !strings.HasPrefix(s.schema, "https://opentelemetry.io/schemas/1.") {
				t.Errorf("scope %q, schema %q", s.scope, s.schema)
			}
			for _, a := range []string{
				"faas.name=resize", "faas.version=7", "k8s.pod.name=resize-1", "service.instance.id=" + host, "service.name=weir", "service.version=",
				"telemetry.sdk.language=go", "telemetry.sdk.name=opentelemetry", "telemetry.sdk.version=",
			} {
				if !strings.Contains(s.resource, a) {
					t.Errorf("the resource has no %s: %s", a, s.resource)
				}
			}
			if strings.Contains(got+s.resource, secret) {
				t.Errorf("a secret: %s", got)
			}
		}
	}
	// Once weir has its answers, all have counted.
	w.says(t, map[string]float64{"exported": float64(total), "dropped": 0, "failed": 0})
	if n := sink.count(); n != total {
		t.Errorf("%d spans, want %d", n, total)
	}
	if got := value(t, c.metrics, "otelcol_receiver_accepted_spans"); got != float64(total) {
		t.Errorf("the Collector says that it has accepted %v spans, of %d", got, total)
	}
	for _, name := range []string{"otelcol_receiver_refused_spans", "otelcol_receiver_failed_spans"} {
		if got := value(t, c.metrics, name); got != 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
	for _, x := range tap.exchanges() {
		if x.status != http.StatusOK || x.partial != "" || x.contentType != "application/x-protobuf" || x.encoding != "" {
			t.Errorf("%+v", x)
		}
	}
}

func b2i(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// says asserts what weir counts of its spans, once it has heard the Collector's answer.
func (w *sidecar) says(t *testing.T, want map[string]float64) {
	t.Helper()
	for result, n := range want {
		eventually(t, fmt.Sprintf("%v spans are %s", n, result), func() (bool, string) {
			got := w.spans(t, result)
			return got == n, fmt.Sprint(got)
		})
	}
}

// TestACollectorThatIsBusy: weir tries again when it is told to, and tells of what is not
// to be tried again.
func TestACollectorThatIsBusy(t *testing.T) {
	for _, tt := range []struct {
		name, busy string
		status     int
		retryAfter string
		lost       bool
	}{
		{"429 with Retry-After", "RESOURCE_EXHAUSTED 3s", http.StatusTooManyRequests, "3", false},
		{"503 with Retry-After", "UNAVAILABLE 3s", http.StatusServiceUnavailable, "3", false},
		{"503 without", "UNAVAILABLE 0s", http.StatusServiceUnavailable, "", false},
		{"400, for good", "INVALID_ARGUMENT 0s", http.StatusBadRequest, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t)
			c := newCollector(t, sink.url)
			tap := newTap(t, c.address)
			w := newWeir(t, "--upstream="+newFunction(t).URL, "--tracing-endpoint="+tap.url)
			write(t, c.busyFile, tt.busy)
			if got := w.send(t, "GET", "/", within(traceID(1), "01")...); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
			eventually(t, "the Collector refuses", func() (bool, string) { return len(tap.exchanges()) > 0, "nothing came" })
			if err := os.Remove(c.busyFile); err != nil {
				t.Fatal(err)
			}
			refusal := tap.exchanges()[0]
			if refusal.status != tt.status || refusal.retryAfter != tt.retryAfter {
				t.Errorf("the Collector's answer: %+v", refusal)
			}
			if tt.lost {
				w.says(t, map[string]float64{"exported": 0, "dropped": 0, "failed": 2})
				if n := strings.Count(w.said(t), "the receiver does not take them"); n != 1 {
					t.Errorf("that is said %d times", n)
				}
				return
			}
			sink.await(t, traceID(1), 2)
			w.says(t, map[string]float64{"exported": 2, "dropped": 0, "failed": 0})
			all := tap.exchanges()
			if len(all) != 2 || all[1].status != http.StatusOK {
				t.Errorf("%+v", all)
			}
			least := 500 * time.Millisecond // half a second to one, where it is not told
			if tt.retryAfter != "" {
				least = 3 * time.Second
			}
			if after := all[len(all)-1].at.Sub(refusal.at); after < least {
				t.Errorf("tried again after %s, Retry-After was %q", after, tt.retryAfter)
			}
			if refused := value(t, c.metrics, "otelcol_receiver_refused_spans"); refused != 2 {
				t.Errorf("the Collector has refused %v spans", refused)
			}
		})
	}
}

// TestACollectorThatRestarts: what is recorded while it is away arrives, each span once.
func TestACollectorThatRestarts(t *testing.T) {
	sink := newSink(t)
	c := newCollector(t, sink.url)
	w := newWeir(t, "--upstream="+newFunction(t).URL, "--tracing-endpoint=http://"+c.address)
	send := func(trace int) {
		t.Helper()
		if got := w.send(t, "GET", "/", within(traceID(trace), "01")...); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
	send(1)
	sink.await(t, traceID(1), 2)
	c.stop(t)
	// In its place, so that it is seen that weir has tried.
	ln, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	send(2)
	for range 2 {
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	send(3)
	c.start(t)
	send(4)
	for trace := 2; trace <= 4; trace++ {
		sink.await(t, traceID(trace), 2)
	}
	w.says(t, map[string]float64{"exported": 8, "dropped": 0, "failed": 0})
	if n := sink.count(); n != 8 {
		t.Errorf("%d spans arrived, want 8", n)
	}
	if log := w.said(t); strings.Contains(log, "spans are lost") {
		t.Error("weir says that spans are lost")
	}
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
