package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricsClient talks to metrics ports: a connection each, so that none is left
// over.
var metricsClient = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
}

// get fetches a path of the metrics port.
func (w *weir) get(path string) (status int, body string, err error) {
	res, err := metricsClient.Get("http://" + w.metrics + path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// scrape is one reading of /metrics. weir took it at some moment from sent to
// received.
type scrape struct {
	sent, received time.Time
	families       map[string]*dto.MetricFamily
}

func (w *weir) scrape(t testing.TB) *scrape {
	t.Helper()
	s, err := w.tryScrape()
	if err != nil {
		t.Fatalf("scraping weir: %v", err)
	}
	return s
}

// scrapeSharply scrapes a few times and gives the reading whose moment is known
// best: what is compared with it is known for moments.
func (w *weir) scrapeSharply(t testing.TB) *scrape {
	t.Helper()
	var best *scrape
	for range 10 {
		s := w.scrape(t)
		if best == nil || s.received.Sub(s.sent) < best.received.Sub(best.sent) {
			best = s
		}
		if best.received.Sub(best.sent) < 5*time.Millisecond {
			break
		}
	}
	return best
}

func (w *weir) tryScrape() (*scrape, error) {
	s := &scrape{sent: time.Now()}
	res, err := metricsClient.Get("http://" + w.metrics + "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics answers %s", res.Status)
	}
	// The head comes once everything has been read; the rest is transport.
	s.received = time.Now()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	s.families, err = parser.TextToMetricFamilies(res.Body)
	return s, err
}

// total sums the samples of a metric whose labels include those given, as
// name and value in turn. Of a histogram, name_sum and name_count are metrics.
// One that weir does not show is an error of the test.
func (s *scrape) total(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	family, value := s.families[name], simple
	for suffix, of := range map[string]func(*dto.Metric) float64{
		"_sum":   func(m *dto.Metric) float64 { return m.GetHistogram().GetSampleSum() },
		"_count": func(m *dto.Metric) float64 { return float64(m.GetHistogram().GetSampleCount()) },
	} {
		if base, ok := strings.CutSuffix(name, suffix); ok && s.families[base] != nil {
			family, value = s.families[base], of
		}
	}
	if family == nil {
		t.Fatalf("weir shows no metric %s", name)
	}
	sum := 0.0
	for _, m := range family.Metric {
		got := map[string]string{}
		for _, l := range m.Label {
			got[l.GetName()] = l.GetValue()
		}
		if has(got, labels) {
			sum += value(m)
		}
	}
	return sum
}

func simple(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return m.Untyped.GetValue()
}

// by gives a metric's samples by the value of one of its labels, those of 0 left
// out.
func (s *scrape) by(t testing.TB, name, label string) map[string]float64 {
	t.Helper()
	if s.families[name] == nil {
		t.Fatalf("weir shows no metric %s", name)
	}
	sums := map[string]float64{}
	for _, m := range s.families[name].Metric {
		for _, l := range m.Label {
			if l.GetName() == label {
				sums[l.GetValue()] += simple(m)
			}
		}
	}
	maps.DeleteFunc(sums, func(_ string, v float64) bool { return v == 0 })
	return sums
}

// awaitMetric polls until the metric has the value.
func (w *weir) awaitMetric(t testing.TB, want float64, name string, labels ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s%v = %v", name, labels, want), func() (bool, string) {
		got := w.scrape(t).total(t, name, labels...)
		return got == want, fmt.Sprintf("it is %v", got)
	})
}

// awaitQuiet waits until nothing is in flight and nobody waits.
func (w *weir) awaitQuiet(t testing.TB) {
	t.Helper()
	for _, gauge := range []string{"weir_inflight_requests", "weir_running_instances", "weir_waiting_requests"} {
		w.awaitMetric(t, 0, gauge)
	}
}

// awaitReady waits until /readyz answers 200.
func (w *weir) awaitReady(t testing.TB) {
	t.Helper()
	eventually(t, "ready", func() (bool, string) {
		status, body, err := w.get("/readyz")
		if err != nil {
			return false, err.Error()
		}
		return status == http.StatusOK, fmt.Sprintf("%d %s", status, body)
	})
}
