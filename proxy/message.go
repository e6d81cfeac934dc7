package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// responseWriter sees every byte on its way to the client.
type responseWriter struct {
	http.ResponseWriter
	x       *exchange
	started atomic.Bool // the final head was written
	status  int
	err     error // the first failed write
}

// Unwrap lets http.ResponseController reach the connection.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *responseWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.status = status
		w.started.Store(true)
		// net/http would guess a type for a body that came without one.
		if h := w.Header(); h["Content-Type"] == nil {
			h["Content-Type"] = nil
		}
	}
	switch {
	case status < 200 && !w.x.r.ProtoAtLeast(1, 1):
		return // HTTP/1.0 knows no interim responses
	case status == http.StatusContinue && w.x.r.Header.Get("Expect") != "":
		return // net/http sends it when the body is read, which the function's allows
	}
	w.x.dog.begin(&w.x.dog.writing)
	w.ResponseWriter.WriteHeader(status)
	w.x.dog.end(&w.x.dog.writing, 1)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	if w.err != nil && w.x.finishAborted {
		return len(b), nil // the function's answer is read to its end, for nobody
	}
	w.x.dog.begin(&w.x.dog.writing)
	n, err := w.ResponseWriter.Write(b)
	w.x.dog.end(&w.x.dog.writing, n)
	return w.wrote(n, len(b), err)
}

// wrote keeps the first error, and hides it from the forwarder where the
// exchange goes on without its client.
func (w *responseWriter) wrote(n, of int, err error) (int, error) {
	if err == nil {
		return n, nil
	}
	if w.err == nil {
		w.err = err
		w.x.fail(errClientGone)
	}
	if w.x.finishAborted {
		return of, nil
	}
	return n, err
}

// FlushError sends what net/http has buffered.
func (w *responseWriter) FlushError() error {
	w.x.dog.begin(&w.x.dog.writing)
	err := w.x.control().Flush()
	w.x.dog.end(&w.x.dog.writing, 0)
	_, err = w.wrote(0, 0, err)
	return err
}

// requestBody bounds the client's body in size and makes its progress known.
type requestBody struct {
	x     *exchange
	body  io.ReadCloser
	left  int64 // bytes still allowed, where the settings bound them
	ended atomic.Bool
	whole chan struct{} // over HTTP/1.x: closed when it has ended

	mu          sync.Mutex
	reading     bool
	closed      bool
	interrupted bool // a read was under way when it was closed

	trailer http.Header // where the request's trailers go when they have come
}

func (b *requestBody) Read(p []byte) (int, error) {
	if !b.begin() {
		return 0, http.ErrBodyReadAfterClose
	}
	defer b.end()
	limit := b.x.settings.MaxBodyBytes
	if limit > 0 && int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more tells a body that is too large
	}
	b.x.dog.begin(&b.x.dog.reading)
	n, err := b.body.Read(p)
	b.x.dog.end(&b.x.dog.reading, n)
	if limit > 0 {
		if int64(n) > b.left {
			n, err = int(b.left), &http.MaxBytesError{Limit: limit}
		}
		b.left -= int64(n)
	}
	switch {
	case err == io.EOF: //nolint:errorlint // readers return it bare
		if b.ended.CompareAndSwap(false, true) && b.whole != nil {
			close(b.whole)
		}
		for name, values := range b.x.r.Trailer {
			switch {
			case !isToken(name):
				b.x.fail(errMalformedBody)
				return n, errMalformedBody
			case !vouched(name) && !slices.Contains(notInTrailers, name):
				b.trailer[name] = values
			}
		}
	case err != nil:
		b.failed(err)
	}
	return n, err
}

// notInTrailers are fields that a trailer section must not carry (RFC 9110,
// 6.5.1): a function that merged them would frame or route the request anew.
var notInTrailers = []string{"Content-Length", "Transfer-Encoding", "Trailer", "Host", "Authorization", "Content-Type", "Content-Encoding", "Content-Range", "Te", "Expect", "Max-Forwards", "Cache-Control", "Connection", "Upgrade", "Via"}

// failed notes why the body cannot be read any further.
func (b *requestBody) failed(err error) {
	var network net.Error
	switch {
	case errors.Is(err, http.ErrBodyReadAfterClose), b.isInterrupted():
		// The exchange has ended; nobody needs the rest.
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.x.fail(errClientSlowToSend)
	case errors.As(err, new(*http.MaxBytesError)):
		b.x.fail(err)
	case b.x.r.ProtoMajor == 1 && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &network) && b.x.r.Context().Err() == nil:
		b.x.fail(errMalformedBody)
	default:
		b.x.fail(errClientGone)
	}
}

// early reports whether the answer, which is there, came before the body was
// whole: over HTTP/1.x. It has uploadedSoon's patience.
func (b *requestBody) early() bool {
	if b == nil || b.whole == nil {
		return false
	}
	timer := time.NewTimer(uploadPatience)
	defer timer.Stop()
	select {
	case <-b.whole:
		return false
	case <-timer.C:
		return !b.ended.Load()
	}
}

func (b *requestBody) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = !b.closed
	return b.reading
}

func (b *requestBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
}

// Close ends the reading of the body, also a read that waits for the client. It
// does not discard what is left: that is the server's, after the response.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading && !b.closed {
		b.interrupted = true
		b.x.note("read", b.x.control().SetReadDeadline(time.Unix(1, 0)))
	}
	b.closed = true
	return nil
}

// isInterrupted reports whether Close has cut a read short.
func (b *requestBody) isInterrupted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.interrupted
}

// responseBody tells when the function's answer ended, and whether it was
// whole.
type responseBody struct {
	io.ReadCloser
	x *exchange
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.x.dog.moved.Store(b.x.dog.now())
	}
	if err != nil {
		b.x.answered.CompareAndSwap(0, int64(clock()))
		if err != io.EOF && !b.x.clientLeft() { //nolint:errorlint // readers return it bare
			b.x.fail(errCutShort)
		}
	}
	return n, err
}

func itoa(n int) string { return strconv.Itoa(n) }
