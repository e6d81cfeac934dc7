package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/faults"
	"weir/queue"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(bodiesDir); dir != "" {
		fmt.Fprintln(os.Stderr, storeBodies(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := faults.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

func openError(t *testing.T, o Options) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Open(ctx, o)
	if err == nil {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		t.Fatal("it opened")
	}
	return err.Error()
}

func TestADirectoryIsForOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "calls")
	s := mustOpen(t, testOptions(t, "f", dir))
	if text := openError(t, testOptions(t, "f", dir)); !strings.Contains(text, "in use by another process") || !strings.Contains(text, dir) {
		t.Errorf("got %s", text)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, testOptions(t, "f", dir)).Close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

// A server that cannot start says why, and at once.
func TestADirectoryThatIsOfNoUseSaysWhy(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), []byte("no directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if text := openError(t, testOptions(t, "f", dir)); !strings.Contains(text, "did not start: Can't start JetStream: ") || !strings.Contains(text, dir) {
		t.Errorf("got %s", text)
	}
	if took := time.Since(began); took > startTimeout/2 {
		t.Errorf("that took %v", took)
	}
}

// A disk that was mounted anew is locked anew; a mount point without its disk is not
// written to.
func TestADirectoryIsLockedAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "calls")
	d, err := openDirectory(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.unlock() }()
	if err := d.renew(); err != nil {
		t.Errorf("the same directory: %v", err)
	}
	if err := os.Rename(dir, dir+"-gone"); err != nil {
		t.Fatal(err)
	}
	if err := d.renew(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "is not there any more") {
		t.Errorf("no directory: %v", err)
	}
	other, err := openDirectory(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.renew(); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("another's directory: %v", err)
	}
	if err := other.unlock(); err != nil {
		t.Fatal(err)
	}
	if err := d.renew(); err != nil {
		t.Errorf("another directory: %v", err)
	}
	if _, err := openDirectory(dir, true); err == nil {
		t.Error("it was not locked")
	}
}

func TestAFilesystemThatForgetsIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("file systems are told apart on Linux only")
	}
	dir, err := os.MkdirTemp("/dev/shm", "weir-test")
	if err != nil {
		t.Skipf("/dev/shm is not to be written to here: %v", err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if unsafeFilesystem(int(f.Fd())) != "tmpfs" {
		t.Skip("/dev/shm is no tmpfs here")
	}
	o := testOptions(t, "f", dir)
	o.AnyFilesystem = false
	if text := openError(t, o); !strings.Contains(text, "is on tmpfs: what is written there is gone after a reboot; use a local disk, or allow any file system") {
		t.Errorf("got %s", text)
	}
}

// A server that is too old says so in the first line of the protocol.
func TestAServerThatIsTooOldIsRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(`INFO {"server_id":"x","version":"2.9.10","proto":1,"headers":true,"jetstream":true,"max_payload":1048576}` + "\r\n"))
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			for range bytes.Count(b[:n], []byte("PING\r\n")) {
				_, _ = conn.Write([]byte("PONG\r\n"))
			}
		}
	}()
	o := testOptions(t, "f", "")
	o.URL = "nats://" + ln.Addr().String()
	if text := openError(t, o); !strings.Contains(text, "is version 2.9.10, without atomic batches and message schedules: weir needs 2.12 or later") {
		t.Errorf("got %s", text)
	}
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	o := testOptions(t, "f", "")
	o.URL = "nats://127.0.0.1:1"
	if text := openError(t, o); !strings.Contains(text, "connecting to nats://127.0.0.1:1: nats: no servers available") {
		t.Errorf("got %s", text)
	}
	o.URL = "nats://me:secret@127.0.0.1:1"
	if text := openError(t, o); strings.Contains(text, "secret") {
		t.Errorf("it tells the password: %s", text)
	}
}

