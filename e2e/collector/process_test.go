package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// roleVariable makes this test binary be the Collector.
const roleVariable = "COLLECTOR_ROLE"

// weirBinary is the executable under test, built of the module above.
var weirBinary string

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		main()
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-collector-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "collector:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	weirBinary = filepath.Join(dir, "weir")
	if out, err := exec.Command("go", "-C", "../..", "build", "-o", weirBinary, "./cmd/weir").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "collector: building weir: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a program that runs beside the test.
type process struct {
	cmd   *exec.Cmd
	log   string // path of what it says
	ended bool
}

// launch starts a program that is ended with the test at the latest, and must end in order.
func launch(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(name, args...), log: log.Name()}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = log.Close() // the program has it
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), p.said(t))
		}
	})
	return p
}

func (p *process) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.ended {
		return
	}
	p.ended = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("%s: %v", filepath.Base(p.cmd.Path), err)
	}
}

// collector is a running Collector.
type collector struct {
	*process
	address  string // where it receives OTLP over HTTP
	metrics  string // URL of its own metrics
	busyFile string // see busyConfig
	config   string
}

// newCollector writes the configuration of a Collector that passes on to sink what it
// receives, and starts it.
func newCollector(t *testing.T, sink string) *collector {
	t.Helper()
	c := &collector{address: freePort(t), busyFile: filepath.Join(t.TempDir(), "busy"), config: filepath.Join(t.TempDir(), "collector.yaml")}
	host, port, err := net.SplitHostPort(freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	c.metrics = "http://" + net.JoinHostPort(host, port) + "/metrics"
	write(t, c.config, fmt.Sprintf(`
receivers:
  otlp: {protocols: {http: {endpoint: %q}}}
processors:
  busy: {file: %q}
exporters:
  otlp_http: {traces_endpoint: %q, sending_queue: {enabled: false}, retry_on_failure: {enabled: false}, compression: none}
service:
  telemetry: {metrics: {level: detailed, readers: [{pull: {exporter: {prometheus: {host: %s, port: %s}}}}]}}
  pipelines:
    traces: {receivers: [otlp], processors: [busy], exporters: [otlp_http]}
`, c.address, c.busyFile, sink, host, port))
	c.start(t)
	return c
}

// start starts the Collector, for another time after it was stopped.
func (c *collector) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.process = launch(t, []string{roleVariable + "=collector"}, self, "--config="+c.config)
	eventually(t, "the Collector receives", func() (bool, string) { return accepts(c.address) })
}

// sidecar is a running weir.
type sidecar struct {
	*process
	data, metrics string // addresses
}

func newWeir(t *testing.T, args ...string) *sidecar {
	t.Helper()
	w := &sidecar{data: freePort(t), metrics: freePort(t)}
	w.process = launch(t, nil, weirBinary, append([]string{
		"run", "--listen=" + w.data, "--metrics-listen=" + w.metrics, "--admin-listen=127.0.0.1:0",
	}, args...)...)
	eventually(t, "weir serves", func() (bool, string) { return accepts(w.data) })
	return w
}

// send asks weir for something, with fields as names and values.
func (w *sidecar) send(t *testing.T, method, target string, fields ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.data+target, nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

// spans gives what weir says of its spans with a result: exported, dropped, failed.
func (w *sidecar) spans(t *testing.T, result string) float64 {
	t.Helper()
	return value(t, "http://"+w.metrics+"/metrics", "weir_trace_spans_total", `result="`+result+`"`)
}

// value gives the sum of a metric's series that have all of some labels in them.
func value(t *testing.T, url, name string, labels ...string) (sum float64) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	found := false
lines:
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' '):]), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("%s has no %s with %q", url, name, labels)
	}
	return sum
}

func accepts(address string) (bool, string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false, err.Error()
	}
	_ = conn.Close()
	return true, ""
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually polls until cond holds. cond says what it saw.
func eventually(t *testing.T, what string, cond func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		ok, saw := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s; %s", patience, what, saw)
		}
		<-time.After(20 * time.Millisecond)
	}
}
