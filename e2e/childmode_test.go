package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWeirWaitsUntilItsFunctionAccepts(t *testing.T) {
	t.Parallel()
	addr, latch := freePort(t), filepath.Join(t.TempDir(), "latch")
	env, command := inRole(t, "function", addr, latch)
	listen := freePort(t)
	w := launch(t, env, append([]string{"--listen=" + listen, "--upstream=http://" + addr, "--"}, command...)...)
	w.awaitOutput(t, "starting")
	if status, body, err := w.get("/readyz"); err != nil || status != http.StatusServiceUnavailable || body != "starting\n" {
		t.Errorf("/readyz before the function accepts: %d %q, %v; want 503 starting", status, body, err)
	}
	if status, _, err := w.get("/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz before the function accepts: %d, %v; want 200", status, err)
	}
	// Who comes early waits as well, and is not told that the function is down.
	early := map[string]<-chan answer{}
	for how, c := range manners(t) {
		early[how] = fetching(c, "GET", "http://"+listen+"/early", nil)
	}
	if strings.Contains(w.stdout.String(), "accepting") {
		t.Error("the function accepts already: this test shows nothing")
	}
	writeFile(t, latch, "")
	w.awaitLog(t, "listening", "port", "data")
	w.awaitReady(t)
	for how, c := range early {
		if a := await(t, how, c); a.err != nil || a.status != http.StatusOK || a.body != "ok" {
			t.Errorf("%s: who came early got %v, want 200", how, a)
		}
	}
}

func TestExitCodeOfTheFunctionPassesThrough(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		code       int
		outcome    string
	}{
		{"its own", "/exit?code=7", 7, "exit code 7"},
		{"success", "/exit?code=0", 0, "exit code 0"},
		{"a signal's", "/die", 128 + int(syscall.SIGKILL), "SIGKILL (exit code 137)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			addr := freePort(t)
			env, command := inRole(t, "function", addr)
			w := startWith(t, env, append([]string{"--upstream=http://" + addr, "--"}, command...)...)
			clients := manners(t)
			inside := fetching(clients["new connections"], "GET", "http://"+w.data+"/hold", nil)
			w.awaitOutput(t, "begin /hold")
			fetching(clients["kept alive"], "POST", "http://"+w.data+tt.path, nil)
			if code := w.wait(t); code != tt.code {
				t.Errorf("exit code %d, want the function's, %d", code, tt.code)
			}
			if line := w.awaitLog(t, "the function ended"); !strings.HasPrefix(line["outcome"], tt.outcome) {
				t.Errorf("weir says that it ended with %q, want %q", line["outcome"], tt.outcome)
			}
			if a := await(t, "the one inside", inside); a.err == nil && a.status < 500 {
				t.Errorf("a request that the function never answered got %v", a)
			}
		})
	}
}

func TestAFunctionThatDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	writeFile(t, plain, "no program")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr := freePort(t)
	for _, tt := range []struct {
		name    string
		role    string
		flags   []string
		command []string
		code    int
		says    []string
	}{
		{"not there", "", nil, []string{filepath.Join(dir, "none")}, 127, []string{"cannot start", filepath.Join(dir, "none")}},
		{"not executable", "", nil, []string{plain}, 126, []string{"cannot start", plain, "not executable", "chmod +x"}},
		{"ends before it accepts", "exit", nil, []string{self, "3", "last words"}, 3, []string{"ended with exit code 3", "before it accepted requests", "see its own output"}},
		{"never accepts", "function", []string{"--startup-timeout=500ms"}, []string{self, addr, filepath.Join(dir, "no-latch")}, 1, []string{"did not accept requests", addr, "--upstream", "--startup-timeout"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--upstream=http://" + addr}, tt.flags...)
			var env []string
			if tt.role != "" {
				env = []string{roleVariable + "=" + tt.role}
			}
			got := run(t, env, append(append(args, "--"), tt.command...)...)
			if got.code != tt.code {
				t.Errorf("exit code %d, want %d", got.code, tt.code)
			}
			for _, says := range tt.says {
				if !strings.Contains(got.stderr, says) {
					t.Errorf("weir says nothing of %q:\n%s", says, got.stderr)
				}
			}
			if tt.role == "exit" {
				if want := "out last words\n"; got.stdout != want {
					t.Errorf("the function's output is %q, want %q", got.stdout, want)
				}
				if !strings.Contains(got.stderr, "err last words\n") {
					t.Errorf("the function's errors are not on weir's:\n%s", got.stderr)
				}
			}
		})
	}
}

