package conformance

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Stage is what a case plays on: weir as the case wants it, what stands behind
// it, and the carrier to reach it by.
type Stage struct {
	Carrier Carrier
	Weir    *Instance
	// Function is set where it stands behind weir.
	Function *Function
	// Origin is set where the bytes are scripted, and behind Nothing once opened.
	Origin *Origin

	before   []Sample // what weir had counted when the case began, where it had served others
	certs    *certificates
	limit    int // 0 is unlimited
	reserved *reservedPort

	mu      sync.Mutex
	client  *http.Client
	conns   []net.Conn // that clients opened
	hangUps []func()   // ends what the case's clients still have open
}

// atEnd registers what ends a client's connection or request. It is called when
// the case is over, before the stage is looked at, whether it failed or not.
func (s *Stage) atEnd(t testing.TB, hangUp func()) {
	hangUp = sync.OnceFunc(hangUp)
	t.Cleanup(hangUp)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUps = append(s.hangUps, hangUp)
}

// hangUp makes every client go away.
func (s *Stage) hangUp() {
	s.mu.Lock()
	hangUps := s.hangUps
	s.mu.Unlock()
	for _, fn := range hangUps {
		fn()
	}
	s.closeClients()
}

// limit is what the case asks for; weir's default is 100.
func (c *Case) limit(t testing.TB) int {
	t.Helper()
	v, ok := c.With.Flags["max-inflight"]
	if !ok {
		return 100
	}
	limit, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("case %q: max-inflight: %v", c.Name, err)
	}
	return limit
}

func newStage(t testing.TB, c *Case, launcher Launcher, certs *certificates, carrier Carrier) *Stage {
	t.Helper()
	s := &Stage{Carrier: carrier, certs: certs, limit: c.limit(t)}
	var upstream string
	switch c.Behind {
	case FunctionHTTP:
		s.Function = newFunction(t, "tcp")
		upstream = "http://" + s.Function.Addr
	case FunctionH2C:
		s.Function = newFunction(t, "tcp")
		upstream = "h2c://" + s.Function.Addr
	case FunctionUnix:
		s.Function = newFunction(t, "unix")
		upstream = "unix://" + s.Function.Addr
	case FunctionUnspecified:
		s.Function = newFunction(t, "tcp")
		upstream = "http://0.0.0.0" + strings.TrimPrefix(s.Function.Addr, "127.0.0.1")
	case Scripted:
		s.Origin = newOrigin(t)
		upstream = "http://" + s.Origin.Addr
	case Nothing:
		s.reserved = reservePort(t)
		upstream = "http://" + s.reserved.addr
	}
	settings := c.With.with("upstream", upstream)
	if carrier.TLS {
		settings = settings.with("tls-cert", certs.certFile).with("tls-key", certs.keyFile)
		if c.ClientCA {
			settings = settings.with("tls-client-ca", certs.caFile)
		}
	}
	s.Weir = launcher.Launch(t, settings)
	return s
}

// assertQuiet asserts what must hold once a case is over: nothing in flight,
// nobody waiting, and never more in the function than the limit.
func (s *Stage) assertQuiet(t testing.TB, c *Case) {
	t.Helper()
	s.hangUp()
	if !s.Weir.Exited() {
		s.awaitNothingRuns(t)
	}
	if c.shares() {
		s.Function.awaitIdle(t)
	}
	if s.Function != nil && s.limit > 0 && !c.RunsOn {
		if n := s.Function.Count().Highest; n > s.limit {
			t.Errorf("the function saw %d requests at once, above the limit of %d", n, s.limit)
		}
	}
}

func (s *Stage) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.certs.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// scheme is that of weir's URLs.
func (s *Stage) scheme() string {
	if s.Carrier.TLS {
		return "https"
	}
	return "http"
}

// OpenUpstream starts an origin on the port that refused connections.
func (s *Stage) OpenUpstream(t testing.TB) {
	t.Helper()
	ln, err := s.reserved.listen()
	if err != nil {
		t.Fatalf("opening the port that refused connections: %v", err)
	}
	s.Origin = serveOrigin(t, ln)
}

// reservedPort is a port that is bound, so that nobody else gets it, but not
// listened on, so that it refuses connections.
type reservedPort struct {
	addr string
	file *os.File
}

func reservePort(t testing.TB) *reservedPort {
	t.Helper()
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatalf("reserving a port: %v", err)
	}
	file := os.NewFile(uintptr(fd), "reserved port")
	t.Cleanup(func() { file.Close() })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("reserving a port: %v", err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("reserving a port: %v", err)
	}
	return &reservedPort{addr: fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port), file: file}
}

func (r *reservedPort) listen() (net.Listener, error) {
	if err := r.listenWith(128); err != nil {
		return nil, err
	}
	return net.FileListener(r.file)
}

// listenWith listens with a backlog and accepts nothing.
func (r *reservedPort) listenWith(backlog int) error {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = syscall.Listen(int(fd), backlog) }); err != nil {
		return err
	}
	return listenErr
}
