package h1

// Response is the head of a response, an interim one (1xx) included. The zero
// value is ready for Parse; Reset makes it ready for the next one and keeps its
// storage. It is not safe for concurrent use while Parse runs.
type Response struct {
	Head

	status  int
	request Method
	reason  [2]int
}

// Reset forgets the response.
func (r *Response) Reset() {
	r.Head.reset()
	*r = Response{Head: r.Head}
}

// Parse reads the head of the response with which buf begins; method is that of
// the request which it answers, and decides about its body. It returns what
// Request.Parse does, but every *Error has the status 502.
//
// After an interim response (see Interim) there is another one to be read, for
// the same request: Reset, and Parse from n on.
func (r *Response) Parse(buf []byte, method Method, lim *Limits) (n int, err error) {
	r.buf = buf
	r.request = method
	if !r.ended {
		win := buf[:min(len(buf), lim.head())]
		more, fault := r.parse(win, lim)
		r.settle(more, fault, len(win) == lim.head())
	}
	switch {
	case r.fault != noFault:
		return 0, responseErrors[r.fault]
	case r.ended:
		return r.pos, nil
	}
	return 0, nil
}

func (r *Response) parse(win []byte, lim *Limits) (more bool, _ Fault) {
	if !r.lines {
		if more, fault := r.parseStatusLine(win); more || fault != noFault {
			return more, fault
		}
		r.lines = true
	}
	if more, fault := r.parseFields(win, lim.fields(), true); more || fault != noFault {
		return more, fault
	}
	return false, r.conclude(lim)
}

// parseStatusLine reads version SP status SP [reason] CRLF; the second space may
// be missing where there is no reason (RFC 9112, 4, and what functions send).
func (r *Response) parseStatusLine(win []byte) (more bool, _ Fault) {
	const form = "HTTP/1.d ddd"
	for i := r.pos; i < len(form); i++ {
		if i == len(win) {
			r.pos = i
			return true, noFault
		}
		c := win[i]
		if form[i] != 'd' {
			if c != form[i] {
				return false, FaultStatusLine
			}
			continue
		}
		if class[c]&isDigit == 0 || i == 7 && c > '1' || i == 9 && c == '0' {
			return false, FaultStatusLine
		}
	}
	p := max(r.pos, len(form))
	for p < len(win) && class[win[p]]&isValue != 0 {
		p++
	}
	r.pos = p
	switch {
	case len(win) > len(form) && win[len(form)] != ' ' && win[len(form)] != '\r':
		return false, FaultStatusLine
	case p == len(win):
		return true, noFault
	case win[p] == '\n':
		return false, FaultBareLF
	case win[p] != '\r':
		return false, FaultStatusLine
	case p+1 == len(win):
		return true, noFault
	case win[p+1] != '\n':
		return false, FaultBareCR
	}
	r.minor = win[7] - '0'
	r.status = int(win[9]-'0')*100 + int(win[10]-'0')*10 + int(win[11]-'0')
	r.reason = [2]int{min(len(form)+1, p), p}
	r.pos = p + 2
	return false, noFault
}

// conclude judges the head as a whole.
func (r *Response) conclude(lim *Limits) Fault {
	f := r.flags
	framed := f&hasEncoding != 0 || r.length > 0
	switch {
	case f&hasEncoding != 0 && r.minor == 0:
		return FaultEncodingIn10
	case f&hasEncoding != 0 && f&hasLength != 0:
		return FaultFramedTwice
	case f&hasEncoding != 0 && f&namesFraming != 0:
		return FaultTrailerNames
	case r.status < 200 && framed:
		// The next response begins here, or there: nothing tells.
		return FaultInterimBody
	case r.connected() && framed:
		return FaultConnectBody
	case r.status == 204 && framed:
		r.flags |= unsound
	}
	if r.Body().Kind == ByClose {
		r.flags |= unsound
	}
	r.markHops()
	if lim.Body > 0 && r.Body().Length > lim.Body {
		return FaultBodyTooLarge
	}
	return noFault
}

// connected reports whether the response turns the connection into a tunnel for
// CONNECT.
func (r *Response) connected() bool { return r.request == CONNECT && r.status/100 == 2 }

// Status returns the status code, from 100 to 999.
func (r *Response) Status() int { return r.status }

// Reason returns the reason phrase as it was sent, possibly empty.
func (r *Response) Reason() []byte { return r.buf[r.reason[0]:r.reason[1]:r.reason[1]] }

// Interim reports whether another response to the same request follows: the
// status is 1xx, but not 101 (Switching Protocols), after which the connection
// speaks another protocol.
func (r *Response) Interim() bool { return r.status < 200 && r.status != 101 }

// Body returns how the body is framed that follows the head: NoBody for an
// answer to HEAD, for 1xx, 204 and 304, and for 2xx to CONNECT, whatever the
// fields say (RFC 9112, 6.3).
func (r *Response) Body() Framing {
	switch {
	case r.request == HEAD || r.status < 200 || r.status == 204 || r.status == 304 || r.connected():
		return Framing{}
	case r.flags&hasEncoding != 0:
		return Framing{Kind: ByChunks}
	case r.flags&hasLength != 0:
		return Framing{Kind: ByLength, Length: r.length}
	}
	return Framing{Kind: ByClose}
}

// Forwarded returns how the response is to be framed for a client that speaks
// HTTP/1.minor: the framing to declare in the head, and that in which Relay is to
// write the body. A body of unknown length becomes chunked for HTTP/1.1, and one
// until close for HTTP/1.0. Responses to HEAD and 304 declare the length that the
// body would have had.
func (r *Response) Forwarded(minor int) Framing {
	switch b := r.Body(); b.Kind {
	case ByLength:
		return b
	case ByChunks, ByClose:
		if minor == 0 {
			return Framing{Kind: ByClose}
		}
		return Framing{Kind: ByChunks}
	}
	if r.flags&hasLength != 0 && r.status >= 200 && r.status != 204 && !r.connected() {
		return Framing{Kind: ByLength, Length: r.length}
	}
	return Framing{}
}
