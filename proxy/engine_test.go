package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"weir/limits"
	"weir/metrics"
)

// rawOrigin answers every request on every connection with the same bytes, and
// allocates nothing while it does.
func rawOrigin(tb testing.TB, answer string) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				b, out := make([]byte, 4096), []byte(answer)
				for n := 0; ; {
					if n == len(b) {
						n = 0 // a body, of no interest
					}
					m, err := conn.Read(b[n:])
					if err != nil {
						return
					}
					if n += m; bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
						n = 0
						if _, err := conn.Write(out); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// served is a Server in front of a function's address.
type served struct {
	addr   string
	gate   *limits.Gate
	server *Server
}

func serve(tb testing.TB, upstream string, p limits.Policy, s Settings, change ...func(*Options, *ServerOptions)) *served {
	tb.Helper()
	gate, err := limits.NewGate(p)
	if err != nil {
		tb.Fatal(err)
	}
	u, err := NewUpstream(UpstreamOptions{Scheme: "http", Address: upstream, ConnectTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxIdle: 100})
	if err != nil {
		tb.Fatal(err)
	}
	o := Options{
		Gate: gate, Metrics: metrics.New(metrics.Options{Function: "f", Gate: gate.Snapshot}), Upstream: u,
		Settings: s, Log: slog.New(slog.DiscardHandler), Ready: http.NotFoundHandler(),
	}
	so := ServerOptions{HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	for _, f := range change {
		f(&o, &so)
	}
	srv, err := NewServer(New(o), so)
	if err != nil {
		tb.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	tb.Cleanup(func() {
		if err := srv.Close(); err != nil {
			tb.Error(err)
		}
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return &served{ln.Addr().String(), gate, srv}
}

const (
	plainRequest = "GET /a/path?with=query HTTP/1.1\r\nHost: function.example\r\nUser-Agent: test\r\nAccept: */*\r\nX-Request-Id: 0123456789\r\n\r\n"
	plainAnswer  = "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 50\r\n\r\n" +
		"01234567890123456789012345678901234567890123456789"
)

// exchange sends one request and reads an answer that ends with last.
func roundTrip(tb testing.TB, conn net.Conn, request, last, buf []byte) {
	tb.Helper()
	if _, err := conn.Write(request); err != nil {
		tb.Fatal(err)
	}
	for n := 0; !bytes.HasSuffix(buf[:n], last); {
		m, err := conn.Read(buf[n:])
		if err != nil {
			tb.Fatalf("after %q: %v", buf[:n], err)
		}
		n += m
	}
}

func TestAForwardedRequestAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes pools forget, and allocates")
	}
	s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{MaxInflight: 10}, Settings{
		RequestTimeout: time.Minute, ClientReadTimeout: 30 * time.Second, ClientWriteTimeout: 30 * time.Second,
	})
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request, last, buf := []byte(plainRequest), []byte("0123456789"), make([]byte, 4096)
	for range 2000 { // native histograms make their buckets as they are needed
		roundTrip(t, conn, request, last, buf)
	}
	// The date once a second, and what the runtime does for itself, are no requests'
	// cost: on a busy machine they are the more, hence the best of some rounds.
	const n = 3000
	least := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			roundTrip(t, conn, request, last, buf)
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/n)
	}
	if least > 0.05 {
		t.Errorf("%.3f allocations a request, want 0", least)
	}
	eventually(t, "the slot is free", func() bool { return s.gate.Snapshot().Inflight == 0 })
}

func TestAnIdleConnectionGivesItsGoroutineBackAndGoesOn(t *testing.T) {
	s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{}, Settings{})
	if s.server.engine.poller == nil {
		t.Skip("no epoll on this system: idle connections keep their goroutines")
	}
	const n = 50
	conns := make([]net.Conn, n)
	buf := make([]byte, 4096)
	for i := range conns {
		var err error
		if conns[i], err = net.Dial("tcp", s.addr); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conns[i].Close() }()
		roundTrip(t, conns[i], []byte(plainRequest), []byte("0123456789"), buf)
	}
	parked := func() (n int) {
		s.server.engine.mu.Lock()
		defer s.server.engine.mu.Unlock()
		for c := range s.server.engine.conns {
			if c.parkedSince.Load() > 0 {
				n++
			}
		}
		return n
	}
	eventually(t, "all are parked", func() bool { return parked() == n })
	for _, conn := range conns {
		roundTrip(t, conn, []byte(plainRequest), []byte("0123456789"), buf)
	}
	eventually(t, "all are parked again", func() bool { return parked() == n })
	for _, conn := range conns[:n/2] {
		_ = conn.Close()
	}
	eventually(t, "those whose clients left are gone", func() bool { return parked() == n-n/2 })
}

func TestShutdownEndsIdleAndParkedConnections(t *testing.T) {
	s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{}, Settings{})
	buf := make([]byte, 4096)
	var conns []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		roundTrip(t, conn, []byte(plainRequest), []byte("0123456789"), buf)
		conns = append(conns, conn)
	}
	if err := s.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		if _, err := conn.Read(buf); err != io.EOF {
			t.Errorf("an idle connection reads %v after the drain, want EOF", err)
		}
	}
}

// net/http takes a connection that was opened moments ago for one that may yet ask
// something, for five seconds.
func TestADrainDoesNotWaitForConnectionsThatNeverAskedAnything(t *testing.T) {
	s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{}, Settings{}, func(_ *Options, o *ServerOptions) { o.NetHTTP = true })
	silent, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	asking, err := net.Dial("tcp", s.addr) // accepted after the other
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = asking.Close() }()
	buf := make([]byte, 4096)
	roundTrip(t, asking, []byte(plainRequest), []byte("0123456789"), buf)
	began := time.Now()
	if err := s.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 4500*time.Millisecond {
		t.Errorf("the drain took %v", took)
	}
	if _, err := silent.Read(buf); err == nil {
		t.Error("the silent connection is still open")
	}
}

// TestClientsThatLeaveAtAnyMomentLeaveNothingBehind resets connections in the
// middle of requests, answers and waits, many at a time.
func TestClientsThatLeaveAtAnyMomentLeaveNothingBehind(t *testing.T) {
	s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{MaxInflight: 3, Overflow: limits.OverflowWait, QueueDepth: 20, QueueTimeout: time.Second}, Settings{RequestTimeout: time.Minute})
	requests := []string{
		plainRequest, plainRequest + plainRequest + plainRequest[:30], plainRequest[:20],
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + string(make([]byte, 20000)),
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			buf := make([]byte, 64)
			for i := range 60 {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write([]byte(requests[(i+w)%len(requests)]))
				switch i % 3 {
				case 0:
					_ = conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond)) // some requests are not whole
					_, _ = conn.Read(buf[:1+i])
				case 1:
					_ = conn.(*net.TCPConn).SetLinger(0)
				}
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing is in flight, waiting or connected", func() bool {
		g := s.gate.Snapshot()
		s.server.engine.mu.Lock()
		defer s.server.engine.mu.Unlock()
		return g.Inflight == 0 && g.Waiting == 0 && len(s.server.engine.conns) == 0
	})
}

func BenchmarkForward(b *testing.B) {
	s := serve(b, rawOrigin(b, plainAnswer), limits.Policy{MaxInflight: 10}, Settings{RequestTimeout: time.Minute, ClientWriteTimeout: 30 * time.Second})
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request, last, buf := []byte(plainRequest), []byte("0123456789"), make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		roundTrip(b, conn, request, last, buf)
	}
}
