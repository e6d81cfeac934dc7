package proxy

import (
	"net/http"
	"net/netip"
	"reflect"
	"testing"
)

func TestForwardingFields(t *testing.T) {
	s := &Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	claims := http.Header{
		"X-Forwarded-For":   {"1.1.1.1", "2.2.2.2"},
		"X-Forwarded-Host":  {"outside.example"},
		"X-Forwarded-Proto": {"https"},
		"X-Forwarded-Port":  {"443"},
		"Forwarded":         {"for=1.1.1.1"},
		"X-Real-Ip":         {"1.1.1.1"},
		"X_forwarded_for":   {"6.6.6.6"},
		"X.forwarded.for":   {"6.6.6.6"},
		"Weir-Priority":     {"critical"},
		"Weir_priority":     {"critical"},
		"Via":               {"1.0 edge"},
		"Cdn-Loop":          {"a", "weir-f"},
		"Cdn_loop":          {"a"},
		"Accept":            {"*/*"},
	}
	for _, c := range []struct {
		name, remote string
		in           http.Header
		want         http.Header
	}{
		{"a stranger's claims are replaced", "192.0.2.7:4711", claims, http.Header{
			"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Host": {"f.example:8080"}, "X-Forwarded-Proto": {"http"},
			"Forwarded": {`for=192.0.2.7;host="f.example:8080";proto=http`},
			"Via":       {"1.0 edge", "1.1 weir"}, "Cdn-Loop": {"a, weir-f, weir-f"}, "Accept": {"*/*"},
		}},
		{"a trusted proxy's are appended to, its aliases dropped", "10.1.2.3:80", claims, http.Header{
			"X-Forwarded-For":  {"1.1.1.1, 2.2.2.2, 10.1.2.3"},
			"X-Forwarded-Host": {"outside.example"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
			"Forwarded": {`for=1.1.1.1, for=10.1.2.3;host="f.example:8080";proto=http`},
			"X-Real-Ip": {"1.1.1.1"}, "Weir-Priority": {"critical"},
			"Via": {"1.0 edge", "1.1 weir"}, "Cdn-Loop": {"a, weir-f, weir-f"}, "Accept": {"*/*"},
		}},
		{"without claims weir's stand alone", "192.0.2.7:80", http.Header{}, http.Header{
			"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Host": {"f.example:8080"}, "X-Forwarded-Proto": {"http"}, "Via": {"1.1 weir"}, "Cdn-Loop": {"weir-f"},
			"Forwarded": {`for=192.0.2.7;host="f.example:8080";proto=http`},
		}},
		{"IPv4 in IPv6 is IPv4", "[::ffff:10.0.0.1]:80", http.Header{"Forwarded": {"for=a"}}, http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Host": {"f.example:8080"}, "X-Forwarded-Proto": {"http"}, "Via": {"1.1 weir"}, "Cdn-Loop": {"weir-f"},
			"Forwarded": {`for=a, for=10.0.0.1;host="f.example:8080";proto=http`},
		}},
		{"IPv6 is quoted in Forwarded", "[2001:db8::1]:80", http.Header{"Forwarded": {"for=a"}}, http.Header{
			"X-Forwarded-For": {"2001:db8::1"}, "X-Forwarded-Host": {"f.example:8080"}, "X-Forwarded-Proto": {"http"}, "Via": {"1.1 weir"}, "Cdn-Loop": {"weir-f"},
			"Forwarded": {`for="[2001:db8::1]";host="f.example:8080";proto=http`},
		}},
		{"a peer without an address is unknown", "@", http.Header{}, http.Header{
			"X-Forwarded-For": {"unknown"}, "X-Forwarded-Host": {"f.example:8080"}, "X-Forwarded-Proto": {"http"}, "Via": {"1.1 weir"}, "Cdn-Loop": {"weir-f"},
			"Forwarded": {`for=unknown;host="f.example:8080";proto=http`},
		}},
	} {
		addr, client := peerAddr(c.remote)
		p := s.peer(addr)
		p.scheme, p.version = "http", "1.1"
		out := c.in.Clone()
		p.forward(c.in, out, client, "f.example:8080", "weir-f")
		if !reflect.DeepEqual(out, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, out, c.want)
		}
	}
	if claims.Get("X-Forwarded-For") != "1.1.1.1" || len(claims["Via"]) != 1 {
		t.Error("the request as it came was changed")
	}
}
