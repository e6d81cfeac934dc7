package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hook is a receiver of callbacks, who checks signatures with the library of the
// standard.
type hook struct {
	*httptest.Server
	verifier *standardwebhooks.Webhook
	secrets  string // the file

	mu     sync.Mutex
	got    []hookCall
	answer func(n int, w http.ResponseWriter, r *http.Request) // n counts from 1
}

type hookCall struct {
	path, body string
	header     http.Header
	signature  error // of the standard's library
}

func newHook(t testing.TB) *hook {
	t.Helper()
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	secret := "whsec_" + base64.StdEncoding.EncodeToString(b)
	h := &hook{secrets: filepath.Join(t.TempDir(), "secrets")}
	if err := os.WriteFile(h.secrets, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.verifier, err = standardwebhooks.NewWebhook(secret); err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.got = append(h.got, hookCall{r.RequestURI, string(body), r.Header.Clone(), h.verifier.Verify(body, r.Header)})
		n, answer := len(h.got), h.answer
		h.mu.Unlock()
		if answer != nil {
			answer(n, w, r)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) seen() []hookCall {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hookCall(nil), h.got...)
}

func (h *hook) port() string { return strings.TrimPrefix(h.URL, "http://127.0.0.1:") }

// await gives what the receiver got once it has got n.
func (h *hook) await(t testing.TB, n int) []hookCall {
	t.Helper()
	eventually(t, fmt.Sprintf("%d callbacks", n), func() (bool, string) { return len(h.seen()) >= n, fmt.Sprintf("%+v", h.seen()) })
	return h.seen()
}

type callbackState struct {
	Callback *struct {
		State     string `json:"state"`
		Attempts  int    `json:"attempts"`
		LastError string `json:"last_error"`
	} `json:"callback"`
}

// callback waits until the callback of a call is in a state, and returns what its record
// says.
func (w *weir) callback(t testing.TB, id, state string) callbackState {
	t.Helper()
	var s callbackState
	eventually(t, "the callback is "+state, func() (bool, string) {
		a := ask(t, w, "GET", "/_weir/calls/"+id, "")
		s = callbackState{}
		if err := json.Unmarshal([]byte(a.body), &s); err != nil {
			t.Fatalf("%s: %v", a.body, err)
		}
		return s.Callback != nil && s.Callback.State == state, a.body
	})
	if strings.Contains(s.Callback.LastError, "hidden") {
		t.Errorf("the record shows the URL: %q", s.Callback.LastError)
	}
	return s
}

func TestTheOutcomeIsSentToItsCaller(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f, h := newAsyncFunction(t), newHook(t)
		h.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		w := startAsync(t, f, t.TempDir(), engine, "--webhook-secrets="+h.secrets, "--async-callbacks-allow=localhost:"+h.port(), "--log-level=debug")
		to := "http://localhost:" + h.port() + "/done?token=hidden"
		id := accepted(t, ask(t, w, "POST", "/x", "body", "Prefer", "respond-async", "X-Callback-Url", to, "X-Answer", "201"))
		s := w.callback(t, id, "delivered")
		if s.Callback.Attempts != 2 || s.Callback.LastError != "" {
			t.Errorf("its record says %+v", *s.Callback)
		}
		got := h.await(t, 2)
		for i, c := range got {
			if c.signature != nil {
				t.Errorf("attempt %d: the standard's library says: %v", i+1, c.signature)
			}
			if c.path != "/done?token=hidden" || c.body != "did body" || c.header.Get("X-Call-Id") != id || c.header.Get("X-Function-Status") != "201" ||
				c.header.Get("X-Function-Name") != "fn" || c.header.Get("X-Duration-Seconds") == "" || c.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("attempt %d: %s %q %v", i+1, c.path, c.body, c.header)
			}
		}
		if len(got) != 2 || got[0].header.Get("Webhook-Id") != got[1].header.Get("Webhook-Id") {
			t.Errorf("%d attempts, %v", len(got), got)
		}
		w.awaitMetric(t, 1, "weir_callbacks_total", "result", "delivered")
		w.awaitMetric(t, 1, "weir_callbacks_total", "result", "retried")
		w.awaitMetric(t, 0, "weir_callbacks_pending")
		// A failure is an outcome too.
		failing := accepted(t, ask(t, w, "POST", "/x", "body", "Prefer", "respond-async", "X-Callback-Url", to, "X-Answer", "404"))
		w.callback(t, failing, "delivered")
		if c := h.await(t, 3)[2]; c.header.Get("X-Function-Status") != "404" || c.header.Get("Weir-Call-State") != "failed" || c.signature != nil {
			t.Errorf("of the failure came %+v", c)
		}
		for _, line := range w.log.lines() {
			if strings.Contains(fmt.Sprint(line), "hidden") {
				t.Errorf("the log shows a callback's URL: %v", line)
			}
		}
	})
}

