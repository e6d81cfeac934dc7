package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a Watcher that runs in a bubble of synctest, on real files and a
// false clock, and what it did.
type watched struct {
	t       *testing.T
	path    string
	watcher *Watcher

	mu      sync.Mutex // the passing of false time orders nothing
	refuse  error      // what apply returns
	applied []*Loaded
	reloads []Reload
}

// watch runs test with a watcher on a file of that content.
func watch(t *testing.T, content string, test func(*watched)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	write(t, path, content)
	watchSource(t, Source{File: path}, test)
}

func watchSource(t *testing.T, src Source, test func(*watched)) {
	t.Helper()
	loaded := mustLoad(t, src)
	synctest.Test(t, func(t *testing.T) {
		w := &watched{t: t, path: loaded.File}
		w.watcher = NewWatcher(loaded, 0, func(l *Loaded) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.refuse != nil {
				return w.refuse
			}
			w.applied = append(w.applied, l)
			return nil
		}, func(r Reload) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reloads = append(w.reloads, r)
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.watcher.Run(ctx); close(done) }()
		test(w)
		stop()
		<-done
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *watched) write(content string) { w.t.Helper(); write(w.t, w.path, content) }

// polls lets the watcher look n times.
func (w *watched) polls(n int) {
	for range n {
		time.Sleep(DefaultWatchInterval) // of the bubble's clock
		synctest.Wait()
	}
}

func (w *watched) triggered() {
	w.watcher.Trigger()
	synctest.Wait()
}

// expect checks what has happened since it was called last: the limits applied,
// and for each report its error, "" for success.
func (w *watched) expect(what string, applied []int, reports ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var limits []int
	for _, l := range w.applied {
		limits = append(limits, l.Config.Limits.MaxInflight)
	}
	var got []string
	for _, r := range w.reloads {
		text := ""
		if r.Err != nil {
			text = strings.ReplaceAll(r.Err.Error(), w.path, "weir.yaml")
		}
		got = append(got, text)
	}
	if !slices.Equal(limits, applied) || !slices.Equal(got, reports) {
		w.t.Errorf("%s: limits %v applied, want %v; reported %q, want %q", what, limits, applied, got, reports)
	}
	w.applied, w.reloads = nil, nil
}

func (w *watched) applyReturns(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = err
}

// seen gives what has happened since expect was called last.
func (w *watched) seen() ([]*Loaded, []Reload) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied, w.reloads
}

const limit = "limits:\n  max_inflight: "

func TestWatchInPlace(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		w.polls(5)
		w.expect("no change", nil)
		w.write(limit + "20")
		w.polls(1)
		w.expect("seen once", nil)
		w.polls(1)
		if _, reloads := w.seen(); len(reloads) != 1 || !slices.Equal(reloads[0].Changes, []Change{
			{"limits.max_inflight", "10", "20"}, {"limits.queue_depth", "100", "200"},
		}) || reloads[0].Triggered || !reloads[0].Time.Equal(time.Now()) {
			t.Errorf("reported %+v", reloads)
		}
		w.expect("settled", []int{20}, "")
		w.polls(10)
		w.expect("once only", nil)
		w.write(limit + "10")
		w.polls(2)
		w.expect("and back", []int{10}, "")
	})
}

// TestWatchHalfWritten finds the file cut off where it is valid YAML still.
func TestWatchHalfWritten(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		for _, part := range []string{"", limit + "3", limit + "30\n", limit + "300\nlog:\n  lev", limit + "300\nlog:\n  level: debug\n"} {
			w.write(part)
			w.polls(1)
			w.expect("while it is written", nil)
		}
		w.polls(1)
		w.expect("once it is whole", []int{300}, "")
	})
}

// TestWatchConfigMap swaps the symlink ..data as the kubelet does.
func TestWatchConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "weir.yaml"), content)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_1", limit+"10")
	link("..2026_1", "..data")
	link("..data/weir.yaml", "weir.yaml")
	watchSource(t, Source{File: filepath.Join(dir, "weir.yaml")}, func(w *watched) {
		for i, name := range []string{"..2026_2", "..2026_3"} {
			version(name, limit+[]string{"20", "30"}[i])
			link(name, "..data_tmp")
			if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
			w.polls(3)
			w.expect(name, []int{20 + 10*i}, "")
		}
		if err := os.RemoveAll(filepath.Join(dir, "..2026_3")); err != nil {
			t.Fatal(err)
		}
		w.polls(3)
		w.expect("a dangling symlink", nil, "config: weir.yaml: cannot be read: no such file or directory")
	})
}

