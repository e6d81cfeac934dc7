package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asyncFunction notes what it gets, and answers as its caller wishes: X-Answer is
// the status, X-Hold keeps it until the test lets go.
type asyncFunction struct {
	*function
	mu   sync.Mutex
	got  []asyncSeen
	hold chan struct{}
}

type asyncSeen struct {
	method, target, host, body string
	header                     http.Header
}

func newAsyncFunction(t testing.TB) *asyncFunction {
	f := &asyncFunction{hold: make(chan struct{})}
	f.function = newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.got = append(f.got, asyncSeen{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()})
		hold := f.hold
		f.mu.Unlock()
		if r.Header.Get("X-Hold") != "" {
			select {
			case <-hold:
			case <-r.Context().Done():
				return
			case <-f.over:
			}
		}
		w.Header().Set("X-Function", "yes")
		status := http.StatusOK
		if s := r.Header.Get("X-Answer"); s != "" {
			_, _ = fmt.Sscan(s, &status)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "did %s", body)
	}))
	return f
}

func (f *asyncFunction) seen() []asyncSeen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]asyncSeen(nil), f.got...)
}

// startAsync runs a weir with a queue of its own.
func startAsync(t testing.TB, f *asyncFunction, dir string, args ...string) *weir {
	t.Helper()
	return start(t, append([]string{
		"--upstream=" + f.url(), "--function=fn", "--async", "--async-dir=" + dir, "--async-any-filesystem", "--async-backoff=1ms", "--async-backoff-max=5ms",
	}, args...)...)
}

// answerTo is a response, read whole.
type answered struct {
	status int
	header http.Header
	body   string
}

func ask(t testing.TB, w *weir, method, path, body string, fields ...string) answered {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+w.data+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answered{res.StatusCode, res.Header, string(b)}
}

// accepted checks that a call was accepted, and returns its id.
func accepted(t testing.TB, a answered) string {
	t.Helper()
	id := a.header.Get("X-Call-Id")
	if a.status != http.StatusAccepted || id == "" || a.header.Get("Location") != "/_weir/calls/"+id || a.header.Get("Proxy-Status") != "weir" {
		t.Fatalf("not accepted: %d %v %s", a.status, a.header, a.body)
	}
	return id
}

type callState struct {
	State      string `json:"state"`
	Attempts   int    `json:"attempts"`
	StatusCode int    `json:"status_code"`
	Error      string `json:"error"`
}

func stateOf(t testing.TB, w *weir, id string) callState {
	t.Helper()
	a := ask(t, w, "GET", "/_weir/calls/"+id, "")
	var s callState
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || a.status != http.StatusOK {
		t.Fatalf("call %s: %d %s, %v", id, a.status, a.body, err)
	}
	return s
}

func reaches(t testing.TB, w *weir, id, state string) callState {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		s := stateOf(t, w, id)
		if s.State == state {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("call %s is %+v, not %s", id, s, state)
		}
	}
}

