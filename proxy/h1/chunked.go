package h1

import "bytes"

// chunkState says what the next byte of a chunked body is part of (RFC 9112,
// 7.1).
type chunkState uint8

const (
	inSize      chunkState = iota // the digits of a chunk's size
	inExtension                   // after ";"
	inSizeEnd                     // the LF of the size line
	inData
	inDataCR // the CR after the data
	inDataLF
	inTrailer
	atEnd
)

// chunkEvent says what a step of the decoder came upon.
type chunkEvent uint8

const (
	chunkMore    chunkEvent = iota // only framing; more bytes are needed
	chunkBegins                    // a chunk that is not the last; left is its size
	chunkData                      // n bytes of data
	chunkedEnded                   // the last chunk and the trailer section are complete
)

// chunked decodes a chunked body step by step, byte for byte where it is
// framing, so that it makes no difference how the bytes were split across reads.
// The zero value begins a body.
type chunked struct {
	state  chunkState
	digits uint8 // of the size so far
	left   int64 // data of the chunk still to come; while inSize its size so far

	extension   int // bytes of extensions so far, of all chunks
	trailerSize int // bytes of the trailer section so far
	fields      int // lines of it
	// trailer holds the lines of the section that are to be passed on, and from
	// line on the one that is being read.
	trailer []byte
	line    int
}

func (c *chunked) reset() { *c = chunked{trailer: c.trailer[:0]} }

// next consumes n bytes of b. With chunkMore it has consumed all of them.
func (c *chunked) next(b []byte, lim *Limits, drop func(name []byte) bool) (n int, _ chunkEvent, _ Fault) {
	for n < len(b) {
		switch c.state {
		case inData:
			// Never with n > 0: a step ends where a chunk begins.
			n = int(min(int64(len(b)), c.left))
			if c.left -= int64(n); c.left == 0 {
				c.state = inDataCR
			}
			return n, chunkData, noFault
		case inTrailer:
			k, ended, fault := c.readTrailer(b[n:], lim, drop)
			if n += k; fault != noFault || ended {
				return n, chunkedEnded, fault
			}
		case atEnd:
			return n, chunkedEnded, noFault
		default:
			fault := c.frame(b[n], lim)
			n++
			if fault != noFault {
				return n, chunkMore, fault
			}
			if c.state == inData {
				return n, chunkBegins, noFault
			}
		}
	}
	return n, chunkMore, noFault
}

// frame takes one byte around the data.
func (c *chunked) frame(b byte, lim *Limits) Fault {
	switch c.state {
	case inSize:
		return c.sizeByte(b)
	case inExtension:
		switch {
		case b == '\r':
			c.state = inSizeEnd
		case b == '\n':
			return FaultBareLF
		case class[b]&isValue == 0:
			return FaultChunkExtension
		}
		if c.extension++; c.extension > lim.chunkExtensions() {
			return FaultChunkOverhead
		}
	case inSizeEnd:
		if b != '\n' {
			return FaultBareCR
		}
		c.digits = 0
		c.state = inData
		if c.left == 0 {
			c.state = inTrailer
		}
	case inDataCR:
		if b != '\r' {
			return FaultChunkEnd
		}
		c.state = inDataLF
	case inDataLF:
		if b != '\n' {
			return FaultChunkEnd
		}
		c.state = inSize
	}
	return noFault
}

func (c *chunked) sizeByte(b byte) Fault {
	switch {
	case class[b]&isHex != 0:
		if c.digits++; c.digits > MaxChunkDigits {
			return FaultChunkOverflow
		}
		c.left = c.left<<4 | int64(hexValue(b))
	case c.digits == 0:
		return FaultChunkSize
	case b == '\r':
		c.state = inSizeEnd
	case b == ';':
		c.state = inExtension
	case b == '\n':
		return FaultBareLF
	default:
		return FaultChunkSize
	}
	return noFault
}

func hexValue(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return lower[b] - 'a' + 10
}

// readTrailer takes bytes of the trailer section, at most up to its end.
func (c *chunked) readTrailer(b []byte, lim *Limits, drop func(name []byte) bool) (n int, ended bool, _ Fault) {
	for n < len(b) {
		// One line, or what there is of it, or one byte more than may come.
		k := min(len(b)-n, lim.trailer()+1-c.trailerSize)
		lf := bytes.IndexByte(b[n:n+k], '\n')
		if lf >= 0 {
			k = lf + 1
		}
		c.trailer = append(c.trailer, b[n:n+k]...)
		c.trailerSize += k
		n += k
		if c.trailerSize > lim.trailer() {
			return n, false, FaultTrailerSize
		}
		if lf < 0 {
			return n, false, noFault
		}
		line := c.trailer[c.line:]
		if len(line) == 2 && line[0] == '\r' {
			c.trailer = c.trailer[:c.line]
			c.state = atEnd
			return n, true, noFault
		}
		if c.fields++; c.fields > lim.fields() {
			return n, false, FaultTooManyFields
		}
		f, fault := parseLine(c.trailer, c.line, len(c.trailer)-1)
		if fault != noFault {
			return n, false, fault
		}
		name := c.trailer[f.start:f.nameEnd]
		if noTrailer(name) || drop != nil && drop(name) {
			c.trailer = c.trailer[:c.line]
		}
		c.line = len(c.trailer)
	}
	return n, false, noFault
}

// noTrailers are fields that have no place in a trailer section (RFC 9110,
// 6.5.1): of framing, of the connection, of routing, request modifiers,
// authentication, and of the content's format. Names that some functions take
// for them, with "_" or "." for "-", count as well.
var noTrailers = [...]string{
	"authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
	"content-type", "cookie", "expect", "host", "http2-settings", "keep-alive", "max-forwards", "pragma",
	"proxy-authenticate", "proxy-authorization", "proxy-connection", "range", "set-cookie", "te", "trailer",
	"transfer-encoding", "upgrade", "www-authenticate",
}

func noTrailer(name []byte) bool {
	if len(name) >= 3 && likeEqual(name[:3], "if-") {
		return true
	}
	for _, s := range noTrailers {
		if likeEqual(name, s) {
			return true
		}
	}
	return false
}
