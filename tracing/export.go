package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// exporter posts spans to the receiver, by OTLP/HTTP. The SDK's own would link gRPC.
type exporter struct {
	endpoint string
	header   func() (http.Header, error)
	client   *http.Client
	log      *slog.Logger
	settled  func(spans int) // they wait no longer

	exported, failed atomic.Uint64
	failing          bool // the last batch was not taken, which has been said

	closing chan struct{} // closed where nothing is to be tried again
	close   func()        // closes it, once
	stopped context.Context
	cancel  context.CancelFunc
}

func newExporter(o *Options) *exporter {
	e := &exporter{
		endpoint: o.Endpoint, header: o.Header, log: o.Log, closing: make(chan struct{}),
		client: &http.Client{
			Timeout: o.Wait,
			Transport: &http.Transport{
				TLSClientConfig: o.TLS, Proxy: nil, // as everywhere
				MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: o.Wait,
				MaxResponseHeaderBytes: 16 << 10,
			},
			// A receiver that has moved is a setting to be changed: headers would go astray.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	e.close = sync.OnceFunc(func() { close(e.closing) })
	e.stopped, e.cancel = context.WithCancel(context.Background())
	return e
}

// ExportSpans implements sdktrace.SpanExporter. Failures are logged and counted here: the
// SDK has no better place for them.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.settled(len(spans))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.stopped, cancel)()
	rejected, why, err := e.send(ctx, encode(spans))
	rejected = min(rejected, int64(len(spans)))
	if err != nil {
		rejected = int64(len(spans))
	}
	e.exported.Add(uint64(int64(len(spans)) - rejected))
	e.failed.Add(uint64(rejected))
	switch {
	case err != nil && !e.failing:
		e.log.Warn("spans are lost: the receiver does not take them; said once until it does", "endpoint", e.endpoint, "err", err)
	case err == nil && e.failing:
		e.log.Info("the receiver takes spans again", "endpoint", e.endpoint)
	case why != "":
		e.log.Warn("the receiver has rejected spans", "rejected", rejected, "why", why)
	}
	e.failing = err != nil
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// Between tries, unless the receiver says otherwise.
const (
	backoff    = time.Second
	backoffMax = 16 * time.Second
)

// send posts a batch until it is taken, is not going to be, or ctx has ended.
func (e *exporter) send(ctx context.Context, body []byte) (rejected int64, why string, err error) {
	for pause := backoff; ; pause = min(2*pause, backoffMax) {
		var again *retryable
		rejected, why, err = e.post(ctx, body)
		if !errors.As(err, &again) {
			return rejected, why, err
		}
		delay := pause/2 + rand.N(pause/2)
		if again.after > 0 {
			delay = again.after
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < delay {
			return 0, "", err // no need to wait for it
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			continue
		case <-ctx.Done():
		case <-e.closing:
		}
		timer.Stop()
		return 0, "", err
	}
}

// retryable is a failure after which the same may succeed.
type retryable struct {
	error
	after time.Duration // as the receiver asks, 0 where it does not
}

func (r *retryable) Unwrap() error { return r.error }

// maxAnswer bounds what is read of the receiver's answers.
const maxAnswer = 64 << 10

// post makes one try.
func (e *exporter) post(ctx context.Context, body []byte) (rejected int64, why string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if e.header != nil {
		header, err := e.header()
		if err != nil {
			return 0, "", err
		}
		req.Header = header.Clone()
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "weir")
	res, err := e.client.Do(req)
	if err != nil {
		return 0, "", &retryable{error: err}
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	_ = res.Body.Close() // what is left is nobody's
	switch {
	case res.StatusCode/100 == 2 && err != nil:
		return 0, "", nil // it has taken them
	case res.StatusCode/100 == 2:
		rejected, why = parseAnswer(answer)
		return rejected, why, nil
	}
	err = fmt.Errorf("it answered %s", res.Status)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // as OTLP has it
		return 0, "", &retryable{err, retryAfter(res.Header.Get("Retry-After"), time.Now())}
	}
	return 0, "", err
}

// retryAfter reads the field of that name: seconds, or a date (RFC 9110, 10.2.3).
func retryAfter(field string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(field, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(field); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// The fields of an ExportTraceServiceResponse.
const (
	answerPartialSuccess = 1
	partialRejectedSpans = 1
	partialErrorMessage  = 2
	maxWhy               = 256 // bytes of the message that are logged
)

// parseAnswer reads how many spans a receiver has not taken although it has the others,
// and why. An answer that is none says that it has them all: some send JSON, or a text.
func parseAnswer(b []byte) (rejected int64, why string) {
	eachField(b, func(n protowire.Number, _ uint64, partial []byte) {
		if n != answerPartialSuccess {
			return
		}
		eachField(partial, func(n protowire.Number, v uint64, text []byte) {
			switch n {
			case partialRejectedSpans:
				rejected = max(int64(v), 0)
			case partialErrorMessage:
				why = string(bytes.ToValidUTF8(text[:min(len(text), maxWhy)], nil))
			}
		})
	})
	return rejected, why
}

// eachField calls f for each field that is a number or bytes, as far as b can be read.
func eachField(b []byte, f func(n protowire.Number, v uint64, bytes []byte)) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return
		}
		b = b[size:]
		var v uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			content, size = protowire.ConsumeBytes(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return
		}
		if kind == protowire.VarintType || kind == protowire.BytesType {
			f(n, v, content)
		}
		b = b[size:]
	}
}
