package demo

import (
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"weir/limits"
	"weir/metrics"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(1, math.Abs(b)) }

func TestIntervalIsADifference(t *testing.T) {
	from := sample{at: 10 * time.Second}
	from.gate.ConcurrencySeconds = 100
	from.exports.running = summed{count: 50, seconds: 90}
	from.tallies[steady] = tally{sent: 70, served: 50, failed: 1, refused: map[limits.Reason]uint64{"max_inflight": 19}, servedFor: 91 * time.Second}
	from.tallies[steady].servedIn.record(time.Hour)

	to := sample{at: 12 * time.Second}
	to.gate.ConcurrencySeconds = 107
	to.exports.running = summed{count: 60, seconds: 95}
	to.tallies[steady] = tally{sent: 90, served: 60, failed: 1, unsent: 3, refused: map[limits.Reason]uint64{"max_inflight": 29}, servedFor: 97 * time.Second}
	to.tallies[steady].servedIn = from.tallies[steady].servedIn
	to.tallies[steady].servedIn.record(time.Second)
	to.tallies[burst] = tally{sent: 5, served: 1, abandoned: 1, refused: map[limits.Reason]uint64{"queue_full": 3}}

	i := between(&from, &to)
	if i.length != 2*time.Second || !near(i.exact, 3.5) {
		t.Errorf("length %v, exact %v; want 2s, 7 call-seconds in 2 s", i.length, i.exact)
	}
	// 5 calls a second, half a second each.
	if !near(i.estimate, 2.5) {
		t.Errorf("rate times duration %v, want 2.5", i.estimate)
	}
	k := i.kinds[steady]
	if k.sent != 20 || k.served != 10 || k.failed != 0 || k.unsent != 3 || k.turnedAway() != 10 || k.servedFor != 6*time.Second {
		t.Errorf("steady %+v", k)
	}
	if got := k.servedIn.quantile(1); got > 2*time.Second {
		t.Errorf("an hour from before the interval shows in it: %v", got)
	}
	want := map[limits.Reason]uint64{"max_inflight": 10, "queue_full": 3}
	if i.all.sent != 25 || i.all.abandoned != 1 || !maps.Equal(i.all.refused, want) {
		t.Errorf("all: sent %d, abandoned %d, refused %v; want 25, 1, %v", i.all.sent, i.all.abandoned, i.all.refused, want)
	}
	if got := i.perSecond(i.all.sent); !near(got, 12.5) {
		t.Errorf("%v sent a second, want 12.5", got)
	}
	if from.tallies[steady].refused["max_inflight"] != 19 || to.tallies[steady].refused["max_inflight"] != 29 {
		t.Error("the samples were changed")
	}
}

func TestAnEmptyIntervalHasNoRates(t *testing.T) {
	s := sample{at: time.Second, exports: exports{running: summed{count: 3, seconds: 1}}}
	s.gate.ConcurrencySeconds = 5
	i := between(&s, &s)
	if i.exact != 0 || i.estimate != 0 || i.perSecond(7) != 0 {
		t.Errorf("interval of no length: exact %v, estimate %v, rate %v", i.exact, i.estimate, i.perSecond(7))
	}
	if got := (summed{}).rateTimesDuration(time.Second); got != 0 {
		t.Errorf("no calls at all: %v", got)
	}
}

func TestExportsComeFromTheSidecarsRegistry(t *testing.T) {
	gate, err := limits.NewGate(limits.Policy{MaxInflight: 2})
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New(metrics.Options{Function: "f", Gate: gate.Snapshot})
	m.Ended(metrics.Request{Status: 200, Admitted: true, Duration: 3 * time.Second, Waited: time.Second, Upstream: 2 * time.Second})
	m.Ended(metrics.Request{Status: 200, Admitted: true, Duration: time.Second, Upstream: time.Second})
	m.Throttled(&limits.Throttle{Reason: limits.ReasonQueueTimeout, Waited: time.Second}, "GET", 429)
	var e exports
	if err := e.read(m.Registry()); err != nil {
		t.Fatal(err)
	}
	if e.running != (summed{2, 3}) || e.waited != (summed{2, 2}) {
		t.Errorf("running %+v, waited %+v", e.running, e.waited)
	}
	if e.throttles[limits.ReasonQueueTimeout] != 1 || len(e.throttles) != len(limits.Reasons()) {
		t.Errorf("throttles %v", e.throttles)
	}
	d := e.since(exports{running: summed{1, 1}, throttles: map[limits.Reason]uint64{limits.ReasonQueueTimeout: 1}})
	if d.running != (summed{1, 2}) || d.throttles[limits.ReasonQueueTimeout] != 0 || e.throttles[limits.ReasonQueueTimeout] != 1 {
		t.Errorf("difference %+v", d)
	}
}

func TestMissingExportsAreAnError(t *testing.T) {
	histogram := func(name string) prometheus.Collector {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name})
	}
	for _, c := range []struct {
		name   string
		gather prometheus.Gatherer
		want   string
	}{
		{"nothing", prometheus.NewRegistry(), "exports no histogram"},
		{"one histogram", registry(histogram("weir_queue_wait_seconds")), "no histogram weir_upstream_duration_seconds"},
		{"no counter", registry(histogram("weir_queue_wait_seconds"), histogram("weir_upstream_duration_seconds")), "no counter weir_throttles_total"},
		{"a broken registry", prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("broken") }), "broken"},
	} {
		var e exports
		if err := e.read(c.gather); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func registry(cs ...prometheus.Collector) prometheus.Gatherer {
	r := prometheus.NewRegistry()
	r.MustRegister(cs...)
	return r
}
