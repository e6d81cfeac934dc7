package h1

import "strconv"

// The parts of a head are appended to a buffer of the caller's in the order in
// which they are sent: first line, fields of the message, fields of the caller,
// Connection, framing, empty line. Each function returns the extended buffer and
// allocates only if that is too small.

// AppendLine appends the request line for the next hop, in HTTP/1.1, whatever
// version the client speaks. Where the Host field is not to be forwarded as it
// is, because the target names another or because there is none, a Host field
// follows; authority is what it says if the request names no host at all, as
// HTTP/1.0 requests may.
func (r *Request) AppendLine(dst []byte, authority string) []byte {
	dst = append(dst, r.MethodBytes()...)
	dst = append(dst, ' ')
	dst = r.AppendTarget(dst)
	dst = append(dst, " HTTP/1.1\r\n"...)
	switch {
	case r.ownHost():
		return AppendField(dst, "Host", r.Host())
	case r.flags&hasHost == 0:
		return AppendField(dst, "Host", authority)
	}
	return dst
}

// ownHost reports whether the target names the host, so that the Host field is
// not forwarded.
func (r *Request) ownHost() bool { return r.form == AbsoluteForm || r.form == AuthorityForm }

// AppendFields appends the fields that go to the next hop, each line byte for
// byte and in the order in which they came. Left out are: those of the
// connection alone (Connection and all that it names, Keep-Alive,
// Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Upgrade,
// HTTP2-Settings), those of framing (Transfer-Encoding and Content-Length, and
// what could be taken for them, as Content_Length), Host where AppendLine has
// written it, Trailer unless the framing is chunked, and those that the caller
// has dropped. What the caller appends itself is never left out.
func (r *Request) AppendFields(dst []byte, framing Framing) []byte {
	return r.appendFields(dst, framing, r.ownHost())
}

// Forwards reports whether AppendFields would append field i, with a body that is
// framed so.
func (r *Request) Forwards(i int, framing Framing) bool {
	return !r.leavesOut(&r.list[i], framing, r.ownHost())
}

// AppendLine appends the status line in HTTP/1.1, status and reason as they
// came.
func (r *Response) AppendLine(dst []byte) []byte {
	return AppendStatus(dst, r.status, r.Reason())
}

// AppendFields appends the fields that go to the client, as Request.AppendFields
// does for the next hop.
func (r *Response) AppendFields(dst []byte, framing Framing) []byte {
	return r.appendFields(dst, framing, false)
}

func (h *Head) appendFields(dst []byte, framing Framing, ownHost bool) []byte {
	// Lines that stay are next to each other mostly: copied as one.
	from, to := 0, 0
	for i := range h.list {
		f := &h.list[i]
		if h.leavesOut(f, framing, ownHost) {
			continue
		}
		if int(f.start) != to {
			dst = append(dst, h.buf[from:to]...)
			from = int(f.start)
		}
		to = int(f.end)
	}
	return append(dst, h.buf[from:to]...)
}

func (h *Head) leavesOut(f *field, framing Framing, ownHost bool) bool {
	if f.hop || f.dropped {
		return true
	}
	switch f.id {
	case fieldContentLength:
		return true
	case fieldHost:
		return ownHost
	case fieldTrailer:
		// A body that becomes chunked on the way must not announce what nobody may
		// send then; of one that comes chunked it is refused.
		return framing.Kind != ByChunks || h.flags&namesFraming != 0
	}
	return false
}

// AppendStatus appends a status line in HTTP/1.1. A reason may be empty.
func AppendStatus[T ~string | ~[]byte](dst []byte, status int, reason T) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = appendClean(dst, reason)
	return append(dst, '\r', '\n')
}

// AppendField appends a field line. The name must be a token; that is the
// caller's promise. Bytes that no value may hold are replaced by spaces (RFC
// 9110, 5.5), so that a value can never end the line.
func AppendField[T ~string | ~[]byte](dst []byte, name string, value T) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = appendClean(dst, value)
	return append(dst, '\r', '\n')
}

// AppendInt appends a field line with a decimal number.
func AppendInt(dst []byte, name string, value int64) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = strconv.AppendInt(dst, value, 10)
	return append(dst, '\r', '\n')
}

func appendClean[T ~string | ~[]byte](dst []byte, value T) []byte {
	at := len(dst)
	dst = append(dst, value...)
	for i, c := range dst[at:] {
		if class[c]&isValue == 0 {
			dst[at+i] = ' '
		}
	}
	return dst
}

// Option is a set of connection options.
type Option uint8

// The options that a proxy sends.
const (
	OptionClose     Option = 1 << iota // the connection ends after this message
	OptionKeepAlive                    // it does not, said to an HTTP/1.0 client
	OptionUpgrade                      // an Upgrade field goes with it
	OptionTE                           // a TE field goes with it
)

// AppendConnection appends a Connection field with these options, or nothing if
// there are none.
func AppendConnection(dst []byte, o Option) []byte {
	if o == 0 {
		return dst
	}
	dst = append(dst, "Connection: "...)
	at := len(dst)
	for _, option := range [...]struct {
		is   Option
		text string
	}{{OptionClose, "close"}, {OptionKeepAlive, "keep-alive"}, {OptionUpgrade, "Upgrade"}, {OptionTE, "TE"}} {
		if o&option.is == 0 {
			continue
		}
		if len(dst) > at {
			dst = append(dst, ',', ' ')
		}
		dst = append(dst, option.text...)
	}
	return append(dst, '\r', '\n')
}

// AppendEnd appends the empty line that ends a head.
func AppendEnd(dst []byte) []byte { return append(dst, '\r', '\n') }