func TestEveryWayToAskForAnAsynchronousCall(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		file := filepath.Join(t.TempDir(), "weir.yaml")
		if err := os.WriteFile(file, []byte("routes: [{path: /later, invoke: async}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w := startAsync(t, f, t.TempDir(), engine, "--config="+file)
		for name, c := range map[string]struct {
			path, target string
			fields       []string
			preferred    bool
		}{
			"Prefer":                {"/a%2Fb//c;d?x=%20&y", "", []string{"Prefer", "return=minimal, respond-async; foo"}, true},
			"X-Fc-Invocation-Type":  {"/a", "", []string{"X-Fc-Invocation-Type", "Async"}, false},
			"X-Amz-Invocation-Type": {"/a?b", "", []string{"X-Amz-Invocation-Type", "Event"}, false},
			"a route":               {"/later/x", "", nil, false},
			"OpenFaaS' path":        {"/async-function/fn", "/", nil, false},
			"and more of it":        {"/async-function/fn/p/q?r=s", "/p/q?r=s", nil, false},
			"and a query":           {"/async-function/fn?r=s", "/?r=s", nil, false},
		} {
			body := "body of " + name
			a := ask(t, w, "PUT", c.path, body, append(c.fields, "Content-Type", "text/x", "X-Two", "1", "X-Two", "2", "X-Forwarded-For", "6.6.6.6", "Weir-Attempt", "99")...)
			id := accepted(t, a)
			if got := a.header.Get("Preference-Applied") == "respond-async"; got != c.preferred {
				t.Errorf("%s: Preference-Applied is %q", name, a.header.Get("Preference-Applied"))
			}
			if s := reaches(t, w, id, "succeeded"); s.Attempts != 1 || s.StatusCode != 200 {
				t.Errorf("%s: %+v", name, s)
			}
			res := ask(t, w, "GET", "/_weir/calls/"+id+"/response", "")
			if res.status != 200 || res.body != "did "+body || res.header.Get("X-Function") != "yes" {
				t.Errorf("%s: the response is %d %v %q", name, res.status, res.header, res.body)
			}
			all := f.seen()
			got := all[len(all)-1]
			target := c.target
			if target == "" {
				target = c.path
			}
			if got.method != "PUT" || got.target != target || got.body != body || got.host != w.data {
				t.Errorf("%s: the function got %s %s for %s with %q", name, got.method, got.target, got.host, got.body)
			}
			h := got.header
			if h.Get("X-Call-Id") != id || h.Get("Weir-Attempt") != "1" || h.Get("Weir-Enqueued-At") == "" || h.Get("Idempotency-Key") != id ||
				h.Get("Content-Type") != "text/x" || len(h["X-Two"]) != 2 || h.Get("X-Forwarded-For") != "127.0.0.1" || h.Get("Via") != "1.1 weir" {
				t.Errorf("%s: the function got the fields %v", name, h)
			}
		}
		if a := ask(t, w, "GET", "/a", "", "Prefer", "wait=5"); a.status != 200 || a.header.Get("X-Call-Id") != "" {
			t.Errorf("a request that may wait, and no more: %d %v", a.status, a.header)
		}
	})
}

func TestAClientThatWaitsGetsTheAnswer(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir(), engine)
		if a := ask(t, w, "POST", "/", "x", "Prefer", "respond-async, wait=60", "X-Answer", "201"); a.status != 201 || a.body != "did x" || a.header.Get("X-Function") != "yes" || a.header.Get("X-Call-Id") == "" {
			t.Errorf("got %d %v %q", a.status, a.header, a.body)
		}
		a := ask(t, w, "POST", "/", "x", "Prefer", "respond-async, wait=1", "X-Hold", "1")
		id := accepted(t, a)
		if a.header.Get("Preference-Applied") != "respond-async" {
			t.Errorf("got %v", a.header)
		}
		reaches(t, w, id, "running")
		close(f.hold)
		reaches(t, w, id, "succeeded")
	})
}

func TestABurstSpillsIntoTheQueue(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir(), engine, "--max-inflight=1", "--overflow=async")
		first := make(chan answered, 1)
		go func() { first <- ask(t, w, "POST", "/", "first", "X-Hold", "1") }()
		eventually(t, "the first request runs", func() (bool, string) { return f.running.now() == 1, "it does not" })
		var ids []string
		for i := range 5 {
			ids = append(ids, accepted(t, ask(t, w, "POST", "/spilled", fmt.Sprint("burst ", i, strings.Repeat("x", i*100_000)))))
		}
		w.awaitMetric(t, 5, "weir_async_depth")
		if n := len(f.seen()); n != 1 {
			t.Errorf("%d calls run beside the one that may", n)
		}
		close(f.hold)
		if a := <-first; a.status != 200 || a.body != "did first" {
			t.Errorf("the first got %d %q", a.status, a.body)
		}
		for i, id := range ids {
			reaches(t, w, id, "succeeded")
			if got := f.seen()[i+1]; !strings.HasPrefix(got.body, fmt.Sprint("burst ", i)) {
				t.Errorf("number %d was %.20q", i, got.body)
			}
		}
		if f.running.highest() > 1 {
			t.Errorf("%d ran at once", f.running.highest())
		}
		w.awaitMetric(t, 0, "weir_async_depth")
		s := w.scrape(t)
		for name, want := range map[string]float64{"weir_async_enqueued_total": 5, "weir_async_attempts_total": 5, "weir_async_succeeded_total": 5, "weir_queue_up": 1} {
			if got := s.total(t, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if got := s.total(t, "weir_requests_total", "mode", "async", "code_class", "2xx", "origin", "function"); got != 5 {
			t.Errorf("asynchronous requests: %v", got)
		}
		if got := s.total(t, "weir_throttles_total", "reason", "max_inflight"); got != 0 {
			t.Errorf("%v requests count as refused, though they were accepted", got)
		}
	})
}

