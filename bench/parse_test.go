//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestWrkIsReadAndJudged(t *testing.T) {
	t.Parallel()
	out := "Running 1s test\nRequests/sec: 1\n\nsaw " +
		`{"requests":100,"us":1000000,"bytes":20000,"connect":0,"read":0,"write":0,"timeout":0,"status":0,"p50_us":500,"p99_us":2500}` + "\n"
	saw, err := parseWrk(out)
	if err != nil {
		t.Fatal(err)
	}
	c := &cell{connections: 2, response: 50}
	l := c.judgeWrk(saw)
	if l.invalid != "" || l.requests != 100 || l.took != time.Second || l.p50 != 500*time.Microsecond || l.p99 != 2500*time.Microsecond {
		t.Errorf("judgeWrk = %+v", l)
	}
	for name, spoil := range map[string]func(*wrkSaw){
		"socket error":   func(w *wrkSaw) { w.Read = 1 },
		"timeout":        func(w *wrkSaw) { w.Timeout = 1 },
		"another status": func(w *wrkSaw) { w.Status = 1 },
		"too few bytes":  func(w *wrkSaw) { w.Bytes = 4999 },
		"too many bytes": func(w *wrkSaw) { w.Bytes = 10 << 20 },
	} {
		bad := *saw
		spoil(&bad)
		if l := c.judgeWrk(&bad); l.invalid == "" {
			t.Errorf("%s: not invalid", name)
		}
	}
	refusing := &cell{connections: 2, response: 50, refused: true}
	if l := refusing.judgeWrk(saw); l.invalid == "" {
		t.Error("requests that were forwarded pass for refused")
	}
	if _, err := parseWrk("Running 1s test\n"); err == nil {
		t.Error("wrk that said nothing was understood")
	}
}

func TestH2LoadIsReadAndJudged(t *testing.T) {
	t.Parallel()
	const good = "requests: 120 total, 130 started, 120 done, 120 succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: 121 2xx, 0 3xx, 0 4xx, 0 5xx\n"
	l, err := parseH2Load(good)
	if err != nil || l.invalid != "" || l.requests != 120 {
		t.Fatalf("parseH2Load = %+v, %v", l, err)
	}
	for _, bad := range []string{
		strings.Replace(good, "0 failed", "1 failed", 1),
		strings.Replace(good, "0 5xx", "3 5xx", 1),
		strings.Replace(good, "120 succeeded", "119 succeeded", 1),
	} {
		if l, err := parseH2Load(bad); err != nil || l.invalid == "" {
			t.Errorf("%q: %+v, %v: not invalid", bad, l, err)
		}
	}
	if _, err := parseH2Load("finished in 1s\n"); err == nil {
		t.Error("h2load that said nothing was understood")
	}
}

func TestStraceIsRead(t *testing.T) {
	t.Parallel()
	counts, err := parseStrace("    calls syscall\n--------- ------------\n       12 read\n      300 write\n--------- ------------\n      312 total\n")
	if err != nil || len(counts) != 2 || counts[0] != (callCount{"write", 300}) || counts[1] != (callCount{"read", 12}) {
		t.Errorf("parseStrace = %v, %v", counts, err)
	}
	if _, err := parseStrace(""); err == nil {
		t.Error("an empty table was understood")
	}
}

func TestMetricsAreSummed(t *testing.T) {
	t.Parallel()
	const text = "# TYPE a counter\na{r=\"x\",f=\"1\"} 2\na{r=\"x\",f=\"2\"} 3.5e1\na{r=\"y\"} 7\nab 100\nb 4\n"
	if v, err := sumMetric(text, "a", `r="x"`); err != nil || v != 37 {
		t.Errorf(`sum of a{r="x"} = %v, %v`, v, err)
	}
	if v, err := sumMetric(text, "b", ""); err != nil || v != 4 {
		t.Errorf("b = %v, %v", v, err)
	}
	if _, err := sumMetric(text, "c", ""); err == nil {
		t.Error("a metric that is not there was found")
	}
}

func TestRatiosNeedValidRounds(t *testing.T) {
	t.Parallel()
	valid := func(cpu time.Duration) *sample { return &sample{requests: 1000, cpu: cpu} }
	r := &results{samples: map[string]map[string][]*sample{cellSmall: {
		weir:         {valid(10 * time.Millisecond), valid(30 * time.Millisecond), valid(20 * time.Millisecond)},
		haproxy:      {valid(20 * time.Millisecond), valid(30 * time.Millisecond), valid(25 * time.Millisecond)},
		reverseProxy: {valid(50 * time.Millisecond), {requests: 1, invalid: "socket errors"}, valid(50 * time.Millisecond)},
	}}}
	rows := r.rows()
	if rows[0].verdict != holds || !strings.HasPrefix(rows[0].measured, "0.80 (0.50 to 1.00)") {
		t.Errorf("weir / HAProxy: %+v", rows[0])
	}
	if rows[1].verdict != unjudged || !strings.Contains(rows[1].measured, "socket errors") {
		t.Errorf("with an invalid round: %+v", rows[1])
	}
	for _, w := range rows[2:] {
		if w.verdict == holds && !strings.HasPrefix(w.figure, "allocations") {
			t.Errorf("holds without a measurement: %+v", w)
		}
	}
	if w := judge("f", "at most 1", []float64{1.5}, nil, "%.1f", func(m float64) bool { return m <= 1 }); w.verdict != fails {
		t.Errorf("1.5 at most 1: %+v", w)
	}
}

func TestPlotIsXML(t *testing.T) {
	t.Parallel()
	svg := drawBars("CPU <µs>", []bars{{"a & b", []string{weir, haproxy}, []float64{1.5, -1}}})
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	if !strings.Contains(string(svg), ">invalid<") {
		t.Error("a missing value is not marked")
	}
}
