package h1

import (
	"net/netip"
	"testing"
)

func TestAuthority(t *testing.T) {
	for in, valid := range map[string]bool{
		"h": true, "example.com": true, "EXAMPLE.com:8080": true, "a_b": true, "h:": true, "h:0": true, "h:65535": true,
		"127.0.0.1": true, "127.0.0.1:80": true, "[::1]": true, "[::1]:80": true, "[::]": true, "[::1]:": true,
		"%C3%A9.example": true, "a!$&'()*+;=~b": true, "xn--e1afmkfd": true, "-": true,
		"": false, ":": false, ":80": false, "h:x": false, "h:80x": false, "h:-1": false, "h:65536": false, "h:99999999999999999999": false,
		"h:80:80": false, "h/": false, "h?": false, "h#": false, "h@i": false, "h i": false, "h\t": false, "h,i": false, "h\"": false,
		"h<": false, "h\\": false, "h^": false, "h`": false, "h|": false, "h{": false, "\x00": false, "\xc3\xa9": false, "h\x7f": false,
		"%": false, "%4": false, "%41": false, "%2F": false, "%00": false, "%C": false, "%C3": true, "%Cg": false, "%gg": false,
		"::1": false, "[::1": false, "::1]": false, "[::1]x": false, "[::1]80": false, "[::1]:x": false, "x[::1]": false,
		"[]": false, "[h]": false, "[127.0.0.1]": false, "[fe80::1%25eth0]": false, "[fe80::1%eth0]": false, "[v1.x]": false, "[[::1]]": false,
	} {
		if got := validAuthority([]byte(in), false); got != valid {
			t.Errorf("%q: %v, want %v", in, got, valid)
		}
	}
	for in, valid := range map[string]bool{"h:1": true, "[::1]:1": true, "h": false, "h:": false, "[::1]": false, "[::1]:": false} {
		if got := validAuthority([]byte(in), true); got != valid {
			t.Errorf("%q with a port: %v, want %v", in, got, valid)
		}
	}
}

// sampleIPv6 are addresses and near misses.
var sampleIPv6 = []string{
	"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::8", "1:2::7:8", "ffff:FFFF::", "1:2:3:4:5:6:1.2.3.4",
	"::1.2.3.4", "::ffff:255.255.255.255", "1::1.2.3.4", "1:2:3:4:5::1.2.3.4", "64:ff9b::192.0.2.33",
	"", ":", ":::", "1", "1:", ":1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "12345::", "g::",
	"1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4", "1:2:3:4:5:6::1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::256.1.1.1", "::01.1.1.1", "::1.2.3.4:5", "1.2.3.4", "::1.2.3.", "::.1.2.3", "::%", "1:::2", "::1%a",
	"1:2:3:4:5:6:7:", "1:2:3:4:5:6:7::8", "0000:0000:0000:0000:0000:0000:0000:0000", "::00000",
}

func TestIPv6IsAsNetipHasIt(t *testing.T) {
	for _, s := range sampleIPv6 {
		addr, err := netip.ParseAddr(s)
		want := err == nil && addr.Is6() && addr.Zone() == ""
		if got := validIPv6([]byte(s)); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func FuzzIPv6(f *testing.F) {
	for _, s := range sampleIPv6 {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, err := netip.ParseAddr(s)
		want := err == nil && addr.Is6() && addr.Zone() == ""
		if got := validIPv6([]byte(s)); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	})
}

func TestByteClasses(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		// RFC 9110, 5.5: field-vchar / SP / HTAB.
		value := c == '\t' || c >= 0x20 && c <= 0x7e || c >= 0x80
		if got := class[c]&isValue != 0; got != value {
			t.Errorf("%#x in a value: %v", c, got)
		}
		// The fast path over eight bytes agrees, wherever the byte stands.
		for at := range 24 {
			b := []byte("abcdefghijklmnopqrstuvwx")
			b[at] = c
			want := len(b)
			if !value {
				want = at
			}
			if got := valueEnd(b); got != want {
				t.Errorf("%#x at %d: value ends at %d, want %d", c, at, got, want)
			}
		}
		if isSeparator := c <= ' ' || c >= 0x7f || among(c, "\"(),/:;<=>?@[\\]{}"); isSeparator == (class[c]&isToken != 0) {
			t.Errorf("%#x in a token: %v", c, !isSeparator)
		}
	}
}
