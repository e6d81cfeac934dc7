package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ServerOptions bounds what clients may do before a request is complete.
type ServerOptions struct {
	HeaderTimeout  time.Duration // to send a complete head
	IdleTimeout    time.Duration // between two requests
	MaxHeaderBytes int
	TLS            *tls.Config // nil for plain HTTP
	// NetHTTP carries HTTP/1.x by net/http too, as it is where the function does
	// not speak plain HTTP/1.1.
	NetHTTP bool
}

// Server serves a Proxy on one listener. HTTP/1.x is carried by weir's own
// engine, HTTP/2 by net/http: told apart by ALPN, or by how a connection begins.
type Server struct {
	proxy  *Proxy
	o      ServerOptions
	engine *engine // nil where net/http carries everything
	http   *http.Server
	rare   *handOvers

	mu       sync.Mutex
	listener net.Listener
	closed   bool
}

// maxStreams bounds the requests of one HTTP/2 connection. Above the default,
// for a gRPC client sends everything over one connection.
const maxStreams = 1000

// NewServer makes a Server for p.
func NewServer(p *Proxy, o ServerOptions) (*Server, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	if o.TLS != nil {
		protocols.SetHTTP2(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	s := &Server{proxy: p, o: o, rare: newHandOvers(), http: &http.Server{
		ConnContext:                  connContext,
		Handler:                      p,
		Protocols:                    protocols,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		TLSConfig:                    o.TLS,
		ReadHeaderTimeout:            o.HeaderTimeout,
		IdleTimeout:                  o.IdleTimeout,
		MaxHeaderBytes:               o.MaxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the function's to answer
		ErrorLog:                     slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
	}}
	if !o.NetHTTP && p.upstream.plain {
		var err error
		if s.engine, err = newEngine(p, o, s.handOver); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Serve accepts connections from ln until Drain or Close; then it returns nil.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	s.listener = ln
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ln.Close()
	}
	if s.engine == nil {
		return s.served(ln.Addr(), s.serveNetHTTP(ln))
	}
	rare := make(chan error, 1)
	go func() { rare <- s.serveNetHTTP(keptOpen{s.rare}) }()
	err := s.accept(ln)
	_ = s.rare.Close() // always nil
	return s.served(ln.Addr(), errors.Join(err, <-rare))
}

func (s *Server) serveNetHTTP(ln net.Listener) error {
	serve := s.http.Serve
	if s.engine == nil && s.o.TLS != nil {
		serve = func(ln net.Listener) error { return s.http.ServeTLS(ln, "", "") }
	}
	err := serve(ln)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (s *Server) served(addr net.Addr, err error) error {
	if err != nil {
		return fmt.Errorf("proxy: serving %s: %w", addr, err)
	}
	return nil
}

// accept starts a goroutine for each new connection until the listener closes.
// Running out of descriptors, for one, passes.
func (s *Server) accept(ln net.Listener) error {
	delay := time.Duration(0)
	for {
		conn, err := ln.Accept()
		if err == nil {
			delay = 0
			go s.begin(conn)
			continue
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed || errors.Is(err, net.ErrClosed) {
			return nil
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		s.proxy.log.Error("connection not accepted", "err", err, "again_in", delay)
		time.Sleep(delay)
	}
}

// begin carries a new connection.
func (s *Server) begin(conn net.Conn) {
	if s.o.TLS == nil {
		s.engine.serve(conn)
		return
	}
	t := tls.Server(conn, s.o.TLS)
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if s.o.HeaderTimeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.o.HeaderTimeout)
	}
	err := t.HandshakeContext(ctx)
	cancel()
	if err != nil {
		s.proxy.log.Debug("TLS handshake failed", "client", conn.RemoteAddr().String(), "err", err)
		_ = conn.Close()
		return
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		s.rare.give(t)
		return
	}
	s.engine.serve(t)
}

// handOver gives a connection of the engine's to net/http. What has been read
// decides: the preface of HTTP/2, or one request, after which the connection is
// closed, so that no request slips past the engine's parser unread.
func (s *Server) handOver(conn net.Conn, read []byte) {
	_, overTLS := conn.(*tls.Conn)
	s.rare.give(&handedOver{
		Conn: conn, rest: prefixed{read, conn},
		info: connInfo{once: !strings.HasPrefix(string(read), preface), tls: overTLS},
	})
}

// drainPoll is how often a drain looks whether the last request has ended.
const drainPoll = 10 * time.Millisecond

// farewell is what connections have to end after the last request has: more than
// the second that net/http takes after a GOAWAY.
const farewell = 1500 * time.Millisecond

// Refuse turns newcomers away from now on, with 503 and advice; those admitted and
// those waiting finish. Unlike Drain it closes neither listener nor idle
// connections: for a sidecar that is drained first and ended later.
func (s *Server) Refuse() {
	s.proxy.draining.Store(true)
	s.proxy.gate.Drain()
}

// Drain refuses newcomers, lets those admitted and those waiting finish, then
// closes listener and connections. Until then the listener stays open: a 503
// with advice is worth more to a client than a refused connection. When ctx
// ends first, whatever still runs is cut off and ctx's error returned.
func (s *Server) Drain(ctx context.Context) error {
	s.Refuse()
	if s.engine != nil {
		// GOAWAY at once to every HTTP/2 client. New connections still get their 503.
		go func() { _ = s.http.Shutdown(ctx) }() // and once more below, for its outcome
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for {
		if g := s.proxy.gate.Snapshot(); g.Inflight == 0 && g.Waiting == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.Close())
		}
	}
	s.proxy.closeTunnels()
	s.closeListener()
	for s.engine != nil && s.engine.shutdown() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.Close())
		}
	}
	// Nothing runs any more, and nobody is let in: what net/http still waits for is
	// connections on which nothing was ever asked, and clients that have yet to read
	// their GOAWAY.
	last, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	if err := s.http.Shutdown(last); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(err, s.Close())
	}
	return s.Close()
}

func (s *Server) closeListener() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.listener != nil {
		_ = s.listener.Close() // it may be closed already
	}
}

// Close cuts everything off.
func (s *Server) Close() error {
	s.closeListener()
	s.proxy.closeTunnels()
	if s.engine != nil {
		s.engine.close()
	}
	if err := s.http.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // the listener has been closed above
}
