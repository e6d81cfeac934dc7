package h1

import (
	"io"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket reads and writes a plain TCP or Unix connection, with its deadlines, for
// less than the connection's own methods cost: by recvfrom(2) and sendto(2), which
// never block here, so that the scheduler is not told of them. A thread that the
// kernel takes off its core in the middle of one would otherwise lose its place to
// another, and the runtime's monitor would wake up every few microseconds to see to
// that.
//
// The zero value is for Reset. One goroutine may read while another writes.
type Socket struct {
	conn net.Conn
	raw  rawConn
	in   receiving
	out  sending
}

// receiving is a read in progress.
type receiving struct {
	do  func(fd uintptr) bool // made once, since making it allocates
	p   []byte
	n   int
	err error
}

// sending is a write in progress: of p, or of several pieces.
type sending struct {
	do     func(fd uintptr) bool
	doVec  func(fd uintptr) bool
	p      []byte
	n      int // bytes sent
	err    error
	msg    unix.Msghdr
	pieces [vectors]unix.Iovec
}

// Reset makes s read and write conn, and reports whether it can: if not, because
// conn is no plain connection or is closed, its own methods are to be used.
func (s *Socket) Reset(conn net.Conn) bool {
	s.conn, s.raw = conn, rawOf(conn)
	s.in.p, s.in.err, s.out.p, s.out.err = nil, nil, nil, nil
	if s.in.do == nil {
		s.in.do, s.out.do, s.out.doVec = s.in.receive, s.out.send, s.out.sendPieces
	}
	return s.raw != nil
}

// Read is io.Reader's, for as long as that blocks.
func (s *Socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	in := &s.in
	in.p, in.n, in.err = p, 0, nil
	if err := s.raw.Read(in.do); err != nil {
		return 0, err
	}
	in.p = nil
	if in.err != nil {
		return 0, s.failed("read", in.err)
	}
	if in.n == 0 {
		return 0, io.EOF
	}
	return in.n, nil
}

// receive returns false when there is nothing yet.
func (in *receiving) receive(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(in.p))), uintptr(len(in.p)), 0, 0, 0)
		switch errno {
		case 0:
			in.n = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			in.err = os.NewSyscallError("recvfrom", errno)
			return true
		}
	}
}

// Write is io.Writer's: all of p, or an error.
func (s *Socket) Write(p []byte) (int, error) {
	out := &s.out
	out.p, out.n, out.err = p, 0, nil
	return s.wrote(s.raw.Write(out.do))
}

func (s *Socket) wrote(err error) (int, error) {
	out := &s.out
	out.p = nil
	if err == nil && out.err != nil {
		err = s.failed("write", out.err)
	}
	return out.n, err
}

// send returns false when the connection takes no more for now.
func (out *sending) send(fd uintptr) bool {
	for len(out.p) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(out.p))), uintptr(len(out.p)), unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			out.n += int(n)
			out.p = out.p[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			out.err = os.NewSyscallError("sendto", errno)
			return true
		}
	}
	return true
}

// writeVec writes the pieces, at most vectors of them, as one where the
// connection takes it.
func (s *Socket) writeVec(pieces net.Buffers) (int64, error) {
	out := &s.out
	for i, p := range pieces {
		out.pieces[i].Base = unsafe.SliceData(p)
		out.pieces[i].SetLen(len(p))
	}
	out.msg.Iov = &out.pieces[0]
	out.msg.SetIovlen(len(pieces))
	out.n, out.err = 0, nil
	n, err := s.wrote(s.raw.Write(out.doVec))
	clear(out.pieces[:len(pieces)])
	out.msg = unix.Msghdr{}
	return int64(n), err
}

func (out *sending) sendPieces(fd uintptr) bool {
	for out.msg.Iovlen > 0 {
		n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&out.msg)), unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			out.n += int(n)
			out.sent(int(n))
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			out.err = os.NewSyscallError("sendmsg", errno)
			return true
		}
	}
	return true
}

// sent takes n bytes off the front of the pieces.
func (out *sending) sent(n int) {
	pieces := unsafe.Slice(out.msg.Iov, int(out.msg.Iovlen))
	for len(pieces) > 0 && n >= int(pieces[0].Len) {
		n -= int(pieces[0].Len)
		pieces = pieces[1:]
	}
	out.msg.SetIovlen(len(pieces))
	if len(pieces) == 0 {
		return
	}
	out.msg.Iov = &pieces[0]
	pieces[0].Base = (*byte)(unsafe.Add(unsafe.Pointer(pieces[0].Base), n))
	pieces[0].SetLen(int(pieces[0].Len) - n)
}

// failed is an error as the connection's own methods would return it.
func (s *Socket) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: s.conn.LocalAddr().Network(), Source: s.conn.LocalAddr(), Addr: s.conn.RemoteAddr(), Err: err}
}
