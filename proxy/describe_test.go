package proxy

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/limits"
)

func TestRoutesMatchWholeSegmentsAndMethods(t *testing.T) {
	long := time.Hour
	s := &Settings{
		RequestTimeout: time.Minute,
		Routes: []Route{
			{Path: "/reports/daily", Overflow: limits.OverflowReject},
			{Path: "/reports", Methods: []string{"POST"}, Overflow: limits.OverflowWait, RequestTimeout: &long, FullDuplex: true},
			{Path: "/files/", Overflow: limits.OverflowWait},
		},
	}
	for _, c := range []struct {
		method, target string
		overflow       limits.Overflow
		timeout        time.Duration
	}{
		{"POST", "/reports", limits.OverflowWait, long},
		{"POST", "/reports?x=/reports/daily", limits.OverflowWait, long},
		{"POST", "/reports/2026/q1", limits.OverflowWait, long},
		{"POST", "http://host/reports/2026", limits.OverflowWait, long},
		{"POST", "/reports/daily/1", limits.OverflowReject, time.Minute},
		{"GET", "/reports", limits.OverflowDefault, time.Minute},
		{"POST", "/reportsx", limits.OverflowDefault, time.Minute},
		{"POST", "/%72eports", limits.OverflowDefault, time.Minute}, // raw: the function decides what it means
		{"GET", "/files/a", limits.OverflowWait, time.Minute},
		{"GET", "/files", limits.OverflowDefault, time.Minute},
		{"OPTIONS", "*", limits.OverflowDefault, time.Minute},
	} {
		d := describe(s, c.method, c.target, http.Header{})
		if d.call.Overflow != c.overflow || d.requestTimeout != c.timeout {
			t.Errorf("%s %s: overflow %d, timeout %v; want %d, %v", c.method, c.target, d.call.Overflow, d.requestTimeout, c.overflow, c.timeout)
		}
	}
}

func TestGRPCIsToldFromGRPCWebAndItsTimeoutIsTheCallsDeadline(t *testing.T) {
	for _, c := range []struct {
		contentType, timeout string
		grpc                 bool
		deadline             time.Duration // 0 for none
	}{
		{"application/grpc", "5S", true, 5 * time.Second},
		{"application/grpc+proto", "200m", true, 200 * time.Millisecond},
		{"application/grpc;charset=x", "99999999H", true, 1<<63 - 1},
		{"application/grpc", "100000000H", true, 0},
		{"application/grpc", "S", true, 0},
		{"application/grpc", "-5S", true, 0},
		{"application/grpc", "5s", true, 0},
		{"application/grpc", "", true, 0},
		{"application/grpc-web+proto", "5S", false, 0},
		{"application/json", "5S", false, 0},
	} {
		synctest.Test(t, func(t *testing.T) { // time stands still
			d := describe(&Settings{}, "POST", "/pkg.Service/Method", http.Header{"Content-Type": {c.contentType}, "Grpc-Timeout": {c.timeout}})
			var want time.Time
			if c.deadline > 0 {
				want = time.Now().Add(c.deadline)
			}
			if d.grpc != c.grpc || !d.call.Deadline.Equal(want) {
				t.Errorf("%q %q: grpc %t, deadline %v; want %t, %v", c.contentType, c.timeout, d.grpc, d.call.Deadline, c.grpc, want)
			}
		})
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add("GET", "/a/b?c=d", "application/grpc", "5S")
	f.Add("POST", "http://host?x", "application/grpc", "99999999H")
	f.Add("OPTIONS", "*", "", "")
	f.Add("GET", "://", "text/plain", "1n")
	s := &Settings{Routes: []Route{{Path: "/a", Overflow: limits.OverflowWait}, {Path: "/"}}}
	f.Fuzz(func(t *testing.T, method, target, contentType, timeout string) {
		began := time.Now()
		d := describe(s, method, target, http.Header{"Content-Type": {contentType}, "Grpc-Timeout": {timeout}})
		if !d.grpc && !d.call.Deadline.IsZero() {
			t.Error("a deadline without gRPC")
		}
		if d.call.Deadline.Before(began) && !d.call.Deadline.IsZero() {
			t.Errorf("timeout %q gives a deadline in the past", timeout)
		}
		origin := originForm(target)
		if strings.HasPrefix(target, "/") && origin != target {
			t.Errorf("origin form %q became %q", target, origin)
		}
		if !strings.HasSuffix(target, strings.TrimPrefix(origin, "/")) {
			t.Errorf("%q holds bytes that %q does not", origin, target)
		}
	})
}
