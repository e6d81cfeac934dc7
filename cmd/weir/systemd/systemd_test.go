package systemd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is systemd's end of the socket.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 4096)
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestManagerIsTold(t *testing.T) {
	conn := manager(t)
	m := New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	m.Ready("serving on :8080")
	if got := next(t, conn); got != "READY=1\nSTATUS=serving on :8080" {
		t.Errorf("%q", got)
	}
	m.Stopping(90 * time.Second)
	if got := next(t, conn); !strings.HasPrefix(got, "STOPPING=1\n") || !strings.HasSuffix(got, "EXTEND_TIMEOUT_USEC=90000000") {
		t.Errorf("%q", got)
	}
}

func TestWatchdogHearsOnlyOfAWeirThatAnswers(t *testing.T) {
	conn := manager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	m := New(slog.New(slog.DiscardHandler))
	if m.watchdog != 20*time.Millisecond {
		t.Fatalf("watchdog %v", m.watchdog)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan int)
	n := 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func(context.Context) error {
			if n++; n > 2 {
				select {
				case asked <- n:
				case <-ctx.Done():
				}
				return errors.New("stuck")
			}
			return nil
		})
	}()
	for range 2 {
		if got := next(t, conn); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	<-asked
	<-asked // twice asked without an answer
	m.Ready("marker")
	if got := next(t, conn); !strings.HasPrefix(got, "READY=1") {
		t.Errorf("the watchdog was told %q of a weir that does not answer", got)
	}
	cancel()
	<-ended
}

func TestWithoutAManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := New(slog.New(slog.NewTextHandler(t.Output(), nil)))
	m.Ready("x")
	m.Stopping(time.Second)
	m.Watch(t.Context(), func(context.Context) error { t.Error("asked"); return nil })
}

// A watchdog that is meant for another process is not fed.
func TestWatchdogOfAnother(t *testing.T) {
	manager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "1")
	if m := New(slog.New(slog.DiscardHandler)); m.watchdog != 0 {
		t.Errorf("watchdog %v", m.watchdog)
	}
}
