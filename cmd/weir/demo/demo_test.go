package demo

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/limits"
	"weir/metrics"
)

// TestMain also tells whether a demo leaves anything running.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// standIn does what a sidecar does, with the real gate and the real metrics, but
// calls the function instead of forwarding to it.
type standIn struct {
	gate     *limits.Gate
	metrics  *metrics.Metrics
	function *Function
	drained  bool
	failed   chan error

	corrupt func(http.ResponseWriter) bool // answers in the function's stead where it returns true
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := limits.Call{}
	if r.URL.Path == burst.path() {
		call.Overflow = limits.OverflowWait
	}
	var slot limits.Slot
	err := s.gate.Enter(r.Context(), &call, &slot)
	var throttle *limits.Throttle
	switch {
	case errors.As(err, &throttle):
		s.metrics.Throttled(throttle, r.Method, http.StatusTooManyRequests)
		w.Header().Set("Weir-Throttled", string(throttle.Reason))
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case err != nil:
		return // the caller left
	}
	began := time.Now()
	if s.corrupt == nil || !s.corrupt(w) {
		s.function.ServeHTTP(w, r)
	}
	slot.Leave(limits.Succeeded)
	took := time.Since(began)
	s.metrics.Ended(metrics.Request{Status: http.StatusOK, Admitted: true, Duration: took + slot.Waited(), Waited: slot.Waited(), Upstream: took})
}

// stage sets up everything but the traffic. limit is the gate's, which may
// differ from the scenario's.
func stage(t *testing.T, scenario Scenario, limit int, out *bytes.Buffer) (*standIn, Options) {
	t.Helper()
	gate, err := limits.NewGate(limits.Policy{MaxInflight: limit, QueueDepth: scenario.QueueDepth, QueueTimeout: scenario.QueueTimeout})
	if err != nil {
		t.Fatal(err)
	}
	function, err := StartFunction(scenario.MeanDuration, discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = function.Close() })
	s := &standIn{
		gate: gate, function: function, failed: make(chan error, 1),
		metrics: metrics.New(metrics.Options{Function: "demo", Gate: gate.Snapshot}),
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, Options{
		Scenario: scenario, Function: function, Stop: make(chan struct{}),
		Screen: Screen{Out: out, Terminal: true, Size: func() (int, int, error) { return 80, 24, nil }},
		Sidecar: Sidecar{
			Addr: server.Listener.Addr().String(), MetricsURL: "http://metrics", PageURL: "http://page", Snapshot: gate.Snapshot,
			Metrics: s.metrics.Registry(), Failed: s.failed,
			Drain: func(context.Context) error { s.drained = true; return nil },
		},
	}
}

func restored(t *testing.T, out *bytes.Buffer) {
	t.Helper()
	if !strings.HasPrefix(out.String(), enterScreen) || !strings.HasSuffix(out.String(), leaveScreen) {
		t.Error("the terminal was not restored")
	}
}

func TestDemoEndsByItselfAndEverythingHolds(t *testing.T) {
	var out bytes.Buffer
	sidecar, o := stage(t, mustScenario(t, 4, 3*time.Second), 4, &out)
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if broken := s.Broken(); broken != nil {
		t.Errorf("broken: %q", broken)
	}
	for k := range kinds {
		if s.kinds[k].sent == 0 {
			t.Errorf("no %v traffic", k)
		}
	}
	if s.all.served == 0 || s.all.refused[limits.ReasonMaxInflight] == 0 || s.exports.waited.count == 0 {
		t.Errorf("served %d, refused %v, waited %d: want some of each", s.all.served, s.all.refused, s.exports.waited.count)
	}
	if s.length < 2*time.Second || !sidecar.drained || s.cut {
		t.Errorf("length %v, drained %v, cut %v", s.length, sidecar.drained, s.cut)
	}
	restored(t, &out)
}

// The check can fail: a gate that lets in more than the scenario's limit.
func TestDemoFindsALimitThatDoesNotHold(t *testing.T) {
	var out bytes.Buffer
	_, o := stage(t, mustScenario(t, 2, 2*time.Second), 5, &out)
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Join(s.Broken(), "\n")
	if !strings.Contains(broken, "the function ran 5 calls at once; the limit is 2") || !strings.Contains(broken, "weir let in 5 calls") {
		t.Errorf("broken: %s", broken)
	}
}

func TestDemoFindsWrongAnswers(t *testing.T) {
	var out bytes.Buffer
	sidecar, o := stage(t, mustScenario(t, 4, time.Second), 4, &out)
	sidecar.corrupt = func(w http.ResponseWriter) bool {
		w.Header().Set("Proxy-Status", "weir; error=connection_refused")
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Join(s.Broken(), "\n")
	if s.all.failed == 0 || !strings.Contains(broken, "502 Bad Gateway") || !strings.Contains(broken, "connection_refused") {
		t.Errorf("%d failed; broken: %s", s.all.failed, broken)
	}
}

// Stop lets calls under way end.
func TestStoppingCutsNothingOff(t *testing.T) {
	var out bytes.Buffer
	sidecar, o := stage(t, mustScenario(t, 4, 0), 4, &out)
	stop := make(chan struct{})
	o.Stop = stop
	go func() {
		for sidecar.gate.Snapshot().Inflight == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond) // a poll
		}
		close(stop)
	}()
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if broken := s.Broken(); broken != nil {
		t.Errorf("broken: %q", broken)
	}
	if s.cut || s.all.abandoned != 0 || s.all.served == 0 {
		t.Errorf("cut %v, abandoned %d, served %d", s.cut, s.all.abandoned, s.all.served)
	}
	restored(t, &out)
}

// The end of the context does not wait for a call that hangs.
func TestTheContextsEndCutsOff(t *testing.T) {
	var out bytes.Buffer
	sidecar, o := stage(t, mustScenario(t, 4, 0), 4, &out)
	ctx, cancel := context.WithCancel(t.Context())
	hang := make(chan struct{})
	sidecar.corrupt = func(http.ResponseWriter) bool {
		cancel()
		<-hang
		return true
	}
	s, err := Run(ctx, o)
	close(hang)
	if err != nil {
		t.Fatal(err)
	}
	if !s.cut || s.all.abandoned == 0 || s.all.served != 0 || !sidecar.drained {
		t.Errorf("cut %v, abandoned %d, served %d, drained %v", s.cut, s.all.abandoned, s.all.served, sidecar.drained)
	}
	restored(t, &out)
}

func TestFailuresEndTheDemo(t *testing.T) {
	gone := errors.New("port gone")
	for _, c := range []struct {
		name  string
		spoil func(*standIn, *Options)
		want  string
	}{
		{"sidecar stops", func(s *standIn, _ *Options) { s.failed <- gone }, "port gone"},
		{"function stops", func(s *standIn, _ *Options) { s.function.failed <- gone }, "port gone"},
		{"terminal gone", func(_ *standIn, o *Options) {
			o.Screen.Size = func() (int, int, error) { return 0, 0, errors.New("not a terminal") }
		}, "asking the terminal for its size"},
		{"drain fails", func(_ *standIn, o *Options) {
			o.Scenario = mustScenario(t, 4, time.Second)
			o.Sidecar.Drain = func(context.Context) error { return gone }
		}, "draining the sidecar: port gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			sidecar, o := stage(t, mustScenario(t, 4, 0), 4, &out)
			c.spoil(sidecar, &o)
			s, err := Run(t.Context(), o)
			if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("summary %v, error %v; want none and %q", s, err, c.want)
			}
			restored(t, &out)
		})
	}
}
