package jetstream

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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
	url := startNATS(t, buildNATS(t), t.TempDir())
	queuetest.Run(t, func(t *testing.T, function string) queue.Store {
		o := testOptions(t, function, "")
		o.URL = url
		return mustOpen(t, o)
	})
}

// buildNATS builds the server that go.mod pins.
func buildNATS(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "nats-server")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		t.Fatalf("go build nats-server: %v\n%s", err, out)
	}
	return binary
}

// startNATS runs a server of its own process until the test ends, and returns its
// URL.
func startNATS(t *testing.T, binary, dir string) string {
	t.Helper()
	config := filepath.Join(dir, "nats.conf")
	text := "listen: 127.0.0.1:-1\nports_file_dir: " + dir + "\njetstream { store_dir: " + filepath.Join(dir, "store") + ", sync_interval: always }\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		ports, err := filepath.Glob(filepath.Join(dir, "*.ports"))
		if err != nil || len(ports) != 1 {
			continue
		}
		b, err := os.ReadFile(ports[0])
		if err != nil {
			t.Fatal(err)
		}
		for field := range strings.SplitSeq(string(b), `"`) {
			if strings.HasPrefix(field, "nats://") {
				if nc, err := nats.Connect(field); err == nil {
					nc.Close()
					return field
				}
			}
		}
	}
	b, _ := os.ReadFile(log.Name())
	t.Fatalf("nats-server did not start:\n%s", b)
	return ""
}
