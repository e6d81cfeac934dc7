package conformance

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The suite's own parts, tested: a check that cannot fail proves nothing.

func TestJudgeTellsFailureFromSuccess(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(testing.TB)
		fail bool
	}{
		"passes":              {func(t testing.TB) { t.Log("fine") }, false},
		"errors":              {func(t testing.TB) { t.Errorf("bad") }, true},
		"ends at once":        {func(t testing.TB) { t.Fatal("bad") }, true},
		"fails when clearing": {func(t testing.TB) { t.Cleanup(func() { t.Fatalf("bad") }) }, true},
		"fails in a helper's clean-up, after another": {func(t testing.TB) {
			t.Cleanup(func() { t.Error("bad") })
			t.Cleanup(func() {})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			j := &judge{TB: t}
			j.try(c.run)
			if j.Failed() != c.fail {
				t.Errorf("failed: %v, want %v; it said %q", j.Failed(), c.fail, j.account())
			}
			if t.Failed() != (j.Failed() != c.fail) {
				t.Error("the judge's failure reached the test that asks")
			}
		})
	}
}

func TestJudgeCleansUpAfterFatalInReverse(t *testing.T) {
	var order []string
	j := &judge{TB: t}
	j.try(func(t testing.TB) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() {
			order = append(order, "second")
			t.FailNow()
		})
		t.Fatal("bad")
	})
	if got := strings.Join(order, " "); got != "second first" {
		t.Errorf("cleaned up %q", got)
	}
}

func TestExpectedFailureThatPassesFails(t *testing.T) {
	outer := &judge{TB: t}
	outer.try(func(t testing.TB) { mustFail(t, "a reason", func(testing.TB) {}) })
	if !outer.Failed() || !strings.Contains(outer.account(), "no longer fails: remove it from the list") {
		t.Errorf("failed: %v, saying %q", outer.Failed(), outer.account())
	}
	outer = &judge{TB: t}
	outer.try(func(t testing.TB) { mustFail(t, "a reason", func(t testing.TB) { t.Fatal("as expected") }) })
	if outer.Failed() {
		t.Errorf("a case that fails as expected fails the suite: %q", outer.account())
	}
}

func TestTablesAreConsistent(t *testing.T) {
	for name, expected := range map[string][]Expected{"own": OwnEngine(), "nethttp": NetHTTP()} {
		if err := validate(Cases(), expected); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	run := func(testing.TB, *Stage) {}
	for want, c := range map[string]struct {
		cases    []Case
		expected []Expected
	}{
		"is not named":               {cases: []Case{{Name: "nameless", Run: run}}},
		"does nothing":               {cases: []Case{{Name: "a/b"}}},
		"two cases are named":        {cases: []Case{{Name: "a/b", Run: run}, {Name: "a/b", Run: run}}},
		"names no case":              {expected: []Expected{{Case: "a/b", Reason: "r"}}},
		"gives no reason":            {cases: []Case{{Name: "a/b", Run: run}}, expected: []Expected{{Case: "a/b"}}},
		"does not run over h2c":      {cases: []Case{{Name: "a/b", Run: run, Over: http1Carriers}}, expected: []Expected{{Case: "a/b", Over: []Carrier{H2C}, Reason: "r"}}},
		"expected twice over h1-tls": {cases: []Case{{Name: "a/b", Run: run}}, expected: []Expected{{Case: "a/b", Reason: "r"}, {Case: "a/b", Over: []Carrier{H1TLS}, Reason: "r"}}},
	} {
		if err := validate(c.cases, c.expected); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that says %q, got %v", want, err)
		}
	}
}

