package h1

import (
	"io"
	"math"
	"strconv"
)

// DefaultSpliceMin is the default of Relay.SpliceMin.
const DefaultSpliceMin = 64 << 10

// Relay moves one body from a Source to a Sink. The zero value is ready for
// Start, and can be started again for one body after another without allocating.
// It is not safe for concurrent use; two relays in opposite directions are
// independent of each other.
type Relay struct {
	// DropTrailer, if set, is asked for the name of each trailer field and keeps it
	// from being passed on by returning true. Framing, routing, authentication and
	// content fields are never passed on. Set it once, not per body.
	DropTrailer func(name []byte) bool
	// SpliceMin is how many bytes must be left of a body, or of a chunk, for them to
	// be moved inside the kernel where both sides are plain TCP or Unix connections
	// on Linux. 0 means DefaultSpliceMin, a negative number never.
	SpliceMin int64

	src *Source
	dst *Sink
	in  Kind
	out Kind
	lim *Limits
	err error // what ended the relay before the body's end

	left    int64 // of the body by length, or without bound by close
	moved   int64 // data passed on so far
	claimed int64 // of it and of the chunk that has begun
	done    bool
	full    bool // the last read filled the buffer: the sender is ahead
	copies  bool // these connections cannot be spliced

	chunks chunked
	splice splicer
}

// Start prepares for a body that is framed as in, of which src holds the
// beginning or nothing yet, and that is to be written to dst framed as out. The
// head, with the declaration of out, is the caller's to append to dst before the
// first Step; it then goes out with the first bytes of the body.
//
// A body by length keeps its length or is written as it is (ByClose); chunked and
// until-close bodies become either chunked or ByClose, in which trailers are
// lost. A nil dst discards the body. lim bounds it: Body, ChunkExtensions,
// Trailer, Fields.
func (r *Relay) Start(src *Source, dst *Sink, in, out Framing, lim *Limits) {
	*r = Relay{
		DropTrailer: r.DropTrailer, SpliceMin: r.SpliceMin,
		src: src, dst: dst, in: in.Kind, out: out.Kind, lim: lim, left: in.Length,
		chunks: r.chunks, splice: r.splice,
	}
	r.chunks.reset()
	switch {
	case in.Kind == NoBody:
		r.done = true
	case dst == nil:
		r.out = ByClose
	case out.Kind == NoBody,
		out.Kind == ByLength && (in.Kind != ByLength || in.Length != out.Length):
		r.err = ErrReframe
	case in.Kind == ByLength && out.Kind == ByChunks:
		r.err = ErrReframe
	}
	if in.Kind == ByLength && lim.Body > 0 && in.Length > lim.Body {
		r.err = requestErrors[FaultBodyTooLarge]
	}
	if in.Kind == ByClose {
		r.left = math.MaxInt64
	}
	if in.Kind == ByLength && in.Length == 0 {
		r.done = true
	}
}

// Done reports whether the whole body has been taken from the source and handed
// to the sink.
func (r *Relay) Done() bool { return r.done }

// Moved returns how many bytes of the body, without framing, have been taken
// from the source so far.
func (r *Relay) Moved() int64 { return r.moved }

// Step writes what the source has buffered of the body, together with what was
// pending in the sink, and flushes. If the body goes on it then waits for more:
// one read, or one piece moved inside the kernel. It returns true when the body
// is complete and written; the bytes that follow it are still in the source.
//
// Deadlines are the caller's: set before a Step, they hold for its write and its
// read. No Step waits longer than for the next bytes to come, so progress is what
// each return without an error shows.
//
// An error ends the relay and is returned by every further Step:
//
//   - *SourceError: reading failed, or the source ended in the middle. A deadline
//     that passed while waiting is one, after which Resume can go on;
//   - *SinkError: writing failed;
//   - *Error: the framing is malformed, or the body over its bound (413);
//   - ErrReframe: Start was asked for the impossible.
//
// After any of them, what has been written is a truncated message: it must be
// ended by closing the connection, never as if it were whole. Chunked bodies
// cannot be mistaken, since the last chunk is written only once the trailer
// section has been read and is valid.
func (r *Relay) Step() (done bool, err error) {
	if done, err = r.Move(); err != nil {
		return false, err
	}
	if err = r.flush(); err != nil || done {
		return done && err == nil, err
	}
	if r.maySplice() {
		if n, ok, err := r.splice.move(r.src, r.dst, r.run()); ok {
			r.advance(n)
			if err != nil {
				return false, r.fail(err)
			}
			if n > 0 {
				r.full = n >= smallest
				return false, nil
			}
			return r.sourceEnded(io.EOF)
		}
		r.copies = true
	}
	n, err := r.src.Fill()
	if err != nil {
		return r.sourceEnded(err)
	}
	r.full = n >= smallest && r.src.w == len(r.src.buf)
	return false, nil
}

// Run steps until the body is complete or there is an error.
func (r *Relay) Run() error {
	for {
		if done, err := r.Step(); done || err != nil {
			return err
		}
	}
}

// Move hands to the sink what the source has buffered of the body. It neither
// reads nor, unless the sink is full, writes. It returns true when the body is
// complete. The sink must be flushed before the source's buffer changes (Fill,
// Hold, Grow, Detach), since what is pending may lie in it. Errors are those of
// Step.
func (r *Relay) Move() (done bool, err error) {
	switch {
	case r.err != nil:
		return false, r.err
	case r.done:
		return true, nil
	case r.in == ByChunks:
		err = r.moveChunks()
	default:
		err = r.moveRun()
	}
	if err != nil {
		return false, r.fail(err)
	}
	return r.done, nil
}

