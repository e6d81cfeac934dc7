package proxy

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/limits"
	"weir/metrics"
)

// heldFunction answers when it is told to.
type heldFunction struct {
	*httptest.Server
	arrived chan string // raw targets
	release chan struct{}
}

func newHeldFunction(t *testing.T) *heldFunction {
	f := &heldFunction{arrived: make(chan string, 100), release: make(chan struct{})}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.arrived <- r.RequestURI
		<-f.release
	}))
	t.Cleanup(f.Close)
	return f
}

// serveWith is serve with a choice of engine, and gives the Proxy.
func serveWith(t *testing.T, upstream string, nethttp bool, p limits.Policy) (*Proxy, *Server, string) {
	t.Helper()
	gate, err := limits.NewGate(p)
	if err != nil {
		t.Fatal(err)
	}
	u, err := NewUpstream(UpstreamOptions{Scheme: "http", Address: upstream, ConnectTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxIdle: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	px := New(Options{
		Gate: gate, Metrics: metrics.New(metrics.Options{Function: "f", Gate: gate.Snapshot}), Upstream: u,
		Log: slog.New(slog.DiscardHandler), Ready: http.NotFoundHandler(),
	})
	srv, err := NewServer(px, ServerOptions{HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10, NetHTTP: nethttp})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return px, srv, ln.Addr().String()
}

func TestTheTableHoldsWhatRuns(t *testing.T) {
	for name, nethttp := range map[string]bool{"own": false, "nethttp": true} {
		t.Run(name, func(t *testing.T) {
			f := newHeldFunction(t)
			p, _, addr := serveWith(t, f.Listener.Addr().String(), nethttp, limits.Policy{MaxInflight: 3})
			other, _, _ := serveWith(t, f.Listener.Addr().String(), nethttp, limits.Policy{MaxInflight: 3})
			var clients sync.WaitGroup
			before := time.Now()
			for i := range 3 {
				clients.Go(func() {
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("http://%s/%d/a%%2Fb?secret=1", addr, i), strings.NewReader("body"))
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					_ = res.Body.Close()
				})
				<-f.arrived // one after the other, for the order
			}
			running := p.Running()
			if len(running) != 3 {
				t.Fatalf("%d requests run: %+v", len(running), running)
			}
			ids := map[string]bool{}
			for i, r := range running {
				ids[r.ID] = true
				if r.Method != "PUT" || r.Path != fmt.Sprintf("/%d/a%%2Fb", i) || r.Protocol != "HTTP/1.1" || r.Client != "127.0.0.1" || r.Waited != 0 {
					t.Errorf("%d is %+v", i, r)
				}
				if r.Began.Before(before) || r.Began.After(time.Now()) {
					t.Errorf("%d began at %v", i, r.Began)
				}
			}
			if len(ids) != 3 {
				t.Errorf("ids are %v", ids)
			}
			if n := len(other.Running()); n != 0 {
				t.Errorf("another proxy runs %d", n)
			}
			res, err := http.Get("http://" + addr + "/refused")
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusTooManyRequests || len(p.Running()) != 3 {
				t.Errorf("status %d, %d run", res.StatusCode, len(p.Running()))
			}
			close(f.release)
			clients.Wait()
			eventually(t, "the table is empty", func() bool { return len(p.Running()) == 0 })
		})
	}
}

// Whoever reads the table meets requests that begin and end: nothing is torn, and
// nobody is left in it.
func TestTheTableIsReadWhileRequestsComeAndGo(t *testing.T) {
	for name, nethttp := range map[string]bool{"own": false, "nethttp": true} {
		t.Run(name, func(t *testing.T) {
			f := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Gosched() }))
			defer f.Close()
			p, _, addr := serveWith(t, f.Listener.Addr().String(), nethttp, limits.Policy{})
			var clients sync.WaitGroup
			for range 4 {
				clients.Go(func() {
					c := &http.Client{Transport: &http.Transport{}}
					defer c.CloseIdleConnections()
					for i := range 200 {
						res, err := c.Get(fmt.Sprintf("http://%s/%s", addr, strings.Repeat("x", i%100)))
						if err != nil {
							t.Error(err)
							return
						}
						_ = res.Body.Close()
					}
				})
			}
			done := make(chan struct{})
			go func() { clients.Wait(); close(done) }()
			seen := 0
			for reading := true; reading; {
				select {
				case <-done:
					reading = false
				default:
				}
				for _, r := range p.Running() {
					seen++
					if r.Method != "GET" || strings.Trim(r.Path, "x") != "/" || len(r.Path) > 100 {
						t.Fatalf("torn: %+v", r)
					}
				}
			}
			eventually(t, "the table is empty", func() bool { return len(p.Running()) == 0 })
			t.Logf("%d requests seen", seen)
		})
	}
}

func TestTheTableHoldsAttemptsOfAsynchronousCalls(t *testing.T) {
	f := newHeldFunction(t)
	p, _, _ := serveWith(t, f.Listener.Addr().String(), false, limits.Policy{})
	done := make(chan error, 1)
	go func() {
		_, _, err := p.Invoke(t.Context(), &Invocation{ID: "the-id", Method: "POST", Target: "/later?x=1", Host: "f", Header: http.Header{}}, 1000)
		done <- err
	}()
	<-f.arrived
	running := p.Running()
	if len(running) != 1 || running[0].Method != "POST" || running[0].Path != "/later" || running[0].Protocol != "async" || running[0].Client != "the-id" {
		t.Errorf("%+v", running)
	}
	close(f.release)
	if err := <-done; err != nil || len(p.Running()) != 0 {
		t.Errorf("%v, %+v", err, p.Running())
	}
}

func TestSeatsOfNobodyAreSweptOut(t *testing.T) {
	for range 20 {
		for range 1000 {
			newSeat()
		}
		runtime.GC()
	}
	newSeat()
	seats.mu.Lock()
	defer seats.mu.Unlock()
	if n := len(seats.all); n > 10_000 {
		t.Errorf("%d seats are kept of 20000 that nobody uses", n)
	}
}

func TestRefuseLeavesEverythingOpen(t *testing.T) {
	f := newHeldFunction(t)
	p, srv, addr := serveWith(t, f.Listener.Addr().String(), false, limits.Policy{MaxInflight: 3})
	running := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + addr)
		if err != nil {
			t.Error(err)
			running <- 0
			return
		}
		_ = res.Body.Close()
		running <- res.StatusCode
	}()
	<-f.arrived
	srv.Refuse()
	for range 3 { // each on a connection of its own
		res, err := http.Get("http://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Weir-Throttled") != "draining" {
			t.Errorf("a newcomer gets %d %v", res.StatusCode, res.Header)
		}
	}
	if n := len(p.Running()); n != 1 {
		t.Errorf("%d run", n)
	}
	close(f.release)
	if status := <-running; status != http.StatusOK {
		t.Errorf("who was admitted gets %d", status)
	}
}

func BenchmarkSeat(b *testing.B) {
	s, p := newSeat(), &Proxy{}
	a := &account{method: "GET", target: "/path", proto: "HTTP/1.1", client: "127.0.0.1:1"}
	b.ReportAllocs()
	for b.Loop() {
		s.take(p, a, 0)
		s.leave()
	}
}

func BenchmarkSpareSeat(b *testing.B) {
	p := &Proxy{}
	b.ReportAllocs()
	for b.Loop() {
		s := spareSeats.Get().(*seat)
		s.take(p, &account{method: "GET", target: "/path", proto: "HTTP/1.1", client: "127.0.0.1:1"}, 0)
		s.leave()
		spareSeats.Put(s)
	}
}
