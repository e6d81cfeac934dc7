package conformance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Flags are weir's, by name without dashes.
type Flags map[string]string

// Settings is what weir is started with.
type Settings struct {
	Flags Flags
	// Routes go to a configuration file.
	Routes []Route
	// Env are extra environment variables, NAME=value.
	Env []string
}

// Route is a route of the configuration file, in its spelling. JSON is YAML.
type Route struct {
	Path                 string   `json:"path"`
	Methods              []string `json:"methods,omitempty"`
	Overflow             string   `json:"overflow,omitempty"`
	Timeout              string   `json:"timeout,omitempty"`
	ResponseStartTimeout string   `json:"response_start_timeout,omitempty"`
	OnClientAbort        string   `json:"on_client_abort,omitempty"`
	FullDuplex           bool     `json:"full_duplex,omitempty"`
}

// with adds a flag that the case has not set itself.
func (s Settings) with(name, value string) Settings {
	if _, set := s.Flags[name]; set {
		return s
	}
	flags := maps.Clone(s.Flags)
	if flags == nil {
		flags = Flags{}
	}
	flags[name] = value
	s.Flags = flags
	return s
}

// Launcher starts weir.
type Launcher interface {
	// Launch starts weir with the settings on free loopback ports, waits until
	// it listens, and stops it when the case is over. It fails t where weir does
	// not start, does not stop in order, or left word of a fault in its own code.
	Launch(t testing.TB, settings Settings) *Instance
}

// Instance is a running weir.
type Instance struct {
	Addr        string // data port
	MetricsAddr string
	PID         int
	// Race says that weir was built with the race detector, under which figures
	// of memory mean little.
	Race bool

	anyCode bool // the case does not care for the exit code
	shared  bool // others have played on it, or will
	cmd     *exec.Cmd
	log     *logBook
	exited  chan struct{} // closed once the process has ended
	code    int           // its exit code, then
}

// Binary launches an executable as `weir run`.
type Binary struct {
	Path string
	// Args come before the flags, ["run"] for weir.
	Args []string
	// Flags are set in every case that does not set them itself.
	Flags Flags
	// Race says that it was built with the race detector.
	Race bool
}

// Launch implements Launcher.
func (b Binary) Launch(t testing.TB, settings Settings) *Instance {
	t.Helper()
	for name, value := range b.Flags {
		settings = settings.with(name, value)
	}
	settings = settings.with("listen", "127.0.0.1:0").with("metrics-listen", "127.0.0.1:0").with("admin-listen", "127.0.0.1:0")
	if len(settings.Routes) > 0 {
		file := filepath.Join(t.TempDir(), "weir.yaml")
		content, err := json.MarshalIndent(map[string]any{"routes": settings.Routes}, "", "  ")
		if err != nil {
			t.Fatalf("routes: %v", err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatalf("routes: %v", err)
		}
		settings = settings.with("config", file)
	}
	args := slices.Clone(b.Args)
	for _, name := range slices.Sorted(maps.Keys(settings.Flags)) {
		args = append(args, "--"+name+"="+settings.Flags[name])
	}
	in := &Instance{
		Race:   b.Race,
		cmd:    exec.Command(b.Path, args...),
		log:    &logBook{ports: map[string]string{}, listening: make(chan struct{})},
		exited: make(chan struct{}),
	}
	in.cmd.Env = append(cleanEnv(), settings.Env...)
	stderr, err := in.cmd.StderrPipe()
	if err != nil {
		t.Fatalf("weir's stderr: %v", err)
	}
	in.cmd.Stdout = in.log
	if err := in.cmd.Start(); err != nil {
		t.Fatalf("starting %s %s: %v", b.Path, strings.Join(args, " "), err)
	}
	in.PID = in.cmd.Process.Pid
	go func() {
		defer close(in.exited)
		in.log.follow(stderr)
		err := in.cmd.Wait()
		var exit *exec.ExitError
		switch {
		case err == nil:
		case errors.As(err, &exit):
			in.code = exit.ExitCode() // -1 where a signal ended it
		default:
			in.log.add("waiting: " + err.Error())
			in.code = -1
		}
	}()
	t.Cleanup(func() { in.stop(t) })

	select {
	case <-in.log.listening:
	case <-in.exited:
		t.Fatalf("weir %s ended with code %d before it listened:\n%s", strings.Join(args, " "), in.code, in.Log())
	case <-time.After(patience):
		t.Fatalf("weir %s did not say that it listens within %v:\n%s", strings.Join(args, " "), patience, in.Log())
	}
	in.Addr, in.MetricsAddr = in.log.port("data"), in.log.port("metrics")
	return in
}

// stop ends weir as an orchestrator would, and asserts that it went in order.
func (in *Instance) stop(t testing.TB) {
	if !in.Exited() {
		in.Signal(t, syscall.SIGTERM)
	}
	code, ok := in.Wait()
	if !ok {
		t.Errorf("weir did not end within %v of SIGTERM, nothing being in flight", patience)
	} else if code != 0 && !in.anyCode {
		t.Errorf("weir ended with code %d, want 0", code)
	}
	in.wantNoFault(t)
	if t.Failed() {
		t.Logf("weir %s said:\n%s", strings.Join(in.cmd.Args[1:], " "), in.Log())
	}
}

// wantNoFault asserts that weir has not said that there is a fault in it.
func (in *Instance) wantNoFault(t testing.TB) {
	log := in.Log()
	for _, fault := range []string{"DATA RACE", "panic: ", "panic serving", "superfluous response.WriteHeader"} {
		if strings.Contains(log, fault) {
			t.Errorf("weir's log holds %q", fault)
		}
	}
}

// Signal sends weir a signal.
func (in *Instance) Signal(t testing.TB, sig os.Signal) {
	if in.shared {
		t.Fatal("a case that sends weir signals has to be Alone")
	}
	if err := in.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("sending %v to weir: %v", sig, err)
	}
}

