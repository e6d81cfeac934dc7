package metrics

import (
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/tracing/tracecontext"
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
	c, ok := tracecontext.Parse(traceparent)
	if !ok || !c.IsSampled() || !e.next.CompareAndSwap(next, now.Add(exemplarEvery).UnixNano()) {
		return nil
	}
	return prometheus.Labels{"trace_id": hex.EncodeToString(c.TraceID[:])}
}

// observe records a value, with an exemplar where there are labels for one.
func observe(h prometheus.Histogram, seconds float64, exemplar prometheus.Labels) {
	if exemplar == nil {
		h.Observe(seconds)
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, exemplar)
}
