package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"weir/admin/api"
)

func TestPlainTextCannotMoveTheCursor(t *testing.T) {
	for in, want := range map[string]string{
		"/a b/ü?x": "/a b/ü?x", "/\x1b[2J": "/?[2J", "/\u009b2J": "/?2J", "\xff/": "\ufffd/", "a\tb\nc": "a?b?c", "\u202eab": "?ab",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0s", 0.0000123: "12µs", 0.0123456: "12.3ms", 1.23456: "1.23s", 200.4: "3m20s", 7322: "2h2m2s",
	} {
		if got := short(in); got != want {
			t.Errorf("%v is %s, want %s", in, got, want)
		}
	}
}

func exampleState() *api.State {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &api.State{
		Time: at, StartedAt: at.Add(-90 * time.Minute), Version: "1.2.3",
		Function: api.Function{Name: "resize", Version: "7"},
		Upstream: api.Upstream{URL: "http://127.0.0.1:3000", Up: true},
		Ready:    true, Inflight: 9, Limit: 10, HighWater: 10, Waiting: 3, QueueDepth: 100,
		Requests:  api.Requests{Total: 12345, ByCodeClass: map[string]uint64{"2xx": 12340, "5xx": 5}},
		Throttles: map[string]uint64{"max_inflight": 7, "queue_full": 0, "queue_timeout": 20},
		Second: api.Sample{
			Ended: 210, Failed: 2, Throttled: map[string]uint64{"queue_timeout": 1, "max_inflight": 4},
			P50: 0.0123, P95: 0.25, P99: api.Seconds(math.NaN()),
		},
	}
}

func TestStateForPeople(t *testing.T) {
	s := exampleState()
	var b strings.Builder
	if err := table(&b, nil, stateRows(s)); err != nil {
		t.Fatal(err)
	}
	const want = `function     resize 7
upstream     http://127.0.0.1:3000, up
status       ready
running      9 of 10, 10 at most in the last minute
waiting      3 of 100
last second  210 ended, 2 with 5xx, 5 refused (max_inflight 4, queue_timeout 1)
latency      p50 12.3ms  p95 250ms  p99 -
requests     12345 ended, 5 of them with 5xx
refused      queue_timeout 20, max_inflight 7
weir         1.2.3, up 1h30m0s
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	s.Upstream = api.Upstream{URL: "http://127.0.0.1:3000", Failure: "connection refused"}
	s.Ready, s.NotReadyReason, s.Limit, s.Throttles = false, "the function does not answer", 0, nil
	b.Reset()
	_ = table(&b, nil, stateRows(s))
	for _, line := range []string{
		"upstream     http://127.0.0.1:3000, down: connection refused\n", "status       not ready: the function does not answer\n",
		"running      9 (no limit), 10 at most in the last minute\n", "refused      none\n",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no %q in\n%s", line, &b)
		}
	}
}

func TestSharedLimitForPeople(t *testing.T) {
	shared := api.SharedLimit{Held: 4, Limit: 40, Configured: 40, Free: 2, Members: 10, StoreUp: true, LeaseSeconds: 5, LeaseConfiguredSeconds: 5, OnOutage: "share"}
	for _, c := range []struct {
		change func(*api.SharedLimit)
		want   string
	}{
		{func(*api.SharedLimit) {}, "4 of 40 held here, 2 held by nobody, 10 sidecars; lease of 5s"},
		{func(l *api.SharedLimit) { l.Configured, l.LeaseConfiguredSeconds = 50, 60 }, "4 of 40 held here, 2 held by nobody, 10 sidecars; 50 are configured here; lease of 5s, 1m0s is configured here"},
		{func(l *api.SharedLimit) { l.StoreUp = false }, "4 of 40 held here, 2 held by nobody, 10 sidecars; lease of 5s; NATS is away, share once the lease ends"},
		{func(l *api.SharedLimit) { l.StoreUp, l.Outage = false, "share" }, "4 of 40 held here, 2 held by nobody, 10 sidecars; lease of 5s; NATS is away and the lease has ended: share"},
	} {
		l := shared
		c.change(&l)
		if got := sharedLimit(&l); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	s := exampleState()
	shared.Scope = "account"
	s.SharedLimits = []api.SharedLimit{shared}
	if row := stateRows(s)[9]; row[0] != "account limit" || row[1] != sharedLimit(&shared) {
		t.Errorf("%q", row)
	}
}

func TestTopOnATerminal(t *testing.T) {
	lines := topLines(exampleState())
	if lines[0] != "weirctl top  "+exampleState().Time.Local().Format(time.TimeOnly)+"  Ctrl-C ends" || !strings.Contains(strings.Join(lines, "\n"), "running      [##################  ] 9 of 10") {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
	lines = append(lines, runningLines(&api.Inflight{Requests: []api.Request{{Method: "GET", Path: "/\x1b[2J", AgeSeconds: 1.5}}})...)
	var b strings.Builder
	s := &screen{&b, func() (int, int, error) { return 40, 6, nil }}
	if err := s.paint(lines); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if strings.Count(got, "\r\n") != 5 || !strings.HasPrefix(got, cursorHome) || !strings.HasSuffix(got, clearLine+clearBelow) {
		t.Errorf("%q", got)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(got, cursorHome), clearBelow), "\r\n") {
		if n := len([]rune(strings.TrimSuffix(line, clearLine))); n > 39 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	b.Reset()
	s.size = func() (int, int, error) { return 120, 50, nil }
	if err := s.paint(lines); err != nil || strings.Contains(b.String(), "\x1b[2J") {
		t.Errorf("%v, %q", err, b.String())
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		n, limit int
		want     string
	}{
		{0, 10, "[                    ] "},
		{1, 1000, "[#                   ] "},
		{5, 10, "[##########          ] "},
		{10, 10, "[####################] "},
		{15, 10, "[####################] "},
		{3, 0, ""},
	} {
		if got := bar(c.n, c.limit); got != c.want {
			t.Errorf("%d of %d: %q", c.n, c.limit, got)
		}
	}
}

func TestValuesAreTypedAsInAFile(t *testing.T) {
	for text, want := range map[string]string{
		"50": "number", "0": "number", "050": "text", "-1": "number", "-": "text", "1.5": "text", "5s": "text", "auto": "text", "true": "boolean", "": "text",
	} {
		got := "text"
		switch settingValue(text).(type) {
		case bool:
			got = "boolean"
		case string:
		default:
			got = "number"
		}
		if got != want {
			t.Errorf("%q is a %s, want a %s", text, got, want)
		}
	}
}
