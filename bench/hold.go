//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// holders keep slots of a proxy taken: each has a response that trickles.
type holders struct{ conns []net.Conn }

// holdWithin is what a proxy has to notice that earlier holders have left.
const holdWithin = 10 * time.Second

var errNoSlot = errors.New("no slot is free")

// hold takes n slots.
func hold(ctx context.Context, address string, n int) (*holders, error) {
	ctx, cancel := context.WithTimeout(ctx, holdWithin)
	defer cancel()
	h := &holders{}
	for len(h.conns) < n {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			if err = takeSlot(conn, address); err == nil {
				h.conns = append(h.conns, conn)
				continue
			}
			_ = conn.Close() // the error that counts is there
		}
		if errors.Is(err, errNoSlot) {
			select {
			case <-time.After(20 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
		}
		h.close()
		return nil, fmt.Errorf("hold slot %d of %d: %w", len(h.conns)+1, n, err)
	}
	return h, nil
}

func takeSlot(conn net.Conn, address string) error {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return errNoSlot
	}
	// The body goes on, and is closed with its connection.
	if resp.StatusCode != http.StatusOK || resp.ContentLength != mediumBody {
		return fmt.Errorf("GET /slow: %s, %d bytes", resp.Status, resp.ContentLength)
	}
	return nil
}

// lost counts those whose response has ended.
func (h *holders) lost() (n int) {
	for _, c := range h.conns {
		if !open(c) {
			n++
		}
	}
	return n
}

// open reports whether a connection is still open: what has come is read.
func open(c net.Conn) bool {
	b := make([]byte, 64<<10)
	for {
		if c.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
			return false
		}
		if _, err := c.Read(b); err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

func (h *holders) close() {
	for _, c := range h.conns {
		// By a reset, which no proxy can take for half a close.
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close() // only read from
	}
}

// probeClient sends requests on connections of their own.
func probeClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
}
