package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"weir/limits"
)

func senderAt(s *Settings, addr string, h http.Header) sender {
	p := s.peer(netip.MustParseAddr(addr))
	return sender{
		peer:        &p,
		certificate: func() string { return "spiffe://a/b" },
		last: func(name string) string {
			if v := h[name]; len(v) > 0 {
				return v[len(v)-1]
			}
			return ""
		},
	}
}

func token(claims string) string {
	return "Bearer e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestCallers(t *testing.T) {
	s := Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	const trusted, stranger = "10.1.2.3", "192.0.2.1"
	for _, c := range []struct {
		name   string
		key    CallerKey
		peer   string
		header http.Header
		want   string
	}{
		{"a header", CallerKey{CallerHeader, "X-Api-Key"}, trusted, http.Header{"X-Api-Key": {"k"}}, "k"},
		{"a stranger's header", CallerKey{CallerHeader, "X-Api-Key"}, stranger, http.Header{"X-Api-Key": {"k"}}, ""},
		{"no header", CallerKey{CallerHeader, "X-Api-Key"}, trusted, nil, ""},
		{"a header that is too long", CallerKey{CallerHeader, "X-Api-Key"}, trusted, http.Header{"X-Api-Key": {strings.Repeat("k", maxCaller+1)}}, ""},
		{"a claim", CallerKey{CallerJWT, "sub"}, trusted, http.Header{"Authorization": {token(`{"sub":"me"}`)}}, "me"},
		{"a number", CallerKey{CallerJWT, "tenant"}, trusted, http.Header{"Authorization": {token(`{"tenant":17}`)}}, "17"},
		{"a stranger's claim", CallerKey{CallerJWT, "sub"}, stranger, http.Header{"Authorization": {token(`{"sub":"me"}`)}}, ""},
		{"a claim that is a list", CallerKey{CallerJWT, "aud"}, trusted, http.Header{"Authorization": {token(`{"aud":["a"]}`)}}, ""},
		{"another scheme", CallerKey{CallerJWT, "sub"}, trusted, http.Header{"Authorization": {"Basic e30.e30.x"}}, ""},
		{"no token", CallerKey{CallerJWT, "sub"}, trusted, http.Header{"Authorization": {"Bearer x"}}, ""},
		{"a certificate", CallerKey{CallerCertificate, ""}, stranger, nil, "spiffe://a/b"},
		{"an address", CallerKey{CallerAddress, ""}, stranger, http.Header{"X-Forwarded-For": {"203.0.113.9"}}, stranger},
		{"the client of a proxy", CallerKey{CallerAddress, ""}, trusted, http.Header{"X-Forwarded-For": {"203.0.113.9"}}, "203.0.113.9"},
		{"what a client wrote first", CallerKey{CallerAddress, ""}, trusted, http.Header{"X-Forwarded-For": {"198.51.100.1, 203.0.113.9, 10.9.9.9"}}, "203.0.113.9"},
		{"in a field of its own", CallerKey{CallerAddress, ""}, trusted, http.Header{"X-Forwarded-For": {"198.51.100.1", "203.0.113.9"}}, "203.0.113.9"},
		{"nonsense", CallerKey{CallerAddress, ""}, trusted, http.Header{"X-Forwarded-For": {"198.51.100.1, x, 10.9.9.9"}}, "10.9.9.9"},
		{"a whole /64", CallerKey{CallerAddress, ""}, "fd00::1", http.Header{"X-Forwarded-For": {"2001:db8::5:6"}}, "2001:db8::/64"},
	} {
		s.Caller = c.key
		var call limits.Call
		s.identify(&call, c.header, senderAt(&s, c.peer, c.header))
		if call.Caller != c.want {
			t.Errorf("%s: caller %q, want %q", c.name, call.Caller, c.want)
		}
	}
}

func TestCertificateNames(t *testing.T) {
	uri := &url.URL{Scheme: "spiffe", Host: "a", Path: "/b"}
	for want, leaf := range map[string]*x509.Certificate{
		"spiffe://a/b": {URIs: []*url.URL{uri}, DNSNames: []string{"d"}},
		"d":            {DNSNames: []string{"d"}, Subject: pkix.Name{CommonName: "c"}},
		"c":            {Subject: pkix.Name{CommonName: "c"}},
	} {
		if got := certificateName(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}); got != want {
			t.Errorf("name %q, want %q", got, want)
		}
		if got := certificateName(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); got != "" {
			t.Errorf("%q was taken from a certificate that nobody verified", got)
		}
	}
	if certificateName(nil) != "" {
		t.Error("a name without TLS")
	}
}

func TestPriorityAndPatience(t *testing.T) {
	s := Settings{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		PriorityField:  "X-Priority", DeadlineField: "Prefer",
	}
	h := http.Header{"X-Priority": {"sheddable"}, "Prefer": {"respond-async, wait=7"}}
	for peer, want := range map[string]limits.Priority{"10.1.2.3": limits.Sheddable, "192.0.2.1": limits.CriticalPlus} {
		call := limits.Call{Priority: limits.CriticalPlus} // the route's
		before := time.Now()
		s.identify(&call, h, senderAt(&s, peer, h))
		if call.Priority != want {
			t.Errorf("from %s: priority %v, want %v", peer, call.Priority, want)
		}
		if left := call.Deadline.Sub(before); left < 7*time.Second || left > time.Minute {
			t.Errorf("deadline in %v, want 7s", left)
		}
	}
	earlier := time.Now().Add(time.Second)
	call := limits.Call{Deadline: earlier}
	s.identify(&call, h, senderAt(&s, "10.1.2.3", h))
	if call.Deadline != earlier {
		t.Error("a later deadline replaced an earlier one")
	}
}

func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        time.Duration // -1 for none
	}{
		{"X-Timeout", "5", 5 * time.Second},
		{"X-Timeout", "0", 0},
		{"X-Timeout", "250ms", 250 * time.Millisecond},
		{"X-Timeout", "9999999", 24 * time.Hour},
		{"X-Timeout", "-1s", -1},
		{"X-Timeout", "soon", -1},
		{"X-Timeout", "", -1},
		{"Prefer", "wait=10", 10 * time.Second},
		{"Prefer", `return=minimal; x=y, Wait="3"`, 3 * time.Second},
		{"Prefer", "wait=1, wait=9", time.Second},
		{"Prefer", "wait=10ms", -1},
		{"Prefer", "respond-async", -1},
	} {
		got, ok := patience(c.name, c.value)
		if ok != (c.want >= 0) || ok && got != c.want {
			t.Errorf("%s: %s is %v, %t; want %v", c.name, c.value, got, ok, c.want)
		}
	}
}

func FuzzClaim(f *testing.F) {
	f.Add(token(`{"sub":"me"}`), "sub")
	f.Add("Bearer ..", "")
	f.Add("bearer e30.eyJhIjoxZTN9.x", "a")
	f.Fuzz(func(t *testing.T, authorization, name string) {
		if got := claim(authorization, name); got != "" && !strings.HasPrefix(strings.ToLower(authorization), "bearer ") {
			t.Errorf("%q from %q", got, authorization)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	s := Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Add("203.0.113.9, 10.1.1.1")
	f.Add(",,")
	f.Fuzz(func(t *testing.T, forwarded string) {
		if addr := s.clientBehind(netip.MustParseAddr("10.0.0.1"), forwarded); !addr.IsValid() {
			t.Errorf("no address from %q", forwarded)
		}
	})
}
