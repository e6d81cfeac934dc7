package config

import (
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	for text, want := range map[string]Rate{
		"0":       {},
		"100/s":   {100, time.Second, 100},
		"500/m":   {500, time.Minute, 500},
		"1/h":     {1, time.Hour, 1},
		"10/s+50": {10, time.Second, 50},
	} {
		got, err := parseRate(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%q reads as %+v (%s), %v", text, got, got, err)
		}
	}
	for _, text := range []string{"", "100", "/s", "100/", "100/d", "0/s", "-1/s", "1.5/s", "01/s", "10/s+", "10/s+0", "99999999999/s", "1/s+1+1", " 1/s"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q was accepted as %+v", text, got)
		}
	}
}

func TestCallerRelations(t *testing.T) {
	for file, want := range map[string]string{
		"callers: {key: 'header:X-Key'}":                                  `config: callers.key: is believed from trusted proxies only, and there are none: set trusted_proxies (0.0.0.0/0 and ::/0 if everybody may say who they are) (weir.yaml:1)`,
		"callers: {key: certificate}":                                     `config: callers.key: cannot be certificate without tls.client_ca: no certificate would be asked for (weir.yaml:1)`,
		"callers: {rate: 1/s}":                                            `config: callers.rate: cannot be set without callers.key: all requests would count as one caller's (weir.yaml:1)`,
		"callers: {key: cookie}":                                          `config: callers.key: "cookie" is not header:NAME, jwt:CLAIM, certificate or address (weir.yaml:1)`,
		"callers: {remembered: 5}":                                        `config: callers.remembered: "5" is less than 64, the least there is (weir.yaml:1)`,
		"limits: {enforce: false, max_inflight: auto}":                    `config: limits.enforce: cannot be false while limits.max_inflight is auto from weir.yaml:1: it learns from what it limits (weir.yaml:1)`,
		"{limits: {priority_header: X-P}, trusted_proxies: [10.0.0.0/8]}": `config: limits.priority_header: decides who of those waiting is next, and nothing waits: set limits.overflow, or that of a route, to wait (weir.yaml:1)`,
		"limits: {priority_header: X-P, overflow: wait}":                  `config: limits.priority_header: is believed from trusted proxies only, and there are none: set trusted_proxies (weir.yaml:1)`,
		"limits: {rate: often}":                                           `config: limits.rate: "often" is not a rate such as 100/s, 500/m or 10/s+50 (a burst of 50), or 0 for none (weir.yaml:1)`,
		"limits: {deadline_header: 'a b'}":                                `config: limits.deadline_header: "a b" is not the name of a header: letters, digits and - only (weir.yaml:1)`,
		"{limits: {overflow: wait, priority_header: x-p}, trusted_proxies: [10.0.0.0/8]}":           "",
		"{callers: {key: address, max_inflight: 3, enforce: false}, limits: {rate: 10/s, ramp: 5}}": "",
	} {
		_, err := load(Source{File: "weir.yaml"}, []byte(file), nil, settings)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", file, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s:\n%v, want\n%s", file, err, want)
		}
	}
}
