package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	kithttp "github.com/go-kit/kit/transport/http"
)

// ClientOptions says where a sidecar's management API is, and who asks.
type ClientOptions struct {
	// Address is http:// or https://host:port, or host:port alone for http://.
	Address string
	// Token is sent with every request, empty for none.
	Token string
	// TLS is for https://; nil takes the system's authorities.
	TLS *tls.Config
}

// Client asks one sidecar. It is a Service; its errors are *Problem where the
// sidecar answered, and *UnreachableError where it did not. Make one with
// NewClient, and Close it.
type Client struct {
	base *url.URL
	http *http.Client

	state        func(context.Context, nothing) (*State, error)
	history      func(context.Context, nothing) (*History, error)
	inflight     func(context.Context, InflightQuery) (*Inflight, error)
	limits       func(context.Context, nothing) (*Limits, error)
	changeLimits func(context.Context, LimitsChange) (*Limits, error)
	drain        func(context.Context, nothing) (*Draining, error)

	calls            func(context.Context, CallsQuery) (*Calls, error)
	call, cancelCall func(context.Context, CallQuery) (*Call, error)
	deadLetters      func(context.Context, DeadLettersQuery) (*DeadLetters, error)
	deadLetter       func(context.Context, CallQuery) (*DeadLetter, error)
	removeDeadLetter func(context.Context, CallQuery) (*Removed, error)
	redrive          func(context.Context, CallQuery) (*Redriven, error)
	redriveAll       func(context.Context, RedriveQuery) (*Redriven, error)
}

var _ Service = (*Client)(nil)

// UnreachableError says that no sidecar answered.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return "no sidecar answers: " + e.Err.Error() }
func (e *UnreachableError) Unwrap() error { return e.Err }

// ParseAddress reads ClientOptions.Address.
func ParseAddress(address string) (*url.URL, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("address %q cannot be read: write http://host:port", address)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("address %q has the scheme %q: http or https is needed", address, u.Scheme)
	case u.Hostname() == "":
		return nil, fmt.Errorf("address %q names no host: write http://host:port", address)
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("the address has a user, a query or a fragment: write http://host:port")
	}
	return u, nil
}

// NewClient makes a Client; nothing is sent yet.
func NewClient(o ClientOptions) (*Client, error) {
	base, err := ParseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base, http: &http.Client{
		Transport: &authorized{o.Token, &http.Transport{
			// No proxy of the environment's: a token is for the sidecar alone.
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:       o.TLS,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       time.Minute,
			ForceAttemptHTTP2:     true,
		}},
		// A sidecar redirects nobody; whoever does is not to get the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	with := kithttp.SetClient(c.http)
	c.state, c.history, c.inflight = getState.asker(base, with), getHistory.asker(base, with), getInflight.asker(base, with)
	c.limits, c.changeLimits, c.drain = getLimits.asker(base, with), patchLimits.asker(base, with), postDrain.asker(base, with)
	c.calls, c.deadLetter = getCalls.asker(base, with), getDeadLetter.asker(base, with)
	c.call, c.cancelCall = getCall.asker(base, with), deleteCall.asker(base, with)
	c.deadLetters, c.removeDeadLetter = getDeadLetters.asker(base, with), deleteDeadLetter.asker(base, with)
	c.redrive, c.redriveAll = postRedrive.asker(base, with), postRedriveAll.asker(base, with)
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// State implements Service.
func (c *Client) State(ctx context.Context) (*State, error) { return c.state(ctx, nothing{}) }

// History implements Service.
func (c *Client) History(ctx context.Context) (*History, error) { return c.history(ctx, nothing{}) }

// Inflight implements Service.
func (c *Client) Inflight(ctx context.Context, q InflightQuery) (*Inflight, error) {
	return c.inflight(ctx, q)
}

// Limits implements Service.
func (c *Client) Limits(ctx context.Context) (*Limits, error) { return c.limits(ctx, nothing{}) }

// ChangeLimits implements Service.
func (c *Client) ChangeLimits(ctx context.Context, q LimitsChange) (*Limits, error) {
	return c.changeLimits(ctx, q)
}

// Drain implements Service.
func (c *Client) Drain(ctx context.Context) (*Draining, error) { return c.drain(ctx, nothing{}) }

// Calls implements Service.
func (c *Client) Calls(ctx context.Context, q CallsQuery) (*Calls, error) { return c.calls(ctx, q) }

// Call implements Service.
func (c *Client) Call(ctx context.Context, q CallQuery) (*Call, error) { return c.call(ctx, q) }

// CancelCall implements Service.
func (c *Client) CancelCall(ctx context.Context, q CallQuery) (*Call, error) {
	return c.cancelCall(ctx, q)
}

// DeadLetters implements Service.
func (c *Client) DeadLetters(ctx context.Context, q DeadLettersQuery) (*DeadLetters, error) {
	return c.deadLetters(ctx, q)
}

// DeadLetter implements Service.
func (c *Client) DeadLetter(ctx context.Context, q CallQuery) (*DeadLetter, error) {
	return c.deadLetter(ctx, q)
}

// RemoveDeadLetter implements Service.
func (c *Client) RemoveDeadLetter(ctx context.Context, q CallQuery) (*Removed, error) {
	return c.removeDeadLetter(ctx, q)
}

// Redrive implements Service.
func (c *Client) Redrive(ctx context.Context, q CallQuery) (*Redriven, error) {
	return c.redrive(ctx, q)
}

// RedriveAll implements Service.
func (c *Client) RedriveAll(ctx context.Context, q RedriveQuery) (*Redriven, error) {
	return c.redriveAll(ctx, q)
}

// authorized sends a token along.
type authorized struct {
	token string
	next  *http.Transport
}

func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	return a.next.RoundTrip(r)
}

func (a *authorized) CloseIdleConnections() { a.next.CloseIdleConnections() }

// maxAnswer bounds an answer: ten minutes of samples are far below it.
const maxAnswer = 32 << 20

// readAnswer reads what a server sent into a, or the problem that it told of.
func readAnswer(res *http.Response, a any) error {
	if res.StatusCode != http.StatusOK {
		return readProblem(res)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("the answer of %s was cut short: %w", res.Request.URL, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("the answer of %s is larger than %d bytes", res.Request.URL, maxAnswer)
	}
	if err := json.Unmarshal(body, a); err != nil {
		return fmt.Errorf("the answer of %s is not what a weir of this version sends: %w", res.Request.URL, err)
	}
	return nil
}

func readProblem(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	p := newProblem(res.StatusCode, "")
	if err == nil && res.Header.Get("Content-Type") == "application/problem+json" && json.Unmarshal(body, p) == nil {
		p.Status = res.StatusCode
		return p
	}
	p.Title = http.StatusText(res.StatusCode)
	p.Detail = fmt.Sprintf("%s is not answered by a weir's management API", res.Request.URL)
	return p
}

// unwrapURL tells a sidecar that cannot be reached from one that answered.
func unwrapURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) && !errors.Is(err, context.Canceled) {
		return &UnreachableError{err}
	}
	return err
}