func TestReadHeadIsStrict(t *testing.T) {
	for raw, ok := range map[string]bool{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\n":     true,
		"HTTP/1.1 200 OK\nA: b\r\n\r\n":       false,
		"HTTP/1.1 200 OK\r\nA: b\n\r\n":       false,
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n":    false,
		"HTTP/1.1 200 OK\r\n b\r\n\r\n":       false,
		"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n":  false,
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n": false,
		"HTTP/1.1 200 OK\r\nA: b\r\n":         false,
		"":                                    false,
	} {
		h, err := readHead(bufio.NewReader(strings.NewReader(raw)))
		if (err == nil) != ok {
			t.Errorf("%q: %v", raw, err)
		}
		if ok && (h.raw != raw || h.start != "HTTP/1.1 200 OK" || h.fields().Get("A") != "b") {
			t.Errorf("%q: read as %+v", raw, h)
		}
	}
	if _, err := readHead(bufio.NewReader(strings.NewReader(""))); !errors.Is(err, io.EOF) {
		t.Errorf("nothing at all: %v, want EOF", err)
	}
}

func TestReadBodyKnowsACutBody(t *testing.T) {
	coded, sized := http.Header{"Transfer-Encoding": {"chunked"}}, http.Header{"Content-Length": {"5"}}
	for _, c := range []struct {
		name   string
		fields http.Header
		raw    string
		body   string
		cut    bool
		bad    bool
	}{
		{"chunks", coded, chunked([]string{"hel", "lo"}, "T: v"), "hello", false, false},
		{"length", sized, "hello", "hello", false, false},
		{"neither", http.Header{}, "hello", "", false, false},
		{"short length", sized, "hel", "hel", true, false},
		{"no last chunk", coded, "5\r\nhello\r\n", "hello", true, false},
		{"short chunk", coded, "5\r\nhel", "hel", true, false},
		{"no empty line", coded, "5\r\nhello\r\n0\r\n", "hello", true, false},
		{"trailer cut", coded, "5\r\nhello\r\n0\r\nT: ", "hello", true, false},
		{"chunk too long", coded, "5\r\nhelloX\r\n0\r\n\r\n", "", false, true},
		{"bare LF", coded, "5\nhello\r\n0\r\n\r\n", "", false, true},
		{"signed size", coded, "+5\r\nhello\r\n0\r\n\r\n", "", false, true},
		{"both", http.Header{"Transfer-Encoding": {"chunked"}, "Content-Length": {"5"}}, "hello", "", false, true},
		{"two lengths", http.Header{"Content-Length": {"5", "5"}}, "hello", "", false, true},
	} {
		body, trailer, err := readBody(bufio.NewReader(strings.NewReader(c.raw)), c.fields, false)
		if string(body) != c.body || errors.Is(err, errCut) != c.cut || (err != nil) != (c.cut || c.bad) {
			t.Errorf("%s: %q, %v", c.name, body, err)
		}
		if c.name == "chunks" && trailer.Get("T") != "v" {
			t.Errorf("%s: trailer %v", c.name, trailer)
		}
	}
}

func TestMeterIsExact(t *testing.T) {
	var m Meter
	m.begin()
	m.begin()
	time.Sleep(10 * time.Millisecond) // time to be measured
	m.end()
	m.begin()
	m.end()
	m.end()
	c := m.Count()
	if c.Current != 0 || c.Highest != 2 || c.Begun != 3 || c.Ended != 3 || c.Integral < 20*time.Millisecond {
		t.Errorf("%+v", c)
	}
	if later := m.Count().Integral; later != c.Integral {
		t.Errorf("the integral grew from %v to %v with nothing running", c.Integral, later)
	}
}