func TestWhatCannotBeAcceptedSaysWhy(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir(), engine, "--async-max-body=1KiB")
		async := []string{"Prefer", "respond-async"}
		for name, c := range map[string]struct {
			path, body string
			fields     []string
			status     int
			detail     string
		}{
			"a body that is too large": {"/", strings.Repeat("x", 1025), nil, 413, "larger than 1024 bytes"},
			"another function":         {"/async-function/other/x", "", nil, 404, "another function"},
			"a delay of two days":      {"/", "", []string{"Weir-Delay", "48h"}, 400, "24 hours"},
			"a delay that is none":     {"/", "", []string{"X-Fc-Async-Delay", "soon"}, 400, "X-Fc-Async-Delay takes seconds"},
			"two keys":                 {"/", "", []string{"Idempotency-Key", "a", "X-Call-Id", "b"}, 400, "idempotency key"},
			"gRPC":                     {"/", "", []string{"Content-Type", "application/grpc"}, 200, ""},
		} {
			a := ask(t, w, "POST", c.path, c.body, append(append([]string{}, async...), c.fields...)...)
			if a.status != c.status || !strings.Contains(a.body, c.detail) || !strings.HasPrefix(a.header.Get("Proxy-Status"), "weir; error=") {
				t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
			}
			if name == "gRPC" && a.header.Get("Grpc-Status") != "12" {
				t.Errorf("gRPC: %v", a.header)
			}
		}
		if id := accepted(t, ask(t, w, "POST", "/", strings.Repeat("x", 1024), async...)); reaches(t, w, id, "succeeded").Attempts != 1 {
			t.Error("a body at the bound was not run once")
		}
		for _, path := range []string{"none", "00000000000000000000000000", "x/response", ""} {
			if a := ask(t, w, "GET", "/_weir/calls/"+path, ""); a.status != 404 {
				t.Errorf("a call %q: %d %s", path, a.status, a.body)
			}
		}
		if n := len(f.seen()); n != 1 {
			t.Errorf("the function ran %d times", n)
		}
	})
}

func TestAKeyIsAnsweredWithTheFirstCall(t *testing.T) {
	t.Parallel()
	f := newAsyncFunction(t)
	w := startAsync(t, f, t.TempDir())
	for _, field := range []string{"Idempotency-Key", "X-Call-Id"} {
		fields := []string{"Prefer", "respond-async", field, "key of " + field}
		first := accepted(t, ask(t, w, "POST", "/", "x", fields...))
		if again := accepted(t, ask(t, w, "POST", "/", "x", fields...)); again != first {
			t.Errorf("%s: %s, then %s", field, first, again)
		}
		if a := ask(t, w, "POST", "/", "y", fields...); a.status != 422 || !strings.Contains(a.body, "used for another request") {
			t.Errorf("%s with another payload: %d %s", field, a.status, a.body)
		}
		reaches(t, w, first, "succeeded")
	}
	if n := len(f.seen()); n != 2 {
		t.Errorf("the function ran %d times", n)
	}
}