// TestWatchRename replaces the file as editors do, one of them by way of no file.
func TestWatchRename(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		write(t, w.path+".tmp", limit+"20")
		if err := os.Rename(w.path+".tmp", w.path); err != nil {
			t.Fatal(err)
		}
		w.polls(2)
		w.expect("renamed over", []int{20}, "")

		if err := os.Rename(w.path, w.path+"~"); err != nil {
			t.Fatal(err)
		}
		w.polls(1)
		w.write(limit + "30")
		w.polls(2)
		w.expect("gone for a moment", []int{30}, "")
	})
}

func TestWatchDeletion(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.polls(20)
		w.expect("deleted", nil, "config: weir.yaml: cannot be read: no such file or directory")
		w.triggered()
		w.expect("asked for", nil, "config: weir.yaml: cannot be read: no such file or directory")
		w.write(limit + "10")
		w.polls(2)
		w.expect("back again", nil, "")
		w.polls(2)
		w.expect("still there", nil)
	})
}

func TestWatchInvalidIsReportedOnce(t *testing.T) {
	const mistake = `config: limits.max_inflight: "ten" is not a number, "auto" or 0 (weir.yaml:2)`
	watch(t, limit+"10", func(w *watched) {
		w.write(limit + "ten")
		w.polls(20)
		w.expect("invalid", nil, mistake)
		w.triggered()
		if _, reloads := w.seen(); len(reloads) != 1 || !reloads[0].Triggered || len(reloads[0].Changes) != 0 {
			t.Errorf("reported %+v", reloads)
		}
		w.expect("asked for", nil, mistake)
		w.polls(5)
		w.expect("and silent again", nil)
		w.write("\n" + limit + "ten")
		w.polls(5)
		w.expect("invalid elsewhere", nil, strings.Replace(mistake, ":2", ":3", 1))
		w.write(limit + "10")
		w.polls(5)
		w.expect("as it was", nil, "")
		w.write(limit + "20")
		w.polls(5)
		w.expect("valid", []int{20}, "")
	})
}

func TestWatchRefusesWhatNeedsARestart(t *testing.T) {
	watch(t, "listen: :9000\n"+limit+"10", func(w *watched) {
		w.write(limit + "20\nupstream:\n  url: http://function\n")
		w.polls(10)
		w.expect("three changes", nil,
			`config: upstream.url: needs a restart to change from "http://127.0.0.1:3000" to "http://function:80" (weir.yaml:4)`+"\n"+
				`config: listen: needs a restart to change from ":9000" to ":8080", the default`)
		w.write("listen: 0.0.0.0:9000\n" + limit + "20")
		w.triggered()
		w.expect("asked for", nil, `config: listen: needs a restart to change from ":9000" to "0.0.0.0:9000" (weir.yaml:1)`)
		w.write("listen: :9000\n" + limit + "20")
		w.polls(2)
		w.expect("what can change", []int{20}, "")
	})
}

func TestWatchRefusedByApply(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		w.applyReturns(errors.New("not now"))
		w.write(limit + "20")
		w.polls(10)
		w.expect("refused", nil, "apply the configuration: not now")
		w.applyReturns(nil)
		w.polls(10)
		w.expect("not tried again by itself", nil)
		w.triggered()
		w.expect("asked for", []int{20}, "")
	})
}

// TestWatchTriesAgainWhatOtherFilesMadeInvalid mends a certificate, not the file.
func TestWatchTriesAgainWhatOtherFilesMadeInvalid(t *testing.T) {
	ec, _ := newKeys(t)
	id := newIdentity(t, ec)
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certificate, string(id.certificate))
	write(t, key, string(id.key))
	tls := "tls: {cert: " + certificate + ", key: " + key + "}\n"
	watch(t, tls+limit+"10", func(w *watched) {
		write(t, certificate, "")
		w.write(tls + limit + "20")
		w.polls(10)
		w.expect("certificate cut off", nil, "config: tls.cert: "+certificate+" cannot be used: it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----) (weir.yaml:1)")
		write(t, certificate, string(id.certificate))
		w.polls(1)
		w.expect("certificate whole", []int{20}, "")
		w.polls(5)
		w.expect("and silent", nil)
	})
}

func TestWatchTrigger(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		w.triggered()
		w.expect("nothing new", nil, "")
		w.write(limit + "20")
		w.triggered()
		w.expect("without waiting", []int{20}, "")
		w.polls(5)
		w.expect("not a second time", nil)
		w.write("# another comment\n" + limit + "20")
		w.polls(2)
		w.expect("the same in other words", nil, "")
	})
}

func TestWatchWithoutFile(t *testing.T) {
	watchSource(t, Source{Environ: []string{"WEIR_MAX_INFLIGHT=7"}}, func(w *watched) {
		w.polls(3)
		w.triggered()
		w.expect("nothing to read", nil, "")
	})
}

