package proxy

import (
	"net/http"
	"testing"
	"time"
)

func TestParsePrefer(t *testing.T) {
	for v, want := range map[string]struct {
		async bool
		wait  time.Duration
	}{
		"respond-async":                        {true, 0},
		"Respond-Async, wait=10":               {true, 10 * time.Second},
		`wait="3",respond-async;x=y`:           {true, 3 * time.Second},
		"wait=5":                               {false, 5 * time.Second},
		"respond-async, wait=x":                {true, 0},
		"respond-async, wait=-1":               {true, 0},
		"respond-async, wait=1, wait=9":        {true, time.Second},
		"respond-async,wait=99999":             {true, maxWait},
		"respond-async, wait=9999999999999999": {true, 0},
		"respond-asynchronously":               {false, 0},
		"return=minimal":                       {false, 0},
	} {
		if async, wait := parsePrefer(v); async != want.async || wait != want.wait {
			t.Errorf("%q: %v, %v", v, async, wait)
		}
	}
}

func FuzzParsePrefer(f *testing.F) {
	f.Add("respond-async, wait=10")
	f.Add(`wait="3",respond-async;x=y`)
	f.Fuzz(func(t *testing.T, v string) {
		if _, wait := parsePrefer(v); wait < 0 || wait > maxWait {
			t.Errorf("%q: %v", v, wait)
		}
	})
}

func TestAsyncTarget(t *testing.T) {
	for target, want := range map[string]string{
		"/x": "/x", "/async-function/fn": "/", "/async-function/fn/": "/", "/async-function/fn/a%2Fb?c": "/a%2Fb?c", "/async-function/fn?c": "/?c",
		"/async-function/": "", "/async-function/other": "", "/async-function/fnx": "", "/async-functions/fn": "/async-functions/fn",
	} {
		got, err := asyncTarget("fn", target)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", target, got, err)
		}
	}
}

func TestAsyncDelay(t *testing.T) {
	for v, want := range map[[2]string]time.Duration{
		{"", ""}: 0, {"90", ""}: 90 * time.Second, {"", "1m30s"}: 90 * time.Second, {"1", "2s"}: 2 * time.Second, {"86400", ""}: 24 * time.Hour,
		{"86401", ""}: -1, {"-1", ""}: -1, {"", "-1s"}: -1, {"", "90"}: -1, {"x", ""}: -1, {"", "25h"}: -1,
	} {
		h := http.Header{}
		if v[0] != "" {
			h.Set("X-Fc-Async-Delay", v[0])
		}
		if v[1] != "" {
			h.Set("Weir-Delay", v[1])
		}
		got, err := asyncDelay(h)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%v: %v, %v", v, got, err)
		}
	}
}

func TestHopByHopFieldsStayBehind(t *testing.T) {
	h := http.Header{"Connection": {"close, X-Mine, Weir-Attempt"}, "X-Mine": {"1"}, "Te": {"trailers"}, "Weir-Attempt": {"1"}, "X-Kept": {"1"}, "Expect": {"100-continue"}}
	removeHopByHop(h)
	if len(h) != 2 || h["X-Kept"] == nil || h["Weir-Attempt"] == nil {
		t.Errorf("left: %v", h)
	}
}

func TestTheBudgetOfBodiesIsKept(t *testing.T) {
	var b budget
	b.most.Store(10)
	if !b.take(6) || b.take(5) || !b.take(4) || b.take(1) {
		t.Error("more was lent than there is, or less")
	}
	b.release(10)
	if b.used.Load() != 0 || !b.take(10) {
		t.Errorf("%d are out", b.used.Load())
	}
}
