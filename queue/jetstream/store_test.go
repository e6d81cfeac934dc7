package jetstream

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/faults"
	"weir/queue"
	"weir/queue/queuetest"
)

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// testOptions are for a server within the test. Its directory may be on any file
// system: these tests do not cut the power.
func testOptions(t *testing.T, function, dir string) Options {
	return Options{
		Function: function, Dir: dir, AnyFilesystem: true, MaxBytes: 256 << 20,
		HoldTime: time.Second, WriteTimeout: 20 * time.Second, Log: testLog(t),
	}
}

func mustOpen(t *testing.T, o Options) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEmbedded(t *testing.T) {
	root := t.TempDir()
	queuetest.Run(t, func(t *testing.T, function string) queue.Store {
		return mustOpen(t, testOptions(t, function, filepath.Join(root, function)))
	})
}

func TestExternal(t *testing.T) {
	url := faults.StartNATS(t, "").URL
	queuetest.Run(t, func(t *testing.T, function string) queue.Store {
		o := testOptions(t, function, "")
		o.URL = url
		return mustOpen(t, o)
	})
}

func TestCluster(t *testing.T) {
	url := faults.URLs(faults.StartCluster(t, 3))
	if os.Getenv("QUEUE_PROOFS") == "" { // set by make queue-proofs
		o := testOptions(t, "f", "")
		o.URL, o.Replicas = url, 3
		roundTrip(t, o)
		t.Skip("the rest of the suite waits for three servers each time; make queue-proofs runs it")
	}
	queuetest.Run(t, func(t *testing.T, function string) queue.Store {
		o := testOptions(t, function, "")
		o.URL, o.Replicas = url, 3
		return mustOpen(t, o)
	})
}
