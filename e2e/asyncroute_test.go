package e2e

import (
	"strings"
	"testing"
)

// Routes have attempts of their own, and a change of the file reaches calls that were
// accepted before it.
func TestRoutesHaveAsynchronousSettingsOfTheirOwn(t *testing.T) {
	t.Parallel()
	const text = `async:
  attempts: 3
  backoff: 1ms
  backoff_max: 5ms
  retry_statuses: [503]
routes:
- {path: /once, invoke: async, async_attempts: 1}
- {path: /more, methods: [POST], async_attempts: 5, async_retry_statuses: [500, 503]}
- {path: /never, async_retry_statuses: []}
- {path: /later, async_attempts: 1}
`
	f := newAsyncFunction(t)
	path := configFile(t, text)
	w := startAsync(t, f, t.TempDir(), "--config="+path)
	call := func(method, target, status string, fields ...string) string {
		t.Helper()
		return accepted(t, ask(t, w, method, target, "x", append(fields, "Prefer", "respond-async", "X-Answer", status)...))
	}
	// Flags win over the file: startAsync sets the backoff, which is the same.
	for _, c := range []struct {
		method, target, status string
		attempts               int
	}{
		{"POST", "/", "503", 3},
		{"POST", "/", "500", 1}, // none of async.retry_statuses
		{"POST", "/once", "503", 1},
		{"POST", "/once/below?x=y", "503", 1},
		{"POST", "/more", "500", 5},
		{"PUT", "/more", "503", 3}, // the route is for POST
		{"POST", "/never", "503", 1},
		{"POST", "/async-function/fn/more", "503", 5}, // as the function gets it
	} {
		if s := reaches(t, w, call(c.method, c.target, c.status), "failed"); s.Attempts != c.attempts {
			t.Errorf("%s %s, answered with %s: %+v, want %d attempts", c.method, c.target, c.status, s, c.attempts)
		}
	}

	waiting := call("POST", "/later", "503", "Weir-Delay", "3s")
	writeFile(t, path, strings.Replace(text, "{path: /later, async_attempts: 1}", "{path: /later, async_attempts: 4}", 1))
	w.awaitLog(t, "configuration taken over")
	if s := reaches(t, w, waiting, "failed"); s.Attempts != 4 {
		t.Errorf("a call that was accepted before the change: %+v, want 4 attempts", s)
	}
}
