package h1

import "bytes"

// What is learnt from a field while its line is read, so that no second pass is
// needed.

// identify tells the fields that matter here from all others.
func identify(name []byte) fieldID {
	switch len(name) {
	case 2:
		if foldEqual(name, "te") {
			return fieldTE
		}
	case 4:
		if foldEqual(name, "host") {
			return fieldHost
		}
	case 6:
		if foldEqual(name, "expect") {
			return fieldExpect
		}
	case 7:
		if foldEqual(name, "upgrade") {
			return fieldUpgrade
		}
		if foldEqual(name, "trailer") {
			return fieldTrailer
		}
	case 10:
		if foldEqual(name, "connection") {
			return fieldConnection
		}
		if foldEqual(name, "keep-alive") {
			return fieldHop
		}
	case 12:
		if foldEqual(name, "content-type") {
			return fieldContentType
		}
	case 14:
		if likeEqual(name, "content-length") {
			if foldEqual(name, "content-length") {
				return fieldContentLength
			}
			return fieldHop // Content_Length, which some functions take for it
		}
		if foldEqual(name, "http2-settings") {
			return fieldHop
		}
	case 16:
		if foldEqual(name, "proxy-connection") {
			return fieldHop
		}
	case 17:
		if likeEqual(name, "transfer-encoding") {
			if foldEqual(name, "transfer-encoding") {
				return fieldTransferEncoding
			}
			return fieldHop
		}
	case 18:
		if foldEqual(name, "proxy-authenticate") {
			return fieldHop
		}
	case 19:
		if foldEqual(name, "proxy-authorization") {
			return fieldHop
		}
	}
	return otherField
}

// note digests one field.
func (h *Head) note(f *field, response bool) Fault {
	f.id = identify(h.buf[f.start:f.nameEnd])
	if f.id == otherField {
		return noFault
	}
	value := h.buf[f.value:f.valueEnd]
	switch f.id {
	case fieldHost:
		if !response {
			return h.noteHost(f)
		}
	case fieldContentLength:
		return h.noteLength(value, response)
	case fieldTransferEncoding:
		f.hop = true
		if h.flags&hasEncoding != 0 {
			return FaultEncodings
		}
		if !foldEqual(value, "chunked") {
			return FaultEncoding
		}
		h.flags |= hasEncoding
	case fieldConnection:
		f.hop = true
		return h.noteConnection(value)
	case fieldUpgrade:
		f.hop = true
		h.noteUpgrade(int(f.value), value)
	case fieldTE:
		f.hop = true
		h.noteTE(value)
	case fieldTrailer:
		h.noteTrailer(value)
	case fieldExpect:
		if foldEqual(value, "100-continue") {
			h.flags |= expectsContinue
		} else {
			h.flags |= expectsOther
		}
	case fieldContentType:
		if grpcType(value) {
			h.flags |= isGRPC
		}
	case fieldHop:
		f.hop = true
	}
	return noFault
}

func (h *Head) noteHost(f *field) Fault {
	if h.flags&hasHost != 0 {
		return FaultSeveralHosts
	}
	if !validAuthority(h.buf[f.value:f.valueEnd], false) {
		return FaultHost
	}
	h.flags |= hasHost
	// An absolute target has already said which host is meant (RFC 9112, 3.2.2).
	if h.host[1] == 0 {
		h.host = [2]int{int(f.value), int(f.valueEnd)}
	}
	return noFault
}

// noteLength reads a Content-Length. Requests may have one; responses several
// that are spelt alike, which some functions send and which mislead nobody.
func (h *Head) noteLength(value []byte, response bool) Fault {
	n, ok := decimal(value)
	if !ok {
		return FaultContentLength
	}
	if h.flags&hasLength != 0 && (!response || !bytes.Equal(value, h.Get("Content-Length"))) {
		return FaultLengths
	}
	h.flags |= hasLength
	h.length = n
	return noFault
}

// decimal reads 1*DIGIT below 2^63.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 {
		return 0, false
	}
	const most = 1<<63 - 1
	for _, c := range b {
		if class[c]&isDigit == 0 {
			return 0, false
		}
		d := int64(c - '0')
		if n > (most-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// grpcType tells gRPC from gRPC-Web, which is an ordinary HTTP exchange.
func grpcType(value []byte) bool {
	const grpc = "application/grpc"
	if len(value) < len(grpc) || !foldEqual(value[:len(grpc)], grpc) {
		return false
	}
	return len(value) == len(grpc) || among(value[len(grpc)], "+; \t")
}

func (h *Head) noteTE(value []byte) {
	for len(value) > 0 {
		var e []byte
		e, value = element(value)
		if i := bytes.IndexByte(e, ';'); i >= 0 {
			e = trimOWS(e[:i])
		}
		if foldEqual(e, "trailers") {
			h.flags |= teTrailers
		}
	}
}

func (h *Head) noteTrailer(value []byte) {
	for len(value) > 0 {
		var e []byte
		e, value = element(value)
		switch id := identify(e); id {
		case fieldContentLength, fieldTransferEncoding, fieldTrailer:
			h.flags |= namesFraming
		}
	}
}
