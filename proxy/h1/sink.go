package h1

import (
	"io"
	"net"
)

const (
	// smallest is the length from which on a piece of a body is written from where
	// it lies instead of being copied next to what precedes it: about where
	// another entry of a writev(2) costs less than the copy.
	smallest = 2 << 10
	// vectors bounds the pieces of one write.
	vectors = 16
)

// Sink collects what is to be written to a connection and writes it at once:
// heads, framing and small pieces of bodies in a buffer of the caller's, large
// pieces from where they lie. The zero value has neither connection nor buffer;
// Reset gives it both. It is not safe for concurrent use.
//
// What is pending goes out on Flush, and before that only if there is no more
// room. On a Socket, a *net.TCPConn or a *net.UnixConn it is one write(2) or writev(2);
// on any other Writer, TLS for instance, everything is copied together first.
type Sink struct {
	w      io.Writer
	writev bool
	socket *Socket // w, where it is one
	buf    []byte  // pending bytes of its own; len is what is used
	from   int     // buf[from:] is in no vector yet

	vec     net.Buffers // pending, in order; the bytes of vecArr
	vecArr  [vectors][]byte
	written int64
	err     error

	raw rawConn // for splice
}

// Reset makes s write to w, with the capacity of buf for pending bytes. What was
// pending is forgotten.
func (s *Sink) Reset(w io.Writer, buf []byte) {
	s.w, s.buf, s.from = w, buf[:0], 0
	s.vec = nil
	s.vecArr = [vectors][]byte{}
	s.written, s.err = 0, nil
	s.raw = nil
	s.writev, s.socket = false, nil
	switch w := w.(type) {
	case *Socket:
		s.writev, s.socket = true, w
	case *net.TCPConn, *net.UnixConn:
		s.writev = true
	}
}

// Detach takes the buffer away, for a pool, while the connection is idle. It
// panics if something is pending, which would be lost. It may be another than the
// one given, if that was too small. Attach gives back a buffer.
func (s *Sink) Detach() []byte {
	if s.pending() {
		panic("h1: Detach of a sink with bytes pending")
	}
	buf := s.buf[:cap(s.buf)]
	s.buf = nil
	return buf
}

// Attach gives s a buffer after Detach.
func (s *Sink) Attach(buf []byte) {
	if s.buf != nil {
		panic("h1: Attach to a sink that has a buffer")
	}
	s.buf = buf[:0]
}

// Begin returns the pending buffer for heads to be appended to; Commit takes it
// back. What is in it already must stay.
//
//	b := sink.Begin()
//	b = h1.AppendStatus(b, 200, "OK")
//	sink.Commit(h1.AppendEnd(b))
func (s *Sink) Begin() []byte { return s.buf }

// Commit makes what was appended to the slice from Begin pending.
func (s *Sink) Commit(b []byte) { s.buf = b }

// Abandon forgets what is pending and has not been written, for a message that
// will not be sent after all.
func (s *Sink) Abandon() {
	s.buf, s.from = s.buf[:0], 0
	clear(s.vecArr[:])
	s.vec = nil
}

// Written returns how many bytes have been written since Reset, whether or not
// the last write failed.
func (s *Sink) Written() int64 { return s.written }

// Pending reports whether something waits for Flush.
func (s *Sink) Pending() bool { return s.pending() }

func (s *Sink) pending() bool { return len(s.buf) > 0 || len(s.vec) > 0 }

// room is how much fits into the buffer as it is.
func (s *Sink) room() int { return cap(s.buf) - len(s.buf) }

// put makes p pending, by copying it or by keeping it: it must stay as it is
// until the next Flush.
func (s *Sink) put(p []byte) error {
	if s.writev && len(p) >= smallest {
		if len(s.vec)+3 > vectors { // what precedes p, p, and what follows it
			if err := s.Flush(); err != nil {
				return err
			}
		}
		s.seal()
		s.push(p)
		return nil
	}
	for len(p) > s.room() {
		if !s.writev && !s.pending() {
			return s.write(p) // larger than the whole buffer
		}
		n := 0
		if !s.writev { // one full record rather than two
			n = s.room()
			s.buf = append(s.buf, p[:n]...)
			p = p[n:]
		} else if !s.pending() {
			break // a buffer this small has to grow
		}
		if err := s.Flush(); err != nil {
			return err
		}
	}
	s.buf = append(s.buf, p...)
	return nil
}

// reserve makes sure that n bytes of framing can be appended to buf.
func (s *Sink) reserve(n int) error {
	if s.room() < n && s.pending() {
		return s.Flush()
	}
	return nil
}

// seal turns the bytes in buf that are in no vector into one.
func (s *Sink) seal() {
	if s.from < len(s.buf) {
		s.push(s.buf[s.from:len(s.buf):len(s.buf)])
		s.from = len(s.buf)
	}
}

func (s *Sink) push(p []byte) {
	n := len(s.vec)
	s.vecArr[n] = p
	s.vec = s.vecArr[:n+1]
}

// Flush writes what is pending. After an error there is nothing pending and
// nothing can be written any more: the error is returned again.
func (s *Sink) Flush() error {
	if s.err != nil || !s.pending() {
		return s.err
	}
	if len(s.vec) == 0 {
		err := s.write(s.buf)
		s.buf = s.buf[:0]
		return err
	}
	s.seal()
	if len(s.vec) == 1 {
		err := s.write(s.vec[0])
		s.Abandon()
		return err
	}
	var (
		n   int64
		err error
	)
	if s.socket != nil {
		n, err = s.socket.writeVec(s.vec)
	} else {
		n, err = s.vec.WriteTo(s.w)
	}
	s.written += n
	s.Abandon()
	return s.failed(err)
}

func (s *Sink) write(p []byte) error {
	if s.err != nil {
		return s.err
	}
	n, err := s.w.Write(p)
	s.written += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return s.failed(err)
}

func (s *Sink) failed(err error) error {
	if err != nil {
		s.err = &SinkError{err}
	}
	return s.err
}
