package natskv

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"weir/limits/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) *server.Server {
	t.Helper()
	return serveFrom(t, t.TempDir(), server.RANDOM_PORT)
}

func serveFrom(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stop(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

func stop(s *server.Server) { s.Shutdown(); s.WaitForShutdown() }

// A server that was set back to a copy of its store gives out revisions once more that
// it has given out. A write for one of those, read before, must not replace what is there
// under it now.
func TestARevisionFromBeforeTheServerWasSetBack(t *testing.T) {
	dir, older := t.TempDir(), t.TempDir()
	s := serveFrom(t, dir, server.RANDOM_PORT)
	port := s.Addr().(*net.TCPAddr).Port
	ctx := t.Context()
	open := func() lease.Store {
		c, err := Open(Options{URL: s.ClientURL(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c.Store("function", "f")
	}
	// write waits for the connection, and replaces whatever there is.
	write := func(on lease.Store, by string) uint64 {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			_, revision, err := on.Get(ctx)
			if err == nil {
				revision, err = on.Put(ctx, &lease.Record{Epoch: "e", Members: []lease.Member{{ID: by, Beat: 1, Slots: 3, Limit: 10, Lease: 5 * time.Second}}}, revision)
			}
			if err == nil {
				return revision
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	one, two := open(), open()
	write(one, "one")
	stop(s)
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s = serveFrom(t, dir, port)
	write(one, "one")
	lost, revision, err := one.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}

	stop(s)
	s = serveFrom(t, older, port)
	if got := write(two, "two"); got != revision {
		t.Fatalf("the revision is %d, before it was set back it was %d: this tests nothing", got, revision)
	}
	// Until the connection is there again it cannot be sent at all.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = one.Put(ctx, lost, revision); !errors.Is(err, ErrUnreachable) || time.Now().After(deadline) {
			break
		}
	}
	if !errors.Is(err, lease.ErrConflict) {
		t.Errorf("a write for a record that was lost: %v", err)
	}
	if r, _, err := one.Get(ctx); err != nil || r.Members[0].ID != "two" {
		t.Errorf("it has replaced the one that is there: %+v, %v", r, err)
	}
	write(one, "one")
}

func TestARecordIsChangedByCompareAndSet(t *testing.T) {
	s := serve(t)
	open := func() *Client {
		c, err := Open(Options{URL: s.ClientURL(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c := open()
	one, two := c.Store("function", "f.v1"), open().Store("function", "f.v1")
	ctx := t.Context()
	if r, rev, err := one.Get(ctx); r != nil || rev != 0 || err != nil {
		t.Fatalf("%+v %d %v", r, rev, err)
	}
	r := &lease.Record{Epoch: "e", Members: []lease.Member{{ID: "a", Beat: 1, Slots: 3, Limit: 10, Lease: 5 * time.Second}}}
	first, err := one.Put(ctx, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Put(ctx, r, 0); !errors.Is(err, lease.ErrConflict) {
		t.Errorf("a record that is there was made anew: %v", err)
	}
	got, rev, err := two.Get(ctx)
	if err != nil || rev != first || len(got.Members) != 1 || got.Members[0] != r.Members[0] {
		t.Fatalf("%+v %d %v", got, rev, err)
	}
	if _, err := two.Put(ctx, r, rev); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Put(ctx, r, first); !errors.Is(err, lease.ErrConflict) {
		t.Errorf("an older record was replaced: %v", err)
	}
	if r, _, err := c.Store("function", "other").Get(ctx); r != nil || err != nil {
		t.Errorf("another limit has %+v, %v", r, err)
	}

	// Somebody else's entry is an error, and stays.
	kv, err := c.bucket(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(ctx, "function/f.v1", "hello"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := one.Get(ctx); !errors.Is(err, lease.ErrRecord) {
		t.Errorf("read: %v", err)
	}

	// A bucket that is gone is made anew.
	if err := c.js.DeleteKeyValue(ctx, Bucket); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		r, rev, err := one.Get(ctx)
		if err == nil && r == nil && rev == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v %d %v", r, rev, err)
		}
	}
	if _, err := one.Put(ctx, r, 0); err != nil {
		t.Error(err)
	}
}
