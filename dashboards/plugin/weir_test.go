package plugin

import (
	"bufio"
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
)

// function is what a weir stands in front of: /hold answers once it is let go, /fail
// with 500 until it is mended, everything else at once.
type function struct {
	*httptest.Server
	mu      sync.Mutex
	letGo   chan struct{}
	mended  bool
	entered chan struct{} // one for each /hold
}

func newFunction(t testing.TB) *function {
	f := &function{letGo: make(chan struct{}), entered: make(chan struct{}, 100)}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hold":
			f.entered <- struct{}{}
			select {
			case <-f.letGo:
			case <-r.Context().Done():
			}
		case "/fail":
			f.mu.Lock()
			defer f.mu.Unlock()
			if !f.mended {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
	}))
	t.Cleanup(f.Close)
	return f
}

// release lets all go that are held, now and later.
func (f *function) release() { close(f.letGo) }

func (f *function) mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mended = true
}

const token = "a-token-of-the-tests"

// weir is a running `weir run` with a limit of two and a queue.
type weir struct {
	data, admin string // addresses
	cmd         *exec.Cmd
	exited      chan struct{}
}

var listening = regexp.MustCompile(`msg=listening .*port=(data|admin) addr=(\S+)|msg=listening .*addr=(\S+) port=(data|admin)`)

func startWeir(t testing.TB, f *function, args ...string) *weir {
	t.Helper()
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &weir{exited: make(chan struct{}), cmd: exec.Command(program(t, "weir"), append([]string{
		"run", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--admin-token-file=" + tokenFile,
		"--upstream=" + f.URL, "--function=checkout", "--max-inflight=2",
		"--async", "--async-dir=" + t.TempDir(), "--async-any-filesystem", "--async-attempts=1", "--async-backoff=1ms",
	}, args...)...)}
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan [2]string, 8)
	var log strings.Builder
	go func() {
		defer close(w.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- [2]string{m[1] + m[4], m[2] + m[3]}
			}
		}
		_ = w.cmd.Wait()
	}()
	t.Cleanup(func() {
		w.stop(t)
		if t.Failed() {
			t.Logf("weir said:\n%s", log.String())
		}
	})
	for w.data == "" || w.admin == "" {
		select {
		case port := <-found:
			if port[0] == "data" {
				w.data = "http://" + port[1]
			} else {
				w.admin = "http://" + port[1]
			}
		case <-w.exited:
			t.Fatalf("weir ended:\n%s", log.String())
		case <-time.After(patience):
			t.Fatal("weir does not listen")
		}
	}
	return w
}

// stop ends it in order.
func (w *weir) stop(t testing.TB) {
	_ = w.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-w.exited:
	case <-time.After(patience):
		_ = w.cmd.Process.Kill()
		t.Error("weir did not end")
	}
}

// ask sends a request to the function, through weir.
func (w *weir) ask(t testing.TB, path string, fields ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.data+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res
}

// hold sends a request that runs until the function lets go; what it gives is closed
// once the answer is there.
func (w *weir) hold(t testing.TB, f *function, fields ...string) <-chan struct{} {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.data+"/hold?secret=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
	}()
	select {
	case <-f.entered:
	case <-time.After(patience):
		t.Fatal("the function is not called")
	}
	return ended
}

// later has a request run later, and gives the id of the call.
func (w *weir) later(t testing.TB, path string, fields ...string) string {
	t.Helper()
	res := w.ask(t, path, append([]string{"Prefer", "respond-async"}, fields...)...)
	id := res.Header.Get("X-Call-Id")
	if res.StatusCode != http.StatusAccepted || id == "" {
		t.Fatalf("not accepted: %s", res.Status)
	}
	return id
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not seen: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
