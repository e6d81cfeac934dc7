package h1_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"weir/proxy/h1"
)

// pair is a connection of which both ends are here.
func pair(t testing.TB, network string) (a, b net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck
	type accepted struct {
		net.Conn
		error
	}
	ch := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		ch <- accepted{c, err}
	}()
	a, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	acc := <-ch
	if acc.error != nil {
		t.Fatal(acc.error)
	}
	for _, c := range []net.Conn{a, acc.Conn} {
		t.Cleanup(func() { c.Close() }) //nolint:errcheck
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return a, acc.Conn
}

// socket is the connection as the engine uses it: by a Socket, where there is one.
func socket(t testing.TB, c net.Conn) io.ReadWriter {
	t.Helper()
	s := new(h1.Socket)
	if !s.Reset(c) {
		if runtime.GOOS == "linux" {
			t.Fatalf("no socket for %T", c)
		}
		return c
	}
	return s
}

// plain hides what kind of connection it is, as TLS does.
type plain struct{ net.Conn }

// noise is n bytes without a pattern.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func TestLargeBodiesAreRelayedBetweenConnections(t *testing.T) {
	big := noise(3<<20 + 7) // of a pipe and of a read many times over
	chunkedBig := fmt.Appendf(nil, "%x\r\n%s\r\n5;a\r\nhello\r\n%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n", len(big), big, len(big)/2, big[:len(big)/2])
	chunkedWant := bytes.Replace(chunkedBig, []byte("5;a\r\n"), []byte("5\r\n"), 1)
	for _, c := range []struct {
		name    string
		in, out h1.Framing
		sent    []byte
		want    []byte
		after   string
	}{
		{"by length", byLength(int64(len(big))), byLength(int64(len(big))), big, big, next},
		{"by chunks", byChunks, byChunks, chunkedBig, chunkedWant, next},
		{"until close", byClose, byClose, big, big, ""},
		{"until close to chunks", byClose, byChunks, big, nil, ""},
	} {
		for _, kind := range []struct {
			name     string
			from, to string
			wrap     func(testing.TB, net.Conn) io.ReadWriter
			min      int64
		}{
			{"tcp to tcp", "tcp", "tcp", nil, 0},
			{"tcp to tcp, always inside the kernel where possible", "tcp", "tcp", nil, 1},
			{"tcp to tcp, copied", "tcp", "tcp", nil, -1},
			{"unix to tcp", "unix", "tcp", nil, 0},
			{"tcp to unix", "tcp", "unix", nil, 0},
			{"neither plain", "tcp", "tcp", func(_ testing.TB, c net.Conn) io.ReadWriter { return plain{c} }, 0},
			{"sockets", "tcp", "tcp", socket, 0},
			{"sockets, copied", "tcp", "tcp", socket, -1},
			{"sockets of the other kind, copied", "unix", "unix", socket, -1},
		} {
			t.Run(c.name+", "+kind.name, func(t *testing.T) {
				sender, in := pair(t, kind.from)
				out, receiver := pair(t, kind.to)
				var from, to io.ReadWriter = in, out
				if kind.wrap != nil {
					from, to = kind.wrap(t, in), kind.wrap(t, out)
				}
				sent := make(chan error, 1)
				go func() {
					_, err := sender.Write(append(c.sent[:len(c.sent):len(c.sent)], c.after...))
					if c.in.Kind == h1.ByClose {
						err = errors.Join(err, sender.Close())
					}
					sent <- err
				}()
				received := make(chan []byte, 1)
				go func() {
					b, _ := io.ReadAll(receiver) // a short read shows in the comparison
					received <- b
				}()

				var src h1.Source
				var dst h1.Sink
				src.Reset(from, make([]byte, 16<<10))
				dst.Reset(to, make([]byte, 4<<10))
				if _, err := src.Fill(); err != nil { // some is buffered already
					t.Fatal(err)
				}
				head := "HTTP/1.1 200 OK\r\n\r\n"
				dst.Commit(append(dst.Begin(), head...))
				r := h1.Relay{SpliceMin: kind.min}
				r.Start(&src, &dst, c.in, c.out, &h1.Limits{})
				if err := r.Run(); err != nil {
					t.Fatal(err)
				}
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				for c.after != "" && len(src.Buffered()) < len(c.after) {
					if _, err := src.Fill(); err != nil {
						t.Fatal(err)
					}
				}
				if got := string(src.Buffered()); got != c.after {
					t.Errorf("left %.50q", got)
				}
				out.Close() //nolint:errcheck
				got := <-received
				if int64(len(got)) != dst.Written() {
					t.Errorf("received %d bytes, Written says %d", len(got), dst.Written())
				}
				if !bytes.HasPrefix(got, []byte(head)) {
					t.Fatal("no head first")
				}
				got = got[len(head):]
				want := c.want
				if want == nil {
					again := relay([]string{string(got)}, byChunks, byClose, h1.Limits{})
					if again.err != nil || again.left != "" {
						t.Fatalf("what was written reads: %v, left %.50q", again.err, again.left)
					}
					got, want = []byte(again.out), c.sent
				}
				if !bytes.Equal(got, want) {
					t.Errorf("received %d bytes with sum %x, want %d with %x", len(got), crc32.ChecksumIEEE(got), len(want), crc32.ChecksumIEEE(want))
				}
			})
		}
	}
}

