package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var leasesFor = flag.Duration("leases-for", time.Second/2, "time of each part of TestManySidecarsShareOneLimit; from 5s on, use of the limit is asserted too")

// census counts how many requests a function runs, exactly: the most at once, and the
// integral over time.
type census struct {
	mu       sync.Mutex
	n, most  int
	at       time.Time
	integral time.Duration
}

func (c *census) add(d int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.integral += time.Duration(c.n) * now.Sub(c.at)
	c.n, c.at = c.n+d, now
	c.most = max(c.most, c.n)
}

// part begins anew, and returns the most and the mean since it last did.
func (c *census) part(began time.Time) (most int, mean float64) {
	c.add(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	most, mean = c.most, float64(c.integral)/float64(time.Since(began))
	c.most, c.integral = c.n, 0
	return most, mean
}

// natsServer is one of the pinned version, as a process.
type natsServer struct {
	path, dir, port string
	cmd             *exec.Cmd
}

func newNATSServer(t *testing.T) *natsServer {
	t.Helper()
	s := &natsServer{path: filepath.Join(t.TempDir(), "nats-server"), dir: t.TempDir()}
	if out, err := exec.Command("go", "build", "-o", s.path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("building nats-server: %v\n%s", err, out)
	}
	_, s.port, _ = net.SplitHostPort(freePort(t))
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) url() string { return "nats://127.0.0.1:" + s.port }

func (s *natsServer) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(s.path, "-a", "127.0.0.1", "-p", s.port, "-js", "-sd", s.dir)
	s.cmd.SysProcAttr = endsWithTests()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nats-server listens", func() (bool, string) {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil {
			return false, err.Error()
		}
		return true, fmt.Sprint(c.Close())
	})
}

func (s *natsServer) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// sharedLimit is what a sidecar says of the first limit that it shares.
type sharedLimit struct {
	Scope                      string
	Held, Limit, Members, Free int
	StoreUp                    bool `json:"store_up"`
	Outage                     string
	OnOutage                   string  `json:"on_outage"`
	LeaseSeconds               float64 `json:"lease_seconds"`
	LeaseConfiguredSeconds     float64 `json:"lease_configured_seconds"`
}

func sharedLimitOf(t *testing.T, admin string) sharedLimit {
	t.Helper()
	res, err := http.Get("http://" + admin + "/v1/state")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var state struct {
		Shared []sharedLimit `json:"shared_limits"`
	}
	if err := json.NewDecoder(res.Body).Decode(&state); err != nil || len(state.Shared) == 0 {
		t.Fatalf("no shared limit in the state: %v", err)
	}
	return state.Shared[0]
}

// Ten sidecars as processes in front of one function share its limit over a NATS server;
// one is killed, the server ends and comes back, all under twice the load.
func TestManySidecarsShareOneLimit(t *testing.T) {
	const (
		sidecars = 10
		limit    = 40
		chunk    = limit / sidecars // a lease, where all want as much
		workers  = 8                // for each sidecar: twice the limit in all
		lease    = 2 * time.Second
		takes    = 100 * time.Millisecond
	)
	nats := newNATSServer(t)
	c := &census{at: time.Now()}
	f := newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.add(1)
		defer c.add(-1)
		time.Sleep(takes) // whether its client is still there or not
	}))
	var weirs []*weir
	var admins []string
	for i := range sidecars {
		weirs = append(weirs, start(t, "--upstream="+f.url(), "--function=shared", fmt.Sprint("--function-version=v", i%2), "--nats-url="+nats.url(),
			fmt.Sprint("--function-max-inflight=", limit), "--max-inflight=100", "--overflow=wait", "--lease-time="+lease.String(), "--drain-timeout=5s"))
		admins = append(admins, weirs[i].awaitLog(t, "listening", "port", "admin")["addr"])
	}

	var stop atomic.Bool
	var load sync.WaitGroup
	var failed atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	for i, w := range weirs {
		for range workers {
			load.Go(func() {
				for !stop.Load() {
					res, err := client.Get("http://" + w.data + "/")
					if err != nil {
						if i == 0 {
							return // it was killed
						}
						failed.Add(1)
						continue
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			})
		}
	}
	defer load.Wait()
	defer stop.Store(true)

	held := func(admins []string) (sum int, all []int) {
		for _, a := range admins {
			s := sharedLimitOf(t, a)
			sum, all = sum+s.Held, append(all, s.Held)
		}
		return sum, all
	}
	shared := func(admins []string) func() (bool, string) {
		return func() (bool, string) {
			sum, all := held(admins)
			fair := true
			for _, n := range all {
				fair = fair && n >= limit/len(admins)
			}
			return sum == limit && fair, fmt.Sprint(sum, all)
		}
	}
	// judge looks at a part: the most that ran at once, and how much of the limit was used.
	judge := func(what string, atMost int, began time.Time, full bool) {
		t.Helper()
		most, mean := c.part(began)
		t.Logf("%s: at most %d at once, in the mean %.1f of %d (%.1f %%)", what, most, mean, limit, 100*mean/limit)
		if most > atMost {
			t.Errorf("%s: the function ran %d at once, want at most %d", what, most, atMost)
		}
		if full && *leasesFor >= 5*time.Second && mean < 0.95*limit {
			t.Errorf("%s: %.1f of %d used, want 95 %%", what, mean, limit)
		}
	}
	watch := func(what string, atMost int) {
		t.Helper()
		c.part(time.Now())
		began := time.Now()
		time.Sleep(*leasesFor)
		judge(what, atMost, began, true)
	}

	began := time.Now()
	eventually(t, "each has its fair share", shared(admins))
	judge("beginning", limit, began, false)
	watch("all want more than there is", limit)

	killed := time.Now()
	weirs[0].signal(t, syscall.SIGKILL)
	weirs[0].wait(t)
	eventually(t, "the slots of the dead are used by others", func() (bool, string) {
		sum, all := held(admins[1:])
		return sum == limit, fmt.Sprint(sum, all)
	})
	took := time.Since(killed)
	t.Logf("the slots of the dead were back after %v, a lease is %v", took, lease)
	if *leasesFor >= 5*time.Second && took > lease {
		t.Errorf("the slots of the dead were back after %v, want at most %v", took, lease)
	}
	judge("one is killed", limit+chunk, killed, false)
	eventually(t, "each has its fair share", shared(admins[1:]))
	watch("after that", limit)

	ended := time.Now()
	nats.stop()
	eventually(t, "all go by their share", func() (bool, string) {
		sum, all := held(admins[1:])
		outages := 0
		for _, a := range admins[1:] {
			if sharedLimitOf(t, a).Outage == "share" {
				outages++
			}
		}
		return outages == sidecars-1 && sum == limit, fmt.Sprint(outages, " in outage, they hold ", all)
	})
	judge("the server of leases ends", limit+chunk, ended, false)
	watch("without it", limit+chunk)

	again := time.Now()
	nats.start(t)
	eventually(t, "all have leases again", func() (bool, string) {
		fair, saw := shared(admins[1:])()
		for _, a := range admins[1:] {
			if s := sharedLimitOf(t, a); s.Outage != "" || !s.StoreUp {
				return false, fmt.Sprintf("%s; %+v", saw, s)
			}
		}
		return fair, saw
	})
	judge("it is back", limit+chunk, again, false)
	watch("after that", limit)
	if n := failed.Load(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
}
