package h1

// Limits bound what is taken from the wire before it is refused. The zero value
// of each field means its default; there is no way to say "unbounded", except
// for Body.
type Limits struct {
	// Head bounds a message's head in bytes, from its first line to the empty line
	// that ends it, line ends included. Default 64 KiB, at most 1 GiB. Beyond: 431.
	Head int
	// Target bounds the request target in bytes. Default 16 KiB. Beyond: 414. A
	// Target above Head never takes effect: the head is then too large first.
	Target int
	// Fields bounds the number of field lines of a head or of a trailer section.
	// Default 200. Beyond: 431.
	Fields int
	// Body bounds a request's or response's body in bytes, of data, not of chunk
	// framing. 0 means unbounded. Beyond: 413. Content-Length over it is refused
	// with the head; a chunk over it when its size is read, before any of it passes.
	Body int64
	// ChunkExtensions bounds the bytes of all chunk extensions of one body taken
	// together. Default 2 KiB. Beyond: 400 (CVE-2023-39326).
	ChunkExtensions int
	// Trailer bounds a trailer section in bytes, the empty line that ends it
	// included. Default 4 KiB, which is what net/http takes. Beyond: 431.
	Trailer int
}

// Defaults for the fields of Limits.
const (
	DefaultHead            = 64 << 10
	DefaultTarget          = 16 << 10
	DefaultFields          = 200
	DefaultChunkExtensions = 2 << 10
	DefaultTrailer         = 4 << 10
)

const (
	// MaxMethod is the length of the longest method that is read.
	MaxMethod = 64
	// MaxConnectionOptions is the number of fields that Connection may name. Each
	// costs a pass over the fields.
	MaxConnectionOptions = 64
	// MaxChunkDigits is the length of the longest chunk size, leading zeros
	// included.
	MaxChunkDigits = 15

	maxHead = 1 << 30 // offsets in a head are 32 bits wide
)

func (l *Limits) head() int            { return min(or(l.Head, DefaultHead), maxHead) }
func (l *Limits) target() int          { return or(l.Target, DefaultTarget) }
func (l *Limits) fields() int          { return or(l.Fields, DefaultFields) }
func (l *Limits) chunkExtensions() int { return or(l.ChunkExtensions, DefaultChunkExtensions) }
func (l *Limits) trailer() int         { return or(l.Trailer, DefaultTrailer) }

func or(v, byDefault int) int {
	if v <= 0 {
		return byDefault
	}
	return v
}