func TestOutputOfTheFunctionIsForwardedWhole(t *testing.T) {
	t.Parallel()
	var words []string
	var out, err strings.Builder
	for i := range 2000 {
		word := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%50))
		words = append(words, word)
		out.WriteString("out " + word + "\n")
		err.WriteString("err " + word + "\n")
	}
	env, command := inRole(t, "exit", append([]string{"5"}, words...)...)
	got := run(t, env, append([]string{"run", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--upstream=http://" + freePort(t), "--"}, command...)...)
	if got.code != 5 {
		t.Errorf("exit code %d, want 5", got.code)
	}
	if got.stdout != out.String() {
		t.Errorf("standard output has %d bytes, want %d; it ends with %q", len(got.stdout), out.Len(), tail(got.stdout, 100))
	}
	var theirs strings.Builder
	for line := range strings.Lines(got.stderr) {
		if strings.HasPrefix(line, "err ") {
			theirs.WriteString(line)
		}
	}
	if theirs.String() != err.String() {
		t.Errorf("the function's standard error has %d bytes, want %d", theirs.Len(), err.Len())
	}
}

func TestSignalBeforeTheFunctionAccepts(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	env, command := inRole(t, "function", addr, filepath.Join(t.TempDir(), "no-latch"))
	w := launch(t, env, append([]string{"--upstream=http://" + addr, "--"}, command...)...)
	w.awaitOutput(t, "starting")
	w.signal(t, syscall.SIGTERM)
	if code := w.wait(t); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want %d", code, 128+int(syscall.SIGTERM))
	}
	w.awaitOutput(t, "SIGTERM")
}

// of-watchdog's environment is all that weir gets: it starts the function, and
// stands in front of it as of-watchdog would.
func TestEnvironmentOfWatchdog(t *testing.T) {
	t.Parallel()
	addr, listen := freePort(t), freePort(t)
	env, command := inRole(t, "function", addr)
	_, port, _ := strings.Cut(listen, ":")
	w := startWith(t, append(env,
		"mode=http",
		"fprocess="+strings.Join(command, " "),
		"upstream_url=http://"+addr,
		"port="+port,
		"max_inflight=2",
		"exec_timeout=1s",
		"ready_path=/ready",
	))
	clients := manners(t)
	url := "http://" + listen
	w.awaitMetric(t, 2, "weir_inflight_limit")
	for how, c := range clients {
		if a := fetch(c, "GET", url+"/_/health", nil); a.err != nil || a.status != http.StatusOK || a.body != "OK" {
			t.Errorf("%s: /_/health: %v, want 200 OK", how, a)
		}
	}
	eventually(t, "ready", func() (bool, string) {
		a := fetch(clients["new connections"], "GET", url+"/_/ready", nil)
		return a.status == http.StatusOK, a.String()
	})
	w.awaitOutput(t, "begin /ready")

	var held []<-chan answer
	for _, how := range []string{"kept alive", "h2c"} {
		held = append(held, fetching(clients[how], "GET", url+"/hold", nil))
	}
	w.awaitMetric(t, 2, "weir_inflight_requests")
	a := fetch(clients["new connections"], "GET", url+"/", nil)
	if a.err != nil || a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("the third request got %v with Retry-After %q, want 429", a, a.header.Get("Retry-After"))
	}
	// Probes take no slot, and a full function is ready.
	for _, path := range []string{"/_/health", "/_/ready"} {
		if a := fetch(clients["new connections"], "GET", url+path, nil); a.err != nil || a.status != http.StatusOK {
			t.Errorf("%s of a full function: %v, want 200", path, a)
		}
	}
	for _, c := range held {
		if a := await(t, "a request that takes longer than exec_timeout", c); a.err != nil || a.status != http.StatusGatewayTimeout {
			t.Errorf("a request that takes longer than exec_timeout got %v, want 504", a)
		}
	}
	w.awaitQuiet(t)
	w.signal(t, syscall.SIGTERM)
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.awaitOutput(t, "SIGTERM")
}

// A weir that is killed takes its function along; else a restarted one would
// find the port taken by its predecessor's.
func TestKilledWeirTakesItsFunctionAlong(t *testing.T) {
	t.Parallel()
	if !endsWithParent {
		t.Skip("a function is told of its weir's death on Linux alone")
	}
	addr := freePort(t)
	env, command := inRole(t, "function", addr)
	w := startWith(t, env, append([]string{"--upstream=http://" + addr, "--"}, command...)...)
	w.signal(t, syscall.SIGKILL)
	if code := w.wait(t); code != -1 {
		t.Errorf("exit code %d, want it killed", code)
	}
	eventually(t, "the function's port is free", func() (bool, string) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil, "somebody accepts"
	})
}
