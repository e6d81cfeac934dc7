package queue

import (
	"testing"
	"time"
)

func TestTheBackoffDoublesUpToItsBoundAndIsJittered(t *testing.T) {
	p := DefaultPolicy()
	for _, c := range []struct {
		attempts int
		most     time.Duration
	}{{1, time.Second}, {2, 2 * time.Second}, {5, 16 * time.Second}, {10, 5 * time.Minute}, {1000, 5 * time.Minute}} {
		low, high := p.BackoffMax, time.Duration(0)
		for range 300 {
			d := p.delay(c.attempts, 0)
			low, high = min(low, d), max(high, d)
		}
		if high >= c.most || high < c.most/2 || low > c.most/2 {
			t.Errorf("after %d attempts: %v to %v, want up to %v", c.attempts, low, high, c.most)
		}
	}
	if d := p.delay(1, time.Minute); d != time.Minute {
		t.Errorf("with a Retry-After of a minute: %v", d)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "4000000000": maxRetryAfter, "99999999999999999999": 0,
		"Fri, 01 May 2026 12:00:30 GMT": 30 * time.Second,
		"Fri, 01 May 2026 11:00:00 GMT": 0,
	} {
		r := &Response{Fields: []Field{{"retry-after", v}}}
		if got := retryAfter(r, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	p := DefaultPolicy()
	for status, want := range map[int]Event{200: Succeed, 204: Succeed, 302: Succeed, 400: Fail, 404: Fail, 408: Retry, 429: Retry, 500: Retry, 501: Fail, 503: Retry} {
		if got := p.verdict(&Response{Status: status}); got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
}

func TestACallHasThePolicyOfItsKind(t *testing.T) {
	other := Policy{MaxAttempts: 7}
	p := Policy{MaxAttempts: 3}
	if p.of("POST", "/x").MaxAttempts != 3 {
		t.Error("a policy without others is not its own")
	}
	p.Of = func(method, target string) *Policy {
		if method == "POST" && target == "/x?y" {
			return &other
		}
		return nil
	}
	if p.of("POST", "/x?y") != &other || p.of("GET", "/x?y") != &p {
		t.Error("a call has the policy of another kind")
	}
}
