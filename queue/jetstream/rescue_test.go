package jetstream

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/queue"
)

// enqueueSome commits n calls, one after the other, and returns their ids.
func enqueueSome(t *testing.T, s *Store, n int) map[queue.ID]bool {
	t.Helper()
	ids := map[queue.ID]bool{}
	for range n {
		now := time.Now()
		c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: []byte("x"), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
		if err := s.Commit(t.Context(), &queue.Change{Entry: c, Ticket: 1}); err != nil {
			t.Fatal(err)
		}
		ids[c.ID] = true
	}
	return ids
}

// fetchSoon is how long a server may take to offer what it has acknowledged.
const fetchSoon = 10 * time.Second

// fetchOne fetches an entry that waits.
func fetchOne(t *testing.T, s *Store) *queue.Entry {
	t.Helper()
	for deadline := time.Now().Add(fetchSoon); ; {
		e, err := s.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing waits")
		}
		<-time.After(time.Millisecond)
	}
}

// fetchAll fetches what waits and returns which calls they are: those of want, unless they
// do not come soon.
func fetchAll(t *testing.T, s *Store, want ...map[queue.ID]bool) map[queue.ID]bool {
	t.Helper()
	ids, left := map[queue.ID]bool{}, map[queue.ID]bool{}
	for _, some := range want {
		maps.Copy(left, some)
	}
	for deadline := time.Now().Add(fetchSoon); ; {
		e, err := s.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			ids[e.Call.ID] = true
			delete(left, e.Call.ID)
			continue
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return ids
		}
		<-time.After(time.Millisecond)
	}
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// lack fails the test if calls are missing.
func lack(t *testing.T, got, want map[queue.ID]bool) {
	t.Helper()
	n := 0
	for id := range want {
		if !got[id] {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%d of %d accepted calls are not there any more", n, len(want))
	}
}

// A server that cannot read what is stored as it starts removes it. weir does not let
// that happen, and does not go on without.
func TestWhatCannotBeReadAtAStartIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		// spoil makes a stream unreadable, until the returned function is called.
		spoil  func(t *testing.T, stream string) (mend func())
		opened bool // nevertheless
	}{
		"a block": {spoil: func(t *testing.T, stream string) func() {
			path := filepath.Join(stream, "msgs", "9.blk")
			if err := errors.Join(os.RemoveAll(filepath.Join(stream, "msgs", "index.db")), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
		}},
		"the stream's settings": {opened: true, spoil: func(t *testing.T, stream string) func() {
			if err := os.WriteFile(filepath.Join(stream, "meta.sum"), []byte("0"), 0o600); err != nil {
				t.Fatal(err)
			}
			return func() {}
		}},
		"a start that was cut off": {opened: true, spoil: func(t *testing.T, stream string) func() {
			// As by a server that was removing it.
			place, _, _ := strings.Cut(stream, "/jetstream/")
			r := rescueOf(place, place)
			if err := errors.Join(r.keep(), os.Remove(filepath.Join(stream, "meta.inf")), os.Remove(filepath.Join(stream, "msgs", "1.blk"))); err != nil {
				t.Fatal(err)
			}
			return func() {}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "calls")
			o := testOptions(t, "f", dir)
			s := mustOpen(t, o)
			want := enqueueSome(t, s, 5)
			mustClose(t, s)
			for range 2 {
				mend := c.spoil(t, filepath.Join(dir, "jetstream", "$G", "streams", "weir-f"))
				if c.opened {
					break
				}
				if text := openError(t, o); !strings.Contains(text, "could not read the stream weir-f, the log says why; what is stored was kept") {
					t.Errorf("got %s", text)
				}
				mend()
			}
			s = mustOpen(t, o)
			defer mustClose(t, s)
			lack(t, fetchAll(t, s, want), want)
			if _, err := os.Stat(filepath.Join(dir, rescueDir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something is left of the start: %v", err)
			}
		})
	}
}

// Where another directory takes the place of the store's the store goes there: what it
// wrote elsewhere nobody would find. Without one it accepts nothing.
func TestADirectoryThatIsReplaced(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "calls")
	o := testOptions(t, "f", dir)
	s := mustOpen(t, o)
	waiting := enqueueSome(t, s, 3)
	mustClose(t, s)
	if err := os.Rename(dir, dir+"-next"); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	elsewhere := enqueueSome(t, s, 2)
	if err := os.Rename(dir, dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	await := func(what string, so func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !so(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within a minute; up: %v", what, s.Up())
			}
		}
	}
	await("the store notices", func() bool { return s.Up() != nil })
	if err := s.Up(); !errors.Is(err, queue.ErrUnavailable) || !errors.Is(err, errNotThere) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written where the directory was: %v", err)
	}
	if err := os.Rename(dir+"-next", dir); err != nil {
		t.Fatal(err)
	}
	await("it goes on with the other", func() bool { return s.Up() == nil })
	for id := range enqueueSome(t, s, 2) {
		waiting[id] = true
	}
	got := fetchAll(t, s, waiting)
	lack(t, got, waiting)
	for id := range elsewhere {
		if got[id] {
			t.Error("a call came that was stored elsewhere")
		}
	}
}

// What is known of a bundle is not taken for known of another one, which has its place in
// another stream.
func TestABundleIsNotTakenForAnother(t *testing.T) {
	t.Parallel()
	bundleOf := func(s *Store) map[queue.ID]bool {
		var writes []*write
		ids := map[queue.ID]bool{}
		for range 2 {
			now := time.Now()
			c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
			w := spareWrites.Get().(*write)
			if !s.bundled(&queue.Change{Entry: c, Ticket: 1}, w) {
				t.Fatal("it goes by itself")
			}
			writes, ids[c.ID] = append(writes, w), true
		}
		s.commitCalls(writes)
		for _, w := range writes {
			if <-w.done; w.err != nil {
				t.Fatal(w.err)
			}
		}
		return ids
	}
	dir := filepath.Join(t.TempDir(), "calls")
	o := testOptions(t, "f", dir)
	o.HoldTime = time.Minute // so that progress is not written
	s := mustOpen(t, o)
	want := bundleOf(s)
	mustClose(t, s)
	if err := os.Rename(dir, dir+"-next"); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	bundleOf(s)
	if err := fetchOne(t, s).Done(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(dir, dir+"-gone"), os.Rename(dir+"-next", dir)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := s.Record(ctx, firstOf(want))
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	lack(t, fetchAll(t, s, want), want)
}

func firstOf(ids map[queue.ID]bool) queue.ID {
	for id := range ids {
		return id
	}
	return ""
}
