package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/admin/api"
)

// until asks again and again until what it gets holds.
func until(t *testing.T, what string, ask func() string, holds func(string) bool) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got := ask()
		if holds(got) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still\n%s", what, got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestCallsAndDeadLetters(t *testing.T) {
	t.Parallel()
	var healthy atomic.Bool
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/async" && !healthy.Load() {
			http.Error(w, "not today", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(function.Close)
	s := startSidecar(t, "--upstream="+function.URL, "--async", "--async-dir="+t.TempDir(), "--async-any-filesystem", "--async-attempts=1")
	call := func(delay string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.data+"/async", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Prefer", "respond-async")
		if delay != "" {
			r.Header.Set("Weir-Delay", delay)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusAccepted {
			t.Fatalf("the call got %s", res.Status)
		}
		return res.Header.Get("X-Call-Id")
	}

	later := call("1h")
	if out := s.must(t, "calls", "get", later); !regexp.MustCompile(`(?m)^id +` + later + `\nstate +scheduled\nattempts +0\nrequest +POST /async\nenqueued +\d{4}-`).MatchString(out) {
		t.Errorf("calls get:\n%s", out)
	}
	if out := s.must(t, "calls", "cancel", later); out != later+" is cancelled\n" {
		t.Errorf("calls cancel: %q", out)
	}
	if e := s.ctl("calls", "cancel", later); e.code != exitFailed || !strings.Contains(e.stderr, "it is cancelled (409 Conflict)") {
		t.Errorf("calls cancel, again: %+v", e)
	}

	if out := s.must(t, "calls", "ls", "--state", "cancelled"); !regexp.MustCompile(`(?m)^ID .* REQUEST .*\n` + later + ` +cancelled +0 +\d{4}-\S+ \S+ +POST /async +- +- *$`).MatchString(out) {
		t.Errorf("calls ls:\n%s", out)
	}

	const n = 5
	var ids []string
	for range n {
		ids = append(ids, call(""))
	}
	list := func() string { return s.must(t, "dead-letters", "ls") }
	out := until(t, "all are dead", list, func(text string) bool { return strings.Count(text, " failed ") == n })
	if !strings.HasPrefix(out, "ID ") || !strings.Contains(out, " 503 ") || !strings.Contains(out, ids[0]) {
		t.Errorf("dead-letters ls:\n%s", out)
	}
	var letters api.DeadLetters
	if err := json.Unmarshal([]byte(s.must(t, "dead-letters", "ls", "--limit=2", "-o", "json")), &letters); err != nil || len(letters.Calls) != 2 || letters.Calls[0].State != "failed" {
		t.Errorf("dead-letters ls -o json: %v, %+v", err, letters)
	}
	if out := s.must(t, "dead-letters", "ls", "--limit=2"); !strings.HasSuffix(out, "and more; --limit shows them\n") {
		t.Errorf("dead-letters ls --limit=2:\n%s", out)
	}
	var failed api.Calls
	if err := json.Unmarshal([]byte(s.must(t, "calls", "ls", "--state=failed", "--limit=2", "-o", "json")), &failed); err != nil || len(failed.Calls) != 2 || failed.Next == "" {
		t.Errorf("calls ls -o json: %v, %+v", err, failed)
	}
	if out := s.must(t, "calls", "ls", "--state=failed", "--cursor", failed.Next); strings.Count(out, " failed ") != n-2 {
		t.Errorf("calls ls --cursor:\n%s", out)
	}
	if out := s.must(t, "calls", "ls", "--limit=2"); !regexp.MustCompile(`\nand more; --limit shows them, or --cursor call\.\d+\n$`).MatchString(out) {
		t.Errorf("calls ls --limit=2:\n%s", out)
	}
	if out := s.must(t, "dead-letters", "get", ids[0]); !strings.Contains(out, "\nerror     the function answered 503, in attempt 1 of 1\n") ||
		!strings.Contains(out, "\nbody      4 bytes\n\nlast response: 503 Service Unavailable\n") || !strings.HasSuffix(out, "\n\nnot today\n") {
		t.Errorf("dead-letters get:\n%s", out)
	}
	if out := s.must(t, "state"); !regexp.MustCompile(`(?m)^async +0 waiting, \d scheduled, 0 running, 5 dead letters$`).MatchString(out) {
		t.Errorf("state:\n%s", out)
	}

	// They die once more, and --all does not go on for ever.
	if out := s.must(t, "dead-letters", "redrive", "--all"); out != fmt.Sprintf("%d redriven\n", n) {
		t.Errorf("redrive --all: %q", out)
	}
	until(t, "all are dead again", list, func(text string) bool { return strings.Count(text, " failed ") == n })

	if out := s.must(t, "dead-letters", "purge", ids[0]); out != "1 removed\n" {
		t.Errorf("purge: %q", out)
	}
	healthy.Store(true)
	if e := s.ctl("dead-letters", "redrive", ids[1], ids[0]); e.code != exitFailed || e.stdout != "1 redriven\n" || !strings.Contains(e.stderr, ids[0]+": there is no such call") {
		t.Errorf("redrive: %+v", e)
	}
	until(t, "it succeeds", func() string { return s.must(t, "calls", "get", ids[1]) }, func(text string) bool { return strings.Contains(text, "succeeded") })
	if out := s.must(t, "dead-letters", "purge", "--all", "-o", "json"); out != "{\n  \"removed\": 3\n}\n" {
		t.Errorf("purge --all: %q", out)
	}
	if out := s.must(t, "dead-letters", "ls", "-o", "json"); out != "{\n  \"calls\": []\n}\n" {
		t.Errorf("dead-letters ls: %q", out)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"calls", "get", "0123456789abcdefghijklmnop"}, exitFailed, "there is no such call"},
		{[]string{"calls", "get", "../state"}, exitFailed, "is no id of a call"},
		{[]string{"calls", "get"}, exitUsage, "accepts 1 arg"},
		{[]string{"calls", "ls", "--state=dead"}, exitUsage, "--state \"dead\" is none of enqueued, scheduled"},
		{[]string{"calls", "ls", "--cursor=x"}, exitFailed, "is not what an answer gave as next"},
		{[]string{"calls", "ls", "--limit=0"}, exitUsage, "--limit 0 is less than 1"},
		{[]string{"dead-letters", "get", later}, exitFailed, "there is no such call"},
		{[]string{"dead-letters", "redrive"}, exitUsage, "name the ids of dead letters, or --all"},
		{[]string{"dead-letters", "purge", "--all", ids[0]}, exitUsage, "--all and ids exclude each other"},
		{[]string{"dead-letters", "ls", "--limit=0"}, exitUsage, "--limit 0 is less than 1"},
	} {
		if e := s.ctl(c.args...); e.code != c.code || !strings.Contains(e.stderr, c.want) {
			t.Errorf("%v: %+v, want code %d and %s", c.args, e, c.code, c.want)
		}
	}
}

