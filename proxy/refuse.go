package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/limits"
	"weir/proxy/h1"
)

// field is one header field of a response that weir makes itself.
type field struct{ name, value string }

// answer is a whole response of weir's own, for whichever engine writes it.
type answer struct {
	status int
	fields []field
	body   []byte // nil where the response has none
	// head is status line and fields as HTTP/1.1 writes them; nil where the answer is
	// made for one response only.
	head []byte
}

// appendHead appends status line and fields as HTTP/1.1 writes them.
func (a *answer) appendHead(b []byte) []byte {
	if a.head != nil {
		return append(b, a.head...)
	}
	b = h1.AppendStatus(b, a.status, http.StatusText(a.status))
	for _, f := range a.fields {
		b = h1.AppendField(b, f.name, f.value)
	}
	return b
}

// problem is the body, as RFC 9457 and, for quotas, the IETF draft on RateLimit
// header fields have it.
type problem struct {
	Type       string   `json:"type,omitempty"`
	Title      string   `json:"title"`
	Status     int      `json:"status"`
	Detail     string   `json:"detail"`
	Reason     string   `json:"reason,omitempty"`
	Limit      *int     `json:"limit,omitempty"`
	RetryAfter int64    `json:"retry_after,omitempty"`
	Violated   []string `json:"violated-policies,omitempty"`
}

const (
	problemQuota    = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	problemCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
)

// policyName is the quota's name in the RateLimit fields.
func policyName(why limits.Reason) string {
	switch why {
	case limits.ReasonCaller, limits.ReasonRate, limits.ReasonRamp, limits.ReasonAccount:
		return string(why)
	}
	return "function"
}

// gRPC status codes, as google.rpc.Code numbers them.
const (
	grpcDeadlineExceeded   = 4
	grpcResourceExhausted  = 8
	grpcFailedPrecondition = 9
	grpcUnimplemented      = 12
	grpcInternal           = 13
	grpcUnavailable        = 14
)

// refusals keeps the latest answers to refused requests: under overload they are
// the same over and over.
type refusals [8]atomic.Pointer[refusal]

type refusal struct {
	reason           limits.Reason
	limit, remaining int
	retryAfter       time.Duration
	window           time.Duration
	closing          bool
	answer           answer
}

// answerTo is answerTo, with a memory for refusals. The answer is shared: it must
// not be changed.
func (r *refusals) answerTo(err error, grpc, closing bool) answer {
	t := throttleOf(err)
	if t == nil || grpc {
		return answerTo(err, grpc, closing)
	}
	place := &r[int(t.RetryAfter/time.Second)%len(r)]
	if k := place.Load(); k != nil && k.reason == t.Reason && k.limit == t.Limit && k.remaining == t.Remaining &&
		k.retryAfter == t.RetryAfter && k.window == t.Window && k.closing == closing {
		return k.answer
	}
	a := answerTo(err, grpc, closing)
	a.head = a.appendHead(nil)
	place.Store(&refusal{t.Reason, t.Limit, t.Remaining, t.RetryAfter, t.Window, closing, a})
	return a
}

