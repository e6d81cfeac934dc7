package h1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// tcpPair is a loopback connection.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	c, d := connPair(t, "tcp")
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// drainPipes closes the idle pipes and returns how many there were.
func drainPipes() (n int) {
	pipes.mu.Lock()
	idle := pipes.idle
	pipes.idle = nil
	pipes.mu.Unlock()
	for _, p := range idle {
		pipes.put(p, false)
	}
	return len(idle)
}

func TestLargeBodiesReallyGoThroughAPipe(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	run := func(least int64) (copied int) {
		drainPipes()
		sender, in := tcpPair(t)
		out, receiver := tcpPair(t)
		go sender.Write(body) //nolint:errcheck // shows below
		got := make(chan []byte, 1)
		go func() {
			b, _ := io.ReadAll(receiver)
			got <- b
		}()
		reads := &countingBuffer{make([]byte, 16<<10), 0}
		var src Source
		var dst Sink
		src.Reset(in, reads.buf)
		dst.Reset(out, make([]byte, 4<<10))
		r := Relay{SpliceMin: least}
		r.Start(&src, &dst, Framing{ByLength, int64(len(body))}, Framing{ByLength, int64(len(body))}, &Limits{})
		for {
			done, err := r.Step()
			if err != nil {
				t.Fatal(err)
			}
			if done {
				break
			}
			reads.n += len(src.Buffered())
		}
		out.Close() //nolint:errcheck
		if !bytes.Equal(<-got, body) {
			t.Fatal("the body differs")
		}
		return reads.n
	}
	if n := run(0); n > 2*DefaultSpliceMin {
		t.Errorf("%d bytes of %d were read and written", n, len(body))
	}
	if n := drainPipes(); n == 0 {
		t.Error("no pipe was used")
	}
	if n := run(-1); n != len(body) {
		t.Errorf("switched off, %d bytes of %d were read and written", n, len(body))
	}
	if n := drainPipes(); n != 0 {
		t.Errorf("switched off, %d pipes were used", n)
	}
	// Where no pipe is to be had, bodies are copied.
	pipes.mu.Lock()
	open := pipes.open
	pipes.open = maxPipes
	pipes.mu.Unlock()
	n := run(0)
	pipes.mu.Lock()
	pipes.open = open
	pipes.mu.Unlock()
	if n != len(body) {
		t.Errorf("without pipes, %d bytes of %d were read and written", n, len(body))
	}
	if open != 0 {
		t.Errorf("%d pipes leaked", open)
	}
}

func TestPipeWithBytesLeftIsNotUsedAgain(t *testing.T) {
	drainPipes()
	relay := func(mark byte, deadline time.Duration) ([]byte, error) {
		sender, in := tcpPair(t)
		out, receiver := tcpPair(t)
		const size = 64 << 20 // more than any socket's buffers
		sent := size
		if deadline == 0 {
			sent = 1 << 20
		}
		go func() {
			piece := bytes.Repeat([]byte{mark}, 1<<20)
			for range sent / len(piece) {
				if _, err := sender.Write(piece); err != nil {
					return
				}
			}
		}()
		got := make(chan []byte, 1)
		if deadline > 0 { // nobody reads
			if err := out.SetWriteDeadline(time.Now().Add(deadline)); err != nil {
				t.Fatal(err)
			}
		} else {
			go func() {
				b, _ := io.ReadAll(receiver)
				got <- b
			}()
		}
		var src Source
		var dst Sink
		src.Reset(in, make([]byte, 16<<10))
		dst.Reset(out, make([]byte, 4<<10))
		r := Relay{SpliceMin: 1}
		r.Start(&src, &dst, Framing{ByLength, int64(sent)}, Framing{ByLength, int64(sent)}, &Limits{})
		err := r.Run()
		out.Close() //nolint:errcheck
		if deadline > 0 {
			return nil, err
		}
		return <-got, err
	}
	if _, err := relay('x', 300*time.Millisecond); !errors.As(err, new(*SinkError)) {
		t.Fatalf("%v, want a write deadline", err)
	}
	if n := len(pipes.idle); n != 0 || pipes.open != 0 {
		t.Errorf("%d pipes idle, %d open after a write that failed half-way", n, pipes.open)
	}
	got, err := relay('y', 0)
	if err != nil || len(got) != 1<<20 || bytes.IndexByte(got, 'x') >= 0 {
		t.Errorf("another's bytes among %d, %v", len(got), err)
	}
	drainPipes()
}

type countingBuffer struct {
	buf []byte
	n   int
}

func TestWaitingHoldsNoPipe(t *testing.T) {
	drainPipes()
	sender, in := tcpPair(t)
	out, receiver := tcpPair(t)
	go io.Copy(io.Discard, receiver) //nolint:errcheck
	var src Source
	var dst Sink
	src.Reset(in, make([]byte, 16<<10))
	dst.Reset(out, make([]byte, 4<<10))
	var r Relay
	r.Start(&src, &dst, Framing{ByLength, 1 << 20}, Framing{ByLength, 1 << 20}, &Limits{})
	ended := make(chan error, 1)
	go func() { ended <- r.Run() }()
	if _, err := sender.Write(make([]byte, 1<<19)); err != nil {
		t.Fatal(err)
	}
	// However the waiting goroutine is caught: with the pipe it has once at most,
	// and without one in the end.
	for !func() bool {
		pipes.mu.Lock()
		defer pipes.mu.Unlock()
		return pipes.open == len(pipes.idle) && pipes.open > 0
	}() {
		if len(ended) > 0 {
			t.Fatal(<-ended)
		}
		runtime.Gosched()
	}
	sender.Close() //nolint:errcheck
	if err := <-ended; err != errCutShort {
		t.Fatal(err)
	}
	drainPipes()
	if pipes.open != 0 {
		t.Errorf("%d pipes leaked", pipes.open)
	}
}
