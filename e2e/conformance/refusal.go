package conformance

import (
	"encoding/json"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// quotaExceeded is the problem type of a refusal.
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

var remaining = regexp.MustCompile(`^"function";r=0;t=([1-9][0-9]*)$`)

// wantRefusal asserts a refused request, complete: status, advice, reason and
// body.
func wantRefusal(t testing.TB, resp *Response, status int, reason string, limit int) {
	t.Helper()
	wantMade(t, resp, status)
	if got := resp.Get("Weir-Throttled"); got != reason {
		t.Errorf("Weir-Throttled %q, want %q", got, reason)
	}
	retryAfter, err := strconv.Atoi(resp.Get("Retry-After"))
	if err != nil || retryAfter < 1 {
		t.Errorf("Retry-After %q, want whole seconds of at least 1", resp.Get("Retry-After"))
	}
	if got := resp.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
	if status == 429 {
		if got, want := resp.Get("RateLimit-Policy"), fmt.Sprintf(`"function";q=%d;qu="concurrent-requests"`, limit); got != want {
			t.Errorf("RateLimit-Policy %s, want %s", got, want)
		}
		if got := resp.Get("RateLimit"); !remaining.MatchString(got) {
			t.Errorf("RateLimit %s, want %s", got, `"function";r=0;t=N`)
		}
	}
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy", "Weir-Throttled", "Proxy-Status", "Content-Type"} {
		if n := len(resp.Fields.Values(name)); n > 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
	wantProblem(t, resp, reason, limit, retryAfter)
}

// wantProblem asserts a refusal's body (RFC 9457).
func wantProblem(t testing.TB, resp *Response, reason string, limit, retryAfter int) {
	t.Helper()
	if kind, _, err := mime.ParseMediaType(resp.Get("Content-Type")); err != nil || kind != "application/problem+json" {
		t.Errorf("Content-Type %q, want application/problem+json", resp.Get("Content-Type"))
	}
	var problem struct {
		Type       string
		Status     *int
		Reason     string
		Limit      *int
		RetryAfter *int `json:"retry_after"`
	}
	if err := json.Unmarshal(resp.Body, &problem); err != nil {
		t.Errorf("the body is no JSON: %v; %.200q", err, resp.Body)
		return
	}
	switch {
	case problem.Type != quotaExceeded && resp.Status == 429:
		t.Errorf("type %q, want %q", problem.Type, quotaExceeded)
	case problem.Reason != reason:
		t.Errorf("reason %q, want %q", problem.Reason, reason)
	case problem.Limit == nil || *problem.Limit != limit:
		t.Errorf("limit in %s, want %d", resp.Body, limit)
	case problem.RetryAfter == nil || *problem.RetryAfter != retryAfter:
		t.Errorf("retry_after in %s, want %d as in Retry-After", resp.Body, retryAfter)
	case problem.Status != nil && *problem.Status != resp.Status:
		t.Errorf("status %d in the body of a %d", *problem.Status, resp.Status)
	}
}

// wantGRPCRefusal asserts a refusal of a gRPC call: trailers only, the status
// and pushback in the one block of fields.
func wantGRPCRefusal(t testing.TB, st *Stream, status int, reason string) {
	t.Helper()
	resp := st.Response().want(t, 200)
	if !st.single() {
		t.Errorf("the refusal is not trailers-only: %d blocks of fields, %d bytes of data", len(st.heads), len(resp.Body))
	}
	if got := resp.Get("Content-Type"); !strings.HasPrefix(got, "application/grpc") {
		t.Errorf("content-type %q, want application/grpc", got)
	}
	if got := resp.Get("Grpc-Status"); got != strconv.Itoa(status) {
		t.Errorf("grpc-status %q, want %d", got, status)
	}
	if got := resp.Get("Grpc-Message"); got == "" {
		t.Errorf("no grpc-message says what is the matter")
	}
	if ms, err := strconv.Atoi(resp.Get("Grpc-Retry-Pushback-Ms")); err != nil || ms < 1 {
		t.Errorf("grpc-retry-pushback-ms %q, want milliseconds", resp.Get("Grpc-Retry-Pushback-Ms"))
	}
	if got := resp.Get("Weir-Throttled"); got != reason {
		t.Errorf("weir-throttled %q, want %q", got, reason)
	}
	if got := resp.Get("Proxy-Status"); !madeByWeir.MatchString(got) {
		t.Errorf("proxy-status %q, want weir; error=...", got)
	}
	if got := resp.Fields["Content-Length"]; got != nil && !slices.Equal(got, []string{"0"}) {
		t.Errorf("content-length %q", got)
	}
}
