package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/demo"
	"weir/config"
)

func demoCommand() *cobra.Command {
	var length time.Duration
	var maxInflight int
	var async bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch weir at work: a sample function, weir in front, traffic that comes and goes",
		Long: `Starts a sample function, stands in front of it as 'weir run' would, and sends
three kinds of traffic: steady, in bursts that may wait for a slot, and more than
the function can do. A table shows what weir measures; where the output is no
terminal, a line each second. Everything stays on the loopback interface.

With --async: four times as many calls as the function can run, each accepted at once
and on disk, and run when there is room. A line each second tells how many were
accepted, wait, run and are done; at the end the ids of all that were accepted are
compared with those that the function ran.`,
		Example: `  weir demo
  weir demo --for 30s --max-inflight 4
  weir demo --async`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if async {
				spike, err := demo.NewSpike(maxInflight, length)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				if err := showSpike(spike, c.OutOrStdout(), c.ErrOrStderr()); err != nil {
					return &exitError{exitFailed, err}
				}
				return nil
			}
			scenario, err := demo.NewScenario(maxInflight, length)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if err := showDemo(scenario, c.OutOrStdout(), c.ErrOrStderr()); err != nil {
				return &exitError{exitFailed, err}
			}
			return nil
		},
	}
	c.Flags().DurationVar(&length, "for", 0, fmt.Sprintf("end by itself after this time, at least %v; 0 runs until Ctrl-C", demo.MinLength))
	c.Flags().IntVar(&maxInflight, "max-inflight", 8, fmt.Sprintf("calls running in the function at once, 1 to %d; the traffic grows with it", demo.MaxInflight))
	c.Flags().BoolVar(&async, "async", false, "show a spike of asynchronous calls; --for is then about how long it takes to absorb it, by default 20s")
	return c
}

// showDemo runs the demo and prints its summary. An error says what failed, or
// what must hold and did not.
func showDemo(scenario demo.Scenario, stdout, stderr io.Writer) error {
	held := &heldLog{}
	summary, err := runDemo(scenario, demo.DetectScreen(stdout, os.Getenv), held)
	if summary != nil {
		err = errors.Join(err, sumUp(summary, stdout))
	}
	return errors.Join(err, held.release(stderr))
}

// showSpike does the same for a spike of asynchronous calls.
func showSpike(spike demo.Spike, stdout, stderr io.Writer) error {
	held := &heldLog{}
	summary, err := runSpike(spike, demo.DetectScreen(stdout, os.Getenv), held)
	if summary != nil {
		err = errors.Join(err, sumUp(summary, stdout))
	}
	return errors.Join(err, held.release(stderr))
}

// sumUp prints a summary, and returns what must hold and did not.
func sumUp(summary interface {
	io.WriterTo
	Broken() []string
}, out io.Writer,
) error {
	_, err := summary.WriteTo(out)
	if broken := summary.Broken(); len(broken) > 0 {
		err = errors.Join(err, errors.New("what must hold did not:\n  "+strings.Join(broken, "\n  ")))
	}
	return err
}

// stopping turns the user's wish to end into two things: stop, closed on the first
// signal, and the end of ctx on the second. release undoes it.
func stopping() (ctx context.Context, stop <-chan struct{}, release func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		select {
		case <-signals:
			close(stopped)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals: // again: not waiting any longer
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, stopped, func() {
		signal.Stop(signals)
		cancel()
	}
}

// demoed is a sidecar in front of the sample function.
type demoed struct {
	*sidecar
	function *demo.Function
	close    func() error
}

// startDemoed starts both on free ports. The caller has said the rest in c.
func startDemoed(ctx context.Context, c *config.Config, origins config.Origins, meanDuration time.Duration, log io.Writer) (_ *demoed, err error) {
	c.Log.Level = "warn"
	level := new(slog.LevelVar)
	logs := logger(log, c, level)
	function, err := demo.StartFunction(meanDuration, logs)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, function.Close())
		}
	}()
	c.Function.Name = "demo"
	c.Listen, c.Metrics.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Upstream.Scheme, c.Upstream.Address = "http", function.Addr()
	s, err := newSidecar(&config.Loaded{Config: c, Origins: origins}, logs, level)
	if err != nil {
		return nil, err
	}
	s.servePublic()
	if err := s.prober.Once(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("the sample function does not accept connections: %w", err)
	}
	probing, stopProbing := context.WithCancel(ctx)
	go s.prober.Run(probing)
	s.serveData()
	return &demoed{s, function, func() error {
		stopProbing() // before the function goes, which is not worth a warning
		s.close()
		return function.Close()
	}}, nil
}