func TestCallsSurviveRestartAndKill(t *testing.T) {
	t.Parallel()
	f := newAsyncFunction(t)
	dir := t.TempDir()
	async := []string{"Prefer", "respond-async"}
	w := startAsync(t, f, dir, "--max-inflight=1", "--drain-timeout=1s")
	running := accepted(t, ask(t, w, "POST", "/", "running", append(async, "X-Hold", "1")...))
	reaches(t, w, running, "running")
	waiting := accepted(t, ask(t, w, "POST", "/", "waiting", async...))
	large := bytes.Repeat([]byte("0123456789"), 300_000)
	big := accepted(t, ask(t, w, "POST", "/", string(large), async...))
	delayed := accepted(t, ask(t, w, "POST", "/", "delayed", append(async, "Weir-Delay", "3s")...))
	if s := stateOf(t, w, delayed); s.State != "scheduled" {
		t.Errorf("the delayed call is %+v", s)
	}
	w.signal(t, syscall.SIGTERM) // the attempt under way is handed back
	if code := w.wait(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	w = startAsync(t, f, dir, "--max-inflight=1")
	eventually(t, "a second attempt after the restart", func() (bool, string) {
		s := stateOf(t, w, running)
		return s.State == "running" && s.Attempts == 2, fmt.Sprintf("%+v", s)
	})
	w.signal(t, syscall.SIGKILL)
	w.wait(t)
	close(f.hold)
	w = startAsync(t, f, dir, "--max-inflight=1", "--async-attempts=0")
	for name, id := range map[string]string{"running": running, "waiting": waiting, "delayed": delayed, "big": big} {
		if s := reaches(t, w, id, "succeeded"); s.StatusCode != 200 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	last := map[string]int{}
	for _, s := range f.seen() {
		var attempt int
		if _, err := fmt.Sscan(s.header.Get("Weir-Attempt"), &attempt); err != nil || attempt <= last[s.header.Get("X-Call-Id")] {
			t.Errorf("%.10q came as attempt %q after %d", s.body, s.header.Get("Weir-Attempt"), last[s.header.Get("X-Call-Id")])
		}
		last[s.header.Get("X-Call-Id")] = attempt
		if s.header.Get("X-Call-Id") == big && s.body != string(large) {
			t.Error("the large body is another one")
		}
	}
	if last[waiting] != 1 || last[running] < 3 {
		t.Errorf("the last attempts were %v", last)
	}
}

func TestACallFailsAndIsTakenBack(t *testing.T) {
	t.Parallel()
	f := newAsyncFunction(t)
	w := startAsync(t, f, t.TempDir(), "--max-inflight=1")
	async := []string{"Prefer", "respond-async"}
	failing := accepted(t, ask(t, w, "POST", "/", "x", append(async, "X-Answer", "503")...))
	if s := reaches(t, w, failing, "failed"); s.Attempts != 3 || s.StatusCode != 503 || !strings.Contains(s.Error, "attempt 3 of 3") {
		t.Errorf("got %+v", s)
	}
	w.awaitMetric(t, 1, "weir_dead_letters")
	if a := ask(t, w, "GET", "/_weir/calls/"+failing+"/response", ""); a.status != 503 || a.body != "did x" {
		t.Errorf("its response: %d %s", a.status, a.body)
	}
	running := accepted(t, ask(t, w, "POST", "/", "x", append(async, "X-Hold", "1")...))
	reaches(t, w, running, "running")
	if a := ask(t, w, "GET", "/_weir/calls/"+running+"/response", ""); a.status != 404 || !strings.Contains(a.body, "has not ended yet") {
		t.Errorf("the response of a running call: %d %s", a.status, a.body)
	}
	if a := ask(t, w, "DELETE", "/_weir/calls/"+running, ""); a.status != 200 || !strings.Contains(a.body, `"state":"cancelled"`) {
		t.Errorf("cancelling: %d %s", a.status, a.body)
	}
	if a := ask(t, w, "DELETE", "/_weir/calls/"+running, ""); a.status != 409 {
		t.Errorf("cancelling again: %d %s", a.status, a.body)
	}
	if a := ask(t, w, "PATCH", "/_weir/calls/"+running, ""); a.status != 405 {
		t.Errorf("PATCH: %d %s", a.status, a.body)
	}
	w.awaitMetric(t, 0, "weir_inflight_requests")
}

// Without a queue nothing of it is there.
func TestWithoutAsyncEverythingIsTheFunctions(t *testing.T) {
	t.Parallel()
	f := newAsyncFunction(t)
	w := start(t, "--upstream="+f.url())
	for _, path := range []string{"/_weir/calls/x", "/async-function/fn", "/"} {
		if a := ask(t, w, "POST", path, "x", "Prefer", "respond-async"); a.status != 200 || a.body != "did x" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if _, body, err := w.get("/metrics"); err != nil || strings.Contains(body, "weir_async") || strings.Contains(body, "weir_queue_up") {
		t.Errorf("there are metrics of a queue that is not there, or %v", err)
	}
}