func TestFailuresBetweenConnectionsTellTheSide(t *testing.T) {
	const size = 10 << 20
	for _, min := range []int64{0, -1} {
		name := map[int64]string{0: "spliced", -1: "copied"}[min]
		start := func(t *testing.T) (sender, receiver net.Conn, r *h1.Relay) {
			sender, in := pair(t, "tcp")
			out, receiver := pair(t, "tcp")
			var src h1.Source
			var dst h1.Sink
			src.Reset(socket(t, in), make([]byte, 16<<10))
			dst.Reset(socket(t, out), make([]byte, 4<<10))
			r = &h1.Relay{SpliceMin: min}
			r.Start(&src, &dst, byLength(size), byLength(size), &h1.Limits{})
			return sender, receiver, r
		}
		t.Run(name+": the sender closes in the middle", func(t *testing.T) {
			sender, receiver, r := start(t)
			go func() {
				sender.Write(noise(size / 2)) //nolint:errcheck // shows below
				sender.Close()                //nolint:errcheck
			}()
			go io.Copy(io.Discard, receiver) //nolint:errcheck
			err := r.Run()
			if !errors.As(err, new(*h1.SourceError)) || !errors.Is(err, io.ErrUnexpectedEOF) || r.Moved() != size/2 {
				t.Errorf("moved %d, %v (%T)", r.Moved(), err, err)
			}
		})
		t.Run(name+": the receiver resets in the middle", func(t *testing.T) {
			sender, receiver, r := start(t)
			go sender.Write(noise(size)) //nolint:errcheck
			go func() {
				io.CopyN(io.Discard, receiver, size/4) //nolint:errcheck
				receiver.(*net.TCPConn).SetLinger(0)   //nolint:errcheck
				receiver.Close()                       //nolint:errcheck
			}()
			if err := r.Run(); !errors.As(err, new(*h1.SinkError)) {
				t.Errorf("%v (%T)", err, err)
			}
		})
	}
}

func TestDeadlinesHoldForEachPiece(t *testing.T) {
	const size = 1 << 20
	for _, min := range []int64{0, -1} {
		t.Run(map[int64]string{0: "spliced", -1: "copied"}[min], func(t *testing.T) {
			sender, in := pair(t, "tcp")
			out, receiver := pair(t, "tcp")
			go io.Copy(io.Discard, receiver) //nolint:errcheck
			var src h1.Source
			var dst h1.Sink
			src.Reset(in, make([]byte, 16<<10))
			dst.Reset(out, make([]byte, 4<<10))
			r := &h1.Relay{SpliceMin: min}
			r.Start(&src, &dst, byLength(size), byLength(size), &h1.Limits{})
			body := noise(size)
			for sent := 0; sent < size; sent += size / 4 {
				if _, err := sender.Write(body[sent : sent+size/4]); err != nil {
					t.Fatal(err)
				}
				for r.Moved()+int64(len(src.Buffered())) < int64(sent+size/4) {
					if err := in.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
						t.Fatal(err)
					}
					if _, err := r.Step(); err != nil {
						t.Fatal(err)
					}
				}
				if sent+size/4 == size {
					break
				}
				// Nothing more comes now: a deadline ends the wait, not the relay.
				if err := in.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
					t.Fatal(err)
				}
				if _, err := r.Step(); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, new(*h1.SourceError)) {
					t.Fatalf("%v", err)
				}
				if !r.Resume() {
					t.Fatal("not resumed")
				}
			}
			if err := r.Run(); err != nil || r.Moved() != size {
				t.Errorf("moved %d, %v", r.Moved(), err)
			}
		})
	}
}

func TestSlowReceiverMeetsTheWriteDeadline(t *testing.T) {
	const size = 64 << 20 // more than any socket's buffers
	for _, min := range []int64{0, -1} {
		t.Run(map[int64]string{0: "spliced", -1: "copied"}[min], func(t *testing.T) {
			sender, in := pair(t, "tcp")
			out, _ := pair(t, "tcp")
			go func() {
				piece := noise(1 << 20)
				for range size / len(piece) {
					if _, err := sender.Write(piece); err != nil {
						return
					}
				}
			}()
			var src h1.Source
			var dst h1.Sink
			src.Reset(in, make([]byte, 16<<10))
			dst.Reset(out, make([]byte, 4<<10))
			if err := out.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			r := &h1.Relay{SpliceMin: min}
			r.Start(&src, &dst, byLength(size), byLength(size), &h1.Limits{})
			err := r.Run()
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, new(*h1.SinkError)) || r.Resume() {
				t.Errorf("%v (%T)", err, err)
			}
		})
	}
}
