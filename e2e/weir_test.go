package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// weir is a running `weir run`.
type weir struct {
	data    string // address of the data port
	metrics string // address of the metrics port
	pid     int

	cmd    *exec.Cmd
	stdout *output
	log    *logBook      // standard error
	exited chan struct{} // closed once the process has ended
	code   int           // its exit code, then; -1 where a signal ended it
	ended  time.Time     // when that was seen
	judged bool          // somebody has looked at the exit code
}

// start runs weir on free loopback ports and waits until it listens on both. It
// is stopped when the test is over, and must then end in order; a test that
// expects another end takes it from wait.
func start(t testing.TB, args ...string) *weir { return startWith(t, nil, args...) }

// startWith is start with variables (NAME=value) added to the environment.
func startWith(t testing.TB, env []string, args ...string) *weir {
	t.Helper()
	w := launch(t, env, args...)
	w.awaitLog(t, "listening", "port", "data")
	return w
}

// launch is startWith, but waits for the metrics port alone: a weir that waits
// for its function does not serve data yet.
func launch(t testing.TB, env []string, args ...string) *weir {
	t.Helper()
	w := &weir{
		cmd:    exec.Command(binary(t), append([]string{"run", "--metrics-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"}, args...)...),
		stdout: new(output),
		log:    newLogBook(),
		exited: make(chan struct{}),
	}
	if !slices.ContainsFunc(append(slices.Clone(args), env...), func(s string) bool {
		return strings.HasPrefix(s, "--listen=") || strings.HasPrefix(s, "port=")
	}) {
		w.cmd.Args = slices.Insert(w.cmd.Args, 2, "--listen=127.0.0.1:0")
	}
	w.cmd.Env = append(cleanEnv(), env...)
	w.cmd.Stdout = w.stdout
	// What the function left behind may hold the pipes open.
	w.cmd.WaitDelay = 5 * time.Second
	w.cmd.Stderr = w.log
	w.cmd.SysProcAttr = endsWithTests()
	if err := w.cmd.Start(); err != nil {
		t.Fatalf("starting weir: %v", err)
	}
	w.pid = w.cmd.Process.Pid
	go func() {
		defer close(w.exited)
		err := w.cmd.Wait()
		w.ended = time.Now()
		var exit *exec.ExitError
		switch {
		case err == nil:
		case errors.As(err, &exit):
			w.code = exit.ExitCode()
		default:
			w.log.add(fmt.Sprintf("e2e: waiting for weir: %v", err))
			w.code = w.cmd.ProcessState.ExitCode()
		}
	}()
	t.Cleanup(func() { w.close(t) })
	w.metrics = w.awaitLog(t, "listening", "port", "metrics")["addr"]
	return w
}

// close stops weir as an orchestrator would, and asserts that it went in order.
func (w *weir) close(t testing.TB) {
	t.Helper()
	if !w.judged {
		w.signal(t, syscall.SIGTERM)
		if code := w.wait(t); code != 0 {
			t.Errorf("weir ended with code %d, want 0", code)
		}
	}
	log := w.log.String()
	for _, fault := range []string{"DATA RACE", "panic: ", "panic serving", "a bug of weir's", "superfluous response.WriteHeader"} {
		if strings.Contains(log, fault) {
			t.Errorf("weir's log holds %q", fault)
		}
	}
	if t.Failed() {
		t.Logf("%s said:\n%s", strings.Join(w.cmd.Args, " "), tail(log, 64<<10))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "[...]" + s[len(s)-n:]
	}
	return s
}

// wait waits for weir's end and gives its exit code. Where weir goes on, it
// fails the test and ends weir so that its log holds what it was doing.
func (w *weir) wait(t testing.TB) int {
	t.Helper()
	w.judged = true
	for _, last := range []os.Signal{syscall.SIGQUIT, os.Kill} {
		select {
		case <-w.exited:
			return w.code
		case <-time.After(patience):
			t.Errorf("weir did not end within %v", patience)
			w.signal(t, last)
		}
	}
	<-w.exited
	return w.code
}