func TestWatchTriggersAreOneWhilePending(t *testing.T) {
	loaded := mustLoad(t, Source{})
	reports := 0
	ctx, stop := context.WithCancel(t.Context())
	w := NewWatcher(loaded, time.Hour, func(*Loaded) error { return nil }, func(Reload) {
		reports++
		stop()
	})
	w.Trigger()
	w.Trigger()
	w.Trigger()
	w.Run(ctx)
	if reports != 1 {
		t.Errorf("%d reports", reports)
	}
	w.Run(ctx) // of a context that is done: returns at once
}

func TestWatchWithoutReport(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	path := writeFile(t, limit+"10")
	w := NewWatcher(mustLoad(t, Source{File: path}), time.Hour, func(*Loaded) error { stop(); return nil }, nil)
	write(t, path, limit+"20")
	w.Trigger()
	w.Run(ctx)
}

// TestWatchChangeBeforeRun changes the file between Load and Run.
func TestWatchChangeBeforeRun(t *testing.T) {
	path := writeFile(t, limit+"10")
	loaded := mustLoad(t, Source{File: path})
	write(t, path, limit+"20")
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var applied []int
		w := NewWatcher(loaded, time.Minute, func(l *Loaded) error {
			applied = append(applied, l.Config.Limits.MaxInflight)
			return nil
		}, func(Reload) { stop() })
		start := time.Now()
		w.Run(ctx)
		if !slices.Equal(applied, []int{20}) || time.Since(start) != 2*time.Minute {
			t.Errorf("applied %v after %v", applied, time.Since(start))
		}
	})
}

// TestWatchKeepsFlagsAndEnvironment changes what they override.
func TestWatchKeepsFlagsAndEnvironment(t *testing.T) {
	path := writeFile(t, limit+"10\n  overflow: reject\n")
	src := Source{Environ: []string{"WEIR_CONFIG=" + path, "WEIR_OVERFLOW=wait"}, Flags: parseFlags(t, "--log-level=warn"), Command: []string{"node"}}
	watchSource(t, src, func(w *watched) {
		w.write(limit + "20\n  overflow: reject\nlog: {level: debug, access: all}\nroutes: [{path: /a}]\n")
		w.polls(2)
		applied, reloads := w.seen()
		if len(applied) != 1 {
			t.Fatalf("applied %v, reported %+v", applied, reloads)
		}
		c := applied[0].Config
		if c.Limits.MaxInflight != 20 || c.Limits.Overflow != OverflowWait || c.Log.Level != "warn" || c.Log.Access != "all" || !slices.Equal(c.Command, []string{"node"}) {
			t.Errorf("applied %+v", c)
		}
		if got := reloads[0].Changes[len(reloads[0].Changes)-1]; got != (Change{Key: "routes"}) {
			t.Errorf("the last change is %+v", got)
		}
	})
}

// setTime sets the time of change of a file.
func setTime(t *testing.T, path string, to time.Time) {
	t.Helper()
	if err := os.Chtimes(path, to, to); err != nil {
		t.Fatal(err)
	}
}

// longAgo has settled: the clock of a bubble starts in 2000.
var longAgo = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

// TestWatchIsCheap shows that a file of the same inode, size and time is not
// read again, and that Trigger reads it nevertheless.
func TestWatchIsCheap(t *testing.T) {
	path := writeFile(t, limit+"10")
	setTime(t, path, longAgo)
	watchSource(t, Source{File: path}, func(w *watched) {
		w.polls(1) // reads it once, to have something to compare with
		w.write(limit + "20")
		setTime(t, path, longAgo)
		w.polls(10)
		w.expect("looks the same", nil)
		w.triggered()
		w.expect("asked for", []int{20}, "")
	})
}

// TestWatchSeesAChangeWithinOneTick changes the file twice within one step of
// the file system's clock, the second time after it was read.
func TestWatchSeesAChangeWithinOneTick(t *testing.T) {
	watch(t, limit+"10", func(w *watched) {
		tick := time.Now().Add(time.Second)
		setTime(t, w.path, tick)
		w.polls(1)
		w.write(limit + "20")
		setTime(t, w.path, tick)
		w.polls(2)
		w.expect("in the same tick", []int{20}, "")
	})
}

// TestWatchRenameOfAnOldFile puts a file in place that was written long before.
func TestWatchRenameOfAnOldFile(t *testing.T) {
	path := writeFile(t, limit+"10")
	setTime(t, path, longAgo)
	watchSource(t, Source{File: path}, func(w *watched) {
		w.polls(2)
		write(t, path+".old", limit+"20")
		setTime(t, path+".old", longAgo)
		if err := os.Rename(path+".old", path); err != nil {
			t.Fatal(err)
		}
		w.polls(2)
		w.expect("renamed over", []int{20}, "")
	})
}
