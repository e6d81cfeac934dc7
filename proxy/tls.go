package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSFiles serves a certificate from files and reads them again when they have
// changed, so that a renewed certificate needs no restart.
type TLSFiles struct {
	cert, key, clientCA string
	log                 *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   string // sizes and times of what was read
	config  *tls.Config
}

// certificateCheck is how often, at most, handshakes look at the files.
const certificateCheck = time.Second

// NewTLSFiles reads the PEM files; clientCA may be empty. Where it is set,
// clients must present a certificate that it signed.
func NewTLSFiles(cert, key, clientCA string, log *slog.Logger) (*TLSFiles, error) {
	f := &TLSFiles{cert: cert, key: key, clientCA: clientCA, log: log}
	var err error
	if f.stamp, err = f.look(); err != nil {
		return nil, err
	}
	if f.config, err = f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Config is for a server; each handshake gets the files' current content.
func (f *TLSFiles) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil },
	}
}

// current returns the configuration in force. Files that cannot be read keep
// the last good one in force, with an error in the log.
func (f *TLSFiles) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.checked) < certificateCheck {
		return f.config
	}
	f.checked = now
	stamp, err := f.look()
	if err == nil && stamp == f.stamp {
		return f.config
	}
	var config *tls.Config
	if err == nil {
		config, err = f.read()
	}
	if err != nil {
		f.log.Error("TLS files have changed and cannot be used; the last good ones stay in force", "err", err)
		return f.config
	}
	f.log.Info("TLS files read again", "cert", f.cert)
	f.stamp, f.config = stamp, config
	return config
}

func (f *TLSFiles) look() (string, error) {
	stamp := ""
	for _, name := range []string{f.cert, f.key, f.clientCA} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return "", fmt.Errorf("proxy: TLS: %w", err)
		}
		stamp += fmt.Sprintf("%d %v;", info.Size(), info.ModTime())
	}
	return stamp, nil
}

func (f *TLSFiles) read() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("proxy: TLS: %s with %s: %w", f.cert, f.key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{cert},
	}
	if f.clientCA != "" {
		pem, err := os.ReadFile(f.clientCA)
		if err != nil {
			return nil, fmt.Errorf("proxy: TLS: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("proxy: TLS: " + f.clientCA + " holds no PEM certificate")
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}