// Exited says whether weir has ended.
func (in *Instance) Exited() bool {
	select {
	case <-in.exited:
		return true
	default:
		return false
	}
}

// Wait waits for weir's end and gives its exit code. Where it goes on beyond the
// suite's patience, ok is false, and it is made to write down what all its
// goroutines do, and end.
func (in *Instance) Wait() (code int, ok bool) {
	select {
	case <-in.exited:
		return in.code, true
	case <-time.After(patience):
	}
	in.cmd.Process.Signal(syscall.SIGQUIT) //nolint:errcheck // it may have ended just now
	select {
	case <-in.exited:
	case <-time.After(patience):
		in.cmd.Process.Kill() //nolint:errcheck // likewise
		<-in.exited
	}
	return in.code, false
}

// Log returns what weir wrote to its standard output and error since the case began.
func (in *Instance) Log() string { return in.log.String() }

// Memory returns a figure of /proc/PID/status in bytes: VmRSS, resident now, or
// VmHWM, the most that ever was.
func (in *Instance) Memory(t testing.TB, figure string) int64 {
	t.Helper()
	if in.shared {
		t.Fatal("a case that measures weir's memory has to be Alone")
	}
	if runtime.GOOS != "linux" {
		t.Skipf("weir's memory is read from /proc, which %s has not", runtime.GOOS)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.PID))
	if err != nil {
		t.Fatalf("weir's memory: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatalf("weir's memory: %q: %v", line, err)
			}
			return kib << 10
		}
	}
	t.Fatalf("weir's memory: /proc/%d/status has no %s", in.PID, figure)
	return 0
}

// cleanEnv is the environment without what would configure weir.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch strings.ToLower(name) {
		case "max_inflight", "upstream_url", "fprocess", "port", "exec_timeout", "read_timeout", "write_timeout",
			"healthcheck_interval", "ready_path", "mode", "http_proxy", "https_proxy", "all_proxy", "no_proxy":
			return true
		}
		return strings.HasPrefix(name, "WEIR_")
	})
}

// logBook keeps what weir says and learns its ports from it.
type logBook struct {
	mu        sync.Mutex
	text      strings.Builder
	ports     map[string]string // by name
	listening chan struct{}     // closed once the data and metrics ports are known
}

// follow reads weir's log to its end.
func (l *logBook) follow(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			l.add(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

func (l *logBook) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
	attrs := parseAttrs(line)
	if attrs["msg"] != "listening" {
		return
	}
	complete := l.ports["data"] != "" && l.ports["metrics"] != ""
	l.ports[attrs["port"]] = attrs["addr"]
	if !complete && l.ports["data"] != "" && l.ports["metrics"] != "" {
		close(l.listening)
	}
}

// Write takes weir's standard output.
func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// turnPage forgets what has been said so far.
func (l *logBook) turnPage() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func (l *logBook) port(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ports[name]
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// parseAttrs reads a line of slog's text format.
func parseAttrs(line string) map[string]string {
	attrs := map[string]string{}
	for line != "" {
		key, rest, ok := strings.Cut(line, "=")
		if !ok {
			return attrs
		}
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted)
			line = strings.TrimPrefix(rest[len(quoted):], " ")
		} else {
			value, line, _ = strings.Cut(rest, " ")
		}
		attrs[key] = value
	}
	return attrs
}
