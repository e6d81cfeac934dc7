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
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch weir at work: a sample function, weir in front, traffic that comes and goes",
		Long: `Starts a sample function, stands in front of it as 'weir run' would, and sends
three kinds of traffic: steady, in bursts that may wait for a slot, and more than
the function can do. A table shows what weir measures; where the output is no
terminal, a line each second. Everything stays on the loopback interface.`,
		Example: `  weir demo
  weir demo --for 30s --max-inflight 4`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
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
	return c
}

// showDemo runs the demo and prints its summary. An error says what failed, or
// what must hold and did not.
func showDemo(scenario demo.Scenario, stdout, stderr io.Writer) error {
	held := &heldLog{}
	summary, err := runDemo(scenario, demo.DetectScreen(stdout, os.Getenv), held)
	if summary != nil {
		_, printed := summary.WriteTo(stdout)
		err = errors.Join(err, printed)
		if broken := summary.Broken(); len(broken) > 0 {
			err = errors.Join(err, errors.New("what must hold did not:\n  "+strings.Join(broken, "\n  ")))
		}
	}
	return errors.Join(err, held.release(stderr))
}

// runDemo wires function and sidecar and sends the traffic. Warnings go to log.
func runDemo(scenario demo.Scenario, screen demo.Screen, log io.Writer) (_ *demo.Summary, err error) {
	// Taken first: from here on a signal finds a terminal to restore.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	c := config.Default()
	c.Log.Level = "warn"
	level := new(slog.LevelVar)
	logs := logger(log, c, level)
	function, err := demo.StartFunction(scenario.MeanDuration, logs)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, function.Close()) }()

	c.Function.Name = "demo"
	c.Listen, c.Metrics.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.Upstream.Scheme, c.Upstream.Address = "http", function.Addr()
	c.Limits = config.Limits{
		MaxInflight: scenario.MaxInflight, Overflow: config.OverflowReject,
		QueueDepth: scenario.QueueDepth, QueueTimeout: scenario.QueueTimeout,
	}
	c.Routes = scenario.Routes()
	s, err := newSidecar(&config.Loaded{Config: c, Origins: config.Origins{"limits.queue_depth": {From: config.FromFlag, Name: "max-inflight"}}}, logs, level)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.servePublic()
	if err := s.prober.Once(ctx); err != nil {
		return nil, fmt.Errorf("the sample function does not accept connections: %w", err)
	}
	probing, stopProbing := context.WithCancel(ctx)
	defer stopProbing() // before the function goes, which is not worth a warning
	go s.prober.Run(probing)
	s.serveData()

	stop := make(chan struct{})
	go func() {
		select {
		case <-signals:
			close(stop)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals: // again: not waiting any longer
			cancel()
		case <-ctx.Done():
		}
	}()
	return demo.Run(ctx, demo.Options{
		Scenario: scenario, Function: function, Screen: screen, Stop: stop,
		Sidecar: demo.Sidecar{
			Addr: s.data.Addr().String(), MetricsURL: "http://" + s.public.Addr().String() + "/metrics",
			PageURL:  "http://" + s.operations.listener.Addr().String() + "/",
			Snapshot: s.gate.Snapshot, Metrics: s.metrics.Registry(), Drain: s.drain, Failed: s.failed,
		},
	})
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
