package queue

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// ID names a call: 26 lower-case characters, of which 80 bits are random. Whoever
// knows it may read the call, so it is never derived from what a caller sent.
type ID string

// Base 32 with the extended hex alphabet sorts as the bytes do.
var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

const idBytes = 16

// NewID makes an id for a call that arrived at t, which it carries to the
// millisecond.
func NewID(t time.Time) ID {
	var b [idBytes]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails: the runtime ends the process instead
	text := idEncoding.AppendEncode(make([]byte, 0, 26), b[:])
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] = c + ('a' - 'A')
		}
	}
	return ID(text)
}

// ParseID reports whether text is an id, as NewID writes them.
func ParseID(text string) (ID, bool) {
	_, ok := decodeID(text)
	return ID(text), ok
}

func decodeID(text string) (b [idBytes]byte, ok bool) {
	if len(text) != 26 {
		return b, false
	}
	var upper [26]byte
	for i := range len(text) {
		c := text[i]
		switch {
		case '0' <= c && c <= '9':
		case 'a' <= c && c <= 'v':
			c -= 'a' - 'A'
		default:
			return b, false
		}
		upper[i] = c
	}
	n, err := idEncoding.Decode(b[:], upper[:])
	// Two bits of the last character are no part of the sixteen bytes.
	return b, err == nil && n == idBytes && idEncoding.EncodeToString(b[:]) == string(upper[:])
}

// Time is when the call arrived, to the millisecond; zero for what is no id.
func (id ID) Time() time.Time {
	b, ok := decodeID(string(id))
	if !ok {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]) >> 16))
}

// Bucket spreads ids evenly over n buckets.
func (id ID) Bucket(n int) int {
	b, _ := decodeID(string(id))
	return int(binary.BigEndian.Uint32(b[12:]) % uint32(n))
}
