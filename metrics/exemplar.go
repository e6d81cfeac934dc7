package metrics

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exemplarEvery is the least time between two exemplars: a histogram keeps one a
// bucket, a scrape takes them every few seconds, and one costs as much as twenty
// plain observations.
const exemplarEvery = 100 * time.Millisecond

// exemplars decides which observations get one. Its zero value is ready.
type exemplars struct{ next atomic.Int64 } // on the wall clock, in nanoseconds

// labels gives the labels of an exemplar for a request with the traceparent field,
// nil where none is due or the trace is not recorded: a link to it would be dead.
func (e *exemplars) labels(traceparent string, now time.Time) prometheus.Labels {
	next := e.next.Load()
	if now.UnixNano() < next {
		return nil
	}
	id, sampled := recordedTrace(traceparent)
	if !sampled || !e.next.CompareAndSwap(next, now.Add(exemplarEvery).UnixNano()) {
		return nil
	}
	return prometheus.Labels{"trace_id": strings.Clone(id)}
}

// recordedTrace reads a traceparent field (W3C Trace Context, 3.2): the trace's
// identity, and whether it is recorded by whoever called.
func recordedTrace(field string) (id string, sampled bool) {
	const (
		idAt, parentAt, flagsAt = 3, 36, 53
		length                  = 55
	)
	if len(field) < length || field[idAt-1] != '-' || field[parentAt-1] != '-' || field[flagsAt-1] != '-' {
		return "", false
	}
	version, id, parent, flags := field[:idAt-1], field[idAt:parentAt-1], field[parentAt:flagsAt-1], field[flagsAt:length]
	for _, part := range [...]string{version, id, parent, flags} {
		if strings.Trim(part, "0123456789abcdef") != "" {
			return "", false
		}
	}
	switch {
	case version == "ff", version == "00" && len(field) > length, len(field) > length && field[length] != '-':
		return "", false // later versions may go on after another dash
	case strings.Trim(id, "0") == "", strings.Trim(parent, "0") == "":
		return "", false
	}
	return id, strings.IndexByte("13579bdf", flags[1]) >= 0
}

// observe records a value, with an exemplar where there are labels for one.
func observe(h prometheus.Histogram, seconds float64, exemplar prometheus.Labels) {
	if exemplar == nil {
		h.Observe(seconds)
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, exemplar)
}
