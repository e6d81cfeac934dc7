package config

import (
	"net"
	"net/url"
	"strings"
)

// maxSocketPath is the longest path of a Unix socket: sun_path holds 108 bytes,
// the last of them a NUL (unix(7)).
const maxSocketPath = 107

// parseUpstream reads where the function is into a scheme and an address:
//
//	http://host[:80]   HTTP/1.1
//	h2c://host[:80]    HTTP/2 without TLS, by prior knowledge
//	https://host[:443] TLS, HTTP/2 or HTTP/1.1 as negotiated
//	unix:///path       HTTP/1.1 over a Unix socket; the path is taken as it stands
//
// A path, query, fragment or user would look as if it had an effect, so they are
// errors: a request's own target and fields are forwarded.
func parseUpstream(text string) (scheme, address string, err error) {
	prefix, rest, found := strings.Cut(text, "://")
	switch {
	case found && strings.EqualFold(prefix, "unix"):
		return parseSocket(text, rest)
	case !found && strings.HasPrefix(strings.ToLower(text), "unix:"):
		return "", "", notValue(text, "is not unix:///path: the socket's path is absolute, behind two slashes")
	case !found:
		return "", "", notValue(text, "has no scheme: write http://, h2c:// or https:// before host:port, or unix:///path")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		// Not shown: it may hold a password.
		return "", "", notValue(prefix+"://..."+rest[at:], "holds a user: weir sends no credentials of its own, leave it out")
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", "", notValue(text, "is not a URL such as http://127.0.0.1:3000")
	}
	defaultPort := ""
	switch u.Scheme {
	case "http", "h2c":
		defaultPort = "80"
	case "https":
		defaultPort = "443"
	default:
		return "", "", notValue(text, "has a scheme that is none of http, h2c, https and unix")
	}
	switch {
	case u.Path != "" && u.Path != "/":
		return "", "", notValue(text, "has a path: requests keep their own, leave it out")
	case u.RawQuery != "" || u.ForceQuery:
		return "", "", notValue(text, "has a query: requests keep their own, leave it out")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return "", "", notValue(text, "has a fragment, leave it out")
	}
	host, port := u.Hostname(), u.Port()
	if !validHost(host) {
		return "", "", notValue(text, "has no valid host: an IP address or a name is needed behind %s://", u.Scheme)
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", "", notValue(text, "has no port behind the colon")
	}
	if port == "" {
		port = defaultPort
	}
	if n, ok := parsePort(port); !ok || n == 0 || port[0] == '0' {
		return "", "", notValue(text, "has no port from 1 to 65535")
	}
	return u.Scheme, net.JoinHostPort(host, port), nil
}

func parseSocket(text, path string) (scheme, address string, err error) {
	switch {
	case !strings.HasPrefix(path, "/"):
		return "", "", notValue(text, "is not unix:///path: the socket's path must be absolute")
	case path == "/" || strings.HasSuffix(path, "/"):
		return "", "", notValue(text, "names a directory, not a socket")
	case strings.ContainsAny(path, "?#"):
		return "", "", notValue(text, "has a query or fragment: the path of a socket is taken as it stands")
	case !isPrintable(path):
		return "", "", notValue(text, "has a path with control characters")
	case len(path) > maxSocketPath:
		return "", "", notValue(text, "has a path of %d bytes: a socket's has at most %d", len(path), maxSocketPath)
	}
	return "unix", path, nil
}

// URL gives the upstream as the setting upstream.url writes it.
func (u Upstream) URL() string {
	if u.Scheme == "unix" {
		return "unix://" + u.Address
	}
	// The zone of an IPv6 address stands behind an escaped % (RFC 6874).
	return u.Scheme + "://" + strings.ReplaceAll(u.Address, "%", "%25")
}
