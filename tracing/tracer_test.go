package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weir/tracing/otlptest"
)

var discard = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines are the fields of a request.
type lines map[string][]string

func (l lines) Line(name string, i int) (string, bool) {
	if i < len(l[name]) {
		return l[name][i], true
	}
	return "", false
}

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID = "00f067aa0ba902b7"
	recorded = "00-" + traceID + "-" + parentID + "-01"
)

func newTracer(t testing.TB, endpoint string, change ...func(*Options)) *Tracer {
	t.Helper()
	o := Options{
		Endpoint: endpoint, Sample: 1, Service: "weir", Function: "f", FunctionVersion: "v1", Version: "1.2.3", Instance: "host",
		Attributes: [][2]string{{"k8s.pod.name", "f-1"}, {"service.name", "not this"}},
		Upstream:   "127.0.0.1:3000", UpstreamURL: "http://127.0.0.1:3000", Log: discard,
	}
	for _, f := range change {
		f(&o)
	}
	tracer := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = tracer.Close(ctx) // it may have been closed
	})
	return tracer
}

func flush(t testing.TB, tracer *Tracer) {
	t.Helper()
	if err := tracer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func ended() *Ended {
	now := time.Now()
	return &Ended{
		Method: "GET", Proto: "HTTP/1.1", Scheme: "http", Host: "f.example:8080", Path: "/a", Client: "192.0.2.1", Origin: "function",
		Began: now.Add(-time.Second), Called: now.Add(-500 * time.Millisecond), Answered: now.Add(-time.Millisecond), Ended: now,
		Wait: 400 * time.Millisecond, Status: 200, FunctionStatus: 200,
	}
}

func TestARequestHasThreeSpans(t *testing.T) {
	receiver := otlptest.Start(t)
	tracer := newTracer(t, receiver.URL)
	var r Request
	tracer.Begin(&r, lines{"Traceparent": {recorded}, "Tracestate": {"vendor=some", "other=thing"}})
	if !r.Continues() || !r.Recorded() {
		t.Error("the caller's trace is not followed")
	}
	sent := r.Traceparent()
	e := ended()
	e.Route, e.Status, e.FunctionStatus = "/a", 503, 503
	r.End(e)
	flush(t, tracer)
	all := receiver.Await(3)
	server, wait, call := all[0], all[1], all[2]
	if server.Kind != "SERVER" || wait.Kind != "INTERNAL" || call.Kind != "CLIENT" {
		t.Fatalf("%+v", all)
	}
	if want := "00-" + traceID + "-" + call.ID + "-01"; sent != want {
		t.Errorf("the function is told %s, want %s", sent, want)
	}
	for _, s := range all {
		if s.TraceID != traceID || s.State != "vendor=some,other=thing" {
			t.Errorf("%s: trace %s, state %q", s.Name, s.TraceID, s.State)
		}
		if s.Resource["service.name"] != "weir" || s.Resource["faas.name"] != "f" || s.Resource["k8s.pod.name"] != "f-1" || s.Resource["service.instance.id"] != "host" {
			t.Errorf("resource %v", s.Resource)
		}
	}
	if server.Parent != parentID || wait.Parent != server.ID || call.Parent != server.ID {
		t.Errorf("parents: %s, %s, %s", server.Parent, wait.Parent, call.Parent)
	}
	if server.Name != "GET /a" || wait.Name != "wait for a slot" || call.Name != "GET" || !server.Error || !call.Error || wait.Error {
		t.Errorf("%+v", all)
	}
	if wait.Took() != e.Wait || !wait.End.Equal(call.Start) || call.Took() != e.Answered.Sub(e.Called) || server.Took() != time.Second {
		t.Errorf("took %s, %s, %s", server.Took(), wait.Took(), call.Took())
	}
	for key, want := range map[string]any{
		"http.request.method": "GET", "url.path": "/a", "url.scheme": "http", "http.route": "/a", "http.response.status_code": int64(503), "error.type": "503",
		"server.address": "f.example", "server.port": int64(8080), "client.address": "192.0.2.1", "network.protocol.version": "1.1", "weir.origin": "function",
	} {
		if server.Attributes[key] != want {
			t.Errorf("%s is %v, want %v", key, server.Attributes[key], want)
		}
	}
	for key, want := range map[string]any{
		"http.request.method": "GET", "url.full": "http://127.0.0.1:3000/a", "http.response.status_code": int64(503),
		"server.address": "127.0.0.1", "server.port": int64(3000), "error.type": "503",
	} {
		if call.Attributes[key] != want {
			t.Errorf("of the call, %s is %v, want %v", key, call.Attributes[key], want)
		}
	}
	if c := tracer.Counts(); c != (Counts{Exported: 3}) {
		t.Errorf("counts %+v", c)
	}
}

func TestARefusedRequestHasOne(t *testing.T) {
	receiver := otlptest.Start(t)
	tracer := newTracer(t, receiver.URL)
	var r Request
	tracer.Begin(&r, lines{})
	e := ended()
	e.Called, e.Answered, e.Wait, e.FunctionStatus = time.Time{}, time.Time{}, 0, 0
	e.Method, e.Status, e.Throttled, e.Origin = "BREW", 429, "max_inflight", "weir"
	r.End(e)
	flush(t, tracer)
	s := receiver.Await(1)[0]
	if s.Parent != "" || s.Error || s.Name != "HTTP" || s.Attributes["weir.throttled"] != "max_inflight" || s.Attributes["error.type"] != "max_inflight" ||
		s.Attributes["http.request.method"] != "_OTHER" || s.Attributes["http.request.method_original"] != "BREW" {
		t.Errorf("%+v", s)
	}
}

func TestAnAttemptHasOne(t *testing.T) {
	receiver := otlptest.Start(t)
	tracer := newTracer(t, receiver.URL)
	var accepted, attempt Request
	tracer.Begin(&accepted, lines{})
	tracer.BeginAttempt(&attempt, lines{"Traceparent": {accepted.AcceptedTraceparent()}})
	e := ended()
	e.Attempt, e.Error, e.FunctionStatus = 2, "http_response_timeout", 0
	attempt.End(e)
	flush(t, tracer)
	s := receiver.Await(1)[0]
	if s.Kind != "CLIENT" || s.Parent != accepted.span.String() || s.TraceID != accepted.trace.String() ||
		s.Attributes["weir.attempt"] != int64(2) || s.Attributes["error.type"] != "http_response_timeout" || !s.Error {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsRecorded(t *testing.T) {
	tracer := newTracer(t, "http://127.0.0.1:1")
	const n = 10_000
	share := func(l lines) float64 {
		recorded := 0
		var r Request
		for range n {
			tracer.Begin(&r, l)
			if got := r.Traceparent(); strings.HasSuffix(got, "-01") != r.Recorded() && strings.HasSuffix(got, "-03") != r.Recorded() {
				t.Fatalf("recorded %v, told %s", r.Recorded(), got)
			}
			if r.Recorded() {
				recorded++
			}
		}
		return float64(recorded) / n
	}
	for _, sample := range []float64{0, 0.25, 1} {
		tracer.SetSample(sample)
		// Of 10,000 at 0.25 the deviation is 0.0043: 7 of them.
		if got := share(lines{}); got < sample-0.03 || got > sample+0.03 || (sample == 0 || sample == 1) && got != sample {
			t.Errorf("sample %g: %g of the roots", sample, got)
		}
		for field, want := range map[string]float64{recorded: 1, strings.TrimSuffix(recorded, "1") + "0": 0} {
			if got := share(lines{"Traceparent": {field}}); got != want {
				t.Errorf("sample %g: %g of those with %s", sample, got, field)
			}
		}
	}
	for name, l := range map[string]lines{
		"none": {}, "two": {"Traceparent": {recorded, recorded}}, "a malformed one": {"Traceparent": {"00-x"}, "Tracestate": {"a=b"}},
	} {
		var r Request
		tracer.Begin(&r, l)
		if r.Continues() || strings.Contains(r.Traceparent(), traceID) || r.state.Len() > 0 {
			t.Errorf("%s: %s goes on", name, r.Traceparent())
		}
	}
}

func TestARequestThatIsNotRecordedAllocatesNothing(t *testing.T) {
	tracer := newTracer(t, "http://127.0.0.1:1", func(o *Options) { o.Sample = 0 })
	var r Request
	e := ended()
	for name, fields := range map[string]Fields{"a root": lines{}, "a child": lines{"Traceparent": {strings.TrimSuffix(recorded, "1") + "0"}}} {
		if n := testing.AllocsPerRun(100, func() {
			tracer.Begin(&r, fields)
			_ = r.Traceparent()
			r.End(e)
		}); n > 0 {
			t.Errorf("%s: %g allocations", name, n)
		}
	}
}

// A receiver that does not answer costs nothing but spans, which are counted.
func TestTheQueueIsBounded(t *testing.T) {
	free := make(chan struct{})
	receiver := otlptest.Start(t)
	entered := make(chan struct{}, 100)
	receiver.Answer = func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-free }
	tracer := newTracer(t, receiver.URL, func(o *Options) { o.QueueSize, o.BatchSize = 10, 5 })
	e := ended()
	e.Called, e.Wait = time.Time{}, 0 // one span each
	record := func(n int) {
		var r Request
		for range n {
			tracer.Begin(&r, lines{})
			r.End(e)
		}
	}
	record(5)
	<-entered // a batch is being sent
	record(8)
	if c := tracer.Counts(); c != (Counts{Dropped: 3}) {
		t.Errorf("counts %+v, want 3 dropped: 5 are being sent, and 5 wait", c)
	}
	close(free)
	flush(t, tracer)
	if c := tracer.Counts(); c != (Counts{Exported: 10, Dropped: 3}) {
		t.Errorf("counts %+v", c)
	}
	record(10)
	flush(t, tracer)
	if c := tracer.Counts(); c != (Counts{Exported: 20, Dropped: 3}) {
		t.Errorf("with room again, counts %+v", c)
	}
}

// answers is a transport that answers by itself, so that time can be virtual.
type answers struct {
	mu    sync.Mutex
	at    []time.Time
	reply func(n int) *http.Response
}

func (a *answers) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Body != nil {
		_ = q.Body.Close()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Now())
	w := a.reply(len(a.at))
	if w == nil {
		return nil, fmt.Errorf("connection refused")
	}
	return w, nil
}

func answered(status int, fields ...string) *http.Response {
	w := httptest.NewRecorder()
	for i := 0; i < len(fields); i += 2 {
		w.Header().Set(fields[i], fields[i+1])
	}
	w.WriteHeader(status)
	return w.Result()
}

func TestBatchesAreTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name        string
		reply       func(n int) *http.Response
		tries       int
		least, most time.Duration // from the first to the last
		want        Counts
	}{
		{"taken", func(int) *http.Response { return answered(200) }, 1, 0, 0, Counts{Exported: 1}},
		{"not allowed", func(int) *http.Response { return answered(401) }, 1, 0, 0, Counts{Failed: 1}},
		{"moved", func(int) *http.Response { return answered(307, "Location", "http://elsewhere/") }, 1, 0, 0, Counts{Failed: 1}},
		{"asked to wait", func(n int) *http.Response {
			if n == 1 {
				return answered(429, "Retry-After", "7")
			}
			return answered(200)
		}, 2, 7 * time.Second, 7 * time.Second, Counts{Exported: 1}},
		{"asked to wait too long", func(int) *http.Response { return answered(503, "Retry-After", "70") }, 1, 0, 0, Counts{Failed: 1}},
		{"unreachable for a while", func(n int) *http.Response {
			if n < 4 {
				return nil
			}
			return answered(200)
		}, 4, 3500 * time.Millisecond, 7 * time.Second, Counts{Exported: 1}},
		{"unreachable", func(int) *http.Response { return nil }, 0, 40 * time.Second, time.Minute, Counts{Failed: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{reply: c.reply}
				tracer := newTracer(t, "http://receiver/v1/traces")
				tracer.exporter.client.Transport = a
				e := ended()
				e.Called, e.Wait = time.Time{}, 0
				var r Request
				tracer.Begin(&r, lines{})
				r.End(e)
				time.Sleep(3 * time.Minute) // of virtual time
				synctest.Wait()
				if got := tracer.Counts(); got != c.want {
					t.Errorf("counts %+v, want %+v", got, c.want)
				}
				if c.tries > 0 && len(a.at) != c.tries {
					t.Errorf("%d tries, want %d", len(a.at), c.tries)
				}
				if took := a.at[len(a.at)-1].Sub(a.at[0]); took < c.least || took > c.most {
					t.Errorf("tried for %s, want %s to %s", took, c.least, c.most)
				}
				if err := tracer.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheReceiverMayRejectSome(t *testing.T) {
	receiver := otlptest.Start(t)
	receiver.Answer = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte{1<<3 | 2, 7, 1 << 3, 2, 2<<3 | 2, 3, 'o', 'l', 'd'}) // two of them, "old"
	}
	tracer := newTracer(t, receiver.URL)
	var r Request
	tracer.Begin(&r, lines{})
	r.End(ended())
	flush(t, tracer)
	if c := tracer.Counts(); c != (Counts{Exported: 1, Failed: 2}) {
		t.Errorf("counts %+v", c)
	}
}

func TestHeadersAreAskedForEachTime(t *testing.T) {
	receiver := otlptest.Start(t)
	var asked atomic.Int64
	tracer := newTracer(t, receiver.URL, func(o *Options) {
		o.Header = func() (http.Header, error) {
			if n := asked.Add(1); n != 2 {
				return http.Header{"Authorization": {fmt.Sprintf("Bearer %d", n)}}, nil
			}
			return nil, fmt.Errorf("the file is gone")
		}
	})
	for range 3 {
		var r Request
		tracer.Begin(&r, lines{})
		r.End(ended())
		flush(t, tracer)
	}
	h := receiver.Headers()
	if len(h) != 2 || h[0].Get("Authorization") != "Bearer 1" || h[1].Get("Authorization") != "Bearer 3" {
		t.Errorf("headers %v", h)
	}
	if c := tracer.Counts(); c != (Counts{Exported: 6, Failed: 3}) {
		t.Errorf("counts %+v", c)
	}
}

func TestCloseSendsWhatIsLeft(t *testing.T) {
	receiver := otlptest.Start(t)
	tracer := newTracer(t, receiver.URL)
	var r Request
	tracer.Begin(&r, lines{})
	r.End(ended())
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	receiver.Await(3)
}

// A receiver that hangs does not hold up the end of the process.
func TestCloseIsBounded(t *testing.T) {
	free := make(chan struct{})
	receiver := otlptest.Start(t)
	receiver.Answer = func(http.ResponseWriter, *http.Request) { <-free }
	tracer := newTracer(t, receiver.URL)
	var r Request
	tracer.Begin(&r, lines{})
	r.End(ended())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := tracer.Close(ctx); err == nil {
		t.Error("all was sent")
	}
	close(free)
}

// TestWhatARecordedRequestAllocates: little more than the SDK does for its three spans.
func TestWhatARecordedRequestAllocates(t *testing.T) {
	receiver := otlptest.Start(t)
	receiver.Unread = true
	tracer := newTracer(t, receiver.URL)
	e := ended()
	var r Request
	var fields Fields = lines{}
	const most = 36 // 28, and some for a pool that was emptied
	if n := testing.AllocsPerRun(500, func() {
		tracer.Begin(&r, fields)
		_ = r.Traceparent()
		r.End(e)
	}); n > most {
		t.Errorf("%v allocations, want %d at most", n, most)
	}
}

func BenchmarkRequest(b *testing.B) {
	for name, sample := range map[string]float64{"recorded": 1, "not recorded": 0} {
		b.Run(name, func(b *testing.B) {
			receiver := otlptest.Start(b)
			receiver.Unread = true
			tracer := newTracer(b, receiver.URL, func(o *Options) { o.Sample = sample })
			e := ended()
			var r Request
			var fields Fields = lines{}
			b.ReportAllocs()
			for b.Loop() {
				tracer.Begin(&r, fields)
				_ = r.Traceparent()
				r.End(e)
			}
		})
	}
}
