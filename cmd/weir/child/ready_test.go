package child

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

var errRefused = errors.New("dial tcp 127.0.0.1:3000: connection refused")

func TestWaitReadyUntilTheProbeSucceeds(t *testing.T) {
	f := startFunction(t, "listen", "function")
	probes := 0
	err := f.WaitReady(t.Context(), func(context.Context) error {
		if probes++; probes < 4 {
			return errRefused
		}
		return nil
	})
	if err != nil || probes != 4 {
		t.Errorf("%v after %d probes, want nil after 4", err, probes)
	}
}

func TestWaitReadyProbesRealPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	f := startFunction(t, "listen", "function")
	refused := make(chan struct{}, 1)
	bound := make(chan net.Listener, 1)
	go func() {
		<-refused
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
		}
		bound <- l
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = f.WaitReady(ctx, func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			select {
			case refused <- struct{}{}:
			default:
			}
			return err
		}
		return conn.Close()
	})
	if l := <-bound; l != nil {
		_ = l.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestWaitReadyNamesTheExitCode(t *testing.T) {
	for _, test := range []struct {
		name  string
		probe func(context.Context) error
	}{
		{"refused", func(context.Context) error { return errRefused }},
		{"hanging", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
		{"somebody else answers", func(ctx context.Context) error { <-ctx.Done(); return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFunction(t, "exit", "41")
			err := f.WaitReady(t.Context(), test.probe)
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Code != 41 {
				t.Fatalf("%v, want an *ExitError with 41", err)
			}
			if !strings.Contains(err.Error(), "ended with exit code 41 after ") ||
				!strings.Contains(err.Error(), "before it accepted requests") {
				t.Errorf("%q does not say what happened", err)
			}
		})
	}
}

func TestWaitReadySaysWhatWasTried(t *testing.T) {
	f := startFunction(t, "listen", "function")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := f.WaitReady(ctx, func(context.Context) error { return errRefused })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want a deadline exceeded", err)
	}
	for _, part := range []string{"did not accept requests", "tried ", errRefused.Error(), "--startup-timeout", "--upstream"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// A probe cut short by the end of the time says less than the one before it.
func TestWaitReadyKeepsTheLastProbeThatEnded(t *testing.T) {
	f := startFunction(t, "listen", "function")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	first := true
	err := f.WaitReady(ctx, func(ctx context.Context) error {
		if first {
			first = false
			return errRefused
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), errRefused.Error()) {
		t.Errorf("%v does not hold %q", err, errRefused)
	}
}

func TestWaitReadyGivesUpWhenWeirIsToldToEnd(t *testing.T) {
	f := startFunction(t, "listen", "function")
	stopping := errors.New("SIGTERM")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := f.WaitReady(ctx, func(context.Context) error {
		cancel(stopping)
		return errRefused
	})
	if !errors.Is(err, stopping) || strings.Contains(err.Error(), "--startup-timeout") {
		t.Errorf("%v, want %v and no advice", err, stopping)
	}
	if err := syscall.Kill(f.Pid(), 0); err != nil {
		t.Errorf("WaitReady ended the function: %v", err)
	}
}
