package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/tracing/otlptest"
)

// TestTraces follows a request through the binary: what its caller, weir and the function
// say of the trace are links of one chain.
func TestTraces(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		receiver := otlptest.Start(t)
		headers := filepath.Join(t.TempDir(), "headers")
		writeFile(t, headers, "# for the receiver\nAuthorization: Bearer s3cret\n")
		told := make(chan http.Header, 10)
		f := newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			told <- r.Header
			takes(w, r)
		}))
		w := start(t, engine, "--upstream="+f.url(), "--function=resize", "--max-inflight=1", "--overflow=wait", "--tracing-endpoint="+receiver.URL,
			"--tracing-headers-file="+headers, "--tracing-attributes=k8s.pod.name=resize-1", "--tracing-sample=0",
			"--async", "--async-dir="+t.TempDir(), "--async-any-filesystem")
		ask := func(path string, fields ...string) int {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.data+path, nil)
			if err != nil {
				t.Error(err)
				return 0
			}
			for i := 0; i < len(fields); i += 2 {
				r.Header.Set(fields[i], fields[i+1])
			}
			res, err := metricsClient.Do(r)
			if err != nil {
				t.Error(err)
				return 0
			}
			_ = res.Body.Close()
			return res.StatusCode
		}
		const span = "00f067aa0ba902b7"
		recorded := []string{"Traceparent", "00-" + traceID + "-" + span + "-01", "Tracestate", "vendor=some"}

		// Two at once, of which one waits, and one that nobody records.
		const long = 200 * time.Millisecond
		done := make(chan int, 2)
		for range 2 {
			go func() { done <- ask("/?for="+long.String(), recorded...) }()
		}
		for range 2 {
			if got := <-done; got != http.StatusOK {
				t.Errorf("status %d", got)
			}
		}
		// The slot is free some time after its answer; the next one does not wait for it.
		w.awaitMetric(t, 0, "weir_inflight_requests")
		if got := ask("/?for=0s"); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
		w.awaitMetric(t, 0, "weir_inflight_requests")
		if got := ask("/?for=0s", append(slices.Clone(recorded), "Prefer", "respond-async")...); got != http.StatusAccepted {
			t.Errorf("status %d", got)
		}
		sent := map[string]bool{}
		for range 4 {
			h := await(t, "the function's call", told)
			sent[h.Get("Traceparent")] = true
			if of := strings.Contains(h.Get("Traceparent"), traceID); of != (h.Get("Tracestate") == "vendor=some") || of != strings.HasSuffix(h.Get("Traceparent"), "-01") {
				t.Errorf("the function is told %q, %q", h.Get("Traceparent"), h.Get("Tracestate"))
			}
		}
		_, metrics, err := w.get("/metrics")
		if err != nil || !strings.Contains(metrics, "weir_trace_spans_total") {
			t.Errorf("%v\n%s", err, metrics)
		}
		w.signal(t, syscall.SIGTERM) // which sends what has not been yet
		if code := w.wait(t); code != 0 {
			t.Errorf("weir ended with code %d", code)
		}
		all := receiver.Await(2 + 3 + 1 + 1)
		ids := map[string]otlptest.Span{}
		for _, s := range all {
			ids[s.ID] = s
			if s.TraceID != traceID || s.State != "vendor=some" || s.Resource["service.name"] != "weir" || s.Resource["faas.name"] != "resize" || s.Resource["k8s.pod.name"] != "resize-1" {
				t.Errorf("%+v", s)
			}
		}
		kinds := map[string]int{}
		for _, s := range all {
			kinds[s.Kind]++
			parent := ids[s.Parent]
			switch s.Kind {
			case "SERVER":
				if s.Parent != span {
					t.Errorf("%+v: not a child of its caller's", s)
				}
				continue
			case "CLIENT":
				if !sent[fmt.Sprintf("00-%s-%s-01", traceID, s.ID)] {
					t.Errorf("the function was not told of %+v, but of %v", s, sent)
				}
			case "INTERNAL":
				if s.Took() < long/2 || s.Took() > parent.Took()-long/2 {
					t.Errorf("waited %s of %s", s.Took(), parent.Took())
				}
			}
			if parent.Kind != "SERVER" || s.Start.Before(parent.Start) {
				t.Errorf("%+v: its parent is %+v", s, parent)
			}
		}
		if kinds["SERVER"] != 3 || kinds["CLIENT"] != 3 || kinds["INTERNAL"] != 1 {
			t.Errorf("%v of %+v", kinds, all)
		}
		if h := receiver.Headers(); len(h) == 0 || h[0].Get("Authorization") != "Bearer s3cret" {
			t.Errorf("the receiver got %v", h)
		}
		if log := w.log.String(); strings.Contains(log, "s3cret") {
			t.Error("the header is in the log")
		}
	})
}

// TestAReceiverOfSpansThatIsAway shows that nobody waits for it: requests pass, weir ends,
// and what is lost is counted.
func TestAReceiverOfSpansThatIsAway(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	f := newFunction(t, http.HandlerFunc(takes))
	w := start(t, "--upstream="+f.url(), "--tracing-endpoint=http://"+ln.Addr().String())
	c := http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	const n = 2000 // 4000 spans, for which there is no room
	for range n {
		res, err := c.Get("http://" + w.data + "/?for=0s")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("status %d", res.StatusCode)
		}
	}
	w.awaitMetric(t, 2*n-2048, "weir_trace_spans_total", "result", "dropped")
	began := time.Now()
	w.signal(t, os.Interrupt)
	if code := w.wait(t); code != 0 {
		t.Errorf("weir ended with code %d", code)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("it took %s", took)
	}
	w.awaitLog(t, "not all spans were sent")
}
