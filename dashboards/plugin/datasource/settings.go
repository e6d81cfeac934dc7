package datasource

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"weir/admin/api"
)

// Bounds of the settings.
const (
	maxSidecars    = 100
	defaultTimeout = 5 * time.Second
	maxTimeout     = time.Minute
)

// names are what a sidecar may be called: it is part of a channel of Grafana Live.
var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// settings are what is set for one data source in Grafana.
type settings struct {
	sidecars []sidecarSettings
	timeout  time.Duration // of one request to a sidecar
	token    string        // sent to all of them, "" for none
	tls      *tls.Config   // nil where nothing is set: the system's authorities
}

// sidecarSettings name one sidecar.
type sidecarSettings struct {
	Name string `json:"name"`
	URL  string `json:"url"` // of its management API
}

// Keys of what Grafana keeps encrypted; but for the token they are Grafana's own.
const (
	secretToken      = "token"
	secretCA         = "tlsCACert"
	secretClientCert = "tlsClientCert"
	secretClientKey  = "tlsClientKey"
)

// readSettings checks what Grafana holds. Its errors are shown to whoever configures
// the data source, and never hold a secret.
func readSettings(s backend.DataSourceInstanceSettings) (*settings, error) {
	var visible struct {
		Sidecars       []sidecarSettings `json:"sidecars"`
		TimeoutSeconds *float64          `json:"timeoutSeconds"`
	}
	if len(s.JSONData) > 0 {
		if err := json.Unmarshal(s.JSONData, &visible); err != nil {
			return nil, fmt.Errorf("the settings cannot be read: %w", err)
		}
	}
	o := &settings{sidecars: visible.Sidecars, timeout: defaultTimeout}
	if t := visible.TimeoutSeconds; t != nil {
		o.timeout = time.Duration(*t * float64(time.Second))
		if *t < 0.1 || *t > maxTimeout.Seconds() {
			return nil, fmt.Errorf("the timeout is %v s: it must be from 0.1 to %v s", *t, maxTimeout.Seconds())
		}
	}
	switch n := len(o.sidecars); {
	case n == 0:
		return nil, errors.New("no sidecar is named: add its name and the URL of its management API (--admin-listen)")
	case n > maxSidecars:
		return nil, fmt.Errorf("%d sidecars are named: at most %d can be asked by one data source", n, maxSidecars)
	}
	seen := map[string]bool{}
	https := false
	for i, sidecar := range o.sidecars {
		if !names.MatchString(sidecar.Name) {
			return nil, fmt.Errorf("sidecar %d is named %q: a name has 1 to 63 letters, digits, dots, dashes or underscores", i+1, sidecar.Name)
		}
		if seen[sidecar.Name] {
			return nil, fmt.Errorf("two sidecars are named %q", sidecar.Name)
		}
		seen[sidecar.Name] = true
		u, err := api.ParseAddress(sidecar.URL)
		if err != nil {
			return nil, fmt.Errorf("sidecar %q: %w", sidecar.Name, err)
		}
		https = https || u.Scheme == "https"
	}
	var err error
	if o.token, err = readToken(s.DecryptedSecureJSONData[secretToken]); err != nil {
		return nil, err
	}
	if o.tls, err = readTLS(s.DecryptedSecureJSONData); err != nil {
		return nil, err
	}
	if o.tls != nil && !https {
		return nil, errors.New("certificates are set, and no sidecar has a URL with https://")
	}
	return o, nil
}

func readToken(text string) (string, error) {
	token := strings.TrimSpace(text)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the token holds a space or another character that no token has")
	}
	return token, nil
}

func readTLS(secrets map[string]string) (*tls.Config, error) {
	ca, cert, key := secrets[secretCA], secrets[secretClientCert], secrets[secretClientKey]
	if ca+cert+key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("the authorities hold no certificate in PEM form")
		}
	}
	switch {
	case cert == "" && key == "":
	case cert == "" || key == "":
		return nil, errors.New("the client certificate and its key need each other")
	default:
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return nil, errors.New("the client certificate and its key cannot be read, or do not belong together: both must be in PEM form")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// inClear gives the sidecars that would get the token over a network in clear text.
func (o *settings) inClear() []string {
	var list []string
	for _, sidecar := range o.sidecars {
		u, err := api.ParseAddress(sidecar.URL)
		if err == nil && o.token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			list = append(list, sidecar.Name)
		}
	}
	return list
}

func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
