package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServer is the executable that go.mod pins, built once a test binary.
var natsServer struct {
	once sync.Once
	dir  string
	err  error
}

// NATSBinary gives the path of the nats-server that go.mod pins.
func NATSBinary(t testing.TB) string {
	t.Helper()
	natsServer.once.Do(func() {
		if natsServer.dir, natsServer.err = os.MkdirTemp("", "weir-nats-"); natsServer.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", natsServer.dir, "github.com/nats-io/nats-server/v2").CombinedOutput()
		if err != nil {
			natsServer.err = fmt.Errorf("go build nats-server: %w\n%s", err, out)
		}
	})
	if natsServer.err != nil {
		t.Fatal(natsServer.err)
	}
	return filepath.Join(natsServer.dir, "nats-server")
}

// Remove removes what was built. A TestMain calls it at its end.
func Remove() error {
	if natsServer.dir == "" {
		return nil
	}
	return os.RemoveAll(natsServer.dir)
}

// NATS is a nats-server in a process of its own, with JetStream, that fsyncs all it
// writes. It ends with the test.
type NATS struct {
	Name, URL string
	binary    string
	config    string
	log       string
	cmd       *exec.Cmd
}

// StartNATS starts the one that go.mod pins. extra is added to its configuration.
func StartNATS(t testing.TB, extra string) *NATS {
	t.Helper()
	s := newNATS(t, NATSBinary(t), "n1", freeAddress(t), always, extra)
	s.Start(t)
	s.awaitReady(t)
	return s
}

// StartOldNATS starts one that knows nothing of fsyncing always.
func StartOldNATS(t testing.TB, binary string) *NATS {
	t.Helper()
	s := newNATS(t, binary, "n1", freeAddress(t), "", "")
	s.Start(t)
	s.awaitReady(t)
	return s
}

// always is a sync_interval; "" is the server's own.
const always = "always"

// StartCluster starts a cluster of n servers, and waits until streams can be kept on all
// of them.
func StartCluster(t testing.TB, n int) []*NATS {
	t.Helper()
	routes := make([]string, n)
	for i := range routes {
		routes[i] = freeAddress(t)
	}
	var servers []*NATS
	for i := range n {
		extra := fmt.Sprintf("cluster { name: test, listen: %q, no_advertise: true, routes: [\"nats-route://%s\"] }\n",
			routes[i], strings.Join(routes, `", "nats-route://`))
		servers = append(servers, newNATS(t, NATSBinary(t), fmt.Sprint("n", i+1), freeAddress(t), always, extra))
	}
	for _, s := range servers {
		s.Start(t)
	}
	for _, s := range servers {
		s.awaitReady(t)
	}
	nc, err := nats.Connect(servers[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "probe", Replicas: n})
		if err == nil {
			err = js.DeleteStream(t.Context(), "probe")
		}
		if err == nil {
			return servers
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster takes no streams: %v", err)
		}
	}
}

func newNATS(t testing.TB, binary, name, listen, sync, extra string) *NATS {
	t.Helper()
	dir := t.TempDir()
	s := &NATS{
		Name: name, URL: "nats://" + listen, binary: binary,
		config: filepath.Join(dir, "nats.conf"), log: filepath.Join(dir, "log"),
	}
	store := fmt.Sprintf("store_dir: %q", filepath.Join(dir, "store"))
	if sync == always {
		store += ", sync_interval: always"
	}
	text := fmt.Sprintf("server_name: %s\nlisten: %q\njetstream { %s }\n%s", name, listen, store, extra)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// Start starts it, again where it was killed.
func (s *NATS) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(s.binary, "-c", s.config)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// Kill ends it as kill -9 does.
func (s *NATS) Kill(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Errorf("killing %s: %v", s.Name, err)
	}
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}

// Log is what it has said.
func (s *NATS) Log() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// awaitReady waits until it says that it takes clients, and, in a cluster, that it
// knows its leader.
func (s *NATS) awaitReady(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		log := s.Log()
		clustered := strings.Contains(log, "Cluster name is")
		if strings.Contains(log, "Server is ready") && (!clustered || strings.Contains(log, "metadata leader")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not start:\n%s", s.Name, log)
		}
	}
}

// URLs joins what clients are given for a cluster.
func URLs(servers []*NATS) string {
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL)
	}
	return strings.Join(urls, ",")
}

// Connect connects to a cluster or server.
func Connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// freeAddress gives a loopback address that nothing listens on. A server must have the
// same one after it was killed.
func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
