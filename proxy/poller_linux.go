package proxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller is an epoll set beside the Go runtime's own. It tells when a peer hangs
// up while nobody reads from its connection, which costs nothing per request;
// and it holds idle connections, so that they need neither a goroutine nor a
// buffer.
type poller struct {
	epoll int
	wake  [2]int // a pipe that ends the loop
	done  chan struct{}

	mu sync.Mutex
	// conns is indexed by descriptor. An event that was fetched before its
	// descriptor was closed and given to another connection reaches that one:
	// both callbacks may come for nothing.
	conns  []*registration
	closed bool
}

const (
	// activeEvents tell of a hang-up, once.
	activeEvents = unix.EPOLLRDHUP | unix.EPOLLET
	// parkedEvents tell of anything to read, once.
	parkedEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT
)

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &poller{epoll: epoll, done: make(chan struct{})}
	if err := unix.Pipe2(p.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, errors.Join(os.NewSyscallError("pipe2", err), unix.Close(epoll))
	}
	if err := p.control(unix.EPOLL_CTL_ADD, p.wake[0], unix.EPOLLIN); err != nil {
		return nil, errors.Join(err, unix.Close(epoll), unix.Close(p.wake[0]), unix.Close(p.wake[1]))
	}
	go p.loop()
	return p, nil
}

func (p *poller) control(op, fd int, events uint32) error {
	err := unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	return os.NewSyscallError("epoll_ctl", err)
}

// add begins to watch a connection for hang-ups. The descriptor must stay open
// until remove.
func (p *poller) add(fd int, c watched) (*registration, error) {
	r := &registration{fd: fd, conn: c}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("proxy: the poller is closed")
	}
	for len(p.conns) <= fd {
		p.conns = append(p.conns, make([]*registration, max(64, fd+1-len(p.conns)))...)
	}
	if err := p.control(unix.EPOLL_CTL_ADD, fd, activeEvents); err != nil {
		return nil, fmt.Errorf("proxy: watching a connection: %w", err)
	}
	p.conns[fd] = r
	return r, nil
}

// park calls readable once there is something to read, which may be before park
// returns. The caller must not touch the connection afterwards.
func (p *poller) park(r *registration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.parked = true
	if err := p.control(unix.EPOLL_CTL_MOD, r.fd, parkedEvents); err != nil {
		r.parked = false
		return err
	}
	return nil
}

// remove ends the watch, before the descriptor is closed. It reports whether
// the connection was parked, in which case readable will not be called and the
// connection is the caller's.
func (p *poller) remove(r *registration) (wasParked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.fd < len(p.conns) && p.conns[r.fd] == r {
		p.conns[r.fd] = nil
		// Fails only where the set is closed already; then nothing is left to end.
		_ = p.control(unix.EPOLL_CTL_DEL, r.fd, 0)
	}
	wasParked, r.parked = r.parked, false
	return wasParked
}

// loop delivers events until close.
func (p *poller) loop() {
	defer close(p.done)
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(p.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			panic(os.NewSyscallError("epoll_wait", err)) // only for a bad descriptor: a bug
		}
		for _, e := range events[:n] {
			if int(e.Fd) == p.wake[0] {
				return
			}
			p.deliver(int(e.Fd))
		}
	}
}

func (p *poller) deliver(fd int) {
	p.mu.Lock()
	r := p.conns[fd]
	if r == nil {
		p.mu.Unlock()
		return
	}
	parked := r.parked
	if parked {
		r.parked = false
		// Watched for hang-ups again; one that has happened is reported once more.
		if err := p.control(unix.EPOLL_CTL_MOD, fd, activeEvents); err != nil {
			panic(err) // the descriptor is open until remove: a bug
		}
	}
	p.mu.Unlock()
	if parked {
		go r.conn.readable()
	} else {
		r.conn.hungUp()
	}
}

// close ends the loop. Connections stay open and are watched no more.
func (p *poller) close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	_, err := unix.Write(p.wake[1], []byte{0})
	<-p.done
	return errors.Join(err, unix.Close(p.epoll), unix.Close(p.wake[0]), unix.Close(p.wake[1]))
}

// rawReader looks at a connection's unread bytes.
type rawReader struct{ raw syscall.RawConn }

// atEnd reports whether the peer has closed its side and nothing it sent is
// unread. It does not block.
func (r *rawReader) atEnd(conn net.Conn) (end bool) {
	if r.raw == nil {
		c, ok := conn.(syscall.Conn)
		if !ok {
			return false
		}
		var err error
		if r.raw, err = c.SyscallConn(); err != nil {
			return true
		}
	}
	err := r.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		end = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN)
	})
	return end || err != nil
}
