package proxy

import (
	"net/http"
	"net/netip"
	"strings"
)

// peer is who sent a request, as far as forwarding fields are concerned.
type peer struct {
	addr    netip.Addr // invalid where it is no IP address
	trusted bool
	scheme  string // of the connection: http or https
	version string // of the protocol received: 1.0, 1.1, 2.0
}

// peerAddr reads a connection's remote address: the address, invalid where it is
// none, and what the function is told of it.
func peerAddr(remote string) (netip.Addr, string) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, "unknown"
	}
	addr := ap.Addr().Unmap()
	return addr, addr.String()
}

// peer says whether whoever is at addr is to be trusted.
func (s *Settings) peer(addr netip.Addr) peer {
	return peer{addr: addr, trusted: s.trusts(addr)}
}

// vouched reports whether the field says something about the caller that only
// a trusted peer may say, or how often the request has passed weir. Servers that map field names to variables (CGI, WSGI,
// PHP) read X_Forwarded_For and X.Forwarded.For as X-Forwarded-For: such
// aliases count as the field.
func vouched(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] | 0x20 { // no other begins like these
	case 'x', 'f', 'w':
	case 'c':
		if len(name) != len(loopField) { // most do
			return false
		}
	default:
		return false
	}
	if strings.ContainsAny(name, "_.") {
		name = strings.Map(func(r rune) rune {
			if r == '_' || r == '.' {
				return '-'
			}
			return r
		}, name)
	}
	return hasPrefixFold(name, "X-Forwarded-") || hasPrefixFold(name, "Weir-") ||
		strings.EqualFold(name, "Forwarded") || strings.EqualFold(name, "X-Real-Ip") || strings.EqualFold(name, loopField)
}

// alias reports whether the name is a vouched field's in disguise, which not
// even a trusted peer needs.
func alias(name string) bool { return strings.ContainsAny(name, "_.") && vouched(name) }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// forward sets on out the fields that tell the function who called: replaced
// for a peer that is not trusted, appended to for one that is. in is the
// request's header as it came, out what goes to the function; client is the
// peer's address as text, loop the entry that its pass leaves.
func (p peer) forward(in, out http.Header, client, host, loop string) {
	for name := range out {
		if vouched(name) && (!p.trusted || alias(name)) {
			delete(out, name)
		}
	}
	if !p.trusted {
		values := [...]string{client, host, p.scheme, p.forwardedElement(client, host)}
		out["X-Forwarded-For"] = values[0:1:1]
		out["X-Forwarded-Host"] = values[1:2:2]
		out["X-Forwarded-Proto"] = values[2:3:3]
		out["Forwarded"] = values[3:4:4]
	} else {
		out["X-Forwarded-For"] = []string{strings.Join(append(in["X-Forwarded-For"][:len(in["X-Forwarded-For"]):len(in["X-Forwarded-For"])], client), ", ")}
		out["X-Forwarded-Host"] = orElse(in["X-Forwarded-Host"], host)
		out["X-Forwarded-Proto"] = orElse(in["X-Forwarded-Proto"], p.scheme)
		f := in["Forwarded"]
		out["Forwarded"] = []string{strings.Join(append(f[:len(f):len(f)], p.forwardedElement(client, host)), ", ")}
	}
	out[loopField] = passed(in, loop)
	out["Via"] = append(out["Via"], p.version+" weir")
}

func orElse(values []string, other string) []string {
	if len(values) > 0 {
		return values
	}
	return []string{other}
}

// forwardedElement is RFC 7239's: IPv6 addresses in brackets and quotes, the
// host always quoted, for it may have a port.
func (p peer) forwardedElement(client, host string) string {
	if p.addr.Is6() {
		client = `"[` + client + `]"`
	}
	return "for=" + client + ";host=" + quoted(host) + ";proto=" + p.scheme
}

func quoted(s string) string {
	if strings.ContainsAny(s, `\"`) {
		s = quoter.Replace(s)
	}
	return `"` + s + `"`
}

var quoter = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
