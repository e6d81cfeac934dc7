package config

import (
	"net/netip"
	"strings"
)

// maxProxies bounds the list, all of which a peer may be compared with.
const maxProxies = 1000

// parseProxies reads a comma-separated list of addresses and CIDRs.
func parseProxies(text string) ([]netip.Prefix, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if n := strings.Count(text, ",") + 1; n > maxProxies {
		return nil, notValue(text, "holds %d addresses: at most %d", n, maxProxies)
	}
	var prefixes []netip.Prefix
	for item := range strings.SplitSeq(text, ",") {
		prefix, err := parseProxy(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// parseProxy reads one address or CIDR. What would silently match nothing, or
// something else than it seems to, is an error.
func parseProxy(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, notValue(text, "is not an address or CIDR such as 10.1.2.3 or 10.0.0.0/8")
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, notValue(text, "has a zone: leave %%%s out", addr.Zone())
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if addr := prefix.Addr(); addr.Is4In6() {
		return netip.Prefix{}, notValue(text, "is an IPv4 address in IPv6 clothes: write it as IPv4, %s", addr.Unmap())
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, notValue(text, "has bits set behind its /%d: write %s", prefix.Bits(), prefix.Masked())
	}
	return prefix, nil
}

func formatProxies(prefixes []netip.Prefix) string {
	items := make([]string, len(prefixes))
	for i, p := range prefixes {
		items[i] = p.String()
	}
	return strings.Join(items, ",")
}
