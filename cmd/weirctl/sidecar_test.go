package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/admin/api"
)

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// built is weir's executable, built once for all tests here.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func weirBinary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "weirctl-test-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(built.dir, "weir"), "weir/cmd/weir").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("building weir: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "weir")
}

// sidecar is a running weir in front of a function that holds what it gets.
type sidecar struct {
	admin, data string
	running     chan struct{} // a value for each request that the function has begun
	release     chan struct{} // closed, it answers
	cmd         *exec.Cmd
	exited      chan struct{}
}

// lines takes a process's log and gives each line to a channel.
type lines struct {
	rest []byte
	out  chan string
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.rest = rest
		l.out <- string(line)
	}
}

func startSidecar(t *testing.T, args ...string) *sidecar {
	t.Helper()
	s := &sidecar{running: make(chan struct{}, 1000), release: make(chan struct{}), exited: make(chan struct{})}
	over := make(chan struct{})
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/quick" {
			return
		}
		s.running <- struct{}{}
		select {
		case <-s.release:
		case <-over:
		}
	}))
	log := &lines{out: make(chan string, 1000)}
	s.cmd = exec.Command(weirBinary(t), append([]string{
		"run", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--upstream=" + function.URL,
	}, args...)...)
	s.cmd.Stderr = log
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // judged by nobody here: e2e does
		close(s.exited)
	}()
	t.Cleanup(func() {
		close(over)
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
			t.Error("weir did not end")
		}
		function.Close()
	})
	listening := regexp.MustCompile(`msg=listening port=(\w+) addr=(\S+)`)
	for deadline := time.After(patience); s.data == "" || s.admin == ""; {
		select {
		case line := <-log.out:
			if m := listening.FindStringSubmatch(line); m != nil && m[1] == "data" {
				s.data = m[2]
			} else if m != nil && m[1] == "admin" {
				s.admin = m[2]
			}
		case <-s.exited:
			t.Fatal("weir has ended")
		case <-deadline:
			t.Fatal("weir does not listen")
		}
	}
	go func() {
		for {
			select {
			case <-log.out:
			case <-s.exited:
				return
			}
		}
	}()
	return s
}

// hold sends a request and waits until the function runs it. The channel gives
// its status.
func (s *sidecar) hold(t *testing.T, path string) <-chan int {
	t.Helper()
	status := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + s.data + path)
		if err != nil {
			status <- 0
			return
		}
		_ = res.Body.Close()
		status <- res.StatusCode
	}()
	select {
	case <-s.running:
	case <-time.After(patience):
		t.Fatal("the function does not run it")
	}
	return status
}

func (s *sidecar) ctl(args ...string) ended {
	return weirctlWith(map[string]string{"WEIR_ADMIN": s.admin}, args...)
}

// must is ctl for what is to succeed. It gives the standard output.
func (s *sidecar) must(t *testing.T, args ...string) string {
	t.Helper()
	e := s.ctl(args...)
	if e.code != exitOK || e.stderr != "" {
		t.Fatalf("%v: %+v", args, e)
	}
	return e.stdout
}

