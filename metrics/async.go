package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AsyncSnapshot is how the queue of asynchronous calls stands. What cannot be had
// because the queue is down is zero.
type AsyncSnapshot struct {
	Up                          bool
	Depth, Running, DeadLetters int
	OldestAge                   time.Duration

	Enqueued, Attempts, Succeeded, Failed, Retried, Expired, Cancelled, DeadLettered uint64

	// CallbacksPending counts receivers that are still to be told, Callbacks attempts at
	// that.
	CallbacksPending int
	Callbacks        CallbackCounts
}

// CallbackCounts are attempts to tell receivers, by what came of them.
type CallbackCounts struct{ Delivered, Retried, Gone, Failed uint64 }

// asyncCollector exports a snapshot, taken when it is scraped.
type asyncCollector struct {
	snapshot func() AsyncSnapshot
	descs    map[string]*prometheus.Desc
}

func newAsyncCollector(snapshot func() AsyncSnapshot) *asyncCollector {
	c := &asyncCollector{snapshot: snapshot, descs: map[string]*prometheus.Desc{}}
	for _, name := range []string{
		nameAsyncDepth, nameAsyncOldestAge, nameAsyncRunning, nameDeadLetters, nameAsyncEnqueued, nameAsyncAttempts, nameAsyncSucceeded,
		nameAsyncFailed, nameAsyncRetried, nameAsyncExpired, nameAsyncCancelled, nameAsyncDeadLettered, nameQueueUp,
		nameCallbacks, nameCallbacksPending,
	} {
		d := definition(name)
		c.descs[name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	return c
}

func (c *asyncCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *asyncCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	gauge := func(name string, v float64) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, v)
	}
	counter := func(name string, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], prometheus.CounterValue, float64(v), labels...)
	}
	gauge(nameQueueUp, number(s.Up))
	gauge(nameAsyncRunning, float64(s.Running))
	if s.Up { // a queue that is down is not an empty one
		gauge(nameAsyncDepth, float64(s.Depth))
		gauge(nameAsyncOldestAge, s.OldestAge.Seconds())
		gauge(nameDeadLetters, float64(s.DeadLetters))
		gauge(nameCallbacksPending, float64(s.CallbacksPending))
	}
	counter(nameAsyncEnqueued, s.Enqueued)
	counter(nameAsyncAttempts, s.Attempts)
	counter(nameAsyncSucceeded, s.Succeeded)
	counter(nameAsyncFailed, s.Failed)
	counter(nameAsyncRetried, s.Retried)
	counter(nameAsyncExpired, s.Expired)
	counter(nameAsyncCancelled, s.Cancelled)
	counter(nameAsyncDeadLettered, s.DeadLettered)
	counter(nameCallbacks, s.Callbacks.Delivered, "delivered")
	counter(nameCallbacks, s.Callbacks.Retried, "retried")
	counter(nameCallbacks, s.Callbacks.Gone, "gone")
	counter(nameCallbacks, s.Callbacks.Failed, "failed")
}
