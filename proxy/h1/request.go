package h1

// Method tells the methods of RFC 9110 and RFC 5789 apart; all others are
// OtherMethod. Methods are case-sensitive.
type Method uint8

// The methods.
const (
	OtherMethod Method = iota
	GET
	HEAD
	POST
	PUT
	DELETE
	CONNECT
	OPTIONS
	TRACE
	PATCH
)

var methods = [...]string{"", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

// String returns the method as it is sent, or "" for OtherMethod.
func (m Method) String() string { return methods[m] }

// Idempotent reports whether a request that may or may not have been carried out
// can be sent again (RFC 9110, 9.2.2). Of a method that is not known here that is
// not known either.
func (m Method) Idempotent() bool {
	switch m {
	case GET, HEAD, PUT, DELETE, OPTIONS, TRACE:
		return true
	}
	return false
}

func methodOf(b []byte) Method {
	// Compiled to comparisons; string(b) is not made.
	switch string(b) {
	case "GET":
		return GET
	case "HEAD":
		return HEAD
	case "POST":
		return POST
	case "PUT":
		return PUT
	case "DELETE":
		return DELETE
	case "CONNECT":
		return CONNECT
	case "OPTIONS":
		return OPTIONS
	case "TRACE":
		return TRACE
	case "PATCH":
		return PATCH
	}
	return OtherMethod
}

// Request is the head of a request. The zero value is ready for Parse; Reset
// makes it ready for the next one and keeps its storage. It is not safe for
// concurrent use while Parse runs.
type Request struct {
	Head

	method    Method
	form      Form
	methodEnd int    // 0 until the method has been read
	target    [2]int // as it was sent; [1] is 0 until it has been read
	origin    [2]int // what is forwarded of it
	pathEnd   int
}

// Reset forgets the request.
func (r *Request) Reset() {
	r.Head.reset()
	*r = Request{Head: r.Head}
}

// Parse reads the head of the request with which buf begins. It returns
//
//   - n > 0 and nil when the head is complete: its n bytes are those from the
//     request line to the empty line, and buf[n:] is what follows, body or next
//     request;
//   - 0 and nil when more bytes are needed: call it again with the same bytes
//     and more of them, from a larger buffer (Source.Grow) if the one at hand is
//     full. What has been read is not read again, so a head that
//     comes byte by byte costs little more than one that comes whole. The bytes
//     may be in another place by then;
//   - 0 and an *Error when the request is refused, as soon as that is certain.
//
// The outcome depends on the bytes alone, not on how many come at a time, and
// once it is certain it stays the same until Reset. A
// Content-Length over lim.Body is refused with 413 once the head is complete,
// which can still be read then.
func (r *Request) Parse(buf []byte, lim *Limits) (n int, err error) {
	r.buf = buf
	if !r.ended {
		win := buf[:min(len(buf), lim.head())]
		more, fault := r.parse(win, lim)
		r.settle(more, fault, len(win) == lim.head())
	}
	switch {
	case r.fault != noFault:
		return 0, requestErrors[r.fault]
	case r.ended:
		return r.pos, nil
	}
	return 0, nil
}

func (r *Request) parse(win []byte, lim *Limits) (more bool, _ Fault) {
	if !r.lines {
		if more, fault := r.parseRequestLine(win, lim.target()); more || fault != noFault {
			return more, fault
		}
		r.lines = true
	}
	if more, fault := r.parseFields(win, lim.fields(), false); more || fault != noFault {
		return more, fault
	}
	return false, r.conclude(lim)
}

// parseRequestLine reads method SP target SP version CRLF. Each part is judged
// as soon as it is there.
func (r *Request) parseRequestLine(win []byte, maxTarget int) (more bool, _ Fault) {
	p := r.pos
	if r.methodEnd == 0 {
		for p < len(win) && class[win[p]]&isToken != 0 {
			if p++; p > MaxMethod {
				return false, FaultMethodTooLong
			}
		}
		r.pos = p
		if p == len(win) {
			return true, noFault
		}
		if p == 0 || win[p] != ' ' {
			return false, FaultMethod
		}
		r.method = methodOf(win[:p])
		r.methodEnd = p
		p++
		r.target[0] = p
	}
	if r.target[1] == 0 {
		for p < len(win) && class[win[p]]&isTarget != 0 {
			if p++; p-r.target[0] > maxTarget {
				return false, FaultTargetTooLong
			}
		}
		r.pos = p
		if p == len(win) {
			return true, noFault
		}
		if p == r.target[0] || win[p] != ' ' {
			return false, FaultTarget
		}
		r.target[1] = p
		if fault := r.checkTarget(); fault != noFault {
			return false, fault
		}
		p++
		r.pos = p
	}
	const version = "HTTP/1.1\r\n"
	if len(win)-p < len(version) {
		// Refused once it is certain, and not later than with the whole line.
		if _, fault := parseVersion(win[p:]); fault == FaultRequestLine {
			return false, fault
		}
		return true, noFault
	}
	var fault Fault
	if r.minor, fault = parseVersion(win[p : p+len(version)]); fault != noFault {
		return false, fault
	}
	r.pos = p + len(version)
	return false, noFault
}

// parseVersion reads HTTP/d.d CRLF, or as much of it as there is.
func parseVersion(b []byte) (minor uint8, _ Fault) {
	const form = "HTTP/d.d\r\n"
	for i, c := range b {
		if form[i] == 'd' {
			if class[c]&isDigit == 0 {
				return 0, FaultRequestLine
			}
		} else if c != form[i] {
			return 0, FaultRequestLine
		}
	}
	if len(b) == len(form) && (b[5] != '1' || b[7] > '1') {
		return 0, FaultVersion
	}
	if len(b) > 7 {
		minor = b[7] - '0'
	}
	return minor, noFault
}

// conclude judges the head as a whole.
func (r *Request) conclude(lim *Limits) Fault {
	f := r.flags
	switch {
	case f&hasEncoding != 0 && r.minor == 0:
		return FaultEncodingIn10
	case f&hasEncoding != 0 && f&hasLength != 0:
		return FaultFramedTwice
	case f&hasEncoding != 0 && f&namesFraming != 0:
		return FaultTrailerNames
	case r.method == CONNECT && f&(hasEncoding|hasLength) != 0:
		return FaultConnectBody
	case f&hasHost == 0 && r.minor == 1:
		return FaultNoHost
	}
	r.markHops()
	if r.minor == 0 && f&(expectsContinue|expectsOther) != 0 {
		// RFC 9110, 10.1.1: to be ignored, hence not passed on as HTTP/1.1.
		r.DropName("Expect")
		r.flags &^= expectsContinue | expectsOther
	}
	if lim.Body > 0 && r.length > lim.Body {
		return FaultBodyTooLarge
	}
	return noFault
}

// Method returns which method it is.
func (r *Request) Method() Method { return r.method }

// MethodBytes returns the method as it was sent.
func (r *Request) MethodBytes() []byte { return r.buf[:r.methodEnd:r.methodEnd] }

// Body returns how the request's body is framed. It is ByClose never: a request
// without Content-Length and Transfer-Encoding has no body.
func (r *Request) Body() Framing {
	switch {
	case r.flags&hasEncoding != 0:
		return Framing{Kind: ByChunks}
	case r.flags&hasLength != 0:
		return Framing{Kind: ByLength, Length: r.length}
	}
	return Framing{}
}

// HasBody reports whether at least one byte, if only of chunk framing, follows
// the head.
func (r *Request) HasBody() bool { return r.flags&hasEncoding != 0 || r.length > 0 }

// ExpectsContinue reports whether the client waits for 100 (Continue) before it
// sends the body: it said so, in HTTP/1.1, and there is a body (RFC 9110, 10.1.1).
// The Expect field is forwarded unless it is dropped.
func (r *Request) ExpectsContinue() bool { return r.flags&expectsContinue != 0 && r.HasBody() }

// ExpectsOther reports whether Expect asks for anything but 100-continue, which
// may be answered with 417.
func (r *Request) ExpectsOther() bool { return r.flags&expectsOther != 0 }