func TestAskingAndChangingASidecar(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(file, []byte("routes: [{path: /a-b=c}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSidecar(t, "--max-inflight=2", "--function=resize", "--config="+file)
	first := s.hold(t, "/one?secret=1")
	s.hold(t, "/two")

	if out := s.must(t, "state"); !strings.Contains(out, "function     resize\n") || !strings.Contains(out, "running      2 of 2, 2 at most in the last minute\n") {
		t.Errorf("state:\n%s", out)
	}
	var state api.State
	if err := json.Unmarshal([]byte(s.must(t, "state", "-o", "json")), &state); err != nil || state.Inflight != 2 || state.Limit != 2 || state.Function.Name != "resize" {
		t.Errorf("state: %v, %+v", err, state)
	}

	out := s.must(t, "inflight")
	if !regexp.MustCompile(`(?s)^AGE +WAITED +METHOD +PROTOCOL +CLIENT +PATH\n\S+ +0s +GET +HTTP/1\.1 +127\.0\.0\.1 +/one\n\S+ +0s +GET +HTTP/1\.1 +127\.0\.0\.1 +/two\n$`).MatchString(out) {
		t.Errorf("inflight:\n%s", out)
	}
	if out := s.must(t, "inflight", "--limit=1"); !strings.HasSuffix(out, "/one\nand 1 more; --limit shows up to 10000\n") {
		t.Errorf("inflight --limit=1:\n%s", out)
	}
	var running api.Inflight
	if err := json.Unmarshal([]byte(s.must(t, "inflight", "-o", "json")), &running); err != nil || running.Total != 2 || running.Requests[0].Path != "/one" {
		t.Errorf("inflight: %v, %+v", err, running)
	}

	if out := s.must(t, "limits", "get"); !regexp.MustCompile(`(?m)^max_inflight +2 *$`).MatchString(out) || !strings.HasPrefix(out, "NAME ") {
		t.Errorf("limits get:\n%s", out)
	}
	if out := s.must(t, "limits", "set", "max-inflight=3", "queue_timeout=2s"); !regexp.MustCompile(`(?m)^max_inflight +3 +2$`).MatchString(out) || !regexp.MustCompile(`(?m)^queue_timeout +2s +5s$`).MatchString(out) {
		t.Errorf("limits set:\n%s", out)
	}
	s.hold(t, "/three")
	if out := s.must(t, "limits", "get", "max_inflight"); out != "3\n" {
		t.Errorf("limits get max_inflight: %q", out)
	}
	if out := s.must(t, "limits", "get", "overflow", "-o", "json"); out != "\"reject\"\n" {
		t.Errorf("limits get overflow -o json: %q", out)
	}
	if out := s.must(t, "limits", "set", "routes./a-b=c.rate=5/s"); !regexp.MustCompile(`(?m)^routes\./a-b=c\.rate +5/s +0$`).MatchString(out) {
		t.Errorf("limits set of a route's rate:\n%s", out)
	}
	s.must(t, "limits", "reset", "max_inflight", "queue_timeout", "routes./a-b=c.rate")
	if out := s.must(t, "limits", "get", "max_inflight", "-o", "json"); out != "2\n" {
		t.Errorf("limits get max_inflight, put back: %q", out)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"limits", "set", "max_inflight=ten", "overflow=spill"}, exitFailed, "weirctl: max_inflight: \"ten\" is not a number, \"auto\" or 0; overflow: \"spill\" is not reject, wait or async\n"},
		{[]string{"limits", "set", "max_inflight=-1"}, exitFailed, `max_inflight: "-1" is negative`},
		{[]string{"limits", "set", "colour=red"}, exitFailed, "colour: unknown setting, there are "},
		{[]string{"limits", "reset", "colour"}, exitFailed, "colour: unknown setting, there are "},
		{[]string{"limits", "get", "colour"}, exitUsage, `there is no limit "colour"; there are `},
		{[]string{"limits", "set", "max_inflight"}, exitUsage, `"max_inflight" is not NAME=VALUE`},
		{[]string{"limits", "set", "max_inflight=1", "max-inflight=2"}, exitUsage, "max_inflight is there twice"},
		{[]string{"limits", "set"}, exitUsage, "requires at least 1 arg"},
		{[]string{"inflight", "--limit=0"}, exitUsage, "--limit 0 is not from 1 to 10000"},
		{[]string{"top", "--count=-1"}, exitUsage, "--count -1 is negative"},
		{[]string{"limits"}, exitUsage, "weirctl limits needs one of its commands"},
	} {
		if e := s.ctl(c.args...); e.code != c.code || !strings.Contains(e.stderr, c.want) || e.stdout != "" {
			t.Errorf("%v: %+v, want code %d and %s", c.args, e, c.code, c.want)
		}
	}

	text := s.must(t, "top", "-n", "2")
	if rows := strings.Split(strings.TrimSuffix(text, "\n"), "\n"); len(rows) != 3 || !strings.HasPrefix(rows[0], "TIME ") || !strings.Contains(rows[2], " 3/2 ") || !strings.HasSuffix(rows[2], "  ready") {
		t.Errorf("top:\n%s", text)
	}
	decoder := json.NewDecoder(strings.NewReader(s.must(t, "top", "-n", "2", "-o", "json")))
	for range 2 {
		if err := decoder.Decode(&state); err != nil || state.Inflight != 3 {
			t.Errorf("top -o json: %v, %+v", err, state)
		}
	}

	if out := s.must(t, "drain"); out != "draining; 3 still run, 0 wait\n" {
		t.Errorf("drain: %q", out)
	}
	if e := s.ctl("drain", "--wait", "--timeout=100ms"); e.code != exitFailed || !strings.Contains(e.stderr, "after 100ms, 3 are still inside; the sidecar goes on draining") {
		t.Errorf("drain --wait --timeout: %+v", e)
	}
	if out := s.must(t, "state"); !strings.Contains(out, "status       draining, 3 still inside\n") {
		t.Errorf("state:\n%s", out)
	}
	waited := make(chan ended, 1)
	go func() { waited <- s.ctl("drain", "--wait", "-o", "json") }()
	close(s.release)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first request: %d", status)
	}
	var drained api.Draining
	if e := <-waited; e.code != exitOK || json.Unmarshal([]byte(e.stdout), &drained) != nil || drained != (api.Draining{Draining: true}) {
		t.Errorf("drain --wait: %+v", e)
	}
}

