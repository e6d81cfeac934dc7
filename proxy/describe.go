package proxy

import (
	"slices"
	"strings"
	"time"

	"weir/limits"
)

// fields gives the value of a request field by its canonical name, "" where
// there is none.
type fields interface{ Get(name string) string }

// description is what the request's head says about how to treat it.
type description struct {
	call       limits.Call
	grpc       bool
	fullDuplex bool
	route      string // the path of the one that it matched, "" for none

	requestTimeout       time.Duration
	responseStartTimeout time.Duration
	finishAborted        bool

	asks
}

// describe reads a request's head under the settings in force. target is the
// raw request target.
func describe(s *Settings, method, target string, h fields) description {
	d := description{
		requestTimeout:       s.RequestTimeout,
		responseStartTimeout: s.ResponseStartTimeout,
		finishAborted:        s.FinishAborted,
	}
	if isGRPC(h.Get("Content-Type")) {
		d.grpc = true
		if timeout, ok := grpcTimeout(h.Get("Grpc-Timeout")); ok {
			d.call.Deadline = time.Now().Add(timeout)
		}
	}
	r := s.match(method, rawPath(target))
	if s.Async != nil {
		d.asks = readAsks(s.Async, r, rawPath(target), h)
	}
	if r != nil {
		d.call.Overflow, d.call.Priority, d.call.Rate = r.Overflow, r.Priority, r.Rate
		d.fullDuplex, d.route = r.FullDuplex, r.Path
		if r.RequestTimeout != nil {
			d.requestTimeout = *r.RequestTimeout
		}
		if r.ResponseStartTimeout != nil {
			d.responseStartTimeout = *r.ResponseStartTimeout
		}
		if r.FinishAborted != nil {
			d.finishAborted = *r.FinishAborted
		}
	}
	return d
}

// RouteOf gives the place in Routes of the one that covers a request with a raw target,
// -1 where none does.
func (s *Settings) RouteOf(method, target string) int {
	r := s.match(method, rawPath(target))
	for i := range s.Routes {
		if r == &s.Routes[i] {
			return i
		}
	}
	return -1
}

// match returns the first route that covers the request, nil if none does.
func (s *Settings) match(method, path string) *Route {
	for i := range s.Routes {
		r := &s.Routes[i]
		if r.covers(path) && (len(r.Methods) == 0 || slices.Contains(r.Methods, method)) {
			return r
		}
	}
	return nil
}

func (r *Route) covers(path string) bool {
	rest, ok := strings.CutPrefix(path, r.Path)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(r.Path, "/"))
}

// rawPath is the path of a raw request target, without its query.
func rawPath(target string) string {
	path, _, _ := strings.Cut(originForm(target), "?")
	return path
}

// originForm turns an absolute-form target into origin form (RFC 9112, 3.2.2)
// without touching a byte of path and query; other forms stay as they are.
func originForm(target string) string {
	if target == "" || target[0] == '/' || target == "*" {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// isGRPC tells gRPC from gRPC-Web, which is an ordinary HTTP exchange.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// grpcTimeout reads the field of that name: at most eight digits and a unit
// (gRPC over HTTP/2, Requests).
func grpcTimeout(v string) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	var unit time.Duration
	switch v[len(v)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	var n time.Duration
	for _, c := range []byte(v[:len(v)-1]) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + time.Duration(c-'0')
	}
	const longest = 1<<63 - 1
	if n > longest/unit {
		return longest, true
	}
	return n * unit, true
}

// isToken reports whether s is a token (RFC 9110, 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
