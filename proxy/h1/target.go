package h1

import "bytes"

// Form is the form of a request target (RFC 9112, 3.2).
type Form uint8

const (
	// OriginForm is a path with an optional query: /a?b. Forwarded byte for byte.
	OriginForm Form = iota
	// AbsoluteForm is http://host/a?b or https://host/a?b. Forwarded in origin
	// form, the bytes of path and query untouched, with the target's host in place
	// of the Host field (RFC 9112, 3.2.2).
	AbsoluteForm
	// AuthorityForm is host:port, for CONNECT and nothing else. A proxy that opens
	// no tunnels refuses it (501 or 405); it is serialised as it came.
	AuthorityForm
	// AsteriskForm is *, for OPTIONS and nothing else. Forwarded as it is.
	AsteriskForm
)

func (f Form) String() string {
	switch f {
	case OriginForm:
		return "origin-form"
	case AbsoluteForm:
		return "absolute-form"
	case AuthorityForm:
		return "authority-form"
	case AsteriskForm:
		return "asterisk-form"
	}
	return "unknown form"
}

// checkTarget classifies the target, whose bytes are all isTarget, and finds
// what is to be forwarded of it.
func (r *Request) checkTarget() Fault {
	t := r.Target()
	switch {
	case r.method == CONNECT:
		// RFC 9110, 9.3.6: host and port, never a path.
		r.form = AuthorityForm
		if !validAuthority(t, true) {
			return FaultTargetHost
		}
		r.Head.host = r.target
		r.origin = r.target
		return noFault
	case t[0] == '/':
		r.origin = r.target
	case t[0] == '*':
		if len(t) > 1 {
			return FaultTarget
		}
		if r.method != OPTIONS {
			return FaultTargetForm
		}
		r.form = AsteriskForm
		r.origin = r.target
		return noFault
	default:
		return r.checkAbsolute(t)
	}
	return r.checkPath()
}

func (r *Request) checkAbsolute(t []byte) Fault {
	var at int
	switch {
	case len(t) > 7 && foldEqual(t[:7], "http://"):
		at = 7
	case len(t) > 8 && foldEqual(t[:8], "https://"):
		at = 8
	default:
		return FaultTargetForm
	}
	end := at
	for end < len(t) && t[end] != '/' && t[end] != '?' {
		end++
	}
	if !validAuthority(t[at:end], false) { // nor user information (RFC 9110, 4.2.4)
		return FaultTargetHost
	}
	r.form = AbsoluteForm
	base := r.target[0]
	r.Head.host = [2]int{base + at, base + end}
	r.origin = [2]int{base + end, r.target[1]}
	return r.checkPath()
}

// checkPath finds where the path ends, and refuses one whose percent-encoding is
// broken: functions decode it, each in its own way. A query is not decoded by
// HTTP and passes as it is.
func (r *Request) checkPath() Fault {
	b := r.buf[r.origin[0]:r.origin[1]]
	if i := bytes.IndexByte(b, '?'); i >= 0 {
		b = b[:i]
	}
	r.pathEnd = r.origin[0] + len(b)
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return noFault
		}
		if i+2 >= len(b) || class[b[i+1]]&isHex == 0 || class[b[i+2]]&isHex == 0 {
			return FaultTarget
		}
		b = b[i+3:]
	}
}

// Target returns the request target as it was sent.
func (r *Request) Target() []byte { return r.buf[r.target[0]:r.target[1]:r.target[1]] }

// Form returns the form of the target.
func (r *Request) Form() Form { return r.form }

// Path returns the target's path as it was sent, without the query. It is empty
// for an absolute-form target that has none, and the whole target in authority-
// and asterisk-form.
func (r *Request) Path() []byte {
	end := r.origin[1]
	if r.form == OriginForm || r.form == AbsoluteForm {
		end = r.pathEnd
	}
	return r.buf[r.origin[0]:end:end]
}

// Query returns what follows the first "?" of the target, as it was sent.
func (r *Request) Query() []byte {
	if r.form != OriginForm && r.form != AbsoluteForm || r.pathEnd == r.origin[1] {
		return nil
	}
	return r.buf[r.pathEnd+1 : r.origin[1] : r.origin[1]]
}

// Host returns the host, with its port if one was given, that the request is
// for: that of an absolute- or authority-form target, else that of the Host
// field. It is nil only for an HTTP/1.0 request that has neither.
func (r *Request) Host() []byte {
	if r.Head.host[1] == 0 {
		return nil
	}
	return r.buf[r.Head.host[0]:r.Head.host[1]:r.Head.host[1]]
}

// AppendTarget appends the target as it is to be forwarded: in origin form, or
// "*" or the authority where it was sent so. An absolute-form target without a
// path has "/", or "*" for OPTIONS without a query (RFC 9112, 3.2.4).
func (r *Request) AppendTarget(dst []byte) []byte {
	origin := r.buf[r.origin[0]:r.origin[1]]
	if r.form == AbsoluteForm && (len(origin) == 0 || origin[0] == '?') {
		if len(origin) == 0 && r.method == OPTIONS {
			return append(dst, '*')
		}
		dst = append(dst, '/')
	}
	return append(dst, origin...)
}