func TestCallsWithoutAQueue(t *testing.T) {
	t.Parallel()
	s := startSidecar(t)
	for _, args := range [][]string{{"calls", "get", "0123456789abcdefghijklmnop"}, {"calls", "ls"}, {"dead-letters", "ls"}, {"dead-letters", "get", "0123456789abcdefghijklmnop"}, {"dead-letters", "redrive", "--all"}} {
		if e := s.ctl(args...); e.code != exitFailed || !strings.Contains(e.stderr, "asynchronous calls are switched off (async.enabled)") {
			t.Errorf("%v: %+v", args, e)
		}
	}
	if out := s.must(t, "state"); strings.Contains(out, "async") {
		t.Errorf("state:\n%s", out)
	}
}

func TestProgressWithoutATerminal(t *testing.T) {
	var b strings.Builder
	now := time.Now()
	tell := progressLines(&b, func() time.Time { return now })
	for _, c := range []struct {
		after    time.Duration
		n, total int
	}{{0, 10, 100}, {progressEvery, 20, 100}, {time.Second, 30, 100}, {progressEvery, 40, 100}, {progressEvery, 100, 100}} {
		now = now.Add(c.after)
		tell(c.n, c.total)
	}
	if b.String() != "20 of 100\n40 of 100\n" {
		t.Errorf("told:\n%s", b.String())
	}
}

func TestResponsesAreFitForATerminal(t *testing.T) {
	for _, c := range []struct {
		response *api.Response
		want     string
	}{
		{nil, "\nno attempt was answered\n"},
		{&api.Response{StatusCode: 500, Fields: []api.Field{{Name: "A", Value: "\x1b[2J"}}, Body: "one\r\ntwo\x07"}, "\nlast response: 500 Internal Server Error\nA: ?[2J\n\none\ntwo?\n"},
		{&api.Response{StatusCode: 429, Dropped: true}, "\nlast response: 429 Too Many Requests\n\n(the body was too large to be kept)\n"},
		{&api.Response{StatusCode: 502, BodyBase64: []byte{0xff}, Truncated: true}, "\nlast response: 502 Bad Gateway\n\n(1 bytes that are no text; -o json has them)\n(cut short)\n"},
	} {
		var b strings.Builder
		if err := printResponse(&b, c.response); err != nil || b.String() != c.want {
			t.Errorf("got %q, %v, want %q", b.String(), err, c.want)
		}
	}
}
