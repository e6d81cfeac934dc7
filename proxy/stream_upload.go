package proxy

import (
	"errors"
	"net/http"
	"time"

	"weir/proxy/h1"
)

// growForBody makes room to read a body beside a large head.
func (x *stream) growForBody() {
	x.buffer = make([]byte, len(x.buffer)+readBuffer)
	x.source.Grow(x.buffer)
	x.held = x.buffer[:len(x.held)]
	x.request.Rebase(x.held)
	x.account.target = view(x.request.Target())
}

// upload sends the rest of the request's body while the answer is awaited.
func (x *stream) upload(o *origin) {
	for {
		done, err := x.stepUp()
		x.progress()
		if done {
			x.uploaded <- nil
			return
		}
		if err == nil {
			continue
		}
		if cause := x.uploadFailure(err); cause != nil {
			x.fail(cause)
			o.interrupt() // nothing is to be expected of it any more
		}
		x.uploaded <- err
		return
	}
}

// stepUp moves one piece of the request's body, within the time that the client
// has for it.
func (x *stream) stepUp() (done bool, err error) {
	by := forever
	if t := x.settings.ClientReadTimeout; t > 0 {
		by = clock() + t
	}
	if err := x.c.boundRead(by); err != nil {
		return false, err
	}
	for {
		if done, err = x.up.Step(); err == nil {
			return done, nil
		}
		var source *h1.SourceError
		if !errors.As(err, &source) {
			return false, err
		}
		if again, _ := x.c.readAgain(source.Err, by); !again || !x.up.Resume() {
			return false, err
		}
	}
}

// uploadFailure says whose fault it is that a body cannot be sent on: nil where
// it is the function's, whose answer may tell more.
func (x *stream) uploadFailure(err error) error {
	var (
		source *h1.SourceError
		framed *h1.Error
	)
	switch {
	case errors.As(err, &framed):
		if framed.Fault == h1.FaultBodyTooLarge {
			return &http.MaxBytesError{Limit: x.limits.Body}
		}
		return framed
	case errors.As(err, &source) && isDeadline(err) && !x.c.interrupted.Load():
		return errClientSlowToSend
	case errors.As(err, &source), errors.Is(err, errInterrupted):
		return errClientGone
	}
	return nil
}

// endUpload waits until the upload has ended, and makes it: its connections are
// not needed any more.
func (x *stream) endUpload(o *origin) {
	if !x.uploading {
		return
	}
	x.c.interrupt()
	o.interrupt()
	<-x.uploaded
	x.uploading = false
}

// uploadedSoon reports whether the body has been sent whole. A function that
// read all of it answers before the goroutine that sent it has said so: hence the
// moment of patience.
func (x *stream) uploadedSoon() bool {
	if !x.uploading {
		return true
	}
	timer := time.NewTimer(uploadPatience)
	defer timer.Stop()
	select {
	case err := <-x.uploaded:
		x.uploading = false
		if err == nil {
			x.body = bodyRead
		}
		return err == nil
	case <-timer.C:
		return false
	}
}

const uploadPatience = 2 * time.Millisecond
