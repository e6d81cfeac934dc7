package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitLines waits until weir has said it so many times.
func (w *weir) awaitLines(t testing.TB, n int, msg string, attrs ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d times %q %v in the log", n, msg, attrs), func() (bool, string) {
		got := w.log.count(msg, attrs...)
		return got >= n, fmt.Sprint(got)
	})
}

// Limits change under load, whichever way the file is changed, and nobody is
// dropped for it.
func TestReloadChangesLimitsLive(t *testing.T) {
	limits := func(n int) string {
		return "limits:\n  max_inflight: " + strconv.Itoa(n) + "\n  overflow: wait\n  queue_depth: 100\n  queue_timeout: 5m\n  queue_order: fifo\n"
	}
	for _, tt := range []struct {
		name string
		// place makes the file and returns its path and what changes it.
		place func(t *testing.T, content string) (path string, change func(w *weir, content string))
	}{
		{"by SIGHUP", func(t *testing.T, content string) (string, func(*weir, string)) {
			path := configFile(t, content)
			return path, func(w *weir, content string) {
				writeFile(t, path, content)
				w.signal(t, syscall.SIGHUP)
			}
		}},
		{"by a file written in place", func(t *testing.T, content string) (string, func(*weir, string)) {
			path := configFile(t, content)
			return path, func(_ *weir, content string) { writeFile(t, path, content) }
		}},
		{"by a file renamed over it", func(t *testing.T, content string) (string, func(*weir, string)) {
			path := configFile(t, content)
			return path, func(_ *weir, content string) {
				writeFile(t, path+".new", content)
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"by a ConfigMap's swap of symlinks", func(t *testing.T, content string) (string, func(*weir, string)) {
			mount := newMount(t, map[string]string{"weir.yaml": content})
			return filepath.Join(mount.dir, "weir.yaml"), func(_ *weir, content string) {
				mount.swap(t, map[string]string{"weir.yaml": content})
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFunction(t, http.HandlerFunc(takes))
			path, change := tt.place(t, limits(4))
			w := start(t, "--upstream="+f.url(), "--config="+path)
			w.awaitReady(t)
			w.awaitMetric(t, 4, "weir_inflight_limit")
			c := newClients(t)
			load := c.keep(t, 20, callFor(w, 10*time.Millisecond, 30*time.Millisecond), nil)
			atMost := func(limit int) {
				t.Helper()
				eventually(t, "calls", func() (bool, string) { return f.running.now() == limit, fmt.Sprint(f.running.now()) })
				from, calls := time.Now(), f.ended.now()
				eventually(t, "calls", func() (bool, string) { return f.ended.now() > calls+100, fmt.Sprint(f.ended.now()) })
				if high := f.running.highestSince(from); high != limit {
					t.Errorf("with a limit of %d the function saw %d at once", limit, high)
				}
			}
			atMost(4)
			for i, limit := range []int{12, 2, 7} {
				change(w, limits(limit))
				w.awaitLines(t, i+1, "setting changed", "key", "limits.max_inflight")
				w.awaitLines(t, i+1, "configuration taken over", "changes", "1")
				w.awaitMetric(t, float64(limit), "weir_inflight_limit")
				// Those above a lower limit finish first.
				eventually(t, "no more than the limit", func() (bool, string) {
					n := w.scrape(t).total(t, "weir_inflight_requests")
					return n <= float64(limit), fmt.Sprint(n)
				})
				atMost(limit)
			}
			load.stop()
			c.mustOnly(t, http.StatusOK)
			w.awaitQuiet(t)
			s := w.scrape(t)
			if n := s.total(t, "weir_throttles_total"); n != 0 {
				t.Errorf("%v requests were refused, though all might wait", n)
			}
			if got, want := s.total(t, "weir_requests_total"), c.answered(http.StatusOK).now(); got != float64(want) {
				t.Errorf("weir counted %v requests, the clients %d", got, want)
			}
		})
	}
}

// mount is a directory as the kubelet mounts a ConfigMap or a Secret: its files
// are symlinks into ..data, itself a symlink, which is swapped as one.
type mount struct {
	dir     string
	version int
}

func newMount(t testing.TB, files map[string]string) *mount {
	t.Helper()
	m := &mount{dir: t.TempDir()}
	m.swap(t, files)
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *mount) swap(t testing.TB, files map[string]string) {
	t.Helper()
	old := fmt.Sprintf("..v%d", m.version)
	m.version++
	dir := fmt.Sprintf("..v%d", m.version)
	if err := os.Mkdir(filepath.Join(m.dir, dir), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		writeFile(t, filepath.Join(m.dir, dir, name), content)
	}
	next := filepath.Join(m.dir, "..data_tmp")
	if err := os.Symlink(dir, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(m.dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(m.dir, old)); err != nil {
		t.Fatal(err)
	}
}

func TestABadFileLeavesTheOldOneRunning(t *testing.T) {
	t.Parallel()
	f := newFunction(t, http.HandlerFunc(takes))
	path := configFile(t, "limits:\n  max_inflight: 3\n")
	w := start(t, "--upstream="+f.url(), "--config="+path)
	w.awaitReady(t)
	c := newClients(t)
	load := c.keep(t, 3, callFor(w, 5*time.Millisecond), nil)
	const (
		outcome = "weir_config_last_reload_successful"
		when    = "weir_config_last_reload_success_timestamp_seconds"
		kept    = "configuration not taken over; the old one stays in force"
	)
	w.awaitMetric(t, 1, outcome)
	since := w.scrape(t).total(t, when)

	// A signal without a change is answered too.
	w.signal(t, syscall.SIGHUP)
	w.awaitLines(t, 1, "configuration taken over", "changes", "0")

	for i, tt := range []struct {
		name    string
		content string // "" removes the file
		says    string
	}{
		{"an unknown key", "limits:\n  max_inflight: 5\n  max_inflght: 5\n", "unknown key, did you mean limits.max_inflight? (" + path + ":3)"},
		{"an unreadable number", "limits:\n  max_inflight: many\n", `limits.max_inflight: "many" is not a number, "auto" or 0 (` + path + ":2)"},
		{"no YAML", "limits: [\n", path},
		{"what needs a restart", "limits:\n  max_inflight: 5\nfunction:\n  name: other\n", `function.name: needs a restart to change from "function" to "other" (` + path + ":4)"},
		{"no file", "", "no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.content == "" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, path, tt.content)
			}
			if i%2 == 0 {
				w.signal(t, syscall.SIGHUP)
			}
			eventually(t, "the reason in the log", func() (bool, string) {
				for _, line := range w.log.lines() {
					if line["msg"] == kept && strings.Contains(line["err"], tt.says) {
						return true, ""
					}
				}
				return false, w.log.String()
			})
			w.awaitMetric(t, 0, outcome)
			s := w.scrape(t)
			if limit := s.total(t, "weir_inflight_limit"); limit != 3 {
				t.Errorf("the limit is %v, want 3 as before", limit)
			}
		})
	}

	writeFile(t, path, "limits:\n  max_inflight: 4\n")
	w.awaitMetric(t, 4, "weir_inflight_limit")
	w.awaitMetric(t, 1, outcome)
	if now := w.scrape(t).total(t, when); now <= since {
		t.Errorf("the last success was at %v, want later than %v", now, since)
	}
	load.stop()
	c.mustOnly(t, http.StatusOK)
	if status := c.get(context.Background(), "http://"+w.data+"/?for=1ms"); status != http.StatusOK {
		t.Errorf("a request after all that: %d, want 200", status)
	}
}
