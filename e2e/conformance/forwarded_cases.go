package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Who asked, and through whom: X-Forwarded-*, Forwarded (RFC 7239) and Via
// (RFC 9110 section 7.6.3). What a peer outside the trusted ranges claims is
// replaced; what one inside them says is appended to.

// spoofed are the claims of a client; 6.6.6.6 marks them.
var spoofed = []string{
	"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 6.6.6.7", "X-Forwarded-Proto: spoofed", "X-Forwarded-Host: spoofed.example",
	"X-Real-Ip: 6.6.6.6", "X-Forwarded-Port: 666", "X-Forwarded-Prefix: /spoofed", "X-Forwarded-Server: spoofed", "X-Forwarded-Ssl: spoofed",
	"Forwarded: for=6.6.6.6;proto=spoofed;host=spoofed.example", "Forwarded: for=6.6.6.7",
}

// aliases are spellings that a function behind CGI, WSGI or the like takes for
// X-Forwarded-For and its kind.
var aliases = []string{
	"X_Forwarded_For: 6.6.6.6", "X_FORWARDED_FOR: 6.6.6.6", "X-Forwarded_For: 6.6.6.6", "X.Forwarded.For: 6.6.6.6",
	"X_Real_IP: 6.6.6.6", "X_Forwarded_Proto: spoofed", "X_Forwarded_Host: spoofed.example", "X.Forwarded-Host: spoofed.example",
}

// unspoofed fails where a claim of a client's reached the function.
func unspoofed(t testing.TB, seen Seen) {
	t.Helper()
	for name, values := range seen.Header {
		for _, v := range values {
			if strings.Contains(v, "6.6.6.") || strings.Contains(v, "spoofed") || v == "666" {
				t.Errorf("a client's claim reached the function: %s: %s", name, v)
			}
		}
	}
}

func forwardedCases() []Case {
	trusted := Settings{Flags: Flags{"trusted-proxies": "127.0.0.0/8"}}
	return []Case{
		{
			Name: "forwarded/says who asked, how and for which host",
			Run: func(t testing.TB, s *Stage) {
				seen := s.Do(t, "GET /", nil, "Host: example.com:8080").echoed(t)
				for name, want := range map[string]string{
					"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": s.scheme(), "X-Forwarded-Host": "example.com:8080",
				} {
					if got := seen.Header[name]; !slices.Equal(got, []string{want}) {
						t.Errorf("%s: the function got %q, want %q", name, got, want)
					}
				}
				pairs := forwardedPairs(seen.Header.Get("Forwarded"))
				for name, want := range map[string]string{"for": "127.0.0.1", "proto": s.scheme(), "host": "example.com:8080"} {
					if got := pairs[name]; got != want {
						t.Errorf("Forwarded %q: %s is %q, want %q", seen.Header.Get("Forwarded"), name, got, want)
					}
				}
			},
		},
		{
			Name: "forwarded/what a client claims is replaced",
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", spoofed...).echoed(t)
				unspoofed(t, seen)
				if got := seen.Header["X-Forwarded-For"]; !slices.Equal(got, []string{"127.0.0.1"}) {
					t.Errorf("X-Forwarded-For %q", got)
				}
			},
		},
		{
			Name: "forwarded/underscore and dot aliases do not slip through",
			Run: func(t testing.TB, s *Stage) {
				unspoofed(t, s.roundTrip(t, "GET /", aliases...).echoed(t))
			},
		},
		{
			Name: "forwarded/peers outside the trusted ranges are not believed",
			With: Settings{Flags: Flags{"trusted-proxies": "10.0.0.0/8,::1/128"}},
			Run: func(t testing.TB, s *Stage) {
				unspoofed(t, s.roundTrip(t, "GET /", append(slices.Clone(spoofed), aliases...)...).echoed(t))
			},
		},
		{
			Name: "forwarded/what a trusted proxy says is appended to",
			With: trusted,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8, 9.9.9.9",
					"X-Forwarded-Proto: https", "X-Forwarded-Host: public.example", "Forwarded: for=1.2.3.4;proto=https").echoed(t)
				if got := strings.Join(seen.Header["X-Forwarded-For"], ", "); got != "1.2.3.4, 5.6.7.8, 9.9.9.9, 127.0.0.1" {
					t.Errorf("X-Forwarded-For %q", got)
				}
				for name, want := range map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.example"} {
					first, _, _ := strings.Cut(strings.Join(seen.Header[name], ","), ",")
					if first != want {
						t.Errorf("%s %q, want %s first", name, seen.Header[name], want)
					}
				}
				elements := strings.Split(strings.Join(seen.Header["Forwarded"], ","), ",")
				if len(elements) != 2 || forwardedPairs(elements[0])["for"] != "1.2.3.4" || forwardedPairs(elements[1])["for"] != "127.0.0.1" {
					t.Errorf("Forwarded %q, want the proxy's element, then weir's", seen.Header["Forwarded"])
				}
			},
		},
		{
			Name: "forwarded/aliases of a trusted proxy's fields do not slip through either",
			With: trusted,
			Run: func(t testing.TB, s *Stage) {
				unspoofed(t, s.roundTrip(t, "GET /", aliases...).echoed(t))
			},
		},
		{
			Name: "forwarded/via names the protocol received, after those before",
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "Via: 1.0 fred, 1.1 p.example (x, y)", "Via: 1.1 last").echoed(t)
				all := strings.Join(seen.Header["Via"], ", ")
				before, own, ok := cutLast(all, ", ")
				version := "1.1 "
				if s.Carrier.H2 {
					version = "2" // "2" and "2.0" both name it
				}
				if !ok || before != "1.0 fred, 1.1 p.example (x, y), 1.1 last" || !strings.HasPrefix(own, version) || !strings.Contains(own, "weir") {
					t.Errorf("Via %q, want the earlier ones and then weir's, beginning with %q", all, version)
				}
			},
		},
		{
			Name: "forwarded/via names HTTP/1.0 where that was received",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.Dial(t).Exchange("GET / HTTP/1.0\r\nHost: h\r\n\r\n").echoed(t)
				if got := seen.Header.Get("Via"); !strings.HasPrefix(got, "1.0 weir") {
					t.Errorf("Via %q, want 1.0 weir", got)
				}
			},
		},
		{
			Name: "forwarded/a field once, whatever its case",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				seen := s.roundTrip(t, "GET /", "x-forwarded-for: 6.6.6.6", "X-FORWARDED-FOR: 6.6.6.6", "FORWARDED: for=6.6.6.6").echoed(t)
				unspoofed(t, seen)
				if got := seen.Header["X-Forwarded-For"]; !slices.Equal(got, []string{"127.0.0.1"}) {
					t.Errorf("X-Forwarded-For %q", got)
				}
			},
		},
		{
			Name: "forwarded/does not show in responses",
			Run: func(t testing.TB, s *Stage) {
				resp := s.Do(t, "GET /", nil)
				wantPassed(t, resp, http.StatusOK)
				for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded"} {
					if v := resp.Get(name); v != "" {
						t.Errorf("the client got %s: %s", name, v)
					}
				}
			},
		},
	}
}

// forwardedPairs reads one element of Forwarded, names in lower case, values
// without quotes and, of an address, without a port.
func forwardedPairs(element string) map[string]string {
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		value = strings.Trim(value, `"`)
		if name = strings.ToLower(name); name == "for" {
			value = strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
			if host, _, ok := cutLast(value, ":"); ok && strings.Count(value, ":") == 1 {
				value = host
			}
		}
		pairs[name] = value
	}
	return pairs
}

// cutLast is strings.Cut around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
