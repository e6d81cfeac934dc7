package h1

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
)

type rawConn = syscall.RawConn

// splicer moves bytes between two sockets by splice(2), through a pipe, without
// copying them to user space. Unlike net.TCPConn.ReadFrom it moves what is there
// and returns, so that deadlines hold for each piece, and tells a failed source
// from a failed sink.
type splicer struct {
	max  int // bytes to take at most
	n    int // bytes in the pipe
	pipe *pipe
	err  error

	drain, pump func(fd uintptr) bool // made once, since making them allocates
}

// move waits for bytes from src and moves at most most of them to dst. ok is
// false if that cannot be done on these connections; nothing has been moved then.
// n is 0 without an error when src has ended.
func (s *splicer) move(src *Source, dst *Sink, most int64) (n int64, ok bool, _ error) {
	from, to := src.rawConn(), dst.rawConn()
	if from == nil || to == nil {
		return 0, false, nil
	}
	if s.drain == nil {
		s.drain, s.pump = s.drainOnce, s.pumpAll
	}
	s.max = int(min(most, pipeSize))
	s.n, s.err = 0, nil
	err := from.Read(s.drain)
	if err == nil {
		err = s.err
	}
	switch {
	case errors.Is(err, errNoPipe) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS):
		s.release()
		return 0, false, nil
	case err != nil:
		s.release()
		return 0, true, &SourceError{err}
	}
	moved := s.n
	if moved > 0 {
		s.err = nil
		if err = to.Write(s.pump); err == nil {
			err = s.err
		}
	}
	dst.written += int64(moved - s.n)
	s.release()
	if err != nil {
		return int64(moved - s.n), true, dst.failed(err)
	}
	return int64(moved), true, nil
}

// drainOnce fills the pipe with what the socket has. While it has nothing no pipe
// is kept.
func (s *splicer) drainOnce(fd uintptr) bool {
	if s.pipe == nil {
		if s.pipe = pipes.get(); s.pipe == nil {
			s.err = errNoPipe
			return true
		}
	}
	n, err := splice(int(fd), s.pipe.w, s.max)
	if err == syscall.EAGAIN {
		s.release()
		return false
	}
	if err != nil {
		s.err = os.NewSyscallError("splice", err)
		return true
	}
	s.n = n
	return true
}

// pumpAll empties the pipe into the socket.
func (s *splicer) pumpAll(fd uintptr) bool {
	for s.n > 0 {
		n, err := splice(s.pipe.r, int(fd), s.n)
		if err == syscall.EAGAIN {
			return false
		}
		if err != nil {
			s.err = os.NewSyscallError("splice", err)
			return true
		}
		s.n -= n
	}
	return true
}

// release gives the pipe back; one that still holds bytes is closed.
func (s *splicer) release() {
	if s.pipe != nil {
		pipes.put(s.pipe, s.n == 0)
		s.pipe = nil
	}
}

func splice(from, to, most int) (int, error) {
	const moveNonblock = 0x1 | 0x2 // SPLICE_F_MOVE, SPLICE_F_NONBLOCK
	for {
		// Raw, for the reason that Socket gives: it never blocks.
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most), moveNonblock)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// rawConn is the descriptor behind the source, nil if there is no plain one.
func (s *Source) rawConn() rawConn {
	if s.raw == nil {
		s.raw = rawOf(s.rd)
	}
	return s.raw
}

func (s *Sink) rawConn() rawConn {
	if s.raw == nil {
		s.raw = rawOf(s.w)
	}
	return s.raw
}

func rawOf(conn any) rawConn {
	var c syscall.Conn
	switch conn := conn.(type) {
	case *Socket:
		return conn.raw
	case *net.TCPConn:
		c = conn
	case *net.UnixConn:
		c = conn
	default:
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil // a closed connection: read and write will say so
	}
	return raw
}

var errNoPipe = errors.New("h1: no pipe to splice through")

const (
	pipeSize  = 256 << 10 // asked for; less where the user's pipes are at their limit
	maxPipes  = 256       // at once: two descriptors each; beyond, bodies are copied
	idlePipes = 32        // kept for the next splice
)

type pipe struct{ r, w int }

// pipePool lends pipes, the most recently used first. Invariant: an idle pipe is
// empty, and lent plus idle ones are open.
type pipePool struct {
	mu   sync.Mutex
	idle []*pipe
	open int
}

var pipes pipePool

// get returns an empty pipe, or nil if there are too many or none can be made.
func (p *pipePool) get() *pipe {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		pp := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return pp
	}
	if p.open == maxPipes {
		p.mu.Unlock()
		return nil
	}
	p.open++
	p.mu.Unlock()

	var fds [2]int
	if syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK) != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
		return nil
	}
	const setPipeSize = 1031 // F_SETPIPE_SZ
	// A smaller pipe than asked for does as well, in more pieces.
	syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[1]), setPipeSize, pipeSize) //nolint:errcheck
	return &pipe{r: fds[0], w: fds[1]}
}

func (p *pipePool) put(pp *pipe, empty bool) {
	p.mu.Lock()
	if empty && len(p.idle) < idlePipes {
		p.idle = append(p.idle, pp)
		p.mu.Unlock()
		return
	}
	p.open--
	p.mu.Unlock()
	syscall.Close(pp.r) //nolint:errcheck // nothing is lost that was not given up
	syscall.Close(pp.w) //nolint:errcheck
}