func TestSamplesAreRead(t *testing.T) {
	samples, err := parseSamples("# HELP a b\n# TYPE a counter\na 1\nb{x=\"1\",y=\"a\\\"}, b\"} 2.5e3\nb{x=\"2\"} 1 1700000000\n\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want   float64
		name   string
		labels []string
	}{{1, "a", nil}, {2501, "b", nil}, {2500, "b", []string{"x", "1"}}, {2500, "b", []string{"y", `a"}, b`}}, {0, "b", []string{"x", "3"}}} {
		if got, err := total(samples, c.name, c.labels...); got != c.want || err != nil {
			t.Errorf("%s%v = %v, %v; want %v", c.name, c.labels, got, err, c.want)
		}
	}
	if _, err := total(samples, "c"); err == nil {
		t.Error("a metric that is not shown counts as 0")
	}
	for _, bad := range []string{"a", "a x", "a{x} 1", "a{x=1} 1", `a{x="1} 1`} {
		if _, err := parseSamples(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestPortsAreLearntFromTheLog(t *testing.T) {
	l := &logBook{ports: map[string]string{}, listening: make(chan struct{})}
	l.follow(strings.NewReader("noise\n" +
		`time=2026-11-21T00:00:00Z level=INFO msg="not listening" port=data addr=1:1` + "\n" +
		"time=2026-11-21T00:00:00Z level=INFO msg=listening port=metrics addr=127.0.0.1:2\n"))
	select {
	case <-l.listening:
		t.Fatal("listening before the data port is known")
	default:
	}
	l.follow(strings.NewReader(`time=2026-11-21T00:00:00Z level=INFO msg="listening" addr="127.0.0.1:1" function=f port=data max_inflight=1`))
	<-l.listening
	if want := map[string]string{"data": "127.0.0.1:1", "metrics": "127.0.0.1:2"}; !maps.Equal(l.ports, want) {
		t.Errorf("learnt %v, want %v", l.ports, want)
	}
	if !strings.HasPrefix(l.String(), "noise\n") {
		t.Errorf("the log was not kept: %q", l.String())
	}
}

func TestForwardedElementsAreRead(t *testing.T) {
	for element, want := range map[string]map[string]string{
		`for=192.0.2.1;proto=http;host="h:80"`: {"for": "192.0.2.1", "proto": "http", "host": "h:80"},
		`For="192.0.2.1:99"; Proto=https`:      {"for": "192.0.2.1", "proto": "https"},
		`for="[2001:db8::1]"`:                  {"for": "2001:db8::1"},
	} {
		if got := forwardedPairs(element); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", element, got, want)
		}
	}
}

// TestFunctionAndClientAgree drives the function without a weir between, over
// both protocols, so that a case that fails says something about weir.
func TestFunctionAndClientAgree(t *testing.T) {
	f := newFunction(t, "tcp")
	for _, carrier := range []Carrier{H1, H2C} {
		t.Run(carrier.Name, func(t *testing.T) {
			s := &Stage{Carrier: carrier, Weir: &Instance{Addr: f.Addr}, Function: f, certs: &certificates{}}
			seen := s.Do(t, "POST /a%2Fb?c", "hello", "X-A: b", "Host: example.com").echoed(t)
			if seen.Target != "/a%2Fb?c" || seen.Body != "hello" || seen.Header.Get("X-A") != "b" || seen.Host != "example.com" || seen.ContentLength != 5 {
				t.Errorf("echoed %+v", seen)
			}
			if _, ok := seen.Header["User-Agent"]; ok {
				t.Error("the client added a User-Agent")
			}
			seen = s.postTrailers(t, []string{"Trailer: X-Sum"}, "X-Sum: 1").echoed(t)
			if seen.Trailer.Get("X-Sum") != "1" {
				t.Errorf("trailers %v", seen.Trailer)
			}
			f.Handle("/early", early(404, 103))
			resp := s.Do(t, "GET /early", nil).wantBody(t, 404, "final")
			if len(resp.Interim) != 1 || resp.Interim[0].Fields.Get("Link") == "" {
				t.Errorf("interim %+v", resp.Interim)
			}
			gate := f.Hold("/hold")
			call := s.Go(t, "GET /hold", nil)
			held := gate.Next(t)
			if call.Done() || held.Canceled() {
				t.Error("a held request is over")
			}
			call.Cancel()
			held.AwaitCanceled(t)
			held.AwaitDone(t)
			f.awaitIdle(t)
			s.startThenSilence("/begin")
			response, leave := s.OpenCancel(t, "GET /begin", nil)
			if got := readSome(t, response.Body, 5); got != "begun" {
				t.Errorf("streamed %q", got)
			}
			leave()
			f.awaitIdle(t)
			s.hangUp()
		})
	}
}
