package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/child"
	"weir/cmd/weir/systemd"
	"weir/config"
)

func runCommand(environ []string) *cobra.Command {
	var printConfig bool
	c := &cobra.Command{
		Use:   "run [flags] [-- COMMAND ARGS...]",
		Short: "Stand in front of --upstream; with COMMAND, start the function first",
		Example: `  weir run --upstream http://127.0.0.1:3000 --max-inflight 10
  weir run --max-inflight 10 -- node server.js`,
		RunE: func(c *cobra.Command, args []string) error {
			if dash := c.ArgsLenAtDash(); dash != 0 && len(args) > 0 {
				return &exitError{exitUsage, fmt.Errorf("unexpected argument %q: put -- before the function's command", args[0])}
			}
			loaded, err := config.Load(config.Source{Flags: c.Flags(), Environ: environ, Command: args})
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if printConfig {
				return loaded.Print(c.OutOrStdout())
			}
			level := new(slog.LevelVar)
			log := logger(c.ErrOrStderr(), loaded.Config, level)
			s, err := newSidecar(loaded, log, level)
			if err != nil {
				return &exitError{exitFailed, err}
			}
			code, err := s.run(loaded)
			if code == exitOK && err == nil {
				return nil
			}
			return &exitError{code, err}
		},
	}
	config.Flags(c.Flags())
	c.Flags().BoolVar(&printConfig, "print-config", false, "print the effective value of each setting and where it came from, then exit")
	return c
}

// run serves until a signal, the function's end or a failure, and returns the
// exit code.
func (s *sidecar) run(loaded *config.Loaded) (int, error) {
	defer s.close()
	stop := make(chan os.Signal, 2)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(stop)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	c := loaded.Config
	s.log.Info("starting", "version", buildVersion(), "function", c.Function.Name, "upstream", c.Upstream.Scheme+"://"+c.Upstream.Address)
	giveHeapRoom()
	s.servePublic()
	var function *child.Child
	ended := make(<-chan struct{}) // never, without a child
	if len(c.Command) > 0 {
		var err error
		if function, err = child.Start(c.Command, child.Options{Log: s.log}); err != nil {
			var start *child.StartError
			if errors.As(err, &start) {
				return start.ExitCode(), err
			}
			return exitFailed, err
		}
		defer function.Forward()()
		ended = function.Done()
		if code, err := s.awaitFunction(ctx, function, stop); err != nil || code != exitOK {
			return code, errors.Join(err, s.stopFunction(function))
		}
	}
	go s.prober.Run(ctx)
	s.watch(ctx, loaded, hup)
	s.shared.await()
	go s.rest(ctx)
	s.serveData()
	manager := systemd.New(s.log)
	manager.Ready("serving on " + s.data.Addr().String())
	go manager.Watch(ctx, s.answers)

	select {
	case sig := <-stop:
		s.log.Info("stopping", "signal", sig.String())
		now := s.config.Load()
		manager.Stopping(now.Drain.Delay + now.Drain.Timeout + stopMargin)
		return s.stop(function, stop)
	case <-ended:
		// Restarting it is not weir's business: whoever runs weir sees its code.
		s.log.Error("the function ended", "outcome", function.Outcome())
		return function.ExitCode(), s.stopFunction(function)
	case err := <-s.failed:
		return exitFailed, errors.Join(err, s.stopFunction(function))
	}
}

// stopMargin is what is left after a drain: the function's end, closing the ports.
const stopMargin = 30 * time.Second

// answers asks weir itself whether it lives, over its metrics port as others do.
func (s *sidecar) answers(ctx context.Context) error {
	_, err := probeSidecar(ctx, s.public.Addr().String(), "/healthz")
	return err
}

// awaitFunction waits until the function accepts. A signal meanwhile ends the
// wait with code 0 and an error that says so.
func (s *sidecar) awaitFunction(ctx context.Context, function *child.Child, stop <-chan os.Signal) (int, error) {
	timeout := s.config.Load().StartupTimeout
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- function.WaitReady(ctx, s.prober.Once) }()
	select {
	case err := <-ready:
		var exit *child.ExitError
		if errors.As(err, &exit) {
			return max(function.ExitCode(), exitFailed), err
		}
		if err != nil {
			return exitFailed, err
		}
		return exitOK, nil
	case sig := <-stop:
		cancel()
		<-ready
		return 128 + int(sig.(syscall.Signal)), fmt.Errorf("%s before the function accepted connections", sig)
	}
}

// watch follows the configuration: the file as it changes, and on SIGHUP.
func (s *sidecar) watch(ctx context.Context, loaded *config.Loaded, hup <-chan os.Signal) {
	watcher := config.NewWatcher(loaded, 0, s.apply, s.reloaded)
	go watcher.Run(ctx)
	go func() {
		for {
			select {
			case <-hup:
				watcher.Trigger()
			case <-ctx.Done():
				return
			}
		}
	}()
}

// stop drains, then ends the function. A second signal cuts the drain short.
func (s *sidecar) stop(function *child.Child, again <-chan os.Signal) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.drain(ctx) }()
	var err error
	select {
	case err = <-drained:
	case <-again:
		s.log.Warn("second signal: not waiting any longer")
		cancel()
		err = <-drained
	}
	code := exitOK
	if err != nil {
		code = exitFailed // said in the log
	}
	if function == nil {
		return code, nil
	}
	if err := s.stopFunction(function); err != nil {
		return exitFailed, err
	}
	// Ended as asked is success; any other code of the function's is its own to tell.
	if c := function.ExitCode(); c != 0 && c != 128+int(syscall.SIGTERM) {
		return c, nil
	}
	return code, nil
}

// stopFunction ends the child, if there is one, within the drain's time.
func (s *sidecar) stopFunction(function *child.Child) error {
	if function == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Load().Drain.Timeout)
	defer cancel()
	return function.Stop(ctx)
}
