package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A pod is a function and weir in front of it, each a process, as the kubelet
// starts them. In place of containers there are ports.
type pod struct {
	weir     *weir
	function *exec.Cmd
	said     *output
	ended    chan int     // the function's exit code
	served   atomic.Int64 // requests sent to it
}

func newPod(t testing.TB) *pod {
	t.Helper()
	addr := freePort(t)
	env, command := inRole(t, "function", addr)
	p := &pod{function: exec.Command(command[0], command[1:]...), said: new(output), ended: make(chan int, 1)}
	p.function.Env = append(cleanEnv(), env...)
	p.function.Stdout, p.function.Stderr = p.said, os.Stderr
	p.function.SysProcAttr = endsWithTests()
	if err := p.function.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.function.Wait() // the state has it too
		p.ended <- p.function.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { _ = p.function.Process.Kill() }) // unless it has ended
	p.weir = start(t, "--upstream=http://"+addr, "--max-inflight=100", "--drain-delay=1s", "--drain-timeout=60s", "--ready-interval=200ms")
	p.weir.awaitReady(t)
	return p
}

// delete ends a pod as a kubelet does: the preStop hooks of both containers run at
// once, weir's being `weir drain`, which is this signal. The function gets SIGTERM
// when its own hook is over; weir, a native sidecar, would get another one then.
// A kubelet's client of hooks has no timeout.
func (p *pod) delete(t testing.TB, hook func(context.Context) error) {
	t.Helper()
	hooked := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience) // terminationGracePeriodSeconds
	defer cancel()
	go func() { hooked <- hook(ctx) }()
	p.weir.signal(t, syscall.SIGTERM)
	if err := <-hooked; err != nil {
		t.Errorf("the function's hook: %v", err)
	}
	if err := p.function.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM to the function: %v", err)
	}
	if code := await(t, "the function's end", p.ended); code != 0 {
		t.Errorf("the function ended with code %d", code)
	}
	if code := p.weir.wait(t); code != 0 {
		t.Errorf("weir ended with code %d", code)
	}
}

// waitForDrain is the hook that weirctl inject gives to functions.
func (p *pod) waitForDrain(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.weir.metrics+"/wait-for-drain", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

// service is a Service's endpoints. A pod that is being deleted is withdrawn
// somewhat later, as nodes hear of it.
type service struct {
	mu   sync.Mutex
	pods []*pod
	next int
}

func (s *service) pick(not *pod) *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.next++
		if p := s.pods[s.next%len(s.pods)]; p != not || len(s.pods) == 1 {
			p.served.Add(1)
			return p
		}
	}
}

func (s *service) add(p *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = append(s.pods, p)
}

func (s *service) withdraw(p *pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.pods {
		if other == p {
			s.pods = append(s.pods[:i:i], s.pods[i+1:]...)
			return
		}
	}
}

// users sends requests to a service, none of them idempotent, until they are told
// to stop. One that is refused with 503 and advice is sent again elsewhere: it has
// not run. Everything else but an answer is lost.
type users struct {
	served, refused, lost atomic.Int64
	first                 atomic.Pointer[string] // of the losses
	stop                  chan struct{}
	wg                    sync.WaitGroup
}

func (s *service) use(t testing.TB, each int) *users {
	u := &users{stop: make(chan struct{})}
	for how, client := range manners(t) {
		for range each {
			u.wg.Go(func() {
				for {
					select {
					case <-u.stop:
						return
					default:
						u.request(s, how, client)
					}
				}
			})
		}
	}
	return u
}

func (u *users) request(s *service, how string, client *http.Client) {
	var refusedBy *pod
	for {
		p := s.pick(refusedBy)
		a := fetch(client, "POST", "http://"+p.weir.data+"/slow", strings.NewReader("a body"))
		switch {
		case a.err == nil && a.status == http.StatusOK && a.body == "ok":
			u.served.Add(1)
			return
		case a.err == nil && a.status == http.StatusServiceUnavailable && a.header.Get("Weir-Throttled") == "draining" && a.header.Get("Retry-After") != "":
			u.refused.Add(1)
			refusedBy = p
		default:
			text := fmt.Sprintf("%s: %v", how, a)
			u.first.CompareAndSwap(nil, &text)
			u.lost.Add(1)
			return
		}
	}
}

// end stops the users and waits for their last requests.
func (u *users) end() {
	close(u.stop)
	u.wg.Wait()
}

// A rolling replacement of three pods under load loses no request.
func TestRollingReplacementLosesNothing(t *testing.T) {
	t.Parallel()
	s := new(service)
	for range 3 {
		s.add(newPod(t))
	}
	u := s.use(t, 3)
	for _, old := range s.pods {
		s.add(newPod(t)) // maxSurge 1, maxUnavailable 0
		eventually(t, "load on the old pod", func() (bool, string) { n := old.served.Load(); return n > 30, fmt.Sprint(n) })
		withdrawn := make(chan struct{})
		at := old.served.Load()
		go func() {
			defer close(withdrawn)
			// Whoever has not heard yet sends ten more.
			for deadline := time.Now().Add(patience); old.served.Load() < at+10 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			s.withdraw(old)
		}()
		old.delete(t, old.waitForDrain)
		<-withdrawn
		if !strings.Contains(old.said.String(), "SIGTERM") {
			t.Error("the function was not told to end")
		}
	}
	u.end()
	t.Logf("%d served, %d refused while draining and served elsewhere", u.served.Load(), u.refused.Load())
	if n := u.lost.Load(); n != 0 {
		t.Errorf("%d of %d requests lost, the first: %s", n, u.served.Load()+n, *u.first.Load())
	}
	for _, p := range s.pods {
		p.weir.signal(t, syscall.SIGTERM) // all at once, which is quicker
	}
	for _, p := range s.pods {
		if code := p.weir.wait(t); code != 0 {
			t.Errorf("weir ended with code %d", code)
		}
	}
}

// The same without the function's hook does lose requests, so that the test above
// proves something.
func TestWithoutItsHookAFunctionEndsUnderItsRequests(t *testing.T) {
	t.Parallel()
	s := new(service)
	s.add(newPod(t))
	u := s.use(t, 3)
	old := s.pods[0]
	eventually(t, "load", func() (bool, string) { n := old.served.Load(); return n > 30, fmt.Sprint(n) })
	old.delete(t, func(context.Context) error { return nil })
	eventually(t, "losses without the hook", func() (bool, string) { n := u.lost.Load(); return n > 0, fmt.Sprint(n) })
	u.end()
}
