package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/metrics"
	"weir/tracing"
)

// Invocation is one attempt at a call that was accepted earlier.
type Invocation struct {
	ID                   string
	Attempt              int
	EnqueuedAt           time.Time
	Method, Target, Host string
	Header               http.Header // is changed
	Body                 []byte
}

// Invoke sends the call to the function and reads its answer whole, of which it keeps
// at most keep bytes of the body: dropped tells that there were more. The caller holds
// a slot. An error means that there was no answer, or only a part of one.
func (p *Proxy) Invoke(ctx context.Context, i *Invocation, keep int64) (res *AsyncResponse, dropped bool, err error) {
	began := clock()
	var spans *tracing.Request
	if p.tracer != nil {
		spans = &tracing.Request{}
		p.tracer.BeginAttempt(spans, headerLines{i.Header})
		i.Header["Traceparent"] = []string{spans.Traceparent()}
	}
	defer func() {
		v := verdict{origin: metrics.OriginFunction}
		if err != nil {
			v = statusFor(err)
		} else {
			v.status = res.Status
		}
		now := clock()
		p.metrics.Ended(metrics.Request{
			Mode: metrics.Async, Method: i.Method, Origin: v.origin, Status: v.status,
			Admitted: true, Duration: now - began, Upstream: now - began, Traceparent: i.Header.Get("Traceparent"),
		})
		if spans != nil && spans.Recorded() {
			p.recordAttempt(spans, i, res, err, v, began, now)
		}
	}()
	s := spareSeats.Get().(*seat)
	s.take(p, &account{method: i.Method, target: i.Target, proto: asyncProtocol, client: i.ID, began: began}, 0)
	defer func() {
		s.leave()
		spareSeats.Put(s)
	}()
	h := i.Header
	h["X-Call-Id"] = []string{i.ID}
	h["Weir-Attempt"] = []string{strconv.Itoa(i.Attempt)}
	h["Weir-Enqueued-At"] = []string{i.EnqueuedAt.UTC().Format(time.RFC3339Nano)}
	if h["Idempotency-Key"] == nil {
		h["Idempotency-Key"] = []string{i.ID}
	}
	if h["User-Agent"] == nil {
		h["User-Agent"] = nil // none of net/http's
	}
	req := (&http.Request{
		Method: i.Method, URL: &url.URL{}, Host: i.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	p.upstream.aim(req.URL, i.Target)
	if len(i.Body) > 0 {
		// Not one that could be sent again: an attempt is sent once.
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(i.Body)), int64(len(i.Body))
	} else if slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, i.Method) {
		req.Body = http.NoBody
	}
	answer, err := p.upstream.transport.RoundTrip(req)
	if err != nil {
		return nil, false, cause(ctx, err)
	}
	defer answer.Body.Close() // its end was read, or the connection is given up
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return nil, false, errUpgrade
	}
	removeHopByHop(answer.Header)
	answer.Header.Del("Content-Length")
	res = &AsyncResponse{Status: answer.StatusCode, Header: answer.Header}
	res.Body, err = io.ReadAll(io.LimitReader(answer.Body, keep+1))
	if err == nil && int64(len(res.Body)) > keep {
		res.Body, dropped = nil, true
		_, err = io.Copy(io.Discard, answer.Body)
	}
	if err != nil {
		return nil, false, errors.Join(errCutShort, cause(ctx, err))
	}
	return res, dropped, nil
}

// cause gives why ctx ended, where that is what err comes from.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// aim puts the raw target of a request into u. Parsed and put together again it would
// lose the difference between %2F and /, or a query that net/url dislikes. Opaque
// carries it, but for a path that starts with two slashes, which it would take for an
// authority.
func (u *Upstream) aim(to *url.URL, target string) {
	path, query, hasQuery := strings.Cut(target, "?")
	to.Scheme, to.Host, to.User = u.scheme, u.host, nil
	to.RawQuery, to.ForceQuery, to.Fragment = query, hasQuery && query == "", ""
	if !strings.HasPrefix(path, "//") {
		to.Opaque = path
		return
	}
	to.Opaque, to.RawPath = "", path
	var err error
	if to.Path, err = url.PathUnescape(path); err != nil {
		to.Path, to.RawPath = path, ""
	}
}
