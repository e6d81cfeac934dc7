package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"weir/admin/api"
)

// guard stands in front of everything that the management API does.
//
//   - Where a token is set, every request to /v1 shows it.
//   - Where neither a token nor client certificates are, the address is a loopback
//     one, and whoever reaches it may act; but a web page that somebody on this
//     machine looks at reaches it too. So the Host field has to name a loopback
//     address (a name that was rebound to one does not), requests of pages of other
//     origins are refused, and none gets CORS fields.
type guard struct {
	token *TokenFile // nil for none
	// known is true where TLS has asked operators for their certificates.
	known bool
	cross *http.CrossOriginProtection
	next  http.Handler
}

// maxBody bounds what a request may send, in bytes.
const maxBody = 64 << 10

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	if err := g.check(r); err != nil {
		api.WriteProblem(r.Context(), err, w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	g.next.ServeHTTP(w, r)
}

// check says why the request is refused, nil if it is not.
func (g *guard) check(r *http.Request) error {
	if g.token == nil && !g.known && !namesLoopback(r.Host) {
		return api.ErrMisdirected
	}
	if g.cross.Check(r) != nil {
		return api.ErrCrossOrigin
	}
	if !strings.HasPrefix(r.URL.Path, "/v1") {
		return nil // the page itself, which tells nothing
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site": // reading, which a page of another origin could only do blindly
		return api.ErrCrossOrigin
	}
	if g.token == nil {
		return nil
	}
	switch token := bearer(r.Header.Get("Authorization")); {
	case token == "":
		return api.ErrUnauthorized
	case !g.token.Matches(token):
		return api.ErrWrongToken
	}
	return nil
}

// namesLoopback reports whether a Host field names this machine by a loopback
// address, or by localhost.
func namesLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}
