package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/admin/api"
	"weir/config"
	"weir/limits"
	"weir/metrics"
)

// sidecarStub is a sidecar without a data port.
type sidecarStub struct {
	gate    *limits.Gate
	metrics *metrics.Metrics
	running []api.Request
	drains  int
	change  api.LimitsChange
	refuse  error
}

func newStub(t *testing.T) (*sidecarStub, Options) {
	t.Helper()
	gate, err := limits.NewGate(limits.Policy{MaxInflight: 2})
	if err != nil {
		t.Fatal(err)
	}
	s := &sidecarStub{gate: gate, metrics: metrics.New(metrics.Options{Function: "f", Gate: gate.Snapshot})}
	return s, Options{
		Version: "1.2.3", Function: api.Function{Name: "f"}, Upstream: "http://127.0.0.1:3000",
		Gate: gate.Snapshot, Totals: s.metrics.Totals, Running: func() []api.Request { return s.running },
		NotReady: func() string { return "" }, Failure: func() string { return "" },
		Limits:       func() api.Limits { return api.Limits{InForce: map[string]any{"max_inflight": 2}} },
		ChangeLimits: func(c api.LimitsChange) error { s.change = c; return s.refuse },
		Drain:        func() { s.drains++ },
		Log:          slog.New(slog.DiscardHandler),
	}
}