func TestTheSidecarEndsMeanwhile(t *testing.T) {
	t.Parallel()
	s := startSidecar(t)
	out, in := io.Pipe()
	done := make(chan ended, 1)
	go func() {
		var stderr bytes.Buffer
		code := run(context.Background(), []string{"top", "--admin", s.admin}, func(string) string { return "" }, strings.NewReader(""), in, &stderr)
		_ = in.Close()
		done <- ended{code, "", stderr.String()}
	}()
	buffer := make([]byte, 1000)
	if _, err := out.Read(buffer); err != nil { // it follows
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := <-done; e.code != exitFailed || e.stderr != "weirctl: the sidecar has ended\n" {
		t.Errorf("top: %+v", e)
	}
	<-s.exited
	if e := s.ctl("state"); e.code != exitUnreachable || !strings.Contains(e.stderr, "no sidecar answers") || !strings.Contains(e.stderr, "--admin-listen") {
		t.Errorf("state: %+v", e)
	}
}

func TestWhoAsks(t *testing.T) {
	t.Parallel()
	const token = "token-of-the-weirctl-tests"
	dir := t.TempDir()
	file, other := filepath.Join(dir, "token"), filepath.Join(dir, "other")
	for path, content := range map[string]string{file: token + "\n", other: "another-token-of-the-tests"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startSidecar(t, "--admin-token-file="+file)
	type env = map[string]string
	for _, c := range []struct {
		name string
		env  env
		args []string
		code int
		want string
	}{
		{"no token", env{}, nil, exitFailed, "a token is needed"},
		{"by variable", env{"WEIR_ADMIN_TOKEN": token}, nil, exitOK, ""},
		{"by file", env{"WEIR_ADMIN_TOKEN_FILE": file}, nil, exitOK, ""},
		{"by flag", env{}, []string{"--admin-token-file", file}, exitOK, ""},
		{"the flag wins", env{"WEIR_ADMIN_TOKEN": "another-token-of-the-tests", "WEIR_ADMIN_TOKEN_FILE": other}, []string{"--admin-token-file", file}, exitOK, ""},
		{"a wrong one", env{"WEIR_ADMIN_TOKEN_FILE": other}, nil, exitFailed, "the token is not the one in force"},
		{"two", env{"WEIR_ADMIN_TOKEN": token, "WEIR_ADMIN_TOKEN_FILE": file}, nil, exitUsage, "both WEIR_ADMIN_TOKEN and WEIR_ADMIN_TOKEN_FILE are set"},
		{"a short one", env{"WEIR_ADMIN_TOKEN": "hunter2"}, nil, exitUsage, "WEIR_ADMIN_TOKEN: its token has 7 characters"},
		{"no file", env{}, []string{"--admin-token-file", file + "x"}, exitUsage, "no such file"},
		{"a certificate over http", env{"WEIR_ADMIN_CA": file}, nil, exitUsage, "certificates are for https://"},
		{"half a certificate", env{}, []string{"--admin=https://localhost:1", "--admin-cert=" + file}, exitUsage, "--admin-cert and --admin-key need each other"},
		{"no authority", env{}, []string{"--admin=https://localhost:1", "--admin-ca=" + file}, exitUsage, "holds no certificate"},
		{"no address", env{}, []string{"--admin=ftp://localhost"}, exitUsage, `has the scheme "ftp"`},
	} {
		c.env["WEIR_ADMIN"] = s.admin
		e := weirctlWith(c.env, append([]string{"state"}, c.args...)...)
		if e.code != c.code || !strings.Contains(e.stderr, c.want) || strings.Contains(e.stderr, token) || strings.Contains(e.stderr, "hunter2") {
			t.Errorf("%s: %+v, want code %d and %s", c.name, e, c.code, c.want)
		}
	}
}