func TestVersions(t *testing.T) {
	for v, want := range map[string]bool{"2.12.0": true, "v2.15.2": true, "3.0.1": true, "2.11.9": false, "1.99.0": false, "": false, "dev": false, "2.12.1-beta": true} {
		if atLeast(v, oldestServer) != want {
			t.Errorf("%q counts as new enough: %v", v, !want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"no function is named":              {Dir: "x"},
		"cannot be part of a subject":       {Function: "a b", Dir: "x"},
		"neither a directory nor a URL":     {Function: "f"},
		"at least 16777216":                 {Function: "f", Dir: "x", MaxBytes: 5},
		"3 replicas need an external":       {Function: "f", Dir: "x", Replicas: 3},
		"9 replicas; 1 to 5 are possible":   {Function: "f", Dir: "x", Replicas: 9},
		"making the directory for calls: m": {Function: "f", Dir: "/proc/none"},
	} {
		if text := openError(t, o); !strings.Contains(text, want) {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

func TestNamesDoNotCollide(t *testing.T) {
	seen := map[names]string{}
	for _, f := range []string{"a.b", "a_b", "a-b", "ab"} {
		n := namesOf(f)
		for other, name := range seen {
			if other.stream == n.stream || other.objects == n.objects || other.prefix == n.prefix {
				t.Errorf("%s and %s share %+v and %+v", f, name, n, other)
			}
		}
		seen[n] = f
	}
}

// A full store takes no new call, and can still settle those that it has.
func TestAFullStoreStillSettles(t *testing.T) {
	o := testOptions(t, "f", t.TempDir())
	o.MaxBytes = minBytes
	s := mustOpen(t, o)
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	body := bytes.Repeat([]byte("x"), 200<<10)
	var accepted []*queue.Call
	var err error
	for err == nil {
		if len(accepted) > 100 {
			t.Fatal("a store of 16 MiB took 20 MiB")
		}
		now := time.Now()
		c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: body, EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
		if err = s.Commit(ctx, &queue.Change{Entry: c, Ticket: 1}); err == nil {
			accepted = append(accepted, c)
		}
	}
	if !errors.Is(err, queue.ErrFull) {
		t.Fatalf("got %v", err)
	}
	if len(accepted) < 30 {
		t.Errorf("only %d calls of 200 KiB fit into the half of 16 MiB", len(accepted))
	}
	for i, c := range accepted {
		e, err := s.Fetch(ctx)
		if err != nil || e == nil || e.Call.ID != c.ID {
			t.Fatalf("entry %d: %+v, %v: what was accepted has been dropped", i, e, err)
		}
		r := &queue.Record{ID: c.ID, State: queue.Succeeded}
		if err := s.Commit(ctx, &queue.Change{Record: r, Response: &queue.Response{Status: 200, Body: []byte("done")}, Keep: time.Hour}); err != nil {
			t.Fatalf("settling number %d: %v", i, err)
		}
		if err := e.Done(); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		now := time.Now()
		c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
		if err = s.Commit(ctx, &queue.Change{Entry: c, Ticket: 1}); err == nil || now.After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("an emptied store takes nothing: %v", err)
	}
}

func TestBodiesWithoutACallAreSwept(t *testing.T) {
	s := mustOpen(t, testOptions(t, "f", t.TempDir()))
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	large := func() *queue.Call {
		now := time.Now()
		return &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: bytes.Repeat([]byte("x"), 2<<20), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	waiting, ended, dead, orphan := large(), large(), large(), large()
	for _, c := range []*queue.Call{waiting, ended, dead} {
		if err := s.Commit(ctx, &queue.Change{Entry: c, Ticket: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(ctx, &queue.Change{Record: &queue.Record{ID: ended.ID, State: queue.Succeeded}, Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	apart := *dead
	apart.BodySize = int64(len(dead.Body))
	if err := s.Commit(ctx, &queue.Change{
		Record: &queue.Record{ID: dead.ID, State: queue.Failed}, Dead: &queue.DeadLetter{Call: &apart}, Keep: time.Hour, KeepDead: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	// What is left behind where weir dies after the body and before the entry.
	if err := s.putBody(ctx, &queue.Change{Entry: orphan, Ticket: 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.sweepBodies(ctx, time.Hour); err != nil || n != 0 {
		t.Errorf("of young bodies %d were removed, %v", n, err)
	}
	if n, err := s.sweepBodies(ctx, 0); err != nil || n != 2 {
		t.Errorf("%d bodies were removed, %v; want those of what has ended and of the orphan", n, err)
	}
	for name, c := range map[string]*queue.Call{"waiting": waiting, "dead": dead} {
		if err := s.LoadBody(ctx, &queue.Call{ID: c.ID, BodySize: 2 << 20}); err != nil {
			t.Errorf("the body of the call that is %s: %v", name, err)
		}
	}
	for name, c := range map[string]*queue.Call{"ended": ended, "orphan": orphan} {
		if err := s.LoadBody(ctx, &queue.Call{ID: c.ID, BodySize: 2 << 20}); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("the body of the call that is %s: %v", name, err)
		}
	}
}

// A server that stops answering makes the outcome unknown, then the store
// unavailable; it recovers by itself.
func TestAStoreWhoseServerDiesRecovers(t *testing.T) {
	o := testOptions(t, "f", t.TempDir())
	o.WriteTimeout = time.Second
	s := mustOpen(t, o)
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	commit := func(body string) error {
		now := time.Now()
		return s.Commit(ctx, &queue.Change{Entry: &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: []byte(body), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}, Ticket: 1})
	}
	if err := commit("before"); err != nil {
		t.Fatal(err)
	}
	stopServer(s.session.Load().server)
	err := commit("meanwhile")
	if !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrUnknown) {
		t.Fatalf("with a dead server: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); s.Up() != nil; <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the store does not recover")
		}
	}
	if err := commit("after"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 3 {
		e, err := s.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if e != nil {
			seen[string(e.Call.Body)] = true
		}
	}
	if !seen["before"] || !seen["after"] || seen["meanwhile"] && errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("in the queue: %v", fmt.Sprint(seen))
	}
}
