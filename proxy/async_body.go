package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// budget bounds the memory of bodies that are being accepted. The zero value bounds
// nothing.
type budget struct {
	most atomic.Int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if most := b.most.Load(); b.used.Add(n) > most && most > 0 {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) release(n int64) { b.used.Add(-n) }

// firstRead is what is set aside for a body of unknown length to begin with.
const firstRead = 4 << 10

// readBody reads the request's body whole, at most limit bytes. What it returns
// counts, by its capacity, in the budget.
func (x *exchange) readBody(limit int64) (_ []byte, err error) {
	size := x.r.ContentLength
	if size == 0 {
		return nil, nil
	}
	if size < 0 {
		size = firstRead
	}
	bodies := &x.p.bodies
	taken := min(size+1, limit+1) // one more sees the end, or that there is too much
	if !bodies.take(taken) {
		return nil, errTooMuchBody
	}
	defer func() {
		if err != nil {
			bodies.release(taken)
		}
	}()
	b := make([]byte, 0, taken)
	for {
		if len(b) == cap(b) {
			more := min(int64(cap(b)), limit+1-int64(cap(b)))
			if !bodies.take(more) {
				return nil, errTooMuchBody
			}
			taken += more
			b = append(make([]byte, 0, taken), b...)
		}
		if t := x.settings.ClientReadTimeout; t > 0 {
			x.note("read", x.control().SetReadDeadline(time.Now().Add(t)))
		}
		n, err := x.r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, &http.MaxBytesError{Limit: limit}
		case err == io.EOF: //nolint:errorlint // readers return it bare
			x.note("read", x.control().SetReadDeadline(time.Time{}))
			return b, nil
		case err != nil:
			return nil, x.bodyFailure(err)
		}
	}
}

// bodyFailure says whose fault it is that a body cannot be read.
func (x *exchange) bodyFailure(err error) error {
	var network net.Error
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errClientSlowToSend
	case x.r.ProtoMajor == 1 && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &network) && x.r.Context().Err() == nil:
		return errMalformedBody
	}
	return errClientGone
}
