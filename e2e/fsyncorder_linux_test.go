package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"weir/faults"
)

// A 202 leaves only once the fsync of its own call has returned: seen from outside, in
// the system calls of the binary, call by call.
func TestA202FollowsTheFsyncOfItsCall(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		dir := t.TempDir()
		w := startAsync(t, f, filepath.Join(dir, "calls"), engine)
		output := filepath.Join(dir, "trace")
		detach := faults.Strace(t, w.pid, "-y", "-xx", "-s", "16777216", "-o", output, "-e", "signal=none",
			"-e", "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,sync_file_range")
		var ids []string
		one := func(i int, header ...string) string {
			return accepted(t, ask(t, w, "POST", "/", fmt.Sprint("body ", i), append(header, "Prefer", "respond-async")...))
		}
		for i := range 3 { // by themselves
			ids = append(ids, one(i))
		}
		ids = append(ids, one(3, "Weir-Delay", "1h"))
		// And so many at once that they share batches.
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 24 {
			group.Go(func() {
				client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for range 4 {
					req, err := http.NewRequest(http.MethodPost, "http://"+w.data+"/", strings.NewReader("one of many"))
					if err != nil {
						t.Error(err)
						return
					}
					req.Header.Set("Prefer", "respond-async")
					res, err := client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_ = res.Body.Close()
					if res.StatusCode != http.StatusAccepted {
						t.Errorf("got %d", res.StatusCode)
						return
					}
					mu.Lock()
					ids = append(ids, res.Header.Get("X-Call-Id"))
					mu.Unlock()
				}
			})
		}
		group.Wait()
		detach()
		text, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		trace := parseTrace(strings.Split(string(text), "\n"))
		store := filepath.Join(dir, "calls", "jetstream", "$G", "streams", "weir-fn", "msgs") + "/"
		for _, id := range ids {
			if err := fsyncedFirst(trace, store, id); err != nil {
				t.Error(err)
			}
		}
		fsyncs := 0
		for _, c := range trace {
			if c.name == "fsync" && strings.HasPrefix(c.file, store) {
				fsyncs++
			}
		}
		t.Logf("%d calls were on disk before their 202: %d system calls traced, %d fsyncs of the store", len(ids), len(trace), fsyncs)
	})
}
