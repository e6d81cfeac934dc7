package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Options is what a Sender is made of.
type Options struct {
	Guard *Guard
	// Secrets sign what is sent; nil signs nothing.
	Secrets *SecretFile
	// Timeout bounds an attempt, from looking the name up to the end of the answer.
	Timeout time.Duration
}

// Sender sends messages. It is safe for concurrent use.
type Sender struct {
	guard   *Guard
	secrets atomic.Pointer[SecretFile]
	timeout atomic.Int64
	// Callers' and operators' URLs have connections of their own: a host that only the
	// latter may have is not to be reached over one that is open already.
	callers, operators *http.Client
}

// NewSender makes a Sender.
func NewSender(o Options) *Sender {
	s := &Sender{guard: o.Guard, callers: client(o.Guard.dial(false)), operators: client(o.Guard.dial(true))}
	s.Configure(o.Secrets, o.Timeout)
	return s
}

// Configure replaces what may change while weir runs.
func (s *Sender) Configure(secrets *SecretFile, timeout time.Duration) {
	s.secrets.Store(secrets)
	s.timeout.Store(int64(timeout))
	s.Close() // new connections know new rules
}

// Close closes connections that are not in use.
func (s *Sender) Close() {
	s.callers.CloseIdleConnections()
	s.operators.CloseIdleConnections()
}

const (
	maxAnswerHead = 64 << 10
	// maxAnswer is what is read of an answer's body, so that its connection can be
	// used again; one with more is given up.
	maxAnswer = 16 << 10
	maxIdle   = 64
	maxIdleTo = 8
	idleTime  = 30 * time.Second
)

func client(dial dialFunc) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: nil, DialContext: dial, ForceAttemptHTTP2: true, DisableCompression: true,
			TLSHandshakeTimeout: connectTimeout, MaxResponseHeaderBytes: maxAnswerHead,
			MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdleTo, IdleConnTimeout: idleTime,
		},
		// A redirect could lead anywhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Failure says that a receiver has not taken a message.
type Failure struct {
	Status     int           // its answer, 0 where there was none
	RetryAfter time.Duration // that it asks for, 0 for none
	Err        error
}

func (e *Failure) Error() string { return e.Err.Error() }
func (e *Failure) Unwrap() error { return e.Err }

// Gone reports whether the receiver wants to hear nothing more.
func (e *Failure) Gone() bool { return e.Status == http.StatusGone }

// SendToCaller sends m to a URL that a caller gave, if its host and the address that it
// leads to are allowed. What it returns is nil once the receiver has answered with a
// status of 200 to 299, and else a *Failure that does not show the URL.
func (s *Sender) SendToCaller(ctx context.Context, to string, m *Message) error {
	if err := s.guard.Check(to); err != nil {
		return &Failure{Err: fmt.Errorf("the callback's URL %w", err)}
	}
	return s.send(ctx, s.callers, to, m)
}

// SendToOperator is SendToCaller for a URL that the operator has configured: it may lead
// to private addresses, though not to those of cloud metadata.
func (s *Sender) SendToOperator(ctx context.Context, to string, m *Message) error {
	return s.send(ctx, s.operators, to, m)
}

func (s *Sender) send(ctx context.Context, c *http.Client, to string, m *Message) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(s.timeout.Load()), errors.New("the receiver did not answer in time"))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(m.Body))
	if err != nil {
		return &Failure{Err: errURLSyntax}
	}
	for name, values := range m.Header {
		req.Header[name] = values
	}
	if m.Header["User-Agent"] == nil {
		req.Header.Set("User-Agent", "weir")
	}
	s.sign(req.Header, m)
	res, err := c.Do(req)
	if err != nil {
		return &Failure{Err: withoutURL(ctx, err)}
	}
	defer res.Body.Close()
	// What it says beside its status is nobody's business; reading the end of it keeps
	// the connection.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	f := &Failure{Status: res.StatusCode, Err: fmt.Errorf("the receiver answered %d", res.StatusCode), RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		f.Err = fmt.Errorf("the receiver answered %d: redirects are not followed", res.StatusCode)
	}
	return f
}

// sign adds what Standard Webhooks prescribes.
func (s *Sender) sign(h http.Header, m *Message) {
	now := time.Now()
	h.Set("Webhook-Id", m.ID)
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if secrets := s.secrets.Load(); secrets != nil {
		h.Set("Webhook-Signature", secrets.sign(m.ID, now, m.Body))
	}
}

// Sign gives m the fields that a message sent over HTTP has, for one that goes another
// way.
func (s *Sender) Sign(m *Message) { s.sign(m.Header, m) }

// withoutURL takes the URL out of an error of net/http's: it may hold a secret.
func withoutURL(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// retryAfter reads a Retry-After: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
