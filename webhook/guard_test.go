package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func rule(host string) Rule { return Rule{Host: host} }

func prefix(text string) Rule { return Rule{Prefix: netip.MustParsePrefix(text)} }

func TestACallersURLIsChecked(t *testing.T) {
	all := []Rule{rule("*")}
	few := []Rule{rule("hooks.example.com"), rule("*.corp.example"), {Host: "ported.example", Port: 8443}, prefix("10.1.0.0/16"), {Prefix: netip.MustParsePrefix("10.2.3.4/32"), Port: 81}, prefix("fd12::/16")}
	for _, c := range []struct {
		rules []Rule
		url   string
		why   string // "" where it is allowed
	}{
		{nil, "https://example.com/", "not allowed"},
		{nil, "https://93.184.216.34/", "not allowed"},
		{all, "https://example.com/a?b=c", ""},
		{all, "http://example.com:8080", ""},
		{all, "https://EXAMPLE.com./", ""},
		{all, "https://93.184.216.34/", ""},
		{all, "https://[2606:2800:220:1:248:1893:25c8:1946]/", ""},
		{few, "https://hooks.example.com/x", ""},
		{few, "https://HOOKS.example.COM.:99/x", ""},
		{few, "https://x.hooks.example.com/", "not allowed"},
		{few, "https://a.b.corp.example/", ""},
		{few, "https://corp.example/", "not allowed"},
		{few, "https://evilcorp.example/", "not allowed"},
		{few, "https://ported.example:8443/", ""},
		{few, "https://ported.example/", "not allowed"},
		{few, "http://10.1.2.3/", ""},
		{few, "http://10.2.3.4:81/", ""},
		{few, "http://10.2.3.4/", "not allowed"},
		{few, "http://[fd12::1]/", ""},
		{few, "https://93.184.216.34/", "not allowed"},

		// What leads within, in every notation.
		{all, "http://127.0.0.1/", "not allowed"},
		{all, "http://127.1/", "neither a name nor an address"},
		{all, "http://2130706433/", "neither a name nor an address"},
		{all, "http://0x7f.0.0.1/", "neither a name nor an address"},
		{all, "http://0177.0.0.1/", "neither a name nor an address"},
		{all, "http://example.0x7f000001/", "neither a name nor an address"},
		{all, "http://0.0.0.0/", "not allowed"},
		{all, "http://10.0.0.1/", "not allowed"},
		{all, "http://172.16.0.1/", "not allowed"},
		{all, "http://192.168.1.1/", "not allowed"},
		{all, "http://100.64.0.1/", "not allowed"},
		{all, "http://169.254.169.254/latest/meta-data", "not allowed"},
		{all, "http://168.63.129.16/", "not allowed"},
		{all, "http://100.100.100.200/", "not allowed"},
		{all, "http://224.0.0.1/", "not allowed"},
		{all, "http://255.255.255.255/", "not allowed"},
		{all, "http://[::1]/", "not allowed"},
		{all, "http://[::]/", "not allowed"},
		{all, "http://[::ffff:127.0.0.1]/", "not allowed"},
		{all, "http://[::ffff:a9fe:a9fe]/", "not allowed"},
		{all, "http://[::127.0.0.1]/", "not allowed"},
		{all, "http://[64:ff9b::7f00:1]/", "not allowed"},
		{all, "http://[64:ff9b::a9fe:a9fe]/", "not allowed"},
		{all, "http://[64:ff9b::5db8:d822]/", ""}, // NAT64 of 93.184.216.34
		{all, "http://[64:ff9b:1::a00:1]/", "not allowed"},
		{all, "http://[2002:7f00:1::]/", "not allowed"},
		{all, "http://[2001:0:7f00:1::]/", "not allowed"},
		{all, "http://[fe80::1]/", "not allowed"},
		{all, "http://[fe80::1%25eth0]/", "neither a name nor an address"},
		{all, "http://[fc00::1]/", "not allowed"},
		{all, "http://[fd00:ec2::254]/", "not allowed"},
		{all, "http://[ff02::1]/", "not allowed"},
		{all, "http://localhost/", "this machine"},
		{all, "http://LOCALHOST./", "this machine"},
		{all, "http://x.localhost/", "this machine"},
		{[]Rule{rule("localhost")}, "http://localhost:3000/", ""},
		{[]Rule{prefix("169.254.169.254/32")}, "http://169.254.169.254/", ""},

		// What is no URL to send to.
		{all, "", "https:// or http://"},
		{all, "ftp://example.com/", "https:// or http://"},
		{all, "nats://subject", "https:// or http://"},
		{all, "example.com/x", "https:// or http://"},
		{all, "//example.com/x", "https:// or http://"},
		{all, "https:example.com", "no absolute URL"},
		{all, "https:///x", "no absolute URL"},
		{all, "https://user@example.com/", "a user or a password"},
		{all, "https://user:secret@example.com/", "a user or a password"},
		{all, "https://@example.com/", "a user or a password"},
		{all, "https://example.com/#x", "fragment"},
		{all, "https://example.com:0/", "a port"},
		{all, "https://example.com:/", "a port"},
		{all, "https://example.com:65536/", "a port"},
		{all, "https://example.com:x/", "no absolute URL"},
		{all, "https://exa mple.com/", "visible ASCII"},
		{all, "https://ex\u00e4mple.com/", "visible ASCII"},
		{all, "https://example.com/\r\nX: y", "visible ASCII"},
		{all, "https://exam%70le.com/", "no absolute URL"},
		{all, "https://exa%2fmple.com/", "no absolute URL"},
		{all, "https://a..b/", "neither a name nor an address"},
		{all, "https://a$b/", "neither a name nor an address"},
		{all, "https://example.com/" + strings.Repeat("x", 2048), "longer than 2048"},
	} {
		err := NewGuard(c.rules).Check(c.url)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%q is refused: it %v", c.url, err)
		case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%q: %v, want %q", c.url, err, c.why)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%q is shown: %v", c.url, err)
		}
	}
}

