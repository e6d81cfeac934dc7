package e2e

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// notified is the service manager's end of NOTIFY_SOCKET.
type notified struct{ conn *net.UnixConn }

func (n notified) next(t testing.TB) string {
	t.Helper()
	if err := n.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	size, err := n.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:size])
}

// As a unit of Type=notify: ready when it serves, alive while it answers, stopping
// for as long as its drain may take.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	n := notified{conn}
	f := newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	w := startWith(t, []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=200000"}, "--upstream="+f.url(), "--drain-timeout=20s")
	if got, want := n.next(t), "READY=1\nSTATUS=serving on "+w.data; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for range 3 {
		if got := n.next(t); got != "WATCHDOG=1" {
			t.Errorf("%q, want WATCHDOG=1", got)
		}
	}
	w.signal(t, syscall.SIGTERM)
	stopping := ""
	for stopping == "" || stopping == "WATCHDOG=1" { // one may have been under way
		stopping = n.next(t)
	}
	if !strings.HasPrefix(stopping, "STOPPING=1\n") || !strings.Contains(stopping, "EXTEND_TIMEOUT_USEC=50000000") {
		t.Errorf("%q", stopping)
	}
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
