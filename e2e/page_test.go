package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// browserScript is one of the scripts in browser/, at work.
type browserScript struct {
	cmd    *exec.Cmd
	stdin  *bufio.Writer
	lines  chan string // of its standard output
	stderr bytes.Buffer
	name   string
}

// inBrowser starts a script with its arguments. Where there is no browser the
// test is skipped, and says what is missing.
func inBrowser(t *testing.T, name string, arguments map[string]any) *browserScript {
	t.Helper()
	return inBrowserFor(t, 5*patience, name, arguments)
}

// inBrowserFor does the same for a script that may take long.
func inBrowserFor(t *testing.T, long time.Duration, name string, arguments map[string]any) *browserScript {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: make test-page installs it")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: make test-page installs it")
	}
	if _, err := os.Stat("browser/node_modules/playwright-core"); err != nil {
		t.Skip("playwright-core is not installed: make test-page installs it")
	}
	argument, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	s := &browserScript{cmd: exec.Command(node, name, string(argument)), lines: make(chan string, 1000), name: name}
	s.cmd.Dir = "browser"
	s.cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	s.cmd.Stderr = &s.stderr
	s.cmd.SysProcAttr = endsWithTests()
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = bufio.NewWriter(stdin)
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(long, func() { _ = s.cmd.Process.Kill() }) // told by wait
	t.Cleanup(func() { late.Stop() })
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	return s
}

// wait waits for the script's end, which is to be a good one, and logs what it
// says.
func (s *browserScript) wait(t *testing.T) {
	t.Helper()
	for line := range s.lines {
		t.Logf("%s: %s", s.name, line)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", s.name, err, s.stderr.String())
	}
}

// TestPageShowsTheTrueFigures compares the page with /metrics: after a load, with
// some requests running, some waiting and some refused.
func TestPageShowsTheTrueFigures(t *testing.T) {
	t.Parallel()
	const running, waiting, refused = 3, 2, 5
	f := newHolding(t)
	defer f.letGo()
	w := start(t, "--upstream="+f.url(), fmt.Sprintf("--max-inflight=%d", running), "--overflow=wait", fmt.Sprintf("--queue-depth=%d", waiting), "--queue-timeout=1h", "--timeout=0")
	w.awaitReady(t)
	c := newClients(t)
	load := c.keep(t, 2*(running+waiting), func(int, int) string { return "http://" + w.data + "/quick?for=5ms" }, func(status int) time.Duration {
		if status == http.StatusTooManyRequests {
			return 20 * time.Millisecond
		}
		return 0
	})
	eventually(t, "a load", func() (bool, string) { n := c.answered(200).now(); return n > 500, fmt.Sprint(n) })
	load.stop()
	client := manners(t)["kept alive"]
	for n := range running + waiting {
		go hold(client, w.data, "/held/<b>%3Cscript%3E?token=secret")
		eventually(t, "it is inside", func() (bool, string) {
			got := newOperator(t, w).must("GET", "/v1/state", "")
			inside := got["inflight"].(float64) + got["waiting"].(float64)
			return int(inside) == n+1, fmt.Sprint(inside)
		})
	}
	for range refused {
		if a := fetch(client, "GET", "http://"+w.data+"/", nil); a.status != http.StatusTooManyRequests {
			t.Errorf("over the queue's depth: %v", a)
		}
	}
	pictures := os.Getenv("PAGE_PICTURES")
	inBrowser(t, "figures.mjs", map[string]any{
		"base": "http://" + w.admin(t) + "/", "metricsAddress": w.metrics, "pictures": pictures, "running": running, "waiting": waiting,
	}).wait(t)
}

// hold sends a request with a target as it is given, and waits for its end.
func hold(c *http.Client, addr, target string) {
	r, err := http.NewRequest("GET", "http://"+addr, nil)
	if err != nil {
		return // told by who waits for it to be inside
	}
	r.URL.Opaque = target
	if res, err := c.Do(r); err == nil {
		_ = res.Body.Close()
	}
}

func TestPageOperatesWeir(t *testing.T) {
	t.Parallel()
	const token = "token-of-the-page-tests"
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, token)
	f := newHolding(t)
	admin := freePort(t)
	metrics := freePort(t)
	begin := func() *weir {
		// Of two flags of one name the last one counts.
		w := start(t, "--upstream="+f.url(), "--max-inflight=5", "--admin-token-file="+file, "--admin-listen="+admin, "--metrics-listen="+metrics)
		w.awaitReady(t)
		return w
	}
	w := begin()
	s := inBrowser(t, "operate.mjs", map[string]any{"base": "http://" + admin + "/", "metricsAddress": w.metrics, "token": token, "limit": 5})
	for line := range s.lines {
		if strings.TrimSpace(line) != "restart" {
			t.Logf("operate.mjs: %s", line)
			continue
		}
		w.signal(t, syscall.SIGTERM)
		if code := w.wait(t); code != 0 {
			t.Errorf("weir ended with code %d while the page looked at it", code)
		}
		w = begin()
		if _, err := s.stdin.WriteString("done\n"); err != nil {
			t.Fatal(err)
		}
		if err := s.stdin.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.wait(t)
	if strings.Contains(w.log.String(), token) {
		t.Error("the log holds the token")
	}
}