// answerTo makes the response for a request that weir itself ends with err.
// close asks the client to give up its connection.
func answerTo(err error, grpc, closing bool) answer {
	v := statusFor(err)
	throttle := throttleOf(err)
	refused := throttle != nil

	proxyStatus := "weir; error=" + v.proxyError
	a := answer{status: v.status}
	add := func(name, value string) { a.fields = append(a.fields, field{name, value}) }
	if refused {
		proxyStatus += `; details="` + string(throttle.Reason) + `"`
		if throttle.Reason != limits.ReasonLoop { // which is no better later
			add("Retry-After", strconv.FormatInt(wholeSeconds(throttle.RetryAfter), 10))
		}
		add("Weir-Throttled", string(throttle.Reason))
		if throttle.Reason != limits.ReasonDraining && throttle.Reason != limits.ReasonLoop {
			quota := `qu="concurrent-requests"`
			if throttle.Window > 0 {
				quota = "w=" + strconv.FormatInt(wholeSeconds(throttle.Window), 10)
			}
			name := policyName(throttle.Reason)
			add("RateLimit-Policy", fmt.Sprintf(`"%s";q=%d;%s`, name, throttle.Limit, quota))
			add("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%d`, name, throttle.Remaining, wholeSeconds(throttle.RetryAfter)))
		}
	}
	add("Proxy-Status", proxyStatus)
	add("Cache-Control", "no-store")
	if closing {
		add("Connection", "close")
	}
	if grpc {
		// Trailers-only: a 429 would reach the client as UNAVAILABLE, which
		// libraries retry at once.
		a.status = http.StatusOK
		add("Content-Type", "application/grpc")
		add("Grpc-Status", strconv.Itoa(grpcStatus(v.status)))
		add("Grpc-Message", percentEncode(detail(err)))
		switch {
		case refused && throttle.Reason == limits.ReasonLoop:
			add("Grpc-Retry-Pushback-Ms", "-1") // not to be tried again
		case refused:
			add("Grpc-Retry-Pushback-Ms", strconv.FormatInt(throttle.RetryAfter.Milliseconds(), 10))
		}
		return a
	}
	add("Content-Type", "application/problem+json")
	p := problem{Title: http.StatusText(v.status), Status: v.status, Detail: detail(err)}
	if refused {
		p.Reason, p.Limit, p.RetryAfter = string(throttle.Reason), &throttle.Limit, wholeSeconds(throttle.RetryAfter)
		p.Type, p.Violated = problemQuota, []string{policyName(throttle.Reason)}
		switch throttle.Reason {
		case limits.ReasonDraining:
			p.Type, p.Violated = problemCapacity, nil
		case limits.ReasonLoop:
			p.Type, p.Violated = "about:blank", nil
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	a.body = append(body, '\n')
	return a
}

// detail says what happened in words that give nothing away about the inside:
// no addresses, no paths.
func detail(err error) string {
	if throttle := throttleOf(err); throttle != nil {
		switch throttle.Reason {
		case limits.ReasonMaxInflight:
			return fmt.Sprintf("All %d slots of the function are taken.", throttle.Limit)
		case limits.ReasonQueueFull:
			return fmt.Sprintf("All %d slots of the function are taken, and so is every place in its queue.", throttle.Limit)
		case limits.ReasonQueueTimeout:
			return "No slot of the function came free, or would have, while the request could wait."
		case limits.ReasonRate:
			return fmt.Sprintf("More than %d requests in %s.", throttle.Limit, throttle.Window)
		case limits.ReasonRamp:
			return fmt.Sprintf("The function goes beyond the %d requests at once that it had of late more slowly than asked.", throttle.Limit)
		case limits.ReasonCaller:
			return "The caller has its share of the function's slots already."
		case limits.ReasonFunction:
			return fmt.Sprintf("The function may run %d requests at once, everywhere together, and no more of them here now.", throttle.Limit)
		case limits.ReasonAccount:
			return fmt.Sprintf("The functions of the account may run %d requests at once together, and no more of them here now.", throttle.Limit)
		case limits.ReasonPriority:
			return "Its place in the function's queue went to a request of higher priority."
		case limits.ReasonLoop:
			return fmt.Sprintf("The function calls itself: the request has passed it %d times.", throttle.Limit)
		case limits.ReasonDraining:
			return "This instance of the function is about to stop."
		}
		return "The request was refused: " + string(throttle.Reason) + "."
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fmt.Sprintf("The request's body is larger than %d bytes.", tooLarge.Limit)
	}
	var framed *h1.Error
	if errors.As(err, &framed) && framed.Status != http.StatusBadGateway {
		return sentence(framed.Fault.String())
	}
	var callback *callbackError
	if errors.As(err, &callback) {
		return sentence(callback.Error())
	}
	switch statusFor(err).proxyError {
	case "connection_refused":
		return "The function does not accept connections."
	case "connection_terminated":
		return "The function closed the connection before it answered."
	case "connection_timeout":
		return "The function did not accept the connection in time."
	case "http_protocol_error":
		return "The function's answer is not valid HTTP."
	case "dns_error", "dns_timeout":
		return "The function's address could not be resolved."
	case "tls_certificate_error":
		return "The function's certificate is not trusted."
	case "tls_protocol_error":
		return "The function did not complete the TLS handshake."
	}
	for _, known := range []error{
		errRequestTimeout, errResponseStartTimeout, errIdle,
		errClientSlowToSend, errHeadTimeout, errMalformedBody, errMethod, errTarget, errConnect, errUpgrade, errShutdown, errInternal,
		ErrKeyReused, ErrHeadTooLarge, ErrQueueUnavailable, ErrOutcomeUnknown, errTooMuchBody, errAsyncDelay, errAsyncKey, errAsyncUpgrade, errAsyncFunction, errAsyncGRPC, errAsyncCallback,
	} {
		if errors.Is(err, known) {
			return sentence(known.Error())
		}
	}
	return "The request could not be forwarded."
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

func grpcStatus(status int) int {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		return grpcResourceExhausted
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return grpcDeadlineExceeded
	case http.StatusNotImplemented:
		return grpcUnimplemented
	case http.StatusLoopDetected:
		return grpcFailedPrecondition
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return grpcUnavailable
	}
	return grpcInternal
}

// percentEncode is the encoding of Grpc-Message.
func percentEncode(s string) string {
	out := make([]byte, 0, len(s))
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			out = fmt.Appendf(out, "%%%02X", c)
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
