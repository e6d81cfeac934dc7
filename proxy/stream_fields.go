package proxy

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/proxy/h1"
)

// appendRequest appends the head that goes to the function: the fields of the
// request, and those that tell it who called, by the rules of peer.forward.
func (x *stream) appendRequest(b []byte) []byte {
	r, p := &x.request, x.c.peer(x.settings)
	x.dropVouched(p)
	body := r.Body()
	b = r.AppendLine(b, x.c.e.p.upstream.host)
	b = r.AppendFields(b, body)
	host := r.Host()
	b = x.appendList(b, "X-Forwarded-For", p, x.c.client)
	b = x.appendOr(b, "X-Forwarded-Host", p, view(host))
	b = x.appendOr(b, "X-Forwarded-Proto", p, p.scheme)
	b = x.appendForwarded(b, p, host)
	b = append(b, "CDN-Loop: "...)
	b = append(x.appendPassed(b), '\r', '\n')
	if r.Minor() == 0 {
		b = append(b, "Via: 1.0 weir\r\n"...)
	} else {
		b = append(b, "Via: 1.1 weir\r\n"...)
	}
	if x.account.trace != nil {
		b = h1.AppendField(b, "Traceparent", x.spans.Traceparent())
	}
	var options h1.Option
	if r.TETrailers() {
		b = append(b, "TE: trailers\r\n"...)
		options |= h1.OptionTE
	}
	if r.UpgradesToWebSocket() {
		b = h1.AppendField(b, "Upgrade", "websocket")
		options |= h1.OptionUpgrade
	}
	b = h1.AppendConnection(b, options)
	b = body.AppendTo(b)
	return h1.AppendEnd(b)
}

// dropVouched keeps from the function what is not to be believed of the request's
// fields, and what weir writes anew.
func (x *stream) dropVouched(p *peer) {
	r := &x.request
	for i := range r.Len() {
		n := view(r.Name(i))
		if vouched(n) && (!p.trusted || alias(n) || merged(n)) {
			r.Drop(i)
		}
	}
}

// merged reports whether weir writes the field itself, from what came.
func merged(name string) bool {
	for _, own := range [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", loopField} {
		if len(name) == len(own) && hasPrefixFold(name, own) {
			return true
		}
	}
	return false
}

// appendList appends a list field: what a trusted peer sent, then own.
func (x *stream) appendList(b []byte, name string, p *peer, own string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = x.appendSent(b, name, p)
	b = append(b, own...)
	return append(b, '\r', '\n')
}

// appendSent appends what a trusted peer sent of a list, ready to be continued.
func (x *stream) appendSent(b []byte, name string, p *peer) []byte {
	if p.trusted {
		for i := x.request.Find(name, 0); i >= 0; i = x.request.Find(name, i+1) {
			b = append(b, x.request.Value(i)...)
			b = append(b, ", "...)
		}
	}
	return b
}

func (x *stream) appendForwarded(b []byte, p *peer, host []byte) []byte {
	b = append(b, "Forwarded: "...)
	b = x.appendSent(b, "Forwarded", p)
	b = x.appendElement(b, p, host)
	return append(b, '\r', '\n')
}

// appendElement is peer.forwardedElement without a string in between.
func (x *stream) appendElement(b []byte, p *peer, host []byte) []byte {
	b = append(b, "for="...)
	if p.addr.Is6() {
		b = append(b, '"', '[')
		b = append(b, x.c.client...)
		b = append(b, ']', '"')
	} else {
		b = append(b, x.c.client...)
	}
	b = append(b, `;host="`...)
	for _, c := range host {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	b = append(b, `";proto=`...)
	return append(b, p.scheme...)
}

// appendOr appends what a trusted peer sent, or else own.
func (x *stream) appendOr(b []byte, name string, p *peer, own string) []byte {
	if p.trusted {
		if i := x.request.Find(name, 0); i >= 0 {
			for ; i >= 0; i = x.request.Find(name, i+1) {
				b = h1.AppendField(b, name, x.request.Value(i))
			}
			return b
		}
	}
	return h1.AppendField(b, name, own)
}

// peer is who is at the other end of the connection, under the settings in
// force.
func (c *clientConn) peer(s *Settings) *peer {
	if c.peerOf != s {
		var addr netip.Addr
		addr, c.client = peerAddr(c.remote)
		c.peerOf, c.peerIs = s, s.peer(addr)
		c.peerIs.scheme = "http"
		if c.tls {
			c.peerIs.scheme = "https"
		}
	}
	return &c.peerIs
}

// date is the current date as HTTP has it, made once a second.
type date struct {
	second int64
	text   string
}

var currentDate atomic.Pointer[date]

func httpDate() string {
	second := int64((clock() + dateOffset) / time.Second)
	d := currentDate.Load()
	if d == nil || d.second != second {
		d = &date{second, time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		currentDate.Store(d)
	}
	return d.text
}

// dateOffset makes the clock's seconds turn when those of the wall clock do.
var dateOffset = time.Duration(clockBase.Nanosecond())
