package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// UpstreamOptions says how to reach the function.
type UpstreamOptions struct {
	Scheme  string // http, https, h2c or unix
	Address string // host:port, or a socket's path
	// ConnectTimeout bounds a connection attempt.
	ConnectTimeout time.Duration
	// IdleTimeout closes an idle connection. It must stay below the function's
	// own, or requests meet connections that the function is just closing.
	IdleTimeout time.Duration
	// MaxIdle bounds the idle connections, 0 keeps none; fewer than run at once
	// means that bursts dial anew each time.
	MaxIdle int
	// CA is a PEM file of authorities for https; empty for the system's.
	CA string
}

// Upstream reaches one function.
type Upstream struct {
	scheme, host string
	http1        bool // may speak HTTP/1.1, hence upgrade
	plain        bool // speaks HTTP/1.1 and nothing else, in the clear
	dial         func(ctx context.Context) (net.Conn, error)
	transport    *http.Transport
	maxIdle      int
	idleTimeout  time.Duration
}

// NewUpstream makes an Upstream; it connects to nothing yet.
func NewUpstream(o UpstreamOptions) (*Upstream, error) {
	u := &Upstream{scheme: "http", host: o.Address, http1: true, maxIdle: o.MaxIdle, idleTimeout: o.IdleTimeout}
	network := "tcp"
	protocols := new(http.Protocols)
	switch o.Scheme {
	case "http":
		u.plain = true
		protocols.SetHTTP1(true)
	case "unix":
		u.plain = true
		network, u.host = "unix", "localhost"
		protocols.SetHTTP1(true)
	case "h2c":
		protocols.SetUnencryptedHTTP2(true)
		u.http1 = false
	case "https":
		u.scheme = "https"
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
	default:
		return nil, fmt.Errorf("proxy: upstream scheme %q is none of http, https, h2c, unix", o.Scheme)
	}
	dialer := &net.Dialer{Timeout: o.ConnectTimeout}
	u.dial = func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, network, o.Address) }
	u.transport = &http.Transport{
		// No Proxy: the function is next door, whatever HTTP_PROXY says.
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return u.dial(ctx) },
		Protocols:           protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: cmp.Or(o.MaxIdle, -1), // 0 would mean two
		IdleConnTimeout:     o.IdleTimeout,
		TLSHandshakeTimeout: o.ConnectTimeout,
		// The function decides whether an expected 100 comes; this only bounds how
		// long its silence holds back the body.
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        16 << 10,
		WriteBufferSize:       16 << 10,
	}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("proxy: reading the upstream's authorities: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("proxy: %s holds no PEM certificate", o.CA)
		}
		u.transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return u, nil
}

// Probe checks once whether the function takes requests: by a connection, or
// where path is set by a GET that must not end in 400 or above.
func (u *Upstream) Probe(ctx context.Context, path string) error {
	if path == "" {
		conn, err := u.dial(ctx)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.scheme+"://"+u.host+path, nil)
	if err != nil {
		return fmt.Errorf("proxy: readiness path %q: %w", path, err)
	}
	req.Header.Set("User-Agent", "weir-probe")
	res, err := u.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	err = res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		return errors.Join(fmt.Errorf("proxy: GET %s answered %s", path, res.Status), err)
	}
	return err
}

// Close gives up idle connections.
func (u *Upstream) Close() { u.transport.CloseIdleConnections() }