func writeToken(t *testing.T, path, token string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhoMayAsk(t *testing.T) {
	const token = "0123456789abcdef"
	path := filepath.Join(t.TempDir(), "token")
	writeToken(t, path, token)
	file, err := NewTokenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	type fields = map[string]string
	for _, c := range []struct {
		name         string
		token, known bool
		method, path string
		host         string
		fields       fields
		want         int
	}{
		{"loopback", false, false, "GET", "/v1/state", "127.0.0.1:9465", nil, 200},
		{"loopback of IPv6", false, false, "GET", "/v1/state", "[::1]:9465", nil, 200},
		{"all of 127/8", false, false, "GET", "/v1/state", "127.1.2.3", nil, 200},
		{"localhost", false, false, "GET", "/v1/state", "LocalHost:1", nil, 200},
		{"a name that was rebound", false, false, "GET", "/v1/state", "evil.example:9465", nil, 421},
		{"a name that begins well", false, false, "GET", "/v1/state", "127.0.0.1.evil.example", nil, 421},
		{"localhost of somebody", false, false, "GET", "/v1/state", "localhost.evil.example", nil, 421},
		{"another address", false, false, "GET", "/v1/state", "192.0.2.1:9465", nil, 421},
		{"the unspecified address", false, false, "GET", "/v1/state", "0.0.0.0:9465", nil, 421},
		{"the page under a name that was rebound", false, false, "GET", "/nothing", "evil.example", nil, 421},
		{"a rebound name with a token", true, false, "GET", "/v1/state", "evil.example", fields{"Authorization": "Bearer " + token}, 200},
		{"any name with a certificate", false, true, "GET", "/v1/state", "weir.example", nil, 200},

		{"no token", true, false, "GET", "/v1/state", "127.0.0.1", nil, 401},
		{"the token", true, false, "GET", "/v1/state", "127.0.0.1", fields{"Authorization": "Bearer " + token}, 200},
		{"the token, spelt otherwise", true, false, "GET", "/v1/state", "127.0.0.1", fields{"Authorization": "bearer  " + token}, 200},
		{"a wrong token", true, false, "GET", "/v1/state", "127.0.0.1", fields{"Authorization": "Bearer " + token[1:] + "0"}, 401},
		{"part of the token", true, false, "GET", "/v1/state", "127.0.0.1", fields{"Authorization": "Bearer " + token[:15]}, 401},
		{"an empty token", true, false, "GET", "/v1/state", "127.0.0.1", fields{"Authorization": "Bearer "}, 401},
		{"a password", true, false, "GET", "/v1/state", "127.0.0.1", fields{"Authorization": "Basic " + token}, 401},
		{"no token for events", true, false, "GET", "/v1/events", "127.0.0.1", nil, 401},
		{"no token for what is not there", true, false, "GET", "/v1/nothing", "127.0.0.1", nil, 401},
		{"no token for a change", true, false, "POST", "/v1/drain", "127.0.0.1", fields{"Content-Type": "application/json"}, 401},
		{"the token beside a certificate", true, true, "GET", "/v1/state", "weir.example", nil, 401},

		{"a change", false, false, "POST", "/v1/drain", "127.0.0.1", fields{"Content-Type": "application/json"}, 200},
		{"a change by the page", false, false, "POST", "/v1/drain", "127.0.0.1", fields{"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}, 200},
		{"a change by a form elsewhere", false, false, "POST", "/v1/drain", "127.0.0.1", fields{"Content-Type": "text/plain"}, 415},
		{"a change by a page elsewhere", false, false, "POST", "/v1/drain", "127.0.0.1", fields{"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403},
		{"a change by an old browser elsewhere", false, false, "POST", "/v1/drain", "127.0.0.1", fields{"Content-Type": "application/json", "Origin": "http://evil.example"}, 403},
		{"a change by another port", false, false, "POST", "/v1/drain", "127.0.0.1:9465", fields{"Content-Type": "application/json", "Origin": "http://127.0.0.1:8080"}, 403},
		{"reading by a page elsewhere", false, false, "GET", "/v1/events", "127.0.0.1", fields{"Sec-Fetch-Site": "cross-site"}, 403},
		{"reading by a page of another port", false, false, "GET", "/v1/state", "127.0.0.1", fields{"Sec-Fetch-Site": "same-site"}, 403},
		{"a question before a change", false, false, "OPTIONS", "/v1/drain", "127.0.0.1", fields{"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}, 405},
		{"another method", false, false, "DELETE", "/v1/limits", "127.0.0.1", nil, 405},
		{"nothing", false, false, "GET", "/v2", "127.0.0.1", nil, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			stub, o := newStub(t)
			if c.token {
				o.Token = file
			}
			o.ClientCertificates = c.known
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
			r.Host = c.host
			for name, value := range c.fields {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			New(o).Handler().ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if (w.Code == 200 && c.method == "POST") != (stub.drains == 1) {
				t.Errorf("status %d, drained %d times", w.Code, stub.drains)
			}
			for name := range w.Header() {
				if strings.HasPrefix(name, "Access-Control") {
					t.Errorf("%s: %s", name, w.Header().Get(name))
				}
			}
			if strings.Contains(w.Body.String(), token) {
				t.Error("the answer shows the token")
			}
		})
	}
}

func TestABodyIsBounded(t *testing.T) {
	_, o := newStub(t)
	r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/v1/limits", strings.NewReader(`{"a": "`+strings.Repeat("x", maxBody)+`"}`))
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	New(o).Handler().ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestATokenFileIsReadAgain(t *testing.T) {
	const first, second = "first-token-of-all", "second-token-of-all"
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	writeToken(t, path, first)
	var log bytes.Buffer
	f, err := NewTokenFile(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	later := func() { f.checked = time.Time{} }
	if !f.Matches(first) || f.Matches(second) || f.Matches("") {
		t.Fatal("the first token")
	}
	writeToken(t, path, second)
	if later(); !f.Matches(second) || f.Matches(first) {
		t.Error("the second token")
	}
	for _, wrong := range []string{"short", "", strings.Repeat("x", 5000)} {
		writeToken(t, path, wrong)
		if later(); !f.Matches(second) || f.Matches(wrong) {
			t.Errorf("a wrong file: the token is not the last good one")
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if later(); !f.Matches(second) {
		t.Error("no file: the token is not the last good one")
	}
	writeToken(t, path, first)
	if later(); !f.Matches(first) {
		t.Error("the first token once more")
	}
	if text := log.String(); strings.Contains(text, first) || strings.Contains(text, second) || strings.Count(text, "level=ERROR") != 4 {
		t.Errorf("the log says\n%s", text)
	}
	if _, err := NewTokenFile(filepath.Join(dir, "none"), nil); err == nil {
		t.Error("no file, and no error")
	}
}

func TestMistakesInLimitsSayWhere(t *testing.T) {
	stub, o := newStub(t)
	stub.refuse = config.Errors{
		{Key: "limits.max_inflight", What: "is no number"}, {Key: "routes[0].overflow", What: "cannot be wait"},
	}
	_, err := New(o).ChangeLimits(t.Context(), api.LimitsChange{"max_inflight": "x"})
	want := &api.InvalidError{Fields: []api.FieldError{
		{Pointer: "/max_inflight", Detail: "is no number"}, {Detail: "routes[0].overflow: cannot be wait"},
	}}
	if !reflect.DeepEqual(err, error(want)) {
		t.Errorf("got %v", err)
	}
	stub.refuse = errors.New("something else")
	if _, err := New(o).ChangeLimits(t.Context(), nil); !errors.Is(err, stub.refuse) {
		t.Errorf("got %v", err)
	}
}

func TestTheTableIsCut(t *testing.T) {
	stub, o := newStub(t)
	for i := range 300 {
		stub.running = append(stub.running, api.Request{ID: fmt.Sprint(i), StartedAt: time.Now().Add(-time.Minute)})
	}
	for limit, want := range map[int]int{0: 100, 1: 1, 299: 299, 10_000: 300} {
		got, err := New(o).Inflight(t.Context(), api.InflightQuery{Limit: limit})
		if err != nil || got.Total != 300 || len(got.Requests) != want || got.Requests[0].ID != "0" || got.Requests[0].AgeSeconds < 60 {
			t.Errorf("limit %d gives %d of %d, %v", limit, len(got.Requests), got.Total, err)
		}
	}
	stub.running = nil
	got, err := New(o).Inflight(t.Context(), api.InflightQuery{})
	if body, _ := json.Marshal(got); err != nil || !strings.Contains(string(body), `"requests":[]`) {
		t.Errorf("%s, %v", body, err)
	}
}

// TestHistory drives a gate for twenty minutes of bubble time.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stub, o := newStub(t)
		a := New(o)
		if s := a.watch.latest(); s.Sequence != 0 || s.P50.Known() || a.watch.history().Sequence != 0 {
			t.Errorf("before the first second: %+v", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { a.Run(ctx); close(ended) }()
		time.Sleep(time.Millisecond) // between two samples from here on

		var one, two limits.Slot
		must(t, stub.gate.Enter(ctx, &limits.Call{}, &one))
		time.Sleep(500 * time.Millisecond)
		must(t, stub.gate.Enter(ctx, &limits.Call{}, &two))
		stub.metrics.Throttled(&limits.Throttle{Reason: limits.ReasonMaxInflight}, "GET", 429)
		time.Sleep(500 * time.Millisecond)
		one.Leave(limits.Succeeded)
		s := a.watch.latest()
		if s.Sequence != 1 || s.Inflight != 2 || s.Limit != 2 || math.Abs(float64(s.Concurrency)-1.498) > 0.001 || s.Ended != 0 || s.P50.Known() ||
			!reflect.DeepEqual(s.Throttled, map[string]uint64{"max_inflight": 1}) || s.Refused() != 1 {
			t.Errorf("the first second: %+v", s)
		}
		for range 90 {
			stub.metrics.Ended(metrics.Request{Status: 200, Admitted: true, Duration: 10 * time.Millisecond})
		}
		for range 10 {
			stub.metrics.Ended(metrics.Request{Status: 500, Admitted: true, Duration: time.Second})
		}
		time.Sleep(time.Second)
		s = a.watch.latest()
		if s.Inflight != 1 || s.Ended != 100 || s.Failed != 10 || len(s.Throttled) != 0 ||
			math.Abs(float64(s.P50)-0.01) > 0.001 || math.Abs(float64(s.P95)-1) > 0.1 || math.Abs(float64(s.P99)-1) > 0.1 {
			t.Errorf("the second: %+v", s)
		}
		time.Sleep(20 * time.Minute)
		h := a.watch.history()
		if h.Sequence != 1202 || len(h.Time) != 600 || h.Time[599]-h.Time[0] != 599_000 || h.Concurrency[0] != 1 || h.Inflight[599] != 1 || len(h.Throttled) != 0 {
			t.Errorf("after twenty minutes: %d samples to %d, %v", len(h.Time), h.Sequence, h.Concurrency[0])
		}
		cancel()
		<-ended
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEventsAreBoundedAndEnd(t *testing.T) {
	_, o := newStub(t)
	a := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan struct{})
	go func() { a.Run(ctx); close(ran) }()
	server := httptest.NewServer(a.Handler())
	defer server.Close()

	c, err := api.NewClient(api.ClientOptions{Address: server.URL})
	must(t, err)
	defer c.Close()
	var followers sync.WaitGroup
	ends := make(chan error, maxWatchers)
	var joined sync.WaitGroup
	joined.Add(maxWatchers)
	for range maxWatchers {
		followers.Go(func() {
			n := 0
			for s, err := range c.Events(t.Context()) {
				if err != nil {
					ends <- err
					return
				}
				if n++; n == 1 {
					joined.Done()
				}
				if s.Version != "1.2.3" {
					t.Errorf("%+v", s)
				}
			}
		})
	}
	joined.Wait()
	for _, err := range c.Events(t.Context()) {
		var p *api.Problem
		if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable {
			t.Errorf("one too many gets %v", err)
		}
	}
	cancel()
	<-ran
	followers.Wait()
	for range maxWatchers {
		if err := <-ends; !errors.Is(err, io.EOF) {
			t.Errorf("a stream ended with %v", err)
		}
	}
	for _, err := range c.Events(t.Context()) {
		var p *api.Problem
		if !errors.As(err, &p) || p.Detail != api.ErrEnding.Error() {
			t.Errorf("after the end: %v", err)
		}
	}
	if a.watch.clients != 0 {
		t.Errorf("%d clients are counted", a.watch.clients)
	}
}

// The server's bounds are for requests that end: events outlive them.
func TestEventsOutliveTheServersTimeouts(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, o := newStub(t)
			a := New(o)
			ctx, cancel := context.WithCancel(t.Context())
			ran := make(chan struct{})
			go func() { a.Run(ctx); close(ran) }()
			defer func() { cancel(); <-ran }()
			server := httptest.NewUnstartedServer(a.Handler())
			server.Config.ReadTimeout, server.Config.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
			server.EnableHTTP2 = h2
			server.StartTLS()
			defer server.Close()
			c, err := api.NewClient(api.ClientOptions{Address: server.URL, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig})
			must(t, err)
			defer c.Close()
			began, n := time.Now(), 0
			for _, err := range c.Events(t.Context()) {
				must(t, err)
				if n++; n >= 4 && time.Since(began) > 3*server.Config.WriteTimeout {
					break
				}
			}
			if n < 4 {
				t.Errorf("%d events", n)
			}
		})
	}
}

func TestAFollowerThatLeavesMakesRoom(t *testing.T) {
	_, o := newStub(t)
	a := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { a.Run(ctx); close(ran) }()
	defer func() { cancel(); <-ran }()
	server := httptest.NewServer(a.Handler())
	defer server.Close()
	c, err := api.NewClient(api.ClientOptions{Address: server.URL})
	must(t, err)
	defer c.Close()
	for range 3 * maxWatchers {
		for {
			_, err := first(c.Events(t.Context()))
			var p *api.Problem
			if errors.As(err, &p) && p.Detail == api.ErrTooManyWatchers.Error() {
				continue // those who left are not noticed yet
			}
			must(t, err)
			break
		}
	}
}

func first(events func(func(*api.State, error) bool)) (state *api.State, err error) {
	for s, e := range events {
		return s, e
	}
	return nil, io.EOF
}

func TestNothingOfARequestIsUnknownToHEAD(t *testing.T) {
	_, o := newStub(t)
	r := httptest.NewRequestWithContext(t.Context(), "HEAD", "/v1/state", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	New(o).Handler().ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
