package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"weir/limits"
)

// gateCollector exports a Gate's snapshot, taken when it is scraped.
type gateCollector struct {
	snapshot func() limits.Snapshot
	version  string
	descs    map[string]*prometheus.Desc
}

func newGateCollector(snapshot func() limits.Snapshot, version string) *gateCollector {
	c := &gateCollector{snapshot: snapshot, version: version, descs: map[string]*prometheus.Desc{}}
	for _, name := range []string{nameInflight, nameLimit, nameRunning, nameConcurrency, nameHighWater, nameWaiting, nameDryRun} {
		d := definition(name)
		c.descs[name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	return c
}

func (c *gateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *gateCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	gauge := func(name string, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(nameInflight, s.Inflight)
	gauge(nameLimit, s.Limit)
	gauge(nameRunning, s.Inflight, c.version)
	gauge(nameHighWater, s.HighWater, "1m")
	gauge(nameWaiting, s.Waiting)
	for _, reason := range limits.DryRunReasons() {
		ch <- prometheus.MustNewConstMetric(c.descs[nameDryRun], prometheus.CounterValue, float64(s.WouldRefuse[reason]), string(reason))
	}
	ch <- prometheus.MustNewConstMetric(c.descs[nameConcurrency], prometheus.CounterValue, s.ConcurrencySeconds)
}
