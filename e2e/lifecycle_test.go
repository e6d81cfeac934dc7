package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each of these must end weir before it has done anything: no port is opened
// for good, no function is started.
func TestBadInputChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, content)
		return path
	}
	unknown := file("unknown.yaml", "listen: 127.0.0.1:0\nlimits:\n  max_inflght: 5\n")
	several := file("several.yaml", "limits:\n  max_inflight: ten\n  queue_timeout: soon\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, tt := range []struct {
		name string
		args []string
		env  []string
		code int
		says string
	}{
		{
			"an unknown key",
			[]string{"--config=" + unknown},
			nil, 2,
			"weir: config: limits.max_inflght: unknown key, did you mean limits.max_inflight? (" + unknown + ":3)\n",
		},
		{
			"several mistakes",
			[]string{"--config=" + several},
			nil, 2,
			"weir: config: limits.max_inflight: \"ten\" is not a number, \"auto\" or 0 (" + several + ":2)\n" +
				"weir: config: limits.queue_timeout: \"soon\" is not a duration such as 500ms, 5s or 1m30s (" + several + ":3)\n",
		},
		{
			"a file that is not there",
			[]string{"--config=" + dir + "/none.yaml"},
			nil, 2,
			"weir: config: " + dir + "/none.yaml: cannot be read: no such file or directory (--config)\n",
		},
		{
			"an unreadable number",
			[]string{"--max-inflight=ten"},
			nil, 2,
			"weir: config: limits.max_inflight: \"ten\" is not a number, \"auto\" or 0 (--max-inflight)\n",
		},
		{
			"an unreadable number in the environment", nil,
			[]string{"WEIR_MAX_INFLIGHT=1e3"},
			2,
			"weir: config: limits.max_inflight: \"1e3\" is not a number, \"auto\" or 0 (WEIR_MAX_INFLIGHT)\n",
		},
		{
			"a negative number",
			[]string{"--max-inflight=-1"},
			nil, 2,
			"weir: config: limits.max_inflight: \"-1\" is negative (--max-inflight)\n",
		},
		{
			"an unknown variable", nil,
			[]string{"WEIR_MAX_INFLGHT=3"},
			2,
			"weir: config: WEIR_MAX_INFLGHT: unknown variable, did you mean WEIR_MAX_INFLIGHT?\n",
		},
		{
			"an unknown flag",
			[]string{"--max-inflght=3"},
			nil, 2,
			"weir: unknown flag: --max-inflght\nSee 'weir run --help'\n",
		},
		{
			"the data port in use",
			[]string{"--listen=" + taken.Addr().String()},
			nil, 1,
			"weir: --listen " + taken.Addr().String() + ": the address is in use by another process; stop that or choose another address\n",
		},
		{
			"the metrics port in use",
			[]string{"--metrics-listen=" + taken.Addr().String()},
			nil, 1,
			"weir: --metrics-listen " + taken.Addr().String() + ": the address is in use by another process; stop that or choose another address\n",
		},
		{
			"the management API's port in use",
			[]string{"--admin-listen=" + taken.Addr().String()},
			nil, 1,
			"weir: --admin-listen " + taken.Addr().String() + ": the address is in use by another process; stop that or choose another address\n",
		},
		{
			"a management API for everybody",
			[]string{"--admin-listen=:0"},
			nil, 2,
			"weir: config: admin.listen: cannot be an address that others reach without admin.token_file or admin.tls_client_ca: whoever gets there could drain weir or change its limits. Set one of them, or listen on 127.0.0.1 (--admin-listen)\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mark := filepath.Join(t.TempDir(), "started")
			env, command := inRole(t, "touch", mark)
			args := []string{"run"}
			for _, flag := range []string{"--listen=", "--metrics-listen=", "--admin-listen="} {
				if !strings.HasPrefix(strings.Join(tt.args, " "), flag) {
					args = append(args, flag+"127.0.0.1:0")
				}
			}
			args = append(append(append(args, tt.args...), "--"), command...)
			got := run(t, append(env, tt.env...), args...)
			if got.code != tt.code || got.stderr != tt.says || got.stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr\n%s\nwant code %d, stderr\n%s", got.code, got.stdout, got.stderr, tt.code, tt.says)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("the function was started")
			}
		})
	}
}

