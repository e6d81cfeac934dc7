package webhook

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL bounds a URL, in bytes.
const maxURL = 2048

// target is where a URL leads.
type target struct {
	host string     // lower case, without a final dot; of an address its canonical form
	addr netip.Addr // the zero Addr where host is a name
	port uint16
}

// What a URL that nothing can be sent to is refused for. None shows it: it may hold a
// secret.
var (
	errURLLength      = errors.New("is longer than 2048 bytes")
	errURLCharacters  = errors.New("has other characters than visible ASCII ones: write them percent-encoded, and host names in punycode")
	errURLSyntax      = errors.New("is no absolute URL such as https://example.com/done")
	errURLScheme      = errors.New("does not begin with https:// or http://")
	errURLCredentials = errors.New("has a user or a password in it: what proves that it is weir is the signature")
	errURLFragment    = errors.New("has a fragment, which is never sent: leave it out")
	errURLPort        = errors.New("has a port that is not one of 1 to 65535")
	errURLHost        = errors.New("has a host that is neither a name nor an address")
)

// parse reads a URL of http or https.
func parse(text string) (*url.URL, target, error) {
	fail := func(err error) (*url.URL, target, error) { return nil, target{}, err }
	if len(text) > maxURL {
		return fail(errURLLength)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return fail(errURLCharacters)
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil: // not to be shown, for it holds the URL
		return fail(errURLSyntax)
	case u.Scheme != "http" && u.Scheme != "https":
		return fail(errURLScheme)
	case u.User != nil:
		return fail(errURLCredentials)
	case u.Opaque != "" || u.Host == "":
		return fail(errURLSyntax)
	case strings.Contains(text, "#"):
		return fail(errURLFragment)
	}
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return fail(errURLPort)
		}
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	t, err := targetOf(u.Hostname(), port)
	return u, t, err
}

// targetOf reads a host without its brackets, and a port.
func targetOf(host, port string) (t target, err error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '+' {
		return t, errURLPort
	}
	t.port = uint16(n)
	if t.addr, err = netip.ParseAddr(host); err == nil {
		if t.addr.Zone() != "" {
			return target{}, errURLHost
		}
		t.addr = t.addr.Unmap()
		t.host = t.addr.String()
		return t, nil
	}
	t.addr = netip.Addr{}
	if t.host = strings.ToLower(strings.TrimSuffix(host, ".")); !isName(t.host) {
		return target{}, errURLHost
	}
	return t, nil
}

// isName reports whether a host can be asked for in the DNS. One that ends in a number
// is an address to some resolvers, written as 0x7f.1 or 2130706433.
func isName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}
