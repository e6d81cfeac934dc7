//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// idleSample is what idle keep-alive connections cost a proxy in memory.
type idleSample struct {
	connections   int
	before, after int64 // RSS
	invalid       string
}

// settleTime is what a proxy has to give back what it does not need while idle.
const settleTime = 6 * time.Second

// raiseFiles raises the bound on open files as far as it goes, for us and for
// what we start.
func raiseFiles() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	r.Cur = r.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("raise the bound on open files to %d: %w", r.Max, err)
	}
	return r.Cur, nil
}

// measureIdle opens connections, has each answered once, leaves them, measures,
// and has each answered again, since a connection that was closed costs nothing.
func measureIdle(ctx context.Context, p *peer, n int) (*idleSample, error) {
	s := &idleSample{connections: n}
	var err error
	if s.before, err = p.rss(); err != nil {
		return nil, err
	}
	conns := make([]net.Conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close() // nothing was to be written
			}
		}
	}()
	err = each(n, func(i int) error {
		// Many source addresses, for one has less than 2^16 ports.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%16))}, Timeout: 5 * time.Second}
		c, err := d.DialContext(ctx, "tcp", p.address)
		if err != nil {
			return err
		}
		conns[i] = c
		return askOnce(c, p.address)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: open %d connections: %w", p.name, n, err)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settleTime):
	}
	if s.after, err = p.rss(); err != nil {
		return nil, err
	}
	if err := each(n, func(i int) error { return askOnce(conns[i], p.address) }); err != nil {
		s.invalid = fmt.Sprintf("a connection had not been kept: %v", err)
	}
	return s, nil
}

// each does something n times, a few at once, until the first error.
func each(n int, do func(i int) error) error {
	var (
		next   atomic.Int64
		wg     sync.WaitGroup
		failed = make(chan error, 1)
	)
	for range 8 {
		wg.Go(func() {
			for len(failed) == 0 {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// askOnce sends GET /50 on a connection and reads the answer.
func askOnce(c net.Conn, host string) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "GET /50 HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 2*kib), nil)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || len(body) != smallBody || resp.Close {
		return fmt.Errorf("GET /50: %s, %d bytes, close %v, error %v", resp.Status, len(body), resp.Close, err)
	}
	return nil
}
