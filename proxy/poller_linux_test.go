package proxy

import (
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// watchedConn counts what a poller tells it.
type watchedConn struct {
	net.Conn
	reads   chan struct{}
	hangups atomic.Int32
}

func (c *watchedConn) readable() { c.reads <- struct{}{} }
func (c *watchedConn) hungUp()   { c.hangups.Add(1) }

// watchedPair is a connection in the poller and its peer.
func watchedPair(t *testing.T, p *poller) (*watchedConn, *registration, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := &watchedConn{Conn: conn, reads: make(chan struct{}, 4)}
	t.Cleanup(func() { _ = peer.Close(); _ = conn.Close() })
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var r *registration
	if cerr := raw.Control(func(fd uintptr) { r, err = p.add(int(fd), c) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return c, r, peer
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen: " + what)
		}
	}
}

func TestPollerTellsOfHangUpsAndWakesParkedConnections(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()

	c, r, peer := watchedPair(t, p)
	// Bytes for a connection that somebody reads are nobody else's business.
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1)
	if _, err := c.Read(buf); err != nil {
		t.Fatal(err)
	}
	if n := len(c.reads) + int(c.hangups.Load()); n != 0 {
		t.Errorf("%d events for bytes on an active connection", n)
	}
	// Parked: the first byte wakes it, also one that came before.
	for range 3 {
		if err := p.park(r); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Write([]byte("y")); err != nil {
			t.Fatal(err)
		}
		<-c.reads
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Write([]byte("z")); err != nil {
			t.Fatal(err)
		}
		if err := p.park(r); err != nil {
			t.Fatal(err)
		}
		<-c.reads
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	if p.remove(r) {
		t.Error("an active connection counts as parked")
	}

	c, r, peer = watchedPair(t, p)
	_ = peer.Close()
	eventually(t, "the hang-up of an active connection", func() bool { return c.hangups.Load() > 0 })
	p.remove(r)

	c, r, peer = watchedPair(t, p)
	if err := p.park(r); err != nil {
		t.Fatal(err)
	}
	_ = peer.Close()
	<-c.reads
	p.remove(r)

	c, r, _ = watchedPair(t, p)
	if err := p.park(r); err != nil {
		t.Fatal(err)
	}
	if !p.remove(r) || p.remove(r) {
		t.Error("a parked connection is handed back once")
	}
	_ = c
}
