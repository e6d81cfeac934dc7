package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weir/limits"
)

// Sidecar is a running sidecar in front of the sample function, as the demo
// needs it. All fields are required.
type Sidecar struct {
	Addr       string // of the data port, host:port
	MetricsURL string
	PageURL    string // of the status page
	Snapshot   func() limits.Snapshot
	Metrics    prometheus.Gatherer // what a scrape would get
	// Drain ends the sidecar in order.
	Drain func(context.Context) error
	// Failed receives an error if the sidecar stops by itself.
	Failed <-chan error
}

// Options is what a demo is made of. All fields are required.
type Options struct {
	Scenario Scenario
	Function *Function
	Sidecar  Sidecar
	Screen   Screen
	// Stop ends the traffic when it is closed: calls under way still end, and
	// what was shown is summed up.
	Stop <-chan struct{}
}

// Run sends the scenario's traffic and shows what the sidecar measures, until
// the scenario's length is over or Stop is closed. The end of ctx cuts off the
// calls under way as well. The summary is nil where an error made it impossible.
func Run(ctx context.Context, o Options) (*Summary, error) {
	r := &show{Options: o, start: time.Now()}
	for k := range kinds {
		r.callers[k] = newCallers(k, o.Sidecar.Addr, o.Scenario.callers(k), &r.calls)
		defer r.callers[k].close()
	}
	first, err := r.sample()
	if err != nil {
		return nil, err
	}
	r.monitor = newMonitor(o.Scenario, o.Sidecar, first)
	display, err := o.Screen.display([]string{
		fmt.Sprintf("weir demo: a sample function that may run %d calls at once, weir in front of it.", o.Scenario.MaxInflight),
		fmt.Sprintf("More are refused; of those that come in bursts, %d may wait up to %v.", o.Scenario.QueueDepth, o.Scenario.QueueTimeout),
		"Status page while this runs: " + o.Sidecar.PageURL,
		"Metrics while this runs: " + o.Sidecar.MetricsURL,
	})
	if err != nil {
		return nil, err
	}
	err = func() (err error) {
		defer func() { err = errors.Join(err, display.close()) }() // on a panic too
		return r.run(ctx, display)
	}()
	if err != nil {
		return nil, err
	}
	if err := o.Sidecar.Drain(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("demo: draining the sidecar: %w", err)
	}
	return r.sum(first)
}

// show is a demo under way.
type show struct {
	Options
	start   time.Time
	callers [kinds]*callers
	calls   sync.WaitGroup // under way
	monitor *monitor

	stopped bool // traffic has
	ended   time.Duration
	most    int // that the function ran at once, before any call was cut off
	cut     bool
	overdue int
}

// run sends traffic and shows it until all of it has ended. Nothing of it is
// left running, whatever the error.
func (r *show) run(ctx context.Context, d display) (err error) {
	calling, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	stop := make(chan struct{})
	idle := make(chan struct{}) // closed when the last call has ended
	var sources sync.WaitGroup
	for _, c := range r.callers {
		sources.Go(func() { c.follow(calling, stop, r.Scenario, r.start) })
	}
	go func() {
		sources.Wait()
		r.calls.Wait()
		close(idle)
	}()
	end := func() {
		if !r.stopped {
			r.stopped = true
			close(stop)
		}
	}
	cut := func() {
		if !r.cut {
			r.most = r.Function.books().most
			r.cut = true
			cutOff()
		}
	}
	defer func() {
		if err != nil {
			end()
			cut()
			<-idle
		}
	}()

	var over, late <-chan time.Time
	if r.Scenario.Length > 0 {
		timer := time.NewTimer(time.Until(r.start.Add(r.Scenario.Length)))
		defer timer.Stop()
		over = timer.C
	}
	tick := time.NewTicker(glanceEvery)
	defer tick.Stop()
	stopAsked, cutAsked := r.Stop, ctx.Done()
	for glances := 1; ; {
		if r.stopped && late == nil {
			timer := time.NewTimer(r.Scenario.patience())
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-idle:
			r.ended = time.Since(r.start)
			if !r.cut {
				r.most = r.Function.books().most
			}
			return nil
		case err := <-r.Sidecar.Failed:
			return err
		case err := <-r.Function.failed:
			return err
		case <-over:
			end()
		case <-stopAsked:
			stopAsked = nil
			end()
		case <-cutAsked:
			cutAsked = nil
			end()
			cut()
		case <-late:
			r.overdue = r.underWay()
			cut()
		case <-tick.C:
			if glances++; glances%frameEvery != 0 {
				r.monitor.glance(r.Sidecar.Snapshot())
				continue
			}
			s, err := r.sample()
			if err != nil {
				return err
			}
			v := r.monitor.record(s, r.stopped)
			if err := d.show(&v); err != nil {
				return err
			}
		}
	}
}

// underWay is the number of calls that have not ended.
func (r *show) underWay() int {
	var n uint64
	for _, c := range r.callers {
		t := c.snapshot()
		n += t.sent - t.served - t.turnedAway() - t.failed - t.abandoned
	}
	return int(n)
}

// sample reads everything as it is now.
func (r *show) sample() (sample, error) {
	before := time.Now()
	s := sample{gate: r.Sidecar.Snapshot()}
	s.at = (before.Sub(r.start) + time.Since(r.start)) / 2
	for k := range kinds {
		s.tallies[k] = r.callers[k].snapshot()
	}
	return s, s.exports.read(r.Sidecar.Metrics)
}

// settleTime bounds the wait for the accounts of the last calls: a sidecar may
// close them after the caller has the last byte.
const settleTime = 5 * time.Second

// sum reads the accounts once they are closed.
func (r *show) sum(first sample) (*Summary, error) {
	for began := time.Now(); ; time.Sleep(glanceEvery) {
		s, err := r.accounts(first)
		if err != nil {
			return nil, err
		}
		if s.cut || s.all.failed > 0 || (s.countedAlike() && s.refusedAlike()) || time.Since(began) > settleTime {
			return s, nil
		}
	}
}

// accounts are those of everybody, as they stand.
func (r *show) accounts(first sample) (*Summary, error) {
	last, err := r.sample()
	if err != nil {
		return nil, err
	}
	whole := between(&first, &last)
	s := &Summary{
		scenario: r.Scenario, length: r.ended,
		kinds: whole.kinds, all: whole.all,
		function: r.Function.books(), gate: last.gate,
		seconds: last.gate.ConcurrencySeconds - first.gate.ConcurrencySeconds,
		ended:   last.gate.Ended - first.gate.Ended,
		exports: last.exports.since(first.exports),
		widest:  r.monitor.widest,
		cut:     r.cut, overdue: r.overdue,
	}
	s.function.most = r.most
	for _, c := range r.callers {
		if s.failure == nil {
			s.failure = c.firstFailure()
		}
	}
	return s, nil
}