// resolver answers every question with one address, over a DNS server's own wire.
func resolver(t *testing.T, addr netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}
			switch {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && addr.Is6():
				m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// A name that is allowed leads within only where it was named, and never to metadata.
func TestTheAddressIsCheckedWhenItIsDialled(t *testing.T) {
	reached := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer receiver.Close()
	_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())
	for _, c := range []struct {
		name    string
		rules   []Rule
		addr    string
		allowed bool
	}{
		{"any public host, rebound to this machine", []Rule{rule("*")}, "127.0.0.1", false},
		{"mapped to IPv6", []Rule{rule("*")}, "::ffff:127.0.0.1", false},
		{"by NAT64", []Rule{rule("*")}, "64:ff9b::7f00:1", false},
		{"to metadata", []Rule{rule("*")}, "169.254.169.254", false},
		{"to metadata, of a host that is named", []Rule{rule("rebind.example")}, "169.254.169.254", false},
		{"to Amazon's by IPv6, of a host that is named", []Rule{rule("rebind.example")}, "fd00:ec2::254", false},
		{"to nowhere, of a host that is named", []Rule{rule("rebind.example")}, "0.0.0.0", false},
		{"a host that is named", []Rule{rule("rebind.example")}, "127.0.0.1", true},
		{"a host below one that is named", []Rule{rule("*.example")}, "127.0.0.1", true},
		{"an address that is listed", []Rule{rule("*"), prefix("127.0.0.0/8")}, "127.0.0.1", true},
		{"another address that is listed", []Rule{rule("*"), prefix("10.0.0.0/8")}, "127.0.0.1", false},
		{"listed with another port", []Rule{rule("*"), {Prefix: netip.MustParsePrefix("127.0.0.0/8"), Port: 1}}, "127.0.0.1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			reached = 0
			g := NewGuard(c.rules)
			g.Resolver = resolver(t, netip.MustParseAddr(c.addr))
			s := NewSender(Options{Guard: g, Timeout: patience})
			defer s.Close()
			err := s.SendToCaller(t.Context(), fmt.Sprintf("http://rebind.example:%s/?token=hidden", port), &Message{ID: "1"})
			if c.allowed != (err == nil) || c.allowed != (reached == 1) {
				t.Errorf("%v, reached %d times", err, reached)
			}
			if !c.allowed && (!errors.Is(err, ErrForbidden) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// What the operator has configured may be within, but no metadata.
func TestAnOperatorsURLMayLeadWithin(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	s := NewSender(Options{Guard: NewGuard(nil), Timeout: patience})
	defer s.Close()
	if err := s.SendToOperator(t.Context(), receiver.URL, &Message{ID: "1"}); err != nil {
		t.Error(err)
	}
	if err := s.SendToCaller(t.Context(), receiver.URL, &Message{ID: "1"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a caller reached it over the operator's connection: %v", err)
	}
	if err := s.SendToOperator(t.Context(), "http://169.254.169.254/", &Message{ID: "1"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("metadata: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b", "http://[::ffff:127.0.0.1]:80/", "http://127.1", "http://0x7f.1/", "https://u:p@h/#f", "http://[fe80::1%25eth0]/", "http://[64:ff9b::7f00:1]/"} {
		f.Add(s)
	}
	all, none := NewGuard([]Rule{rule("*")}), NewGuard(nil)
	f.Fuzz(func(t *testing.T, text string) {
		if none.Check(text) == nil {
			t.Fatalf("%q is allowed where nothing is", text)
		}
		if all.Check(text) != nil {
			return
		}
		// What is let in is what net/http would ask for.
		req, err := http.NewRequest(http.MethodPost, text, nil)
		if err != nil {
			t.Fatalf("%q is allowed, and no request can be made of it: %v", text, err)
		}
		host := strings.ToLower(strings.TrimSuffix(req.URL.Hostname(), "."))
		if addr, err := netip.ParseAddr(host); err == nil {
			addr = addr.Unmap()
			if addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast() {
				t.Fatalf("%q leads to %s", text, addr)
			}
		}
		if host == "localhost" || host == "" || req.URL.User != nil || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
			t.Fatalf("%q is allowed", text)
		}
	})
}
