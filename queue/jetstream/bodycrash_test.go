package jetstream

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/queue"
)

// bodiesDir makes the test binary a process that stores calls with large bodies until it
// is killed, and notes those that it was told are stored.
const bodiesDir = "JETSTREAM_BODIES_DIR"

func bodyOfSize(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }

func storeBodies(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Function: "f", Dir: filepath.Join(dir, "store"), AnyFilesystem: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	acked, err := os.OpenFile(filepath.Join(dir, "acked"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for range 4 {
		go func() {
			for {
				now := time.Now()
				c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: bodyOfSize(1_000_000 + rand.N(1000)), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
				if err := s.Commit(ctx, &queue.Change{Entry: c, Ticket: 1}); err != nil {
					failed <- err
					return
				}
				if _, err := fmt.Fprintln(acked, c.ID, len(c.Body)); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// A weir that dies between a body and its call leaves behind a body, or a part of one,
// that nothing refers to: it is swept, and none that something refers to is.
func TestAKillLeavesNoBodyBehindForEver(t *testing.T) {
	dir := t.TempDir()
	const kills = 4
	for range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), bodiesDir+"="+dir)
		before := strings.Count(ledgerText(t, dir), "\n")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); strings.Count(ledgerText(t, dir), "\n") < before+5; <-time.After(time.Duration(1+rand.N(5)) * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Error("it stores nothing")
				break
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	o := testOptions(t, "f", filepath.Join(dir, "store"))
	o.MaxBytes = 0
	s := mustOpen(t, o)
	defer s.Close()
	removed, err := s.sweepBodies(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[queue.ID]int{}
	for line := range strings.Lines(ledgerText(t, dir)) {
		var id queue.ID
		var size int
		if _, err := fmt.Sscan(line, &id, &size); err != nil {
			t.Fatal(err)
		}
		want[id] = size
	}
	// A call may be stored whose process died before it noted that.
	calls := 0
	for e, err := s.Fetch(t.Context()); ; e, err = s.Fetch(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			break
		}
		calls++
		if err := s.LoadBody(t.Context(), e.Call); err != nil || !bytes.Equal(e.Call.Body, bodyOfSize(len(e.Call.Body))) {
			t.Errorf("the body of %s: %v", e.Call.ID, err)
		}
		if size, ok := want[e.Call.ID]; ok && size != len(e.Call.Body) {
			t.Errorf("the body of %s has %d bytes, not %d", e.Call.ID, len(e.Call.Body), size)
		}
		delete(want, e.Call.ID)
		if err := e.Done(); err != nil { // else it comes again once its hold has lapsed
			t.Fatal(err)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d acknowledged calls are lost", len(want))
	}
	stream, err := s.session.Load().js.Stream(t.Context(), "OBJ_"+s.names.objects)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("$O.>"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(info.State.Subjects); n != 2*calls {
		t.Errorf("%d bodies have %d subjects, one for each and one for its parts are needed", calls, n)
	}
	if removed == 0 {
		t.Error("no kill left a body behind: nothing was shown")
	}
	t.Logf("%d kills: %d calls stored, %d bodies or parts of them swept", kills, calls, removed)
}

func ledgerText(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "acked"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}
