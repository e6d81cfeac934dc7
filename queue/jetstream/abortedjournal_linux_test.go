package jetstream

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/faults"
	"weir/queue"
)

// As a file system fails fsync may report success for what its journal, that was just
// aborted, has not written. What was accepted at that moment is there nevertheless.
func TestWhatIsAcceptedAsADiskFailsIsThere(t *testing.T) {
	rounds := 4
	if os.Getenv("QUEUE_PROOFS") != "" { // set by make queue-proofs
		rounds = 100
	}
	var accepted, late, lost atomic.Int64
	t.Run("disks", func(t *testing.T) {
		for name, fail := range map[string]func(*faults.Disk, testing.TB){
			"its power is cut": (*faults.Disk).CutPower, "it meets an error": (*faults.Disk).Break,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				disk := faults.NewDisk(t, 64<<20)
				for range rounds / 2 {
					failing(t, disk, fail, &accepted, &late, &lost)
				}
			})
		}
	})
	t.Logf("%d calls accepted in %d rounds, %d of them once the disk was about to fail: %d lost", accepted.Load(), rounds, late.Load(), lost.Load())
	if lost.Load() > 0 {
		t.Error("accepted calls were lost")
	}
}

// failing lets a disk fail while calls are being accepted, and counts those that are not
// there on the disk that takes its place.
func failing(t *testing.T, disk *faults.Disk, fail func(*faults.Disk, testing.TB), accepted, late, lost *atomic.Int64) {
	o := testOptions(t, "f", filepath.Join(disk.Dir, "calls"))
	o.WriteTimeout = 300 * time.Millisecond
	o.Log = slog.New(slog.DiscardHandler)
	s := mustOpen(t, o)
	var (
		mu    sync.Mutex
		want  = map[queue.ID]bool{}
		group sync.WaitGroup
		cut   atomic.Bool
	)
	for range 8 {
		group.Go(func() {
			for {
				now := time.Now()
				c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: make([]byte, 20_000), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
				if err := s.Commit(context.Background(), &queue.Change{Entry: c, Ticket: 1}); err != nil {
					return
				}
				if cut.Load() {
					late.Add(1)
				}
				mu.Lock()
				want[c.ID] = true
				mu.Unlock()
			}
		})
	}
	<-time.After(rand.N(50 * time.Millisecond)) // at any moment
	cut.Store(true)
	fail(disk, t)
	group.Wait()
	_ = s.Close() // what it cannot write any more
	disk.Replace(t)
	o.Log = testLog(t)
	s = mustOpen(t, o)
	got := fetchAll(t, s, want)
	for id := range want {
		if !got[id] {
			lost.Add(1)
		}
	}
	accepted.Add(int64(len(want)))
	if err := s.session.Load().stream.Purge(t.Context()); err != nil { // the next round begins anew
		t.Error(err)
	}
	mustClose(t, s)
}
