package conformance

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

// TLS on the data port.

func tlsCases() []Case {
	secure := []Carrier{H1TLS, H2TLS}
	return []Case{
		{
			Name: "tls/ALPN decides the version", Over: secure,
			Run: func(t testing.TB, s *Stage) {
				for _, proto := range []string{"h2", "http/1.1"} {
					conn, err := s.dial(proto)
					if err != nil {
						t.Fatal(err)
					}
					if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != proto {
						t.Errorf("asked for %q, got %q", proto, got)
					}
					conn.Close()
				}
			},
		},
		{
			Name: "tls/a client without ALPN gets HTTP/1.1", Over: []Carrier{H1TLS},
			Run: func(t testing.TB, s *Stage) {
				conn, err := tls.Dial("tcp", s.Weir.Addr, s.tlsConfig())
				if err != nil {
					t.Fatal(err)
				}
				s.wrap(t, conn).Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").echoed(t)
			},
		},
		{
			Name: "tls/old versions are refused", Over: []Carrier{H1TLS},
			Run: func(t testing.TB, s *Stage) {
				config := s.tlsConfig()
				config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
				if conn, err := tls.Dial("tcp", s.Weir.Addr, config); err == nil {
					conn.Close()
					t.Errorf("TLS 1.1 was accepted")
				}
			},
		},
		{
			Name: "tls/a client's certificate is demanded where an authority is set", Over: secure, ClientCA: true,
			Run: func(t testing.TB, s *Stage) {
				if status, err := s.oneRequest(nil); err == nil {
					t.Errorf("a client without a certificate was answered %q", status)
				}
				stranger, err := newCertificates(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				if status, err := s.oneRequest(&stranger.client); err == nil {
					t.Errorf("a client with a stranger's certificate was answered %q", status)
				}
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw a request of a client without a right to it")
				}
				if status, err := s.oneRequest(&s.certs.client); err != nil || status != "HTTP/1.1 200" {
					t.Errorf("a client with its certificate got %q, %v", status, err)
				}
			},
		},
		{
			Name: "tls/a client that speaks in the clear harms nobody", Over: secure,
			Run: func(t testing.TB, s *Stage) {
				conn, err := net.DialTimeout("tcp", s.Weir.Addr, patience)
				if err != nil {
					t.Fatal(err)
				}
				c := s.wrap(t, conn)
				c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				c.AwaitClose()
				if n := len(s.Function.Seen()); n > 0 {
					t.Errorf("the function saw a request in the clear")
				}
				s.Do(t, "GET /", nil).want(t, 200)
			},
		},
		{
			Name: "tls/a handshake that does not come is given up", Over: secure,
			With: Settings{Flags: Flags{"header-timeout": "500ms"}},
			Run: func(t testing.TB, s *Stage) {
				conn, err := net.DialTimeout("tcp", s.Weir.Addr, patience)
				if err != nil {
					t.Fatal(err)
				}
				s.wrap(t, conn).AwaitClose()
			},
		},
	}
}

// oneRequest does a handshake with the certificate, if any, and a request over
// HTTP/1.1, and returns the beginning of the status line.
func (s *Stage) oneRequest(cert *tls.Certificate) (string, error) {
	config := s.tlsConfig()
	config.NextProtos = []string{"http/1.1"}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.Weir.Addr, config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a deadline on an open connection
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	status := make([]byte, len("HTTP/1.1 200"))
	n, err := io.ReadFull(conn, status)
	return string(status[:n]), err
}
