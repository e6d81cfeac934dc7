package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"

	"weir/limits"
	"weir/metrics"
	"weir/proxy/h1"
)

// What ends an exchange other than the function's own answer.
var (
	errRequestTimeout       = errors.New("the request took longer than its timeout")
	errResponseStartTimeout = errors.New("the function did not begin its response in time")
	errIdle                 = errors.New("no byte moved within the idle timeout")
	errClientSlowToSend     = errors.New("the client stopped sending the request's body")
	errClientSlowToRead     = errors.New("the client stopped reading the response")
	errClientGone           = errors.New("the client left")
	errUpgrade              = errors.New("the function switched protocols without being asked to")
	errConnect              = errors.New("CONNECT is not for a reverse proxy")
	errMethod               = errors.New("the request's method is no token")
	errTarget               = errors.New("the request's target is not one for its method")
	errMalformedBody        = errors.New("the request's body is not framed as HTTP asks for")
	errCutShort             = errors.New("the function did not finish its response")
	errInternal             = errors.New("weir failed")
	errHeadTimeout          = errors.New("the client did not send a complete head in time")
	errShutdown             = errors.New("the drain's time was over")
)

// verdict is what weir answers, or would have answered, and to whom it is
// counted.
type verdict struct {
	status int
	origin metrics.Origin
	// proxyError is a token of RFC 9209, 2.3.
	proxyError string
}

// statusFor is the only place where errors become statuses.
func statusFor(err error) verdict {
	if t := throttleOf(err); t != nil { // first, for there may be many
		switch t.Reason {
		case limits.ReasonDraining:
			return verdict{http.StatusServiceUnavailable, metrics.OriginWeir, "http_request_denied"}
		case limits.ReasonLoop:
			return verdict{http.StatusLoopDetected, metrics.OriginWeir, "proxy_loop_detected"}
		}
		return verdict{http.StatusTooManyRequests, metrics.OriginWeir, "connection_limit_reached"}
	}
	var (
		tooLarge  *http.MaxBytesError
		dns       *net.DNSError
		op        *net.OpError
		cert      *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		framed    *h1.Error
		callback  *callbackError
	)
	switch {
	case errors.As(err, &framed):
		if framed.Status == http.StatusBadGateway {
			return verdict{framed.Status, metrics.OriginWeir, "http_protocol_error"}
		}
		return verdict{framed.Status, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, errClientSlowToSend), errors.Is(err, errHeadTimeout):
		return verdict{http.StatusRequestTimeout, metrics.OriginClient, "http_request_error"}
	case errors.Is(err, errClientSlowToRead), errors.Is(err, errClientGone), errors.Is(err, context.Canceled):
		return verdict{metrics.StatusClientClosedRequest, metrics.OriginClient, "http_request_error"}
	case errors.Is(err, errRequestTimeout), errors.Is(err, errResponseStartTimeout), errors.Is(err, errIdle):
		return verdict{http.StatusGatewayTimeout, metrics.OriginWeir, "http_response_timeout"}
	case errors.Is(err, errShutdown):
		return verdict{http.StatusServiceUnavailable, metrics.OriginWeir, "proxy_internal_error"}
	case errors.Is(err, ErrKeyReused):
		return verdict{http.StatusUnprocessableEntity, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, ErrQueueUnavailable), errors.Is(err, ErrOutcomeUnknown), errors.Is(err, errTooMuchBody):
		return verdict{http.StatusServiceUnavailable, metrics.OriginWeir, "destination_unavailable"}
	case errors.Is(err, errAsyncDelay), errors.Is(err, errAsyncKey), errors.Is(err, errAsyncUpgrade), errors.Is(err, errAsyncCallback), errors.As(err, &callback):
		return verdict{http.StatusBadRequest, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, ErrHeadTooLarge):
		return verdict{http.StatusRequestHeaderFieldsTooLarge, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, errAsyncFunction):
		return verdict{http.StatusNotFound, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, errAsyncGRPC):
		return verdict{http.StatusNotImplemented, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, errInternal):
		return verdict{http.StatusInternalServerError, metrics.OriginWeir, "proxy_internal_error"}
	case errors.Is(err, errCutShort):
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "http_response_incomplete"}
	case errors.Is(err, errMalformedBody), errors.Is(err, errMethod), errors.Is(err, errTarget):
		return verdict{http.StatusBadRequest, metrics.OriginWeir, "http_request_error"}
	case errors.As(err, &tooLarge):
		return verdict{http.StatusRequestEntityTooLarge, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, errConnect):
		return verdict{http.StatusNotImplemented, metrics.OriginWeir, "http_request_error"}
	case errors.Is(err, errUpgrade):
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "http_upgrade_failed"}
	case errors.As(err, &dns):
		if dns.IsTimeout {
			return verdict{http.StatusGatewayTimeout, metrics.OriginWeir, "dns_timeout"}
		}
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "dns_error"}
	case errors.As(err, &cert), errors.As(err, &authority):
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "tls_certificate_error"}
	case errors.As(err, &record), errors.As(err, &alert):
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "tls_protocol_error"}
	case errors.As(err, &op) && op.Op == "dial":
		if op.Timeout() {
			return verdict{http.StatusGatewayTimeout, metrics.OriginWeir, "connection_timeout"}
		}
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "connection_refused"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return verdict{http.StatusGatewayTimeout, metrics.OriginWeir, "connection_timeout"}
	case isProtocolError(err.Error()):
		return verdict{http.StatusBadGateway, metrics.OriginWeir, "http_protocol_error"}
	}
	return verdict{http.StatusBadGateway, metrics.OriginWeir, "connection_terminated"}
}

// isProtocolError recognises what net/http says of answers that are no HTTP: it
// gives these errors no type.
func isProtocolError(text string) bool {
	for _, sign := range []string{"malformed", "invalid", "Content-Length", "ransfer encoding", "ransfer-Encoding", "headers exceeded"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// throttleOf returns the refusal that err is, nil if it is none.
func throttleOf(err error) *limits.Throttle {
	if t, ok := err.(*limits.Throttle); ok || err == nil { //nolint:errorlint // the common case, without reflection
		return t
	}
	var t *limits.Throttle
	errors.As(err, &t)
	return t
}
