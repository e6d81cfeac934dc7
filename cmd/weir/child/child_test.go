package child

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestExitCodeIsTheFunctions(t *testing.T) {
	for _, test := range []struct {
		role    string
		arg     string
		code    int
		outcome string
	}{
		{"exit", "0", 0, "exit code 0 after "},
		{"exit", "1", 1, "exit code 1 after "},
		{"exit", "42", 42, "exit code 42 after "},
		{"exit", "255", 255, "exit code 255 after "},
		{"die", "9", 137, "SIGKILL (exit code 137) after "},
		{"die", "15", 143, "SIGTERM (exit code 143) after "},
	} {
		t.Run(test.role+" "+test.arg, func(t *testing.T) {
			f := startFunction(t, test.role, test.arg)
			f.wait()
			if got := f.ExitCode(); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
			if got := f.Outcome(); !strings.HasPrefix(got, test.outcome) {
				t.Errorf("outcome %q, want %q and a duration", got, test.outcome)
			}
			if err := f.Signal(syscall.SIGUSR1); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("a signal to a function that has ended: %v, want %v", err, os.ErrProcessDone)
			}
		})
	}
}

func TestRunningFunctionHasNoExitCode(t *testing.T) {
	f := startFunction(t, "listen", "function")
	f.expect("function up")
	if code, outcome := f.ExitCode(), f.Outcome(); code != -1 || outcome != "running" {
		t.Errorf("exit code %d, outcome %q; want -1, running", code, outcome)
	}
	if err := syscall.Kill(f.Pid(), 0); err != nil {
		t.Errorf("Pid is no process: %v", err)
	}
}

