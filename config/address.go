package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// parseListen checks an address to listen on: host:port or :port, the port a
// number from 0 (any free one) to 65535.
func parseListen(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			return notValue(text, "has no colon: write :%s for port %s on all addresses", text, text)
		}
		if addr, err := netip.ParseAddr(text); err == nil {
			return notValue(text, "has no port: write %s", net.JoinHostPort(addr.String(), "8080"))
		}
		return notValue(text, "is not host:port or :port, such as :8080, 127.0.0.1:8080 or [::1]:8080")
	}
	if n, ok := parsePort(port); !ok {
		return notValue(text, "has no port from 0 to 65535 behind the colon")
	} else if strconv.Itoa(n) != port {
		return notValue(text, "has a port with a leading 0")
	}
	if host != "" && !validHost(host) {
		return notValue(text, "has no valid host before the colon: an IP address, a name, or nothing for all addresses")
	}
	return nil
}

// parseListenOrNone is parseListen, but for "", which is none.
func parseListenOrNone(text string) error {
	if text == "" {
		return nil
	}
	return parseListen(text)
}

func parsePort(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && text[0] != '+'
}

// validHost reports whether host is an IP address without brackets, or a name
// of letters, digits, dots, dashes and underscores (not a DNS host name's, yet
// container networks use them), at most 253 bytes (RFC 1035 section 2.3.4).
func validHost(host string) bool {
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		return err == nil && strings.Trim(addr.Zone(), letters+digits+".-_") == ""
	}
	if host == "" || len(host) > 253 || host[0] == '.' || host[0] == '-' {
		return false
	}
	return strings.Trim(host, letters+digits+".-_") == ""
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

// isLoopback reports whether a connection to host stays on this machine. Names
// other than localhost are not resolved.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	// Connecting to the unspecified address reaches the loopback one on Linux.
	return err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified())
}

func isWildcard(host string) bool {
	if host == "" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsUnspecified()
}

func sameHost(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	return errX == nil && errY == nil && x == y
}

// sameListener reports whether two addresses to listen on exclude each other.
// Port 0 excludes nothing.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return isWildcard(hostA) || isWildcard(hostB) || sameHost(hostA, hostB) || isLocalName(hostA, hostB) || isLocalName(hostB, hostA)
}

// isLocalName reports whether a is the name localhost and b an address it
// resolves to.
func isLocalName(a, b string) bool {
	return strings.EqualFold(a, "localhost") && (b == "127.0.0.1" || b == "::1")
}

// reaches reports whether dialling target, host:port, arrives at what listens
// on listen.
func reaches(target, listen string) bool {
	host, port, err := net.SplitHostPort(target)
	listenHost, listenPort, errListen := net.SplitHostPort(listen)
	if err != nil || errListen != nil || port != listenPort {
		return false
	}
	if isLoopback(host) && (isWildcard(listenHost) || isWildcard(host)) {
		return true
	}
	return sameHost(host, listenHost) || isLocalName(host, listenHost) || isLocalName(listenHost, host)
}
