package metrics

import "github.com/prometheus/client_golang/prometheus"

// TraceSnapshot counts spans by what has become of them.
type TraceSnapshot struct{ Exported, Dropped, Failed uint64 }

// traceCollector exports a snapshot, taken when it is scraped.
type traceCollector struct {
	snapshot func() TraceSnapshot
	spans    *prometheus.Desc
}

func newTraceCollector(snapshot func() TraceSnapshot) *traceCollector {
	d := definition(nameTraceSpans)
	return &traceCollector{snapshot, prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)}
}

func (c *traceCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.spans }

func (c *traceCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	for result, n := range map[string]uint64{"exported": s.Exported, "dropped": s.Dropped, "failed": s.Failed} {
		ch <- prometheus.MustNewConstMetric(c.spans, prometheus.CounterValue, float64(n), result)
	}
}