// TestPageRedrivesDeadLetters has dead letters, a call that runs, some that wait, and
// one for later.
func TestPageRedrivesDeadLetters(t *testing.T) {
	t.Parallel()
	const token, dead = "token-of-the-page-tests", 3
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, token)
	var healthy atomic.Bool
	hold := make(chan struct{})
	f := newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Hold") != "":
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		case !healthy.Load():
			http.Error(w, "not today", http.StatusServiceUnavailable)
		}
	}))
	letGo := sync.OnceFunc(func() { close(hold) })
	defer letGo()
	w := start(t, "--upstream="+f.url(), "--max-inflight=1", "--async", "--async-dir="+t.TempDir(), "--async-any-filesystem", "--async-attempts=2", "--async-backoff=1ms", "--admin-token-file="+file)
	w.awaitReady(t)
	call := func(target string, fields ...string) string {
		return accepted(t, ask(t, w, "POST", target, "x", append(fields, "Prefer", "respond-async")...))
	}
	var ids []string
	for n := range dead {
		ids = append(ids, call(fmt.Sprintf("/orders?n=%d&x=<b>", n)))
		w.awaitMetric(t, float64(n+1), "weir_dead_letters")
	}
	call("/later", "Weir-Delay", "1h")
	call("/held", "X-Hold", "1")
	w.awaitMetric(t, 1, "weir_async_running")
	call("/waits")
	call("/waits")
	w.awaitMetric(t, 3, "weir_async_depth")
	s := inBrowser(t, "letters.mjs", map[string]any{
		"base": "http://" + w.admin(t) + "/", "metricsAddress": w.metrics, "pictures": os.Getenv("PAGE_PICTURES"), "token": token, "dead": dead, "ids": ids,
	})
	for line := range s.lines {
		if strings.TrimSpace(line) != "heal" {
			t.Logf("letters.mjs: %s", line)
			continue
		}
		healthy.Store(true)
		letGo()
		if _, err := s.stdin.WriteString("done\n"); err != nil {
			t.Fatal(err)
		}
		if err := s.stdin.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.wait(t)
	w.awaitMetric(t, 3+dead, "weir_async_succeeded_total")
	w.awaitMetric(t, 0, "weir_dead_letters")
}

func TestPageStaysRightForAnHour(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, "--upstream="+f.url())
	w.awaitReady(t)
	inBrowser(t, "hour.mjs", map[string]any{"base": "http://" + w.admin(t)}).wait(t)
}

// TestPageSoak looks at the page for PAGE_SOAK, such as 60m, while weir is under
// load and refuses some of it. It is skipped where that is not asked for.
func TestPageSoak(t *testing.T) {
	long := os.Getenv("PAGE_SOAK")
	if long == "" {
		t.Skip("PAGE_SOAK is not set: make soak-page sets it")
	}
	d, err := time.ParseDuration(long)
	if err != nil || d < 2*time.Minute {
		t.Fatalf("PAGE_SOAK=%s: want a duration of two minutes or more: %v", long, err)
	}
	f := newHolding(t)
	w := start(t, "--upstream="+f.url(), "--max-inflight=3")
	w.awaitReady(t)
	c := newClients(t)
	// Sometimes up to five at once: one in some requests is refused.
	load := c.keep(t, 5, func(worker, n int) string {
		return fmt.Sprintf("http://%s/quick?for=%dms", w.data, 20+(n*7+worker*13)%60)
	}, func(int) time.Duration { return 60 * time.Millisecond })
	defer load.stop()
	inBrowserFor(t, d+5*patience, "soak.mjs", map[string]any{
		"base": "http://" + w.admin(t) + "/", "metricsAddress": w.metrics, "minutes": int(d.Minutes()),
	}).wait(t)
	load.stop()
	c.mustOnly(t, http.StatusOK, http.StatusTooManyRequests)
	if refused := c.answered(http.StatusTooManyRequests).now(); refused == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("%d requests were answered, %d refused", c.answered(http.StatusOK).now(), c.answered(http.StatusTooManyRequests).now())
}
