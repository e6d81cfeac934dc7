package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ServerOptions bounds what clients may do before a request is complete.
type ServerOptions struct {
	HeaderTimeout  time.Duration // to send a complete head
	IdleTimeout    time.Duration // between two requests
	MaxHeaderBytes int
	TLS            *tls.Config // nil for plain HTTP
}

// Server serves a Proxy on one listener: HTTP/1.1 and, by preface or ALPN,
// HTTP/2.
type Server struct {
	proxy *Proxy
	http  *http.Server
}

// maxStreams bounds the requests of one HTTP/2 connection. Above the default,
// for a gRPC client sends everything over one connection.
const maxStreams = 1000

// NewServer makes a Server for p.
func NewServer(p *Proxy, o ServerOptions) *Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	if o.TLS != nil {
		protocols.SetHTTP2(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	return &Server{proxy: p, http: &http.Server{
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
}

// Serve accepts connections from ln until Drain or Close; then it returns nil.
func (s *Server) Serve(ln net.Listener) error {
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(ln, "", "")
	} else {
		err = s.http.Serve(ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("proxy: serving %s: %w", ln.Addr(), err)
}

// drainPoll is how often a drain looks whether the last request has ended.
const drainPoll = 10 * time.Millisecond

// Drain refuses newcomers, lets those admitted and those waiting finish, then
// closes listener and connections. Until then the listener stays open: a 503
// with advice is worth more to a client than a refused connection. When ctx
// ends first, whatever still runs is cut off and ctx's error returned.
func (s *Server) Drain(ctx context.Context) error {
	s.proxy.draining.Store(true)
	s.proxy.gate.Drain()
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
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// Close cuts everything off.
func (s *Server) Close() error {
	s.proxy.closeTunnels()
	return s.http.Close()
}
