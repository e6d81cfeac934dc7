package conformance

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A function that calls itself (RFC 8586): each pass leaves an entry in CDN-Loop, and
// who brings too many is refused.

// ownPass is the entry of the function that the cases are about.
const ownPass = "weir-function"

// passesBefore gives a field with so many passes.
func passesBefore(n int) string {
	return "CDN-Loop: " + strings.TrimSuffix(strings.Repeat(ownPass+", ", n), ", ")
}

// wantPasses fails where the function did not get the field in this one line.
func wantPasses(t testing.TB, seen Seen, want string) {
	t.Helper()
	for name, values := range seen.Header {
		switch {
		case strings.EqualFold(name, "CDN-Loop"):
			if !slices.Equal(values, []string{want}) {
				t.Errorf("CDN-Loop: the function got %q, want %q", values, want)
			}
		case strings.EqualFold(strings.NewReplacer("_", "-", ".", "-").Replace(name), "CDN-Loop"):
			t.Errorf("the function got %s: %q", name, values)
		}
	}
	if len(seen.Header.Values("CDN-Loop")) == 0 {
		t.Error("the function got no CDN-Loop")
	}
}

// wantLoop asserts the refusal of a request that goes in circles.
func wantLoop(t testing.TB, s *Stage, resp *Response, limit int) {
	t.Helper()
	wantMade(t, resp, http.StatusLoopDetected)
	for name, want := range map[string]string{
		"Weir-Throttled": "loop", "Proxy-Status": `weir; error=proxy_loop_detected; details="loop"`, "Cache-Control": "no-store",
		"Retry-After": "", "RateLimit": "", "RateLimit-Policy": "", "Content-Type": "application/problem+json",
	} {
		if got := resp.Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	var problem struct {
		Type, Reason  string
		Status, Limit int
	}
	if err := json.Unmarshal(resp.Body, &problem); err != nil || problem.Type != "about:blank" || problem.Reason != "loop" || problem.Status != http.StatusLoopDetected || problem.Limit != limit {
		t.Errorf("the body is %s (%v)", resp.Body, err)
	}
	if seen := s.Function.Seen(); len(seen) > 0 {
		t.Errorf("the function saw %s %s", seen[0].Method, seen[0].Target)
	}
}

func loopCases() []Case {
	trusted := Settings{Flags: Flags{"trusted-proxies": "127.0.0.0/8"}}
	limited := func(n string) Settings { return Settings{Flags: Flags{"max-loop": n}} }
	cases := []Case{
		{
			Name: "loop/a pass leaves an entry behind those that came, in one line",
			Run: func(t testing.TB, s *Stage) {
				wantPasses(t, s.roundTrip(t, "GET /").echoed(t), ownPass)
				wantPasses(t, s.roundTrip(t, "GET /", `CDN-Loop: cdn.example; a="b, c"`, "CDN-Loop: "+ownPass).echoed(t), `cdn.example; a="b, c", `+ownPass+", "+ownPass)
			},
		},
		{
			Name: "loop/a trusted proxy's passes count as anybody's",
			With: trusted,
			Run: func(t testing.TB, s *Stage) {
				wantPasses(t, s.roundTrip(t, "GET /", "CDN-Loop: cdn.example").echoed(t), "cdn.example, "+ownPass)
				wantPasses(t, s.roundTrip(t, "GET /", "CDN_Loop: cdn.example", passesBefore(1)).echoed(t), ownPass+", "+ownPass)
			},
		},
		{
			Name: "loop/15 passes are let in",
			Run: func(t testing.TB, s *Stage) {
				wantPasses(t, s.roundTrip(t, "GET /", passesBefore(15)).echoed(t), strings.TrimPrefix(passesBefore(16), "CDN-Loop: "))
			},
		},
		{
			Name: "loop/16 passes are refused, however they are written",
			Run: func(t testing.TB, s *Stage) {
				wantLoop(t, s, s.roundTrip(t, "GET /", passesBefore(16)), 16)
				wantLoop(t, s, s.roundTrip(t, "GET /", "cdn-loop: "+ownPass+";v=1 ,\t"+ownPass, passesBefore(7), "CDN-Loop: cdn.example", passesBefore(7)), 16)
				s.awaitMetric(t, 2, "weir_throttles_total", "reason", "loop")
				s.awaitMetric(t, 0, "weir_requests_total")
			},
		},
		{
			Name: "loop/the passes of other functions do not count",
			With: limited("2"),
			Run: func(t testing.TB, s *Stage) {
				const others = "weir-other, weir-function2, weir, xweir-function, WEIR-FUNCTION, weir-function"
				wantPasses(t, s.roundTrip(t, "GET /", "CDN-Loop: "+others).echoed(t), others+", "+ownPass)
			},
		},
		{
			Name: "loop/another name for the field neither counts nor slips through",
			With: limited("1"),
			Run: func(t testing.TB, s *Stage) {
				wantPasses(t, s.roundTrip(t, "GET /", "CDN_Loop: "+ownPass, "CDN.Loop: x", "cdn_loop: "+ownPass).echoed(t), ownPass)
			},
		},
		{
			Name: "loop/without a bound nobody is refused",
			With: limited("0"),
			Run: func(t testing.TB, s *Stage) {
				wantPasses(t, s.roundTrip(t, "GET /", passesBefore(100)).echoed(t), strings.TrimPrefix(passesBefore(101), "CDN-Loop: "))
			},
		},
		{
			Name: "loop/the refusal comes before a body is read, and the connection goes on",
			Over: http1Carriers,
			With: limited("1"),
			Run: func(t testing.TB, s *Stage) {
				c := s.Dial(t)
				resp := c.Exchange("POST / HTTP/1.1\r\nHost: h\r\n" + passesBefore(1) + "\r\nContent-Length: 4\r\n\r\nbody")
				wantLoop(t, s, resp, 1)
				wantPasses(t, c.Exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").echoed(t), ownPass)
			},
		},
		{
			Name: "loop/a client cannot strip the field by naming it in Connection",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				wantPasses(t, s.roundTrip(t, "GET /", "Connection: CDN-Loop, keep-alive", passesBefore(2)).echoed(t), strings.TrimPrefix(passesBefore(3), "CDN-Loop: "))
			},
		},
		{
			Name: "loop/naming the field in Connection does not help to get in",
			Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				wantLoop(t, s, s.roundTrip(t, "GET /", "Connection: CDN-Loop", passesBefore(16)), 16)
			},
		},
		{
			Name: "loop/a gRPC call is refused for good",
			Over: http2Carriers, Behind: FunctionH2C,
			Run: func(t testing.TB, s *Stage) {
				resp := s.Frames(t).Open(true, s.grpcFields(emptyCall, strings.ToLower(passesBefore(16)))...).Response().want(t, 200)
				for name, want := range map[string]string{"Grpc-Status": "9", "Grpc-Retry-Pushback-Ms": "-1", "Weir-Throttled": "loop", "Retry-After": ""} {
					if got := resp.Get(name); got != want {
						t.Errorf("%s %q, want %q", name, got, want)
					}
				}
			},
		},
	}
	return cases
}