// Resume clears a *SourceError whose cause was a deadline, so that the next Step
// waits again. It reports whether it could.
func (r *Relay) Resume() bool {
	if e, ok := r.err.(*SourceError); ok && transient(e.Err) {
		r.err = nil
	}
	return r.err == nil
}

func (r *Relay) fail(err error) error {
	r.err = err
	return err
}

func (r *Relay) flush() error {
	if r.dst == nil {
		return nil
	}
	if err := r.dst.Flush(); err != nil {
		return r.fail(err)
	}
	return nil
}

// moveRun passes on bytes that are nothing but body.
func (r *Relay) moveRun() error {
	b := r.src.Buffered()
	if int64(len(b)) > r.left {
		b = b[:r.left]
	}
	if len(b) == 0 {
		return nil
	}
	r.src.Discard(len(b))
	if err := r.claim(int64(len(b))); err != nil {
		return err
	}
	if r.out == ByChunks { // of a body until close: what is there is a chunk
		if err := r.beginChunk(int64(len(b))); err != nil {
			return err
		}
	}
	if err := r.data(b); err != nil {
		return err
	}
	if r.out == ByChunks {
		if err := r.frame("\r\n"); err != nil {
			return err
		}
	}
	if r.in == ByLength {
		if r.left -= int64(len(b)); r.left == 0 {
			r.done = true
		}
	}
	return nil
}

func (r *Relay) moveChunks() error {
	for {
		b := r.src.Buffered()
		if len(b) == 0 {
			return nil
		}
		n, event, fault := r.chunks.next(b, r.lim, r.DropTrailer)
		r.src.Discard(n)
		if fault != noFault {
			return requestErrors[fault]
		}
		var err error
		switch event {
		case chunkBegins:
			if err = r.claim(r.chunks.left); err == nil && r.out == ByChunks {
				err = r.beginChunk(r.chunks.left)
			}
		case chunkData:
			if err = r.data(b[:n]); err == nil && r.chunks.state != inData {
				err = r.endChunk()
			}
		case chunkedEnded:
			r.done = true
			return r.end(r.chunks.trailer)
		}
		if err != nil {
			return err
		}
	}
}

// claim counts data that is certain to come against the bound.
func (r *Relay) claim(n int64) error {
	if r.lim.Body > 0 && n > r.lim.Body-r.claimed {
		return requestErrors[FaultBodyTooLarge]
	}
	if n > math.MaxInt64-r.claimed {
		return requestErrors[FaultChunkOverflow]
	}
	r.claimed += n
	return nil
}

func (r *Relay) data(b []byte) error {
	r.moved += int64(len(b))
	if r.dst == nil {
		return nil
	}
	return r.dst.put(b)
}

// frame makes bytes of framing pending.
func (r *Relay) frame(s string) error {
	if r.dst == nil {
		return nil
	}
	if err := r.dst.reserve(len(s)); err != nil {
		return err
	}
	r.dst.Commit(append(r.dst.Begin(), s...))
	return nil
}

// beginChunk announces a chunk of n bytes. It may be longer than what is there of
// it: a receiver takes what comes.
func (r *Relay) beginChunk(n int64) error {
	if err := r.dst.reserve(MaxChunkDigits + 3); err != nil {
		return err
	}
	b := strconv.AppendInt(r.dst.Begin(), n, 16)
	r.dst.Commit(append(b, '\r', '\n'))
	return nil
}

func (r *Relay) endChunk() error {
	if r.out != ByChunks {
		return nil
	}
	return r.frame("\r\n")
}

// end writes the last chunk with the trailer section.
func (r *Relay) end(trailer []byte) error {
	if r.out != ByChunks {
		return nil
	}
	if err := r.dst.reserve(len(trailer) + len("0\r\n\r\n")); err != nil {
		return err
	}
	b := append(r.dst.Begin(), "0\r\n"...)
	b = append(b, trailer...)
	r.dst.Commit(append(b, '\r', '\n'))
	return nil
}

// sourceEnded judges the end of the source, or its failure.
func (r *Relay) sourceEnded(err error) (bool, error) {
	if err != io.EOF {
		return false, r.fail(&SourceError{err})
	}
	if r.in != ByClose {
		return false, r.fail(errCutShort)
	}
	r.done = true
	if err := r.end(nil); err != nil {
		return false, r.fail(err)
	}
	if err := r.flush(); err != nil {
		return false, err
	}
	return true, nil
}

// run is how many of the next bytes are nothing but body.
func (r *Relay) run() int64 {
	if r.in == ByChunks {
		if r.chunks.state != inData {
			return 0
		}
		return r.chunks.left
	}
	left := r.left
	if r.in == ByClose && r.lim.Body > 0 {
		left = r.lim.Body - r.claimed // at the bound, one more byte is read the other way
	}
	return left
}

// maySplice reports whether the next bytes are to be moved inside the kernel.
// Nothing is buffered then.
func (r *Relay) maySplice() bool {
	least := r.SpliceMin
	if least == 0 {
		least = DefaultSpliceMin
	}
	if least < 0 || r.copies || r.dst == nil || r.src.r != r.src.w || r.src.err != nil || r.run() < least {
		return false
	}
	if r.in == ByClose {
		// Messages of a tunnel and events are mostly small: only for a sender that
		// is ahead.
		return r.out == ByClose && r.full
	}
	return true
}

// advance counts n bytes that were moved inside the kernel.
func (r *Relay) advance(n int64) {
	r.moved += n
	switch r.in {
	case ByLength:
		if r.left -= n; r.left == 0 {
			r.done = true
		}
		r.claimed += n
	case ByChunks:
		if r.chunks.left -= n; r.chunks.left == 0 {
			r.chunks.state = inDataCR
			// The CRLF goes out with what follows.
			r.dst.Commit(append(r.dst.Begin(), '\r', '\n'))
		}
	default:
		r.claimed += n
	}
}
