package h1

import "strconv"

// Kind says how the end of a body is told (RFC 9112, 6).
type Kind uint8

const (
	// NoBody is a message that ends with its head.
	NoBody Kind = iota
	// ByLength is a body of as many bytes as Content-Length says, possibly none.
	ByLength
	// ByChunks is a body in the chunked transfer coding.
	ByChunks
	// ByClose is a response's body that ends when its connection does. As an
	// outgoing framing it is the body's bytes as they are.
	ByClose
)

func (k Kind) String() string {
	switch k {
	case NoBody:
		return "no body"
	case ByLength:
		return "Content-Length"
	case ByChunks:
		return "chunked"
	case ByClose:
		return "until close"
	}
	return "unknown framing"
}

// Framing is how the end of a body is told. The zero value is a message without
// one.
type Framing struct {
	Kind   Kind
	Length int64 // of ByLength
}

// AppendTo appends the field that declares the framing: Content-Length,
// Transfer-Encoding, or nothing for NoBody and ByClose. A sender of ByClose must
// also say Connection: close.
func (f Framing) AppendTo(dst []byte) []byte {
	switch f.Kind {
	case ByLength:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, f.Length, 10)
		return append(dst, '\r', '\n')
	case ByChunks:
		return append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return dst
}
