package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/limits"
	"weir/metrics"
	"weir/proxy/h1"
)

func (a answer) get(name string) string {
	for _, f := range a.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

func TestEveryFailureHasItsStatus(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	for _, c := range []struct {
		err        error
		status     int
		origin     metrics.Origin
		proxyError string
	}{
		{&limits.Throttle{Reason: limits.ReasonMaxInflight}, 429, metrics.OriginWeir, "connection_limit_reached"},
		{&limits.Throttle{Reason: limits.ReasonQueueTimeout}, 429, metrics.OriginWeir, "connection_limit_reached"},
		{&limits.Throttle{Reason: limits.ReasonDraining}, 503, metrics.OriginWeir, "http_request_denied"},
		{dial(errors.New("refused")), 502, metrics.OriginWeir, "connection_refused"},
		{dial(os.ErrDeadlineExceeded), 504, metrics.OriginWeir, "connection_timeout"},
		{&net.DNSError{IsNotFound: true}, 502, metrics.OriginWeir, "dns_error"},
		{&net.DNSError{IsTimeout: true}, 504, metrics.OriginWeir, "dns_timeout"},
		{&tls.CertificateVerificationError{}, 502, metrics.OriginWeir, "tls_certificate_error"},
		{tls.AlertError(40), 502, metrics.OriginWeir, "tls_protocol_error"},
		{io.EOF, 502, metrics.OriginWeir, "connection_terminated"},
		{errors.New("net/http: malformed HTTP response"), 502, metrics.OriginWeir, "http_protocol_error"},
		{errCutShort, 502, metrics.OriginWeir, "http_response_incomplete"},
		{errUpgrade, 502, metrics.OriginWeir, "http_upgrade_failed"},
		{errRequestTimeout, 504, metrics.OriginWeir, "http_response_timeout"},
		{errResponseStartTimeout, 504, metrics.OriginWeir, "http_response_timeout"},
		{errIdle, 504, metrics.OriginWeir, "http_response_timeout"},
		{errClientSlowToSend, 408, metrics.OriginClient, "http_request_error"},
		{errClientSlowToRead, 499, metrics.OriginClient, "http_request_error"},
		{errClientGone, 499, metrics.OriginClient, "http_request_error"},
		{context.Canceled, 499, metrics.OriginClient, "http_request_error"},
		{&http.MaxBytesError{Limit: 3}, 413, metrics.OriginWeir, "http_request_error"},
		{errMalformedBody, 400, metrics.OriginWeir, "http_request_error"},
		{errMethod, 400, metrics.OriginWeir, "http_request_error"},
		{errTarget, 400, metrics.OriginWeir, "http_request_error"},
		{errHeadTimeout, 408, metrics.OriginClient, "http_request_error"},
		{&h1.Error{Status: 414}, 414, metrics.OriginWeir, "http_request_error"},
		{&h1.Error{Status: 502}, 502, metrics.OriginWeir, "http_protocol_error"},
		{errConnect, 501, metrics.OriginWeir, "http_request_error"},
		{errInternal, 500, metrics.OriginWeir, "proxy_internal_error"},
		{errShutdown, 503, metrics.OriginWeir, "proxy_internal_error"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if v := statusFor(err); v != (verdict{c.status, c.origin, c.proxyError}) {
				t.Errorf("%v: %+v, want %d %v %s", err, v, c.status, c.origin, c.proxyError)
			}
		}
	}
}

func TestARefusalSaysWhyAndWhenToComeBack(t *testing.T) {
	a := answerTo(&limits.Throttle{Reason: limits.ReasonQueueFull, Limit: 10, RetryAfter: 2 * time.Second}, false, false)
	for name, want := range map[string]string{
		"Retry-After":      "2",
		"RateLimit-Policy": `"function";q=10;qu="concurrent-requests"`,
		"RateLimit":        `"function";r=0;t=2`,
		"Weir-Throttled":   "queue_full",
		"Proxy-Status":     `weir; error=connection_limit_reached; details="queue_full"`,
		"Cache-Control":    "no-store",
		"Content-Type":     "application/problem+json",
		"Connection":       "",
	} {
		if got := a.get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	const body = `{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Too Many Requests","status":429,"detail":"All 10 slots of the function are taken, and so is every place in its queue.","reason":"queue_full","limit":10,"retry_after":2,"violated-policies":["function"]}`
	if got := strings.TrimSpace(string(a.body)); a.status != 429 || got != body {
		t.Errorf("%d %s\nwant 429 %s", a.status, got, body)
	}

	a = answerTo(&limits.Throttle{Reason: limits.ReasonDraining, Limit: 10, RetryAfter: time.Second}, false, true)
	if a.status != 503 || a.get("Retry-After") != "1" || a.get("RateLimit") != "" || a.get("Connection") != "close" {
		t.Errorf("draining: %d %v", a.status, a.fields)
	}
}

func TestARememberedRefusalIsTheSameAsAFreshOne(t *testing.T) {
	var r refusals
	for range 3 {
		for _, reason := range limits.Reasons() {
			for _, retry := range []time.Duration{time.Second, 2 * time.Second, 9 * time.Second} {
				for limit := 1; limit <= 3; limit++ {
					for _, grpc := range []bool{false, true} {
						for _, closing := range []bool{false, true} {
							err := &limits.Throttle{Reason: reason, Limit: limit, Remaining: limit - 1, RetryAfter: retry}
							got, want := r.answerTo(err, grpc, closing), answerTo(err, grpc, closing)
							if !bytes.Equal(got.appendHead(nil), want.appendHead(nil)) {
								t.Errorf("head %q, want %q", got.appendHead(nil), want.appendHead(nil))
							}
							if got.head = nil; !reflect.DeepEqual(got, want) {
								t.Fatalf("%+v: %+v, want %+v", err, got, want)
							}
						}
					}
				}
			}
		}
	}
	if got := r.answerTo(errConnect, false, false); got.status != 501 {
		t.Errorf("status %d", got.status)
	}
}

func TestAGRPCRefusalIsTrailersOnly(t *testing.T) {
	for _, c := range []struct {
		err            error
		code, pushback string
	}{
		{&limits.Throttle{Reason: limits.ReasonMaxInflight, Limit: 1, RetryAfter: 3 * time.Second}, "8", "3000"},
		{&limits.Throttle{Reason: limits.ReasonDraining, RetryAfter: time.Second}, "14", "1000"},
		{io.EOF, "14", ""},
		{errRequestTimeout, "4", ""},
		{errInternal, "13", ""},
	} {
		a := answerTo(c.err, true, false)
		if a.status != 200 || a.body != nil || a.get("Content-Type") != "application/grpc" ||
			a.get("Grpc-Status") != c.code || a.get("Grpc-Retry-Pushback-Ms") != c.pushback || a.get("Grpc-Message") == "" {
			t.Errorf("%v: %d %v body %q", c.err, a.status, a.fields, a.body)
		}
	}
}

func TestDetailsGiveNothingAwayAndAreNeverEmpty(t *testing.T) {
	for _, err := range []error{
		&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 3000}, Err: errors.New("refused")},
		&net.OpError{Op: "read", Net: "unix", Addr: &net.UnixAddr{Name: "/secret.sock"}, Err: errors.New("reset")},
		errors.New("invalid header from 10.9.8.7"), errCutShort, errIdle, errConnect, errMalformedBody, &http.MaxBytesError{Limit: 7},
		&limits.Throttle{Reason: "some_new_reason"},
	} {
		a := answerTo(err, false, false)
		var p problem
		if jsonErr := json.Unmarshal(a.body, &p); jsonErr != nil {
			t.Fatal(jsonErr)
		}
		if p.Detail == "" || p.Title == "" || p.Status != a.status {
			t.Errorf("%v: %s", err, a.body)
		}
		if strings.Contains(string(a.body), "10.9.8.7") || strings.Contains(string(a.body), "secret") {
			t.Errorf("%v: the answer shows the inside: %s", err, a.body)
		}
	}
}

func TestPercentEncode(t *testing.T) {
	if got := percentEncode("50% of é\n"); got != "50%25 of %C3%A9%0A" {
		t.Error(got)
	}
}
