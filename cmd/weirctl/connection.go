package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"weir/admin/api"
	"weir/config"
)

// connection says which sidecar is asked, and who asks. A flag wins over its
// variable; a token has no flag, which every user of the machine could read.
type connection struct {
	address   string
	tokenFile string
	ca        string
	cert, key string

	getenv func(string) string
}

// defaultAddress is where a sidecar's management API is unless it was told
// otherwise.
const defaultAddress = "http://127.0.0.1:9465"

// Variables that say the same as flags; variableToken has none. The token's file
// is named as for weir itself, so that both find it in one environment.
const (
	variableAddress   = "WEIR_ADMIN"
	variableToken     = "WEIR_ADMIN_TOKEN"
	variableTokenFile = "WEIR_ADMIN_TOKEN_FILE"
	variableCA        = "WEIR_ADMIN_CA"
	variableCert      = "WEIR_ADMIN_CERT"
	variableKey       = "WEIR_ADMIN_KEY"
)

func (o *connection) flags(f *pflag.FlagSet) {
	f.StringVar(&o.address, "admin", "", "`address` of the sidecar's management API, or "+variableAddress+" (default "+defaultAddress+")")
	f.StringVar(&o.tokenFile, "admin-token-file", "", "`file` with the token, or "+variableTokenFile+"; "+variableToken+" holds the token itself")
	f.StringVar(&o.ca, "admin-ca", "", "PEM `file` of the authorities to trust over https, or "+variableCA+" (default the system's)")
	f.StringVar(&o.cert, "admin-cert", "", "PEM `file` of the certificate to show, or "+variableCert)
	f.StringVar(&o.key, "admin-key", "", "PEM `file` of its private key, or "+variableKey)
}

// client makes a client. Its errors are mistakes in what was typed or exported.
func (o *connection) client(c *cobra.Command) (*api.Client, error) {
	or := func(flag, variable string) string {
		if flag != "" {
			return flag
		}
		return o.getenv(variable)
	}
	options := api.ClientOptions{Address: or(o.address, variableAddress)}
	if options.Address == "" {
		options.Address = defaultAddress
	}
	u, err := api.ParseAddress(options.Address)
	if err != nil {
		return nil, usageError("--admin: %w", err)
	}
	if options.Token, err = o.token(); err != nil {
		return nil, err
	}
	ca, cert, key := or(o.ca, variableCA), or(o.cert, variableCert), or(o.key, variableKey)
	switch {
	case ca+cert+key == "":
	case u.Scheme != "https":
		return nil, usageError("certificates are for https://, and the address is %s", u)
	default:
		if options.TLS, err = tlsConfig(ca, cert, key); err != nil {
			return nil, err
		}
	}
	if options.Token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "weirctl: the token crosses the network in clear text to %s; use https\n", u.Host)
	}
	return api.NewClient(options)
}

// token gives the token, "" where nobody set one.
func (o *connection) token() (string, error) {
	path, text := o.tokenFile, o.getenv(variableToken)
	if path == "" {
		if path = o.getenv(variableTokenFile); path != "" && text != "" {
			return "", usageError("both %s and %s are set: leave one out", variableToken, variableTokenFile)
		}
	} else {
		text = "" // a flag wins
	}
	source, content := variableToken, []byte(text)
	switch {
	case path != "":
		var err error
		if content, err = os.ReadFile(path); err != nil {
			return "", usageError("token file: %w", err)
		}
		source = path
	case text == "":
		return "", nil
	}
	token, err := config.ParseToken(content)
	if err != nil {
		return "", usageError("%s: %w", source, err)
	}
	return token, nil
}

func tlsConfig(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usageError("authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageError("authorities: %s holds no certificate in PEM form", ca)
		}
	}
	switch {
	case cert == "" && key == "":
	case cert == "" || key == "":
		return nil, usageError("--admin-cert and --admin-key need each other")
	default:
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, usageError("certificate %s with key %s: %w", cert, key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// asked wraps what a client returned: no sidecar there is a code of its own, for
// scripts that wait for one.
func asked(err error) error {
	var unreachable *api.UnreachableError
	if errors.As(err, &unreachable) {
		return &exitError{exitUnreachable, fmt.Errorf("%w%s", err, hint(err))}
	}
	return err
}

// hint says what to look at where nobody listens.
func hint(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return "\nIs weir running, and is this its --admin-listen? --admin or " + variableAddress + " names another"
	}
	return ""
}

// interruptible gives the command's context, which a signal ends too: for those
// that wait and have something to put right at the end.
func interruptible(c *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
}
