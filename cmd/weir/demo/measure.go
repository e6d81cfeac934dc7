package demo

import (
	"fmt"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weir/limits"
)

// sample is everything that can be read at one moment; intervals are the
// difference of two.
type sample struct {
	at      time.Duration // since the start
	gate    limits.Snapshot
	exports exports
	tallies [kinds]tally
}

// exports is what the sidecar exports to Prometheus, of the metrics that the
// demo compares with what it knows otherwise.
type exports struct {
	running   summed // weir_upstream_duration_seconds
	waited    summed // weir_queue_wait_seconds
	throttles map[limits.Reason]uint64
}

// summed is a histogram's count and sum.
type summed struct {
	count   uint64
	seconds float64
}

func (s summed) since(before summed) summed {
	return summed{s.count - before.count, s.seconds - before.seconds}
}

// mean is 0 for nothing.
func (s summed) mean() time.Duration {
	if s.count == 0 {
		return 0
	}
	return time.Duration(s.seconds / float64(s.count) * float64(time.Second))
}

// rateTimesDuration is the estimate of the mean concurrency that dashboards of
// other proxies have to make do with, by Little's law: calls that ended a second
// times their mean duration. It credits a call to the moment of its end, hence
// errs over intervals that are short by the calls' measure.
func (s summed) rateTimesDuration(length time.Duration) float64 {
	if s.count == 0 || length <= 0 {
		return 0
	}
	return float64(s.count) / length.Seconds() * s.mean().Seconds()
}

// since is the difference to an earlier state of the same exports.
func (e exports) since(before exports) exports {
	d := exports{e.running.since(before.running), e.waited.since(before.waited), maps.Clone(e.throttles)}
	for reason, n := range before.throttles {
		d.throttles[reason] -= n
	}
	return d
}

// read gathers what a scrape would get.
func (e *exports) read(g prometheus.Gatherer) error {
	families, err := g.Gather()
	if err != nil {
		return fmt.Errorf("demo: reading the sidecar's metrics: %w", err)
	}
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[f.GetName()] = f
	}
	for name, to := range map[string]*summed{
		"weir_upstream_duration_seconds": &e.running,
		"weir_queue_wait_seconds":        &e.waited,
	} {
		f := byName[name]
		if len(f.GetMetric()) != 1 || f.GetMetric()[0].GetHistogram() == nil {
			return fmt.Errorf("demo: the sidecar exports no histogram %s", name)
		}
		h := f.GetMetric()[0].GetHistogram()
		*to = summed{h.GetSampleCount(), h.GetSampleSum()}
	}
	f := byName["weir_throttles_total"]
	if len(f.GetMetric()) == 0 {
		return fmt.Errorf("demo: the sidecar exports no counter weir_throttles_total")
	}
	e.throttles = map[limits.Reason]uint64{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "reason" {
				e.throttles[limits.Reason(l.GetValue())] += uint64(m.GetCounter().GetValue())
			}
		}
	}
	return nil
}

// interval is what happened between two samples.
type interval struct {
	length   time.Duration
	exact    float64 // mean concurrency, from weir's integral
	estimate float64 // mean concurrency, from rate times duration
	kinds    [kinds]tally
	all      tally
}

// between is the interval from a sample to a later one.
func between(from, to *sample) interval {
	i := interval{length: to.at - from.at}
	if i.length > 0 {
		i.exact = (to.gate.ConcurrencySeconds - from.gate.ConcurrencySeconds) / i.length.Seconds()
	}
	i.estimate = to.exports.running.since(from.exports.running).rateTimesDuration(i.length)
	for k := range kinds {
		i.kinds[k] = to.tallies[k].since(&from.tallies[k])
		i.all.add(&i.kinds[k])
	}
	return i
}

// perSecond is the rate of something that was counted within the interval.
func (i *interval) perSecond(n uint64) float64 {
	if i.length <= 0 {
		return 0
	}
	return float64(n) / i.length.Seconds()
}