func (w *weir) running() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

func (w *weir) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("sending %v to weir: %v", sig, err)
	}
}

// awaitLog waits for a line with that message and attributes, and gives all of
// the line's. It notes the address of the data port on its way.
func (w *weir) awaitLog(t testing.TB, msg string, attrs ...string) map[string]string {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := w.log.changed()
		for _, line := range w.log.lines() {
			if line["msg"] == msg && has(line, attrs) {
				if line["msg"] == "listening" && line["port"] == "data" {
					w.data = line["addr"]
				}
				return line
			}
		}
		select {
		case <-changed:
		case <-w.exited:
			select {
			case <-changed: // its last words
				continue
			default:
			}
			w.judged = true
			t.Fatalf("weir ended with code %d and never said %q %v", w.code, msg, attrs)
		case <-deadline:
			t.Fatalf("weir did not say %q %v within %v", msg, attrs, patience)
		}
	}
}

func has(line map[string]string, attrs []string) bool {
	for i := 0; i < len(attrs); i += 2 {
		if line[attrs[i]] != attrs[i+1] {
			return false
		}
	}
	return true
}

// outcome is how a weir ended that was expected to.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs a command of weir's to its end.
func run(t testing.TB, env []string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(binary(t), args...)
	cmd.Env = append(cleanEnv(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting weir: %v", err)
	}
	timer := time.AfterFunc(patience, func() {
		t.Errorf("weir %s goes on after %v", strings.Join(args, " "), patience)
		_ = cmd.Process.Kill() // it may have ended just now
	})
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("weir %s: %v", strings.Join(args, " "), err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// cleanEnv is the environment without what would configure weir or mislead a
// client.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch strings.ToLower(name) {
		case "max_inflight", "upstream_url", "http_upstream_url", "fprocess", "function_process", "port", "mode",
			"exec_timeout", "read_timeout", "write_timeout", "healthcheck_interval", "ready_path",
			"http_proxy", "https_proxy", "all_proxy", "no_proxy":
			return true
		}
		return strings.HasPrefix(name, "WEIR_")
	})
}

// output keeps what is written to it. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// awaitOutput waits for a line of weir's standard output: the function's.
func (w *weir) awaitOutput(t testing.TB, line string) {
	t.Helper()
	eventually(t, "the function says "+line, func() (bool, string) {
		said := w.stdout.String()
		return strings.Contains("\n"+said, "\n"+line+"\n"), said
	})
}

// logBook keeps weir's standard error, as lines of slog's text format where they
// are.
type logBook struct {
	mu     sync.Mutex
	text   strings.Builder
	rest   []byte // of an unfinished line
	parsed []map[string]string
	notify chan struct{} // closed at the next line
}

func newLogBook() *logBook { return &logBook{notify: make(chan struct{})} }

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.rest = rest
		l.parsed = append(l.parsed, parseAttrs(string(line)))
		close(l.notify)
		l.notify = make(chan struct{})
	}
}

func (l *logBook) add(line string) {
	_, _ = io.WriteString(l, line+"\n") // it keeps everything
}

func (l *logBook) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notify
}

func (l *logBook) lines() []map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.parsed)
}

// count gives the number of lines with that message and attributes.
func (l *logBook) count(msg string, attrs ...string) int {
	n := 0
	for _, line := range l.lines() {
		if line["msg"] == msg && has(line, attrs) {
			n++
		}
	}
	return n
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// parseAttrs reads a line of slog's text format; of any other line it gives
// what looks like one.
func parseAttrs(line string) map[string]string {
	attrs := map[string]string{}
	for line != "" {
		key, rest, ok := strings.Cut(line, "=")
		if !ok {
			return attrs
		}
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted) // it is quoted
			line = strings.TrimPrefix(rest[len(quoted):], " ")
		} else {
			value, line, _ = strings.Cut(rest, " ")
		}
		attrs[key] = value
	}
	return attrs
}

// configFile writes a configuration to a new directory and gives its path.
func configFile(t testing.TB, yaml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	writeFile(t, path, yaml)
	return path
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
