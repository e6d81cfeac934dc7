package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/faults"
)

// While the disk takes nothing, no call is answered with 202; requests that need no
// disk do not notice. Once it does again so are calls accepted, and those that were
// before have not been lost.
func TestADiskThatFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(t *testing.T, d *faults.Disk, w *weir) (heal func()){
		"full": func(t *testing.T, d *faults.Disk, _ *weir) func() { return d.Fill(t) },
		"fsync answers EIO": func(t *testing.T, _ *faults.Disk, w *weir) func() {
			return faults.Strace(t, w.pid, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-e", "signal=none", "-o", "/dev/null")
		},
		"writing answers ENOSPC": func(t *testing.T, _ *faults.Disk, w *weir) func() {
			return faults.Strace(t, w.pid, "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC", "-e", "signal=none", "-o", "/dev/null")
		},
		"lost, then replaced": func(t *testing.T, d *faults.Disk, _ *weir) func() {
			d.CutPower(t)
			return func() { d.Replace(t) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := faults.NewDisk(t, 64<<20)
			f := newAsyncFunction(t)
			w := startAsync(t, f, filepath.Join(disk.Dir, "calls"), "--async-attempts=0", "--async-backoff=1ms", "--async-backoff-max=100ms")
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			var group sync.WaitGroup
			// However the test ends they do.
			defer group.Wait()
			defer stop()

			synchronous := &traffic{w: w}
			group.Go(func() { synchronous.send(ctx, t, "GET", "/sync", "", nil) })
			calls := &traffic{w: w}
			for range 4 {
				group.Go(func() {
					calls.send(ctx, t, "POST", "/call", strings.Repeat("x", 20_000), map[string]string{"Prefer": "respond-async"})
				})
			}
			eventually(t, "calls are accepted", func() (bool, string) { return calls.count(202) >= 20, calls.String() })
			heal := fail(t, disk, w)
			eventually(t, "calls are refused", func() (bool, string) { return calls.count(503) >= 20, calls.String() })
			// From here on nothing is accepted until the disk takes it again.
			before, sinceFault := calls.count(202), synchronous.count(200)
			eventually(t, "more are refused", func() (bool, string) { return calls.count(503) >= 60, calls.String() })
			eventually(t, "synchronous requests go on", func() (bool, string) { return synchronous.count(200) > sinceFault+20, synchronous.String() })
			if n := calls.count(202) - before; n > 0 {
				t.Errorf("%d calls were accepted while the disk took nothing", n)
			}
			heal()
			healed := time.Now()
			eventually(t, "calls are accepted again", func() (bool, string) { return calls.count(202) > before, calls.String() })
			recovered := time.Since(healed)
			eventually(t, "and many of them", func() (bool, string) { return calls.count(202) > before+20, calls.String() })
			stop()
			group.Wait()

			want := calls.accepted()
			eventually(t, "every accepted call has run", func() (bool, string) {
				ran := map[string]bool{}
				for _, s := range f.seen() {
					ran[s.header.Get("X-Call-Id")] = true
				}
				var missing []string
				for _, id := range want {
					if !ran[id] {
						missing = append(missing, id)
					}
				}
				if len(missing) == 0 {
					return true, ""
				}
				// How one of them stands tells whether it is late or lost.
				return false, fmt.Sprintf("%d of %d have not, such as %s: %s", len(missing), len(want), missing[0], ask(t, w, "GET", "/_weir/calls/"+missing[0], "").body)
			})
			for _, id := range want {
				reaches(t, w, id, "succeeded")
			}
			settled := time.Since(healed)
			if others := calls.others(202, 503); len(others) > 0 {
				t.Errorf("calls were answered with %v", others)
			}
			if others := synchronous.others(200); len(others) > 0 {
				t.Errorf("synchronous requests were answered with %v", others)
			}
			t.Logf("%d accepted and all run, %d refused, the slowest of them after %v; accepted again after %v, all done after %v; %d synchronous requests, the slowest took %v",
				len(want), calls.count(503), calls.slowest(503), recovered.Round(time.Millisecond), settled.Round(time.Millisecond), synchronous.count(200), synchronous.slowest(200))
			if proofs() && (settled > 10*time.Second || calls.slowest(503) > 7*time.Second) {
				t.Error("that is too long")
			}
		})
	}
}

// traffic is one kind of requests, and what became of them.
type traffic struct {
	w       *weir
	mu      sync.Mutex
	answers map[int]int
	slow    map[int]time.Duration
	ids     []string
}

// send makes one request after another until ctx ends.
func (r *traffic) send(ctx context.Context, t *testing.T, method, path, body string, header map[string]string) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		req, err := http.NewRequest(method, "http://"+r.w.data+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		for name, value := range header {
			req.Header.Set(name, value)
		}
		began := time.Now()
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
			return
		}
		_ = res.Body.Close()
		r.note(res, time.Since(began))
		pause(ctx, 10*time.Millisecond)
	}
}

func (r *traffic) note(res *http.Response, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == nil {
		r.answers, r.slow = map[int]int{}, map[int]time.Duration{}
	}
	r.answers[res.StatusCode]++
	r.slow[res.StatusCode] = max(r.slow[res.StatusCode], took.Round(time.Millisecond))
	if res.StatusCode == http.StatusAccepted {
		r.ids = append(r.ids, res.Header.Get("X-Call-Id"))
	}
}

func (r *traffic) count(status int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers[status]
}

func (r *traffic) slowest(status int) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slow[status]
}

func (r *traffic) accepted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...)
}

// others are the answers of other statuses, and how many there were.
func (r *traffic) others(statuses ...int) map[int]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := map[int]int{}
	for status, n := range r.answers {
		m[status] = n
	}
	for _, s := range statuses {
		delete(m, s)
	}
	return m
}

func (r *traffic) String() string { return fmt.Sprintf("answers by status: %v", r.others()) }
