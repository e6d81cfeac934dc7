package conformance

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sample is one line of an exposition: a name, its labels and its value.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// probeClient talks to the metrics port: a connection each, so that none is left.
var probeClient = &http.Client{
	Timeout:       patience,
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, Protocols: http1Only()},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func http1Only() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Probe fetches a path of the metrics port.
func (s *Stage) Probe(t testing.TB, path string) (status int, body string) {
	t.Helper()
	status, body, err := s.probe(path)
	if err != nil {
		t.Fatalf("metrics port: %v", err)
	}
	return status, body
}

func (s *Stage) probe(path string) (status int, body string, err error) {
	start := time.Now()
	resp, err := probeClient.Get("http://" + s.Weir.MetricsAddr + path)
	if err != nil {
		return 0, "", fmt.Errorf("GET %s after %v: %w", path, time.Since(start), err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Samples scrapes weir.
func (s *Stage) Samples(t testing.TB) []Sample {
	t.Helper()
	samples, err := s.scrape()
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

func (s *Stage) scrape() ([]Sample, error) {
	status, body, err := s.probe("/metrics")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("/metrics answers %d: %.300q", status, body)
	}
	samples, err := parseSamples(body)
	if err != nil {
		return nil, fmt.Errorf("/metrics: %w", err)
	}
	return since(samples, s.before), nil
}

// Metric scrapes weir and sums the samples of that name whose labels include the
// given pairs. A series that weir does not show counts as 0 only where another
// of the same name is shown.
func (s *Stage) Metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	value, err := total(s.Samples(t), name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func total(samples []Sample, name string, labels ...string) (float64, error) {
	sum, known := 0.0, false
	for _, sample := range samples {
		if sample.Name != name {
			continue
		}
		known = true
		matches := true
		for i := 0; i < len(labels); i += 2 {
			matches = matches && sample.Labels[labels[i]] == labels[i+1]
		}
		if matches {
			sum += sample.Value
		}
	}
	if !known {
		return 0, fmt.Errorf("/metrics shows no %s", name)
	}
	return sum, nil
}

// awaitMetric polls until the metric has the value.
func (s *Stage) awaitMetric(t testing.TB, want float64, name string, labels ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s%v = %v", name, labels, want), func() (bool, string) {
		samples, err := s.scrape()
		if err != nil {
			return false, err.Error()
		}
		got, err := total(samples, name, labels...)
		if err != nil {
			return false, err.Error()
		}
		return got == want, fmt.Sprintf("it is %v", got)
	})
}

// awaitNothingRuns polls until weir has nothing in flight and nobody who waits.
func (s *Stage) awaitNothingRuns(t testing.TB) {
	t.Helper()
	eventually(t, "nothing running or waiting", func() (bool, string) {
		samples, err := s.scrape()
		if err != nil {
			return false, err.Error()
		}
		for _, gauge := range []string{"weir_inflight_requests", "weir_waiting_requests", "weir_running_instances"} {
			if got, err := total(samples, gauge); err != nil || got != 0 {
				return false, fmt.Sprintf("%s is %v (%v)", gauge, got, err)
			}
		}
		return true, ""
	})
}

// parseSamples reads the Prometheus text format, comments and all.
func parseSamples(text string) ([]Sample, error) {
	var samples []Sample
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		sample, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

func parseSample(line string) (Sample, error) {
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return Sample{}, fmt.Errorf("no value")
	}
	s := Sample{Name: line[:end], Labels: map[string]string{}}
	rest := line[end:]
	if rest[0] == '{' {
		rest = rest[1:]
		for !strings.HasPrefix(rest, "}") {
			name, after, ok := strings.Cut(rest, "=")
			if !ok {
				return Sample{}, fmt.Errorf("a label without a value")
			}
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				return Sample{}, fmt.Errorf("label %s: %w", name, err)
			}
			value, err := strconv.Unquote(quoted)
			if err != nil {
				return Sample{}, fmt.Errorf("label %s: %w", name, err)
			}
			s.Labels[name] = value
			rest = strings.TrimPrefix(after[len(quoted):], ",")
		}
		rest = rest[1:]
	}
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a timestamp may follow
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return Sample{}, fmt.Errorf("value: %w", err)
	}
	s.Value = value
	return s, nil
}
