package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Rule allows callbacks to some hosts.
type Rule struct {
	// Host is a name, "*.name" for all below it, or "*" for every host whose addresses
	// are public. The first two open private addresses too: the operator has named
	// them. It is "" where Prefix says which addresses are allowed.
	Host string
	// Prefix opens its addresses, of whatever kind they are, to URLs that have them for
	// a host and to names that are allowed and lead there.
	Prefix netip.Prefix
	Port   uint16 // 0 for any
}

func (r *Rule) takes(port uint16) bool { return r.Port == 0 || r.Port == port }

// names reports whether the rule is for a name, and whether it names it.
func (r *Rule) names(host string) (allowed, named bool) {
	suffix, below := strings.CutPrefix(r.Host, "*")
	switch {
	case r.Host == "":
		return false, false
	case r.Host == "*":
		return true, false
	case below:
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix), true
	}
	return r.Host == host, true
}

// ErrForbidden says that the operator does not allow a host or an address.
var ErrForbidden = errors.New("is not allowed")

// metadata are the addresses at which clouds tell machines their secrets, and what they
// would otherwise pass for: public, private and shared ones.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
	netip.MustParsePrefix("fd00:ec2::/32"),      // Amazon
	netip.MustParsePrefix("fd20:ce::/32"),       // Google
}

// Guard knows where callbacks may go. It is safe for concurrent use.
type Guard struct {
	rules  atomic.Pointer[[]Rule]
	public *ssrf.Guardian
	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver
}

// NewGuard makes a Guard that allows what the rules do; none of them allows nothing.
func NewGuard(rules []Rule) *Guard {
	g := &Guard{public: ssrf.New(ssrf.WithAnyPort())}
	g.Configure(rules)
	return g
}

// Configure replaces the rules.
func (g *Guard) Configure(rules []Rule) { g.rules.Store(&rules) }

// Check says why nothing would be sent to a URL of a caller's: what it says fits behind
// "the URL", and does not show it. A name that is allowed may still lead to an address
// that is not; that shows when it is dialled.
func (g *Guard) Check(text string) error {
	_, t, err := parse(text)
	if err != nil {
		return err
	}
	_, err = g.admit(t)
	return err
}

// admit decides about the host of a URL. named tells that it may have private
// addresses.
func (g *Guard) admit(t target) (named bool, err error) {
	rules := *g.rules.Load()
	if t.addr.IsValid() {
		return false, g.admitAddr(t.addr, t.port, false, anyHost(rules, t.port))
	}
	allowed := false
	for i := range rules {
		if a, n := rules[i].names(t.host); a && rules[i].takes(t.port) {
			allowed, named = true, named || n
		}
	}
	switch {
	case !allowed:
		return false, fmt.Errorf("has a host or port that %w here: async.callbacks_allow lists those that are", ErrForbidden)
	case !named && (t.host == "localhost" || strings.HasSuffix(t.host, ".localhost")):
		return false, fmt.Errorf("leads to this machine, which %w unless async.callbacks_allow names it", ErrForbidden)
	}
	return named, nil
}

func anyHost(rules []Rule, port uint16) bool {
	for i := range rules {
		if rules[i].Host == "*" && rules[i].takes(port) {
			return true
		}
	}
	return false
}

// admitAddr decides about an address: of a host that the operator has named, or of
// one that may have public addresses.
func (g *Guard) admitAddr(addr netip.Addr, port uint16, named, public bool) error {
	addr = addr.WithZone("").Unmap()
	for _, r := range *g.rules.Load() {
		if r.Host == "" && r.Prefix.Contains(addr) && r.takes(port) {
			return nil
		}
	}
	if ssrf.IPv6NAT64Prefix.Contains(addr) { // what is behind it counts
		b := addr.As16()
		return g.admitAddr(netip.AddrFrom4([4]byte(b[12:])), port, named, public)
	}
	forbidden := fmt.Errorf("has an address that %w: it is private, of this machine or of its network, and async.callbacks_allow does not list it", ErrForbidden)
	for _, p := range metadata {
		if p.Contains(addr) {
			return forbidden
		}
	}
	switch {
	case g.public.SafeAddr(addr) == nil:
		if !public {
			return fmt.Errorf("has an address that %w here: async.callbacks_allow lists those that are", ErrForbidden)
		}
		return nil
	case named && (addr.IsPrivate() || addr.IsLoopback() || shared.Contains(addr)):
		return nil
	}
	return forbidden
}

// shared is what carriers, and some clusters, have for addresses (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// dial connects to a host that a URL names, if it and the address that it leads to now
// are allowed. Those that trusted says the operator has named himself.
func (g *Guard) dial(trusted bool) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		t, err := targetOf(host, port)
		if err != nil {
			return nil, fmt.Errorf("the receiver's URL %w", err)
		}
		named := trusted
		if !trusted {
			if named, err = g.admit(t); err != nil {
				return nil, fmt.Errorf("the receiver's URL %w", err)
			}
		}
		d := net.Dialer{Timeout: connectTimeout, Resolver: g.Resolver, Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err == nil {
				err = g.admitAddr(to.Addr(), to.Port(), named, trusted || !t.addr.IsValid() || anyHost(*g.rules.Load(), t.port))
			}
			if err != nil {
				return fmt.Errorf("the receiver %w", err)
			}
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
}

const connectTimeout = 10 * time.Second

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
