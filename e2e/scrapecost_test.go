package e2e

import (
	"cmp"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/tracing/otlptest"
)

var (
	scrapes   = flag.Int("scrapes", 0, "how often TestAScrapeOfEverything scrapes, of which it then tells the time and the CPU; 0 looks at the size alone")
	scrapeMay = flag.Duration("scrape-may-take", 0, "what the median of these is to be below; 0 is anything")
)

// largestScrape is what a scrape of a sidecar with everything on is to be below, in bytes.
const largestScrape = 150_000

// scrapeFormats are those that Prometheus asks for.
var scrapeFormats = map[string]string{
	"text":        "text/plain; version=0.0.4",
	"OpenMetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
	"protobuf":    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
}

// startEverything starts a weir with all on that has metrics, and has it see some of
// everything.
func startEverything(t *testing.T) *weir {
	t.Helper()
	f := newFunction(t, http.HandlerFunc(fails))
	told := newFunction(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	config := configFile(t, `
limits: {max_inflight: 8, overflow: wait, queue_depth: 8, queue_timeout: 1s, rate: 1000/s, function_max_inflight: 50, account: shop, priority_header: X-Priority}
callers: {key: "header:X-Api-Key", max_inflight: 6}
trusted_proxies: [127.0.0.0/8]
routes:
  - {path: /reports, rate: 5/m, priority: sheddable}
  - {path: /later, invoke: async}
`)
	w := start(t, "--upstream="+f.url(), "--function=everything", "--function-version=v1", "--config="+config, "--limits-nats-url="+startNATS(t).ClientURL(),
		"--tracing-endpoint="+otlptest.Start(t).URL, "--metrics-compat=openfaas", "--async", "--async-dir="+t.TempDir(), "--async-any-filesystem",
		"--async-attempts=2", "--async-backoff=1ms", "--webhook-secrets="+newHook(t).secrets, "--async-callbacks-allow=127.0.0.1")
	w.awaitReady(t)
	c := newClients(t)
	c.http.Transport = calledBack{c.http.Transport, told.url(), told.url()}
	c.http.Timeout = patience
	const workers, each = 24, 8
	done := make(chan struct{})
	for worker := range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for n := range each {
				path := []string{"/", "/reports", "/later", "/x"}[n%4]
				// Times of many magnitudes, so that the native histograms are wide.
				d := time.Duration(worker%6+1) * []time.Duration{10 * time.Microsecond, time.Millisecond, 10 * time.Millisecond}[worker%3]
				r, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s%s?for=%s&fail=%v", w.data, path, d, n%5 == 0), strings.NewReader("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("X-Api-Key", strconv.Itoa(worker%3))
				res, err := c.http.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
			}
		}()
	}
	for range workers {
		await(t, "the traffic", done)
	}
	w.awaitMetric(t, 0, "weir_async_depth")
	return w
}

// scrapeAs fetches the metrics in a format and gives their size, as it is and as it was
// sent compressed.
func (w *weir) scrapeAs(t *testing.T, accept string) (body []byte, sent int, took time.Duration) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.metrics+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("Accept-Encoding", "gzip")
	began := time.Now()
	res, err := metricsClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var n counted
	zip, err := gzip.NewReader(io.TeeReader(res.Body, &n))
	if err != nil {
		t.Fatal(err)
	}
	if body, err = io.ReadAll(zip); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	return body, int(n), time.Since(began)
}

type counted int

func (n *counted) Write(b []byte) (int, error) { *n += counted(len(b)); return len(b), nil }

// TestAScrapeOfEverything holds the size of a scrape with everything on, in each format;
// `make scrape` measures its time, too.
func TestAScrapeOfEverything(t *testing.T) {
	t.Parallel()
	w := startEverything(t)
	for _, name := range []string{"text", "OpenMetrics", "protobuf"} {
		body, sent, _ := w.scrapeAs(t, scrapeFormats[name])
		t.Logf("%-12s %6d bytes, compressed %5d", name, len(body), sent)
		if len(body) > largestScrape {
			t.Errorf("%s has %d bytes, which is to be below %d", name, len(body), largestScrape)
		}
		for _, of := range []string{"weir_lease_slots", "weir_async_depth", "weir_callbacks_total", "weir_trace_spans_total", "weir_throttles_total", "http_requests_total"} {
			if !strings.Contains(string(body), of) {
				t.Errorf("%s has no %s: not everything is on", name, of)
			}
		}
		if exemplars := strings.Count(string(body), "trace_id"); (exemplars == 0) != (name == "text") {
			t.Errorf("%s has %d exemplars", name, exemplars)
		}
		if *scrapes == 0 {
			continue
		}
		took := make([]time.Duration, *scrapes)
		before := w.cpu(t)
		for i := range took {
			_, _, took[i] = w.scrapeAs(t, scrapeFormats[name])
		}
		cpu := (w.cpu(t) - before) / time.Duration(*scrapes)
		slices.SortFunc(took, cmp.Compare)
		median := took[len(took)/2]
		t.Logf("%-12s median %s, worst %s of %d; %s of CPU each", name, median.Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond), *scrapes, cpu)
		if *scrapeMay > 0 && median > *scrapeMay {
			t.Errorf("%s took %s, which is to be below %s", name, median, *scrapeMay)
		}
	}
}

// cpu is what weir has used, in steps of 10 ms; 0 where the system does not say.
func (w *weir) cpu(t *testing.T) time.Duration {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(w.pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, of proc(5)
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
