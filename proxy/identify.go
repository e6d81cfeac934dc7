package proxy

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"weir/limits"
)

// CallerKind says what tells callers apart.
type CallerKind uint8

const (
	CallerUnknown     CallerKind = iota
	CallerHeader                 // a field's value
	CallerCertificate            // the name in a verified client certificate
	CallerJWT                    // a claim of the bearer token, whose signature is not checked
	CallerAddress                // the client's address; of IPv6, its /64
)

// CallerKey is where the caller of a request stands. Fields and tokens are believed
// from trusted peers only, who have checked them.
type CallerKey struct {
	Kind CallerKind
	Name string // of the field, in canonical form, or of the claim
}

// maxCaller bounds a caller's key, and maxToken what is read of a token.
const (
	maxCaller = 256
	maxToken  = 16 << 10
)

// sender is what is known of who sent a request.
type sender struct {
	peer *peer
	// certificate gives the name in the client's verified certificate, "" for none.
	certificate func() string
	// last gives the last of the fields of a name: the one that the nearest proxy
	// wrote.
	last func(name string) string
}

// identifies reports whether anything about the sender matters.
func (s *Settings) identifies() bool {
	return s.Caller.Kind != CallerUnknown || s.PriorityField != "" || s.DeadlineField != ""
}

// identify adds to the call what the request says of who calls, how urgent it is and
// until when the answer is of use.
func (s *Settings) identify(call *limits.Call, h fields, from sender) {
	if s.Caller.Kind != CallerUnknown {
		if key := s.caller(h, from); len(key) <= maxCaller {
			call.Caller = key
		}
	}
	if s.PriorityField != "" && from.peer.trusted {
		if p, err := limits.ParsePriority(h.Get(s.PriorityField)); err == nil {
			call.Priority = p
		}
	}
	if s.DeadlineField != "" {
		if left, ok := patience(s.DeadlineField, h.Get(s.DeadlineField)); ok {
			if d := time.Now().Add(left); call.Deadline.IsZero() || d.Before(call.Deadline) {
				call.Deadline = d
			}
		}
	}
}

// caller is the request's caller under the settings, "" where it cannot be told.
func (s *Settings) caller(h fields, from sender) string {
	switch s.Caller.Kind {
	case CallerHeader:
		if from.peer.trusted {
			return h.Get(s.Caller.Name)
		}
	case CallerJWT:
		if from.peer.trusted {
			return claim(h.Get("Authorization"), s.Caller.Name)
		}
	case CallerCertificate:
		return from.certificate()
	case CallerAddress:
		addr := from.peer.addr
		if from.peer.trusted {
			addr = s.clientBehind(addr, from.last("X-Forwarded-For"))
		}
		return addressKey(addr)
	}
	return ""
}

// clientBehind is the last address in a chain of proxies that is not trusted, or the
// first, where all are.
func (s *Settings) clientBehind(addr netip.Addr, forwarded string) netip.Addr {
	for forwarded != "" {
		var hop string
		if i := strings.LastIndexByte(forwarded, ','); i >= 0 {
			forwarded, hop = forwarded[:i], forwarded[i+1:]
		} else {
			forwarded, hop = "", forwarded
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return addr // what stands before it was written by nobody who is trusted
		}
		addr = next.Unmap()
		if !s.trusts(addr) {
			return addr
		}
	}
	return addr
}

func (s *Settings) trusts(addr netip.Addr) bool {
	for _, prefix := range s.TrustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// addressKey names a client by its address. Of IPv6 a client has a whole /64.
func addressKey(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// certificateName is the first URI, DNS name or common name of a client certificate
// that was verified, "" without one.
func certificateName(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	leaf := state.VerifiedChains[0][0]
	switch {
	case len(leaf.URIs) > 0:
		return leaf.URIs[0].String()
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	}
	return leaf.Subject.CommonName
}

// claim reads a claim of a bearer token (RFC 7519) without looking at its signature:
// text as it is, a number as it is written. "" is for all that is no such thing.
func claim(authorization, name string) string {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		return ""
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, signed := strings.Cut(rest, ".")
	if !signed {
		return ""
	}
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var claims map[string]json.RawMessage
	if json.Unmarshal(decoded, &claims) != nil {
		return ""
	}
	var text string
	if json.Unmarshal(claims[name], &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(claims[name], &number) == nil {
		return number.String()
	}
	return ""
}

// patience reads how long a client waits: of Prefer the preference wait (RFC 7240,
// 4.3), of any other field seconds, or a number with a unit such as 500ms.
func patience(name, value string) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if name == "Prefer" {
		found := ""
		for preference := range strings.SplitSeq(value, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			if k, v, ok := strings.Cut(strings.TrimSpace(preference), "="); ok && strings.EqualFold(strings.TrimSpace(k), "wait") {
				found = strings.Trim(strings.TrimSpace(v), `"`)
				break // the first counts (RFC 7240, 2)
			}
		}
		value = found
	}
	const most = 24 * time.Hour
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, most), true
	}
	if d, err := time.ParseDuration(value); err == nil && d >= 0 && name != "Prefer" {
		return min(d, most), true
	}
	return 0, false
}
