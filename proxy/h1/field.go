package h1

import (
	"bytes"
	"encoding/binary"
)

// Head is what requests and responses have in common: the version, the fields
// and what they say about the message. It is reached through Request and
// Response.
//
// All that Head hands out are views of the buffer that was parsed: they hold
// until that buffer is written to again. Head itself is reused from message to
// message and then allocates nothing.
type Head struct {
	buf  []byte // the message, from its first byte
	list []field

	pos   int // where parsing goes on: the start of a line, or within the first line
	seen  int // from pos up to here there is no LF
	lines bool
	ended bool // complete, or refused by fault
	fault Fault

	minor    uint8 // HTTP/1.minor
	flags    flag
	length   int64  // Content-Length, where hasLength
	options  int    // fields named in Connection
	upgrades int    // protocols named in Upgrade
	upgrade  [2]int // the last of them, as offsets
	host     [2]int // the Host field's value, or the target's authority
}

// field is one line of the field section, as offsets into the message.
type field struct {
	start    uint32 // of the line and the name
	nameEnd  uint32
	value    uint32 // without the whitespace around it
	valueEnd uint32
	end      uint32 // after CRLF
	id       fieldID
	hop      bool // of this connection only
	dropped  bool // by the caller
}

// fieldID tells the fields that h1 itself has to understand.
type fieldID uint8

const (
	otherField fieldID = iota
	fieldConnection
	fieldContentLength
	fieldContentType
	fieldExpect
	fieldHost
	fieldTE
	fieldTrailer
	fieldTransferEncoding
	fieldUpgrade
	fieldHop // others of one connection only
)

type flag uint32

const (
	hasClose     flag = 1 << iota // Connection: close
	hasKeepAlive                  // Connection: keep-alive
	hasUpgradeOption
	hasLength
	hasEncoding // Transfer-Encoding: chunked
	hasHost
	teTrailers
	expectsContinue
	expectsOther
	isGRPC
	namesFraming // Trailer names a framing field
	unsound      // what follows the message cannot be trusted
)

func (h *Head) reset() {
	*h = Head{list: h.list[:0]}
}

// settle notes the outcome of parsing; full says that the head may not get any
// longer.
func (h *Head) settle(more bool, fault Fault, full bool) {
	if fault == noFault && more {
		if !full {
			return
		}
		fault = FaultHeadTooLarge
	}
	h.fault, h.ended = fault, true
}

// parseFields reads field lines from h.pos on. win is the message so far, cut at
// the limit of its head. more is true when a line is incomplete; otherwise h.pos
// is at the first byte after the empty line, or there is a fault.
func (h *Head) parseFields(win []byte, limit int, response bool) (more bool, _ Fault) {
	for {
		p := h.pos
		if p < len(win) && win[p] == '\r' {
			if p+1 == len(win) {
				return true, noFault
			}
			if win[p+1] != '\n' {
				return false, FaultBareCR
			}
			h.pos = p + 2
			return false, noFault
		}
		i := bytes.IndexByte(win[max(p, h.seen):], '\n')
		if i < 0 {
			h.seen = len(win)
			return true, noFault
		}
		end := max(p, h.seen) + i
		if len(h.list) == limit {
			return false, FaultTooManyFields
		}
		f, fault := parseLine(win, p, end)
		if fault != noFault {
			return false, fault
		}
		if h.list == nil {
			h.list = make([]field, 0, 32) // once for all the messages to come
		}
		h.pos = end + 1
		if fault := h.note(&f, response); fault != noFault {
			return false, fault
		}
		h.list = append(h.list, f)
	}
}

// parseLine reads the field line that starts at p and whose LF is at lf.
func parseLine(win []byte, p, lf int) (f field, _ Fault) {
	if lf == p || win[lf-1] != '\r' {
		return f, FaultBareLF
	}
	line := win[p : lf-1]
	n := 0
	for n < len(line) && class[line[n]]&isToken != 0 {
		n++
	}
	if n == 0 || n == len(line) || line[n] != ':' {
		return f, nameFault(line, n)
	}
	v, e := n+1, len(line)
	for v < e && (line[v] == ' ' || line[v] == '\t') {
		v++
	}
	for e > v && (line[e-1] == ' ' || line[e-1] == '\t') {
		e--
	}
	if i := valueEnd(line[v:e]); i < e-v {
		if line[v+i] == '\r' {
			return f, FaultBareCR
		}
		return f, FaultFieldValue
	}
	return field{
		start: uint32(p), nameEnd: uint32(p + n),
		value: uint32(p + v), valueEnd: uint32(p + e), end: uint32(lf + 1),
	}, noFault
}