func TestACallbackThatIsNotAllowedIsRefused(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		f, h := newAsyncFunction(t), newHook(t)
		w := startAsync(t, f, t.TempDir(), engine, "--webhook-secrets="+h.secrets, "--async-callbacks-allow=*")
		for url, why := range map[string]string{
			h.URL:                         "is not allowed",
			"http://169.254.169.254/x":    "is not allowed",
			"http://[::ffff:127.0.0.1]/":  "is not allowed",
			"http://localhost/":           "this machine",
			"http://127.1/":               "neither a name nor an address",
			"https://u:hidden@a.example/": "a user or a password",
			"ftp://a.example/":            "https:// or http://",
			"nonsense":                    "https:// or http://",
		} {
			a := ask(t, w, "POST", "/", "x", "Prefer", "respond-async", "X-Callback-Url", url)
			if a.status != 400 || !strings.Contains(a.body, why) || strings.Contains(a.body, "hidden") || !strings.HasPrefix(a.header.Get("Proxy-Status"), "weir; error=") {
				t.Errorf("%s: %d %v %s", url, a.status, a.header, a.body)
			}
		}
		if a := ask(t, w, "POST", "/", "x", "Prefer", "respond-async", "X-Callback-Url", "https://a.example/", "X-Callback-Url", "https://b.example/"); a.status != 400 {
			t.Errorf("two of them: %d %s", a.status, a.body)
		}
		// A request that is answered at once has no use for it.
		if a := ask(t, w, "POST", "/", "x", "X-Callback-Url", h.URL); a.status != 200 {
			t.Errorf("a synchronous request: %d %s", a.status, a.body)
		}
		if n := len(f.seen()); n != 1 {
			t.Errorf("the function ran %d times", n)
		}
	})
	t.Run("nothing is allowed unless somebody says so", func(t *testing.T) {
		f := newAsyncFunction(t)
		w := startAsync(t, f, t.TempDir())
		if a := ask(t, w, "POST", "/", "x", "Prefer", "respond-async", "X-Callback-Url", "https://example.com/"); a.status != 400 || !strings.Contains(a.body, "async.callbacks_allow") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// A name that passes for public leads to this machine when it is dialled.
func TestARebindingNameIsNotDialled(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := net.LookupHost(name)
	if err != nil || strings.Trim(name, "0123456789.") == "" {
		t.Skipf("this machine's name %q does not lead to it: %v", name, err)
	}
	for _, a := range addrs {
		if ip := net.ParseIP(a); ip == nil || !ip.IsPrivate() && !ip.IsLoopback() {
			t.Skipf("this machine's name leads to %v, which may be public", addrs)
		}
	}
	f, h := newAsyncFunction(t), newHook(t)
	w := startAsync(t, f, t.TempDir(), "--webhook-secrets="+h.secrets, "--async-callbacks-allow=*", "--async-backoff=1h", "--async-backoff-max=1h")
	id := accepted(t, ask(t, w, "POST", "/", "x", "Prefer", "respond-async", "X-Callback-Url", "http://"+name+":"+h.port()+"/?hidden"))
	s := w.callback(t, id, "pending")
	eventually(t, "it was tried", func() (bool, string) {
		s = w.callback(t, id, "pending")
		return s.Callback.Attempts > 0, "it was not"
	})
	if !strings.Contains(s.Callback.LastError, "is not allowed") || len(h.seen()) != 0 {
		t.Errorf("%q, reached %d times", s.Callback.LastError, len(h.seen()))
	}
}

func TestACallbacksRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	f, h := newAsyncFunction(t), newHook(t)
	h.answer = func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		w.WriteHeader(http.StatusGone)
	}
	w := startAsync(t, f, t.TempDir(), "--webhook-secrets="+h.secrets, "--async-callbacks-allow=127.0.0.1")
	id := accepted(t, ask(t, w, "POST", "/", "x", "Prefer", "respond-async", "X-Callback-Url", h.URL+"/here"))
	if s := w.callback(t, id, "failed"); s.Callback.Attempts != 2 || !strings.Contains(s.Callback.LastError, "410") {
		t.Errorf("its record says %+v", *s.Callback)
	}
	for _, c := range h.seen() {
		if c.path != "/here" {
			t.Errorf("asked for %s", c.path)
		}
	}
	w.awaitMetric(t, 1, "weir_callbacks_total", "result", "gone")
}

