package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// serviceLinks are the variables that the kubelet makes for a Service named weir
// or weir-something, in every pod of its namespace unless enableServiceLinks is
// false:
//
//	WEIR_SERVICE_HOST=10.0.0.11         WEIR_PORT=tcp://10.0.0.11:8080
//	WEIR_SERVICE_PORT=8080              WEIR_PORT_8080_TCP=tcp://10.0.0.11:8080
//	WEIR_SERVICE_PORT_HTTP=8080         WEIR_PORT_8080_TCP_PROTO=tcp
//	                                    WEIR_PORT_8080_TCP_PORT=8080
//	                                    WEIR_PORT_8080_TCP_ADDR=10.0.0.11
//
// A name can fit several (of a Service weir-service, WEIR_SERVICE_PORT is a URL),
// so each is tried with its value.
//
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLinks = []struct {
	name *regexp.Regexp
	// fits checks the value; parts are the submatches of the name.
	fits func(value string, parts []string) bool
}{
	{linkName(`SERVICE_HOST`), func(v string, _ []string) bool { return isAddr(v) }},
	{linkName(`SERVICE_PORT(?:_[A-Z0-9_]+)?`), func(v string, _ []string) bool { return isPortNumber(v) }},
	{linkName(`PORT`), func(v string, _ []string) bool { return isLinkURL(v, "", "") }},
	{linkName(`PORT_([0-9]+)_(TCP|UDP|SCTP)`), func(v string, p []string) bool { return isLinkURL(v, p[1], p[2]) }},
	{linkName(`PORT_[0-9]+_(TCP|UDP|SCTP)_PROTO`), func(v string, p []string) bool { return v == strings.ToLower(p[1]) }},
	{linkName(`PORT_([0-9]+)_(?:TCP|UDP|SCTP)_PORT`), func(v string, p []string) bool { return v == p[1] && isPortNumber(v) }},
	{linkName(`PORT_[0-9]+_(?:TCP|UDP|SCTP)_ADDR`), func(v string, _ []string) bool { return isAddr(v) }},
}

func linkName(suffix string) *regexp.Regexp {
	return regexp.MustCompile(`^WEIR_(?:[A-Z0-9_]+_)?` + suffix + `$`)
}

// isServiceLink reports whether the kubelet made a variable: by its name and by
// its value, so that a mistaken WEIR_PORT=8080 stays an error.
func isServiceLink(name, value string) bool {
	for _, link := range serviceLinks {
		if parts := link.name.FindStringSubmatch(name); parts != nil && link.fits(value, parts) {
			return true
		}
	}
	return false
}

// isLinkURL reports whether text is such as tcp://10.0.0.11:8080, of that port
// and protocol where they are given.
func isLinkURL(text, port, protocol string) bool {
	scheme, target, ok := strings.Cut(text, "://")
	addrPort, err := netip.ParseAddrPort(target)
	if !ok || err != nil || port != "" && strconv.Itoa(int(addrPort.Port())) != port {
		return false
	}
	if protocol != "" {
		return scheme == strings.ToLower(protocol)
	}
	return scheme == "tcp" || scheme == "udp" || scheme == "sctp"
}

func isAddr(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func isPortNumber(text string) bool {
	n, ok := parsePort(text)
	return ok && n > 0
}
