package h1

import "io"

// Source reads a connection into a buffer of the caller's. The zero value has
// neither; Reset gives it both. It is not safe for concurrent use.
//
// The buffer is, from its start: bytes held (a head whose views are still in
// use), bytes already consumed, bytes read and not consumed, and room.
//
//	| held      | consumed | Buffered()   | room |
//	0           base       r              w      len(buf)
type Source struct {
	rd   io.Reader
	buf  []byte
	held int // where what is held begins
	base int // and ends
	low  int // Unread may go back to here
	r, w int
	err  error // what the last Read returned beside bytes

	raw rawConn // for splice
}

// Reset makes s read from rd into the whole of buf (its length, not its
// capacity). Anything buffered is forgotten.
func (s *Source) Reset(rd io.Reader, buf []byte) {
	*s = Source{rd: rd, buf: buf}
}

// Detach takes the buffer away, for a pool, while the connection is idle. It
// panics if something is buffered or held, which would be lost. Attach gives
// back a buffer.
func (s *Source) Detach() []byte {
	if s.r != s.w || s.base != 0 {
		panic("h1: Detach of a source that holds bytes")
	}
	buf := s.buf
	s.buf, s.low, s.r, s.w = nil, 0, 0, 0
	return buf
}

// Attach gives s a buffer after Detach.
func (s *Source) Attach(buf []byte) {
	if s.buf != nil {
		panic("h1: Attach to a source that has a buffer")
	}
	s.buf = buf
}

// Buffered returns the bytes that have been read and not been consumed. They are
// valid until the next Fill, Hold, Grow or Detach.
func (s *Source) Buffered() []byte { return s.buf[s.r:s.w] }

// Len returns the length of the buffer, used or not.
func (s *Source) Len() int { return len(s.buf) }

// Room returns how many bytes a body can be read at a time, given what is held.
func (s *Source) Room() int { return len(s.buf) - s.base }

// Discard consumes the first n of the buffered bytes. It panics if there are
// fewer.
func (s *Source) Discard(n int) {
	if n < 0 || n > s.w-s.r {
		panic("h1: Discard of more than is buffered")
	}
	s.r += n
}

// Unread takes back the last n bytes that were consumed, so that they can be
// relayed once more, and reports whether they are still there: they are while
// nothing has been read, held or grown since. If it returns false, nothing has
// changed.
func (s *Source) Unread(n int) bool {
	if n < 0 || n > s.r-s.low {
		return false
	}
	s.r -= n
	return true
}

// Hold consumes the first n of the buffered bytes but keeps them where they are
// until Release. It returns them; where a head has been parsed from them, Rebase
// it to them, since they may have been moved to the start of the buffer. It
// panics if something is held already.
func (s *Source) Hold(n int) []byte {
	if s.base != 0 {
		panic("h1: Hold while something is held")
	}
	if n < 0 || n > s.w-s.r {
		panic("h1: Hold of more than is buffered")
	}
	if s.r > 0 && s.r > len(s.buf)/8 { // not worth it for little
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	s.held = s.r
	s.r += n
	s.base, s.low = s.r, s.r
	return s.Held()
}

// Held returns what is held.
func (s *Source) Held() []byte { return s.buf[s.held:s.base:s.base] }

// Unhold takes a Hold back: what was held is buffered again. It panics if any of
// what follows it has been consumed.
func (s *Source) Unhold() {
	if s.r != s.base {
		panic("h1: Unhold after more was consumed")
	}
	s.r = s.held
	s.Release()
}

// Release gives up what is held.
func (s *Source) Release() { s.held, s.base, s.low = 0, 0, s.r }

// Grow moves everything to a larger buffer and returns the old one. It panics if
// buf is not larger. After it, Rebase heads whose bytes are held to the same
// place in buf, which is Held.
func (s *Source) Grow(buf []byte) (old []byte) {
	if len(buf) <= len(s.buf) {
		panic("h1: Grow to a buffer that is no larger")
	}
	copy(buf, s.buf[:s.w])
	old, s.buf, s.low = s.buf, buf, s.r
	return old
}

// Fill reads once, for as long as that blocks, and returns how many bytes came.
// With bytes there is no error; an error that came with them is returned next
// time. io.EOF is returned as it is. ErrBufferFull says that there was no room.
func (s *Source) Fill() (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	switch {
	case s.r == s.w:
		s.r, s.w, s.low = s.base, s.base, s.base
	case s.r > s.base && len(s.buf)-s.w < len(s.buf)/4:
		s.w = s.base + copy(s.buf[s.base:], s.buf[s.r:s.w])
		s.r, s.low = s.base, s.base
	}
	if s.w == len(s.buf) {
		return 0, ErrBufferFull
	}
	for range 100 {
		n, err := s.rd.Read(s.buf[s.w:])
		s.w += n
		if n > 0 {
			if err != nil && !transient(err) {
				s.err = err
			}
			return n, nil
		}
		if err != nil {
			if !transient(err) {
				s.err = err
			}
			return 0, err
		}
	}
	s.err = io.ErrNoProgress
	return 0, s.err
}

// transient reports whether another Read may succeed: a deadline that has passed
// can be moved.
func transient(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
