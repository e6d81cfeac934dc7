package h1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// connPair is both ends of a plain connection.
func connPair(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck
	if far, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() }) //nolint:errcheck
	return near, far
}

// pairs runs do with both ends of each kind of connection that a Socket is for.
func pairs(t *testing.T, do func(t *testing.T, near, far net.Conn)) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			near, far := connPair(t, network)
			do(t, near, far)
		})
	}
}

func open(t *testing.T, conn net.Conn) *Socket {
	t.Helper()
	s := new(Socket)
	if !s.Reset(conn) {
		t.Fatalf("no socket for %T", conn)
	}
	return s
}

func TestSocketIsForPlainConnections(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for name, conn := range map[string]net.Conn{"pipe": a, "TLS": tls.Client(a, &tls.Config{InsecureSkipVerify: true}), "nil": nil} {
		if new(Socket).Reset(conn) {
			t.Errorf("%s: taken for a plain connection", name)
		}
	}
}

// Far more than the kernel's buffers hold is written in one piece and in many,
// while the other end reads in odd sizes.
func TestSocketMovesEveryByteInOrder(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		random := rand.New(rand.NewPCG(1, 2))
		var want []byte
		piece := func(n int) []byte {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			want = append(want, p...)
			return p
		}
		whole := piece(5 << 20)
		var pieces net.Buffers
		for i := range vectors {
			pieces = append(pieces, piece(1+random.IntN(400<<(i%11))))
		}
		from, to := open(t, near), open(t, far)
		written := make(chan error, 1)
		go func() {
			n, err := from.Write(whole)
			if err == nil && n != len(whole) {
				err = io.ErrShortWrite
			}
			if err == nil {
				var n int64
				if n, err = from.writeVec(pieces); err == nil && int(n) != len(want)-len(whole) {
					err = io.ErrShortWrite
				}
			}
			written <- errors.Join(err, near.(interface{ CloseWrite() error }).CloseWrite())
		}()
		var got []byte
		buf := make([]byte, 70_001)
		for {
			n, err := to.Read(buf[:1+random.IntN(len(buf))])
			got = append(got, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes arrived, %d were sent, or they differ", len(got), len(want))
		}
		if from.out.p != nil || from.out.msg.Iov != nil || from.out.pieces[0].Base != nil || to.in.p != nil {
			t.Error("a buffer of the caller's is held beyond the call")
		}
	})
}

func TestSocketKeepsDeadlines(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		s, much := open(t, near), make([]byte, 16<<20)
		past := time.Unix(1, 0)
		if err := near.SetDeadline(past); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		if err := near.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read that waits: %v", err)
		}
		// A peer that does not read: what was written until then is told.
		if n, err := s.Write(much); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write after the deadline: %d, %v", n, err)
		}
		if err := near.SetDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Write(much); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(much) {
			t.Errorf("write that waits: %d, %v", n, err)
		}
		if err := near.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		go far.Write([]byte("y")) //nolint:errcheck // the read says
		if n, err := s.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Errorf("read without a deadline again: %d, %v", n, err)
		}
	})
}

func TestSocketTellsHowTheConnectionEnded(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		s := open(t, near)
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			t.Errorf("the peer closed: %d, %v", n, err)
		}
		var err error
		for range 1000 { // the reset comes back a moment after the first bytes
			if _, err = s.Write([]byte("x")); err != nil {
				break
			}
		}
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "write" || !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("writing to a peer that is gone: %v", err)
		}
		if err := near.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 8)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading what is closed: %v", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing to what is closed: %v", err)
		}
	})
}

func TestSocketTellsOfAReset(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		tcp, ok := far.(*net.TCPConn)
		if !ok {
			t.Skip("Unix sockets know no reset")
		}
		if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, near).Read(make([]byte, 8))
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "read" || op.Timeout() || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v", err)
		}
	})
}

func TestSocketAllocatesNothing(t *testing.T) {
	pairs(t, func(t *testing.T, near, far net.Conn) {
		from, to := open(t, near), open(t, far)
		pieces := net.Buffers{[]byte("one"), []byte("two")}
		buf := make([]byte, 64)
		if n := testing.AllocsPerRun(100, func() {
			_, err := from.Write(buf[:3])
			_, err2 := from.writeVec(pieces)
			for left := 9; left > 0 && err == nil && err2 == nil; {
				var n int
				n, err = to.Read(buf)
				left -= n
			}
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