// nameFault says why the line's name ends at n without a colon.
func nameFault(line []byte, n int) Fault {
	switch {
	case n == len(line): // without a colon, and an empty one is the end of the head
		return FaultFieldName
	case line[n] == '\r':
		return FaultBareCR
	case line[n] == ' ' || line[n] == '\t':
		if n == 0 {
			return FaultFolded
		}
		if rest := trimOWS(line[n:]); len(rest) > 0 && rest[0] == ':' {
			return FaultSpaceInName
		}
	}
	return FaultFieldName
}

// valueEnd returns the index of the first byte that no field value may hold, or
// len(b).
func valueEnd(b []byte) int {
	i := 0
	// Eight bytes at a time while none of them is below 0x20 or is 0x7f.
	for ; i+8 <= len(b); i += 8 {
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		w := binary.LittleEndian.Uint64(b[i:])
		below := (w - ones*0x20) &^ w & tops // some byte < 0x20
		del := w ^ ones*0x7f
		del = (del - ones) &^ del & tops // some byte == 0x7f
		if below|del != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if class[b[i]]&isValue == 0 {
			return i
		}
	}
	return i
}

// Bytes returns the whole head, from its first byte to the empty line.
func (h *Head) Bytes() []byte { return h.buf[:h.pos:h.pos] }

// Minor returns the minor version: 0 or 1.
func (h *Head) Minor() int { return int(h.minor) }

// Len returns the number of fields, dropped ones included.
func (h *Head) Len() int { return len(h.list) }

// Name returns the name of field i as it was sent. It panics unless 0 <= i <
// Len(), as do the other methods that take an index.
func (h *Head) Name(i int) []byte {
	f := &h.list[i]
	return h.buf[f.start:f.nameEnd:f.nameEnd]
}

// Value returns the value of field i without the whitespace around it.
func (h *Head) Value(i int) []byte {
	f := &h.list[i]
	return h.buf[f.value:f.valueEnd:f.valueEnd]
}

// Find returns the index of the first field from index from on that has this
// name, letter case aside, or -1. Start with 0; go on with the last index plus 1.
func (h *Head) Find(name string, from int) int {
	for i := from; i < len(h.list); i++ {
		f := &h.list[i]
		if int(f.nameEnd-f.start) == len(name) && foldEqual(h.buf[f.start:f.nameEnd], name) {
			return i
		}
	}
	return -1
}

// Get returns the value of the first field of this name, letter case aside, or
// nil if there is none. A field that is there but empty has a value that is not
// nil.
func (h *Head) Get(name string) []byte {
	if i := h.Find(name, 0); i >= 0 {
		return h.Value(i)
	}
	return nil
}

// Has reports whether there is a field of this name.
func (h *Head) Has(name string) bool { return h.Find(name, 0) >= 0 }

// Drop keeps field i from being forwarded. It can still be read.
func (h *Head) Drop(i int) { h.list[i].dropped = true }

// DropName drops every field of this name, letter case aside, and returns how
// many there were.
func (h *Head) DropName(name string) int {
	n := 0
	for i := h.Find(name, 0); i >= 0; i = h.Find(name, i+1) {
		h.Drop(i)
		n++
	}
	return n
}

// DropLike drops every field that a receiver could take for this name: equal
// when '_' and '.' are read as '-', letter case aside. X_Forwarded_For and
// x.forwarded-for are like X-Forwarded-For. It returns how many there were.
func (h *Head) DropLike(name string) int {
	n := 0
	for i := range h.list {
		f := &h.list[i]
		if int(f.nameEnd-f.start) == len(name) && likeEqual(h.buf[f.start:f.nameEnd], name) {
			f.dropped = true
			n++
		}
	}
	return n
}

// Rebase tells where the head's bytes are now, after its buffer has been moved:
// head must begin with the same bytes as the buffer that was parsed.
func (h *Head) Rebase(head []byte) { h.buf = head }

// IsGRPC reports whether Content-Type is application/grpc or one of its
// subtypes (application/grpc+proto); gRPC-Web is not.
func (h *Head) IsGRPC() bool { return h.flags&isGRPC != 0 }
