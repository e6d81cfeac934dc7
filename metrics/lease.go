package metrics

import "github.com/prometheus/client_golang/prometheus"

// LeaseSnapshot is how the lease of a shared limit stands.
type LeaseSnapshot struct {
	Scope                string // function, account
	Held, Limit, Members int
	Up                   bool // the store of leases
}

// leaseCollector exports the leases there are when it is scraped.
type leaseCollector struct {
	snapshot                     func() []LeaseSnapshot
	slots, limit, members, store *prometheus.Desc
}

func newLeaseCollector(snapshot func() []LeaseSnapshot) *leaseCollector {
	desc := func(name string) *prometheus.Desc {
		d := definition(name)
		return prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	return &leaseCollector{snapshot, desc(nameLeaseSlots), desc(nameLeaseLimit), desc(nameLeaseMembers), desc(nameLeaseStoreUp)}
}

func (c *leaseCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.slots, c.limit, c.members, c.store} {
		ch <- d
	}
}

func (c *leaseCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.snapshot() {
		gauge := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.Scope)
		}
		gauge(c.slots, float64(s.Held))
		gauge(c.limit, float64(s.Limit))
		gauge(c.members, float64(s.Members))
		gauge(c.store, number(s.Up))
	}
}