func TestStopLetsTheFunctionEndItself(t *testing.T) {
	f := startFunction(t, "listen", "function")
	f.expect("function up")
	for range 2 { // the second has nothing to do
		if err := f.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.expect("function got SIGTERM")
	if got := f.ExitCode(); got != 7 {
		t.Errorf("exit code %d, want the 7 of its SIGTERM handler", got)
	}
}

func TestStopFromSeveralSides(t *testing.T) {
	f := startFunction(t, "listen", "function")
	f.expect("function up")
	var stopping sync.WaitGroup
	for range 8 {
		stopping.Go(func() {
			if err := f.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	stopping.Wait()
	if got := f.ExitCode(); got != 7 {
		t.Errorf("exit code %d, want 7", got)
	}
}

func TestStopKillsAFunctionThatIgnoresSIGTERM(t *testing.T) {
	f := startFunction(t, "listen", "function", "stubborn")
	f.expect("function up")
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- f.Stop(ctx) }()
	f.expect("function got SIGTERM") // and goes on
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned %v before its context had ended", err)
	default:
	}
	cancel()
	err := <-stopped
	if !errors.Is(err, ErrKilled) || !strings.Contains(err.Error(), "did not end within") {
		t.Errorf("Stop returned %v, want ErrKilled and why", err)
	}
	if got := f.ExitCode(); got != 137 {
		t.Errorf("exit code %d, want 137", got)
	}
}

func TestStopEndsAFunctionThatIsStopped(t *testing.T) {
	f := startFunction(t, "listen", "function")
	f.expect("function up")
	if err := f.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.ExitCode(); got != 7 {
		t.Errorf("exit code %d, want the 7 of its SIGTERM handler", got)
	}
}

func TestStopEndsWhatTheFunctionLeavesBehind(t *testing.T) {
	f := startFunction(t, "family", "on-term")
	upWithGrandchild(t, f)
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expect("grandchild got SIGTERM")
	if rest := drain(t, f.lines); len(rest) > 0 {
		t.Errorf("unexpected output: %q", rest)
	}
	if got := f.ExitCode(); got != 5 {
		t.Errorf("exit code %d, want the function's own 5", got)
	}
}

func TestStopKillsWhatTheFunctionLeavesBehind(t *testing.T) {
	f := startFunction(t, "family", "on-term", "stubborn")
	upWithGrandchild(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- f.Stop(ctx) }()
	f.expect("grandchild got SIGTERM") // and goes on
	f.wait()
	cancel()
	if err := <-stopped; !errors.Is(err, ErrKilled) || !strings.Contains(err.Error(), "left behind") {
		t.Errorf("Stop returned %v, want ErrKilled and of whom", err)
	}
	drain(t, f.lines) // ends only if the grandchild has
}

func TestFunctionThatEndsTakesItsGroupAlong(t *testing.T) {
	f := startFunction(t, "family", "on-usr1")
	upWithGrandchild(t, f)
	if err := f.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	f.wait()
	f.expect("grandchild got SIGTERM") // before anybody called Stop
	drain(t, f.lines)
	if got := f.ExitCode(); got != 5 {
		t.Errorf("exit code %d, want 5", got)
	}
}

// upWithGrandchild waits until both processes of the family role listen.
func upWithGrandchild(t *testing.T, f *function) {
	t.Helper()
	up := []string{}
	for len(up) < 2 {
		line, ok := <-f.lines
		if !ok {
			t.Fatalf("output ended after %q", up)
		}
		up = append(up, line)
	}
	slices.Sort(up)
	if want := []string{"family up", "grandchild up"}; !slices.Equal(up, want) {
		t.Fatalf("the family says %q, want %q", up, want)
	}
}

func TestOutputArrivesWhole(t *testing.T) {
	streams := map[string]*os.File{}
	got := map[string]*bytes.Buffer{}
	var reading sync.WaitGroup
	for _, name := range []string{"out", "err"} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		buffer := new(bytes.Buffer)
		streams[name], got[name] = write, buffer
		reading.Go(func() {
			defer read.Close()
			if _, err := io.Copy(buffer, read); err != nil {
				t.Error(err)
			}
		})
	}
	c, err := Start([]string{os.Args[0]}, Options{
		Env:    append(os.Environ(), role+"=flood"),
		Stdout: streams["out"], Stderr: streams["err"],
	})
	for _, write := range streams {
		_ = write.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	reading.Wait()
	if code := c.ExitCode(); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	for name, buffer := range got {
		if !bytes.Equal(buffer.Bytes(), flood(name)) {
			t.Errorf("std%s: %d bytes that differ from the %d written", name, buffer.Len(), floodBytes)
		}
	}
}

func TestFunctionDoesNotSeeWeirsSettings(t *testing.T) {
	t.Setenv("WEIR_ADMIN_TOKEN", "secret")
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("weir_lower", "kept")
	t.Setenv("max_inflight", "10")
	t.Setenv(role, "env")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	c, err := Start([]string{os.Args[0]}, Options{Stdout: write})
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	got := strings.Split(string(text), "\n")
	for _, want := range []string{"weir_lower=kept", "max_inflight=10"} {
		if !slices.Contains(got, want) {
			t.Errorf("the function does not see %s", want)
		}
	}
	if strings.Contains(string(text), "WEIR_") {
		t.Error("the function sees weir's settings")
	}
	if strings.Contains(string(text), "NOTIFY_SOCKET") || strings.Contains(string(text), "WATCHDOG_") {
		t.Error("the function sees what is between weir and systemd")
	}
}

func TestStandardInputIsEmpty(t *testing.T) {
	f := startFunction(t, "stdin")
	f.expect("read 0")
}

func TestForwardHandsSignalsOn(t *testing.T) {
	f := startFunction(t, "listen", "function")
	f.expect("function up")
	stop := f.Forward()
	defer stop()
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		if err := syscall.Kill(os.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		f.expect("function got " + signalName(sig))
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// By default this would end the test, as it would end weir.
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		argv []string
		want string
	}{
		{[]string{"node", "server.js"}, "node server.js"},
		{[]string{"sh", "-c", "echo it's $HOME"}, `sh -c 'echo it'\''s $HOME'`},
		{[]string{"a", ""}, "a ''"},
		{[]string{"a\xff"}, "a\uFFFD"},
		{[]string{strings.Repeat("é", 200)}, strings.Repeat("é", 119) + "…"},
	} {
		if got := commandLine(test.argv); got != test.want {
			t.Errorf("%q: %s, want %s", test.argv, got, test.want)
		}
	}
}
