package child

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// A function in a compiled language accepts within milliseconds, one on a
	// large runtime after seconds: begin eagerly, then spare the processor.
	readyPollFirst = 10 * time.Millisecond
	readyPollMost  = 250 * time.Millisecond
)

// ExitError says that the function ended before it accepted requests.
type ExitError struct {
	Command string // as it was typed
	Code    int    // as ExitCode has it
	Outcome string // as Outcome has it
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("child: %s ended with %s, before it accepted requests: see its own output for the reason", e.Command, e.Outcome)
}

// WaitReady calls probe, again and again, until it returns nil: the function
// accepts requests. probe is given a context that ends with ctx and with the
// function; it has to bound a single attempt itself.
//
// If the function ends first, the error is an *ExitError. If ctx ends first, the
// error wraps what ended ctx (context.Cause) and says what the last probe found.
func (c *Child) WaitReady(ctx context.Context, probe func(context.Context) error) error {
	began := time.Now()
	probing, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	defer func() { <-ended }()
	go func() {
		defer close(ended)
		select {
		case <-c.done:
			cancel()
		case <-probing.Done():
		}
	}()
	defer cancel() // before the wait for the goroutine above

	var last error
	wait := readyPollFirst
	for attempts := 1; ; attempts++ {
		err := probe(probing)
		select {
		case <-c.done:
			// Even after a probe that succeeded: it then met somebody else.
			return c.exitError()
		default:
		}
		if err == nil {
			return nil
		}
		// An attempt cut short by the end of ctx says less than the one before it.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-c.done:
			pause.Stop()
			return c.exitError()
		case <-ctx.Done():
			pause.Stop()
			return c.notReady(ctx, last, attempts, time.Since(began))
		}
		wait = min(wait*3/2, readyPollMost)
	}
}

func (c *Child) exitError() error {
	return &ExitError{Command: c.name, Code: c.ExitCode(), Outcome: c.Outcome()}
}

func (c *Child) notReady(ctx context.Context, last error, attempts int, after time.Duration) error {
	cause := context.Cause(ctx)
	times := "once"
	if attempts > 1 {
		times = fmt.Sprintf("%d times", attempts)
	}
	tried := fmt.Sprintf("child: %s runs (process %d), but did not accept requests: tried %s in %s, last: %v",
		c.name, c.pid, times, round(after), last)
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%s (%w); set --upstream to where it listens, or --startup-timeout to more than it needs to start", tried, cause)
	}
	return fmt.Errorf("%s (%w)", tried, cause)
}