func (d *demoed) metricsURL() string { return "http://" + d.public.Addr().String() + "/metrics" }
func (d *demoed) pageURL() string    { return "http://" + d.operations.listener.Addr().String() + "/" }

// runDemo wires function and sidecar and sends the traffic. Warnings go to log.
func runDemo(scenario demo.Scenario, screen demo.Screen, log io.Writer) (_ *demo.Summary, err error) {
	// Taken first: from here on a signal finds a terminal to restore.
	ctx, stop, release := stopping()
	defer release()
	c := config.Default()
	c.Limits = config.Limits{
		MaxInflight: scenario.MaxInflight, Overflow: config.OverflowReject,
		QueueDepth: scenario.QueueDepth, QueueTimeout: scenario.QueueTimeout,
	}
	c.Routes = scenario.Routes()
	d, err := startDemoed(ctx, c, config.Origins{"limits.queue_depth": {From: config.FromFlag, Name: "max-inflight"}}, scenario.MeanDuration, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return demo.Run(ctx, demo.Options{
		Scenario: scenario, Function: d.function, Screen: screen, Stop: stop,
		Sidecar: demo.Sidecar{
			Addr: d.data.Addr().String(), MetricsURL: d.metricsURL(), PageURL: d.pageURL(),
			Snapshot: d.gate.Snapshot, Metrics: d.metrics.Registry(), Drain: d.drain, Failed: d.failed,
		},
	})
}

// runSpike does so with a queue, in a directory that is removed afterwards.
func runSpike(spike demo.Spike, screen demo.Screen, log io.Writer) (_ *demo.SpikeSummary, err error) {
	ctx, stop, release := stopping()
	defer release()
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return nil, fmt.Errorf("a directory for the queue: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := config.Default()
	c.Limits.MaxInflight = spike.MaxInflight
	c.Async.Enabled, c.Async.Dir = true, dir
	c.Async.AnyFilesystem = true // the directory for temporary files may be in memory; nothing here is to last
	d, err := startDemoed(ctx, c, nil, spike.MeanDuration, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	summary, err := demo.RunSpike(ctx, demo.SpikeOptions{
		Spike: spike, Function: d.function, Screen: screen, Stop: stop, Failed: d.failed,
		Addr: d.data.Addr().String(), MetricsURL: d.metricsURL(), PageURL: d.pageURL(),
		Queue: func(ctx context.Context) demo.QueueState {
			s := d.async.queue.Snapshot(ctx)
			return demo.QueueState{
				Accepted: int(s.Enqueued), Waiting: s.Waiting + s.Scheduled, Running: s.Running,
				Done: int(s.Succeeded + s.Failed + s.Expired + s.Cancelled), Oldest: s.OldestAge(time.Now()),
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return summary, d.drain(context.WithoutCancel(ctx))
}

// heldLog keeps what is logged while the table is on the screen.
type heldLog struct {
	mu   sync.Mutex
	text bytes.Buffer
	lost int // lines
}

// heldLogSize is plenty for what the demo has to say; more than that is the
// same over and over.
const heldLogSize = 64 << 10

func (h *heldLog) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.text.Len()+len(b) > heldLogSize {
		h.lost++
		return len(b), nil
	}
	return h.text.Write(b)
}

// release prints what was kept.
func (h *heldLog) release(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost > 0 {
		fmt.Fprintf(&h.text, "(and %d more lines of the log)\n", h.lost)
	}
	_, err := h.text.WriteTo(w)
	return err
}