func TestCheckSaysWhatRunWould(t *testing.T) {
	t.Parallel()
	good := configFile(t, "limits:\n  max_inflight: 5\n")
	if got := run(t, nil, "check", good); got != (outcome{good + " is valid\n", "", 0}) {
		t.Errorf("a good file: %+v", got)
	}
	bad := configFile(t, "limits:\n  max_inflight: ten\n")
	checked, ran := run(t, nil, "check", bad), run(t, nil, "run", "--config="+bad)
	if checked.code != 2 || checked.stderr == "" || checked != ran {
		t.Errorf("a bad file:\ncheck says %+v\nrun says   %+v", checked, ran)
	}
}

func TestAFunctionThatIsDownIsNoReasonToEndOrRestart(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	w := start(t, "--upstream=http://"+addr, "--ready-interval=50ms")
	clients := manners(t)
	down := func(when string) {
		t.Helper()
		for how, c := range clients {
			a := fetch(c, "GET", "http://"+w.data+"/quick?for=1ms", nil)
			if a.err != nil || a.status != http.StatusBadGateway || a.header.Get("Proxy-Status") != "weir; error=connection_refused" {
				t.Errorf("%s, %s: %v with Proxy-Status %q, want 502 and connection_refused", when, how, a, a.header.Get("Proxy-Status"))
			}
		}
		eventually(t, "not ready", func() (bool, string) {
			status, body, err := w.get("/readyz")
			return err == nil && status == http.StatusServiceUnavailable && strings.Contains(body, "connection refused"), fmt.Sprint(status, body, err)
		})
		w.awaitMetric(t, 0, "weir_upstream_up")
		if status, body, err := w.get("/healthz"); err != nil || status != http.StatusOK {
			t.Errorf("%s: /healthz: %d %q, %v; want 200: a restart would not help", when, status, body, err)
		}
		w.mustProbe(t, nil, 0, "ok\n")
		if got := w.probe(t, "--ready"); got.code != 1 || !strings.Contains(got.stderr, "503") {
			t.Errorf("%s: weir health --ready: %+v, want code 1 and the reason", when, got)
		}
	}
	up := func(when string) {
		t.Helper()
		w.awaitReady(t)
		w.awaitMetric(t, 1, "weir_upstream_up")
		for how, c := range clients {
			if a := fetch(c, "GET", "http://"+w.data+"/quick?for=1ms", nil); a.err != nil || a.status != http.StatusOK {
				t.Errorf("%s, %s: %v, want 200", when, how, a)
			}
		}
		w.mustProbe(t, []string{"--ready"}, 0, "ready\n")
	}

	down("before the function came")
	t.Run("once it has come", func(t *testing.T) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		serveFunction(t, ln, http.HandlerFunc(takes))
		up("once it has come")
	})
	down("after it has gone")
	t.Run("once it is back", func(t *testing.T) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		serveFunction(t, ln, http.HandlerFunc(takes))
		up("once it is back")
	})
	w.awaitQuiet(t)
	s := w.scrape(t)
	if got := s.by(t, "weir_requests_total", "origin"); got["weir"] != 6 || got["function"] != 6 || len(got) != 2 {
		t.Errorf("requests by origin: %v, want 6 of weir's own and 6 of the function", got)
	}
}

// probe asks with `weir health`, as a container's health check does.
func (w *weir) probe(t testing.TB, args ...string) outcome {
	t.Helper()
	return run(t, nil, append([]string{"health", "--metrics-listen=" + w.metrics}, args...)...)
}

func (w *weir) mustProbe(t testing.TB, args []string, code int, says string) {
	t.Helper()
	if got := w.probe(t, args...); got != (outcome{says, "", code}) {
		t.Errorf("weir health %v: %+v, want code %d and %q", args, got, code, says)
	}
}