func TestACallbackOfASpilledRequestSurvivesAKill(t *testing.T) {
	t.Parallel()
	f, h := newAsyncFunction(t), newHook(t)
	dir := t.TempDir()
	down := make(chan struct{})
	h.answer = func(_ int, w http.ResponseWriter, _ *http.Request) {
		select {
		case <-down:
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	args := []string{"--max-inflight=1", "--overflow=async", "--webhook-secrets=" + h.secrets, "--async-callbacks-allow=127.0.0.0/8"}
	w := startAsync(t, f, dir, args...)
	first := make(chan answered, 1)
	go func() { first <- ask(t, w, "POST", "/", "first", "X-Hold", "1", "X-Callback-Url", h.URL) }()
	eventually(t, "the first request runs", func() (bool, string) { return f.running.now() == 1, "it does not" })
	id := accepted(t, ask(t, w, "POST", "/", "spilled", "X-Callback-Url", h.URL+"/spilled"))
	w.callback(t, id, "waiting")
	close(f.hold)
	<-first
	reaches(t, w, id, "succeeded")
	h.await(t, 1)
	w.signal(t, syscall.SIGKILL)
	w.wait(t)
	close(down)
	w = startAsync(t, f, dir, args...)
	w.callback(t, id, "delivered")
	ids := map[string]bool{}
	for _, c := range h.seen() {
		ids[c.header.Get("Webhook-Id")] = true
		if c.path != "/spilled" || c.body != "did spilled" || c.signature != nil {
			t.Errorf("told %+v", c)
		}
	}
	if len(ids) != 1 {
		t.Errorf("told under the ids %v", ids)
	}
}

func TestDestinationsAreTold(t *testing.T) {
	t.Parallel()
	f, h := newAsyncFunction(t), newHook(t)
	w := startAsync(t, f, t.TempDir(), "--webhook-secrets="+h.secrets, "--async-on-success="+h.URL+"/good", "--async-on-failure="+h.URL+"/bad", "--async-events=cloudevents", "--async-attempts=2")
	async := []string{"Prefer", "respond-async"}
	good := accepted(t, ask(t, w, "POST", "/x?y", "good", async...))
	reaches(t, w, good, "succeeded")
	h.await(t, 1)
	bad := accepted(t, ask(t, w, "POST", "/x", "bad", append(async, "X-Answer", "503")...))
	reaches(t, w, bad, "failed")
	got := h.await(t, 2)
	for i, want := range []struct{ path, id, state, body string }{
		{"/good", good, "succeeded", `"response":{"status":200,"content_type":"text/plain; charset=utf-8","body":"did good"}`},
		{"/bad", bad, "failed", `"response":{"status":503,"content_type":"text/plain; charset=utf-8","body":"did bad"}`},
	} {
		c := got[i]
		if c.path != want.path || c.signature != nil || c.header.Get("Content-Type") != "application/json" || !strings.Contains(c.body, want.body) ||
			!strings.Contains(c.body, `"id":"`+want.id+`","function":"fn","state":"`+want.state+`"`) {
			t.Errorf("told %+v", c)
		}
		if c.header.Get("Ce-Specversion") != "1.0" || c.header.Get("Ce-Type") != "weir.call."+want.state || c.header.Get("Ce-Subject") != want.id || c.header.Get("Ce-Id") != c.header.Get("Webhook-Id") {
			t.Errorf("as an event it is %v", c.header)
		}
	}
	if !strings.Contains(got[0].body, `"request":{"method":"POST","target":"/x?y"}`) || !strings.Contains(got[1].body, `"error":"the function answered 503, in attempt 2 of 2","attempts":2`) {
		t.Errorf("told %s and %s", got[0].body, got[1].body)
	}
}

// A subject that no stream takes is told once there is one.
func TestADestinationIsASubject(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	f := newAsyncFunction(t)
	w := start(t, "--upstream="+f.url(), "--function=fn", "--async", "--nats-url="+s.ClientURL(), "--async-on-success=nats://orders.done",
		"--async-destination-body=response", "--async-events=cloudevents", "--async-backoff=10ms", "--async-backoff-max=50ms", "--webhook-backoff-max=50ms")
	id := accepted(t, ask(t, w, "POST", "/", "x", "Prefer", "respond-async"))
	eventually(t, "it was tried", func() (bool, string) {
		return w.scrape(t).total(t, "weir_callbacks_total", "result", "retried") > 0, "it was not"
	})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err)
	}
	w.awaitMetric(t, 1, "weir_callbacks_total", "result", "delivered")
	m, err := stream.GetLastMsgForSubject(t.Context(), "orders.done")
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != "did x" || m.Header.Get("ce-type") != "weir.call.succeeded" || m.Header.Get("ce-subject") != id || m.Header.Get("webhook-id") != id+".on_success.1" || m.Header.Get("x-function-status") != "200" {
		t.Errorf("published %q %v", m.Data, m.Header)
	}
}

// A destination that is the function itself, asynchronously, is a loop as any other.
func TestADestinationThatLeadsBackIsStopped(t *testing.T) {
	t.Parallel()
	f, h := newAsyncFunction(t), newHook(t)
	addr := freePort(t)
	w := startAsync(t, f, t.TempDir(), "--listen="+addr, "--max-loop=3", "--webhook-secrets="+h.secrets, "--async-on-success=http://"+addr+"/async-function/fn/again")
	accepted(t, ask(t, w, "POST", "/", "x", "Prefer", "respond-async"))
	eventually(t, "the loop is refused", func() (bool, string) {
		n := w.scrape(t).total(t, "weir_throttles_total", "reason", "loop")
		return n > 0, fmt.Sprint(n)
	})
	if n := len(f.seen()); n != 3 {
		t.Errorf("the function ran %d times", n)
	}
}
