package proxy

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Mistakes of those who ask for asynchronous calls.
var (
	errAsyncGRPC     = errors.New("gRPC calls cannot be run asynchronously")
	errAsyncUpgrade  = errors.New("a request that upgrades its connection cannot be run asynchronously")
	errAsyncCallback = errors.New("X-Callback-Url was sent more than once")
	errAsyncFunction = errors.New("this weir stands in front of another function")
	errAsyncDelay    = errors.New("the delay is not a time from 0 to 24 hours: X-Fc-Async-Delay takes seconds, Weir-Delay a duration such as 90s")
	errAsyncKey      = errors.New("the idempotency key is empty, longer than 255 bytes, or two that differ were sent")
	errTooMuchBody   = errors.New("too many request bodies are being accepted at once")
)

// asks is what a request's head says about running it later.
type asks struct {
	async     bool          // it is to be run later
	spill     bool          // it is to be run later where it finds every slot taken
	preferred bool          // asked for by Prefer, which is to be acknowledged
	wait      time.Duration // that the client is ready to wait before it gets a 202
}

const asyncPrefix = "/async-function/"

// readAsks reads a request's head. invoke is the route's word.
func readAsks(s *AsyncSettings, route *Route, path string, h fields) (a asks) {
	a.spill = s.Spill
	if route != nil {
		if route.Overflow != 0 || route.Spill {
			a.spill = route.Spill
		}
		a.async = route.Async
	}
	if v := h.Get("Prefer"); v != "" {
		a.preferred, a.wait = parsePrefer(v)
		if !a.preferred {
			a.wait = 0
		}
	}
	a.async = a.async || a.preferred || strings.HasPrefix(path, asyncPrefix) ||
		strings.EqualFold(h.Get("X-Fc-Invocation-Type"), "Async") ||
		strings.EqualFold(h.Get("X-Amz-Invocation-Type"), "Event")
	return a
}

// parsePrefer reads the preferences respond-async and wait (RFC 7240, 4.1 and 4.3).
// Of one given twice the first counts.
func parsePrefer(v string) (respondAsync bool, wait time.Duration) {
	waits := false
	for preference := range strings.SplitSeq(v, ",") {
		preference, _, _ = strings.Cut(preference, ";") // parameters mean nothing here
		name, value, _ := strings.Cut(preference, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			respondAsync = true
		case "wait":
			n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if err == nil && !waits {
				wait, waits = min(time.Duration(n)*time.Second, maxWait), true
			}
		}
	}
	return respondAsync, wait
}

// asyncTarget takes the prefix that OpenFaaS' gateway knows off a target.
func asyncTarget(function, target string) (string, error) {
	rest, ok := strings.CutPrefix(target, asyncPrefix)
	if !ok {
		return target, nil
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if rest[:end] != function {
		return "", errAsyncFunction
	}
	rest = rest[end:]
	if rest == "" || rest[0] == '?' {
		rest = "/" + rest
	}
	return rest, nil
}

// asyncDelay reads how long a call is to wait before its first attempt.
func asyncDelay(h fields) (time.Duration, error) {
	var d time.Duration
	switch seconds, duration := h.Get("X-Fc-Async-Delay"), h.Get("Weir-Delay"); {
	case duration != "":
		var err error
		if d, err = time.ParseDuration(duration); err != nil {
			return 0, errAsyncDelay
		}
	case seconds != "":
		n, err := strconv.ParseUint(seconds, 10, 32)
		if err != nil {
			return 0, errAsyncDelay
		}
		d = time.Duration(n) * time.Second
	}
	if d < 0 || d > maxDelay {
		return 0, errAsyncDelay
	}
	return d, nil
}

// asyncKey reads the key under which a caller repeats a request. An X-Call-Id of the
// caller's is one: what it names as a call's id would be no secret.
func asyncKey(h fieldLines) (string, error) {
	var key string
	for _, name := range [...]string{"Idempotency-Key", "X-Call-Id"} {
		for i := 0; ; i++ {
			v, ok := h.Line(name, i)
			if !ok {
				break
			}
			if v == "" || len(v) > 255 || key != "" && key != v {
				return "", errAsyncKey
			}
			key = v
		}
	}
	return key, nil
}

// callbackError says why a caller's URL is not to be called back.
type callbackError struct{ why error }

func (e *callbackError) Error() string { return "the URL in X-Callback-Url " + e.why.Error() }
func (e *callbackError) Unwrap() error { return e.why }

// asyncCallback reads where the outcome is to be sent.
func asyncCallback(e Enqueuer, h fieldLines) (string, error) {
	url, sent := h.Line("X-Callback-Url", 0)
	if !sent {
		return "", nil
	}
	if _, more := h.Line("X-Callback-Url", 1); more {
		return "", errAsyncCallback
	}
	if err := e.CheckCallback(url); err != nil {
		return "", &callbackError{err}
	}
	return url, nil
}

// removeHopByHop removes the fields that are for one connection only (RFC 9110,
// 7.6.1).
func removeHopByHop(h http.Header) {
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); !vouched(name) {
				delete(h, name)
			}
		}
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"} {
		delete(h, name)
	}
}
