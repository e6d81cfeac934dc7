package e2e

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// countedFunction is a function whose requests take 20 ms, all counted together.
func countedFunction(t *testing.T) (*function, *census) {
	t.Helper()
	c := &census{at: time.Now()}
	return newFunction(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		c.add(1)
		defer c.add(-1)
		time.Sleep(20 * time.Millisecond) // whether its client is still there or not
	})), c
}

// press keeps so many requests at a sidecar until it is told to stop.
func press(t *testing.T, w *weir, workers int) (stop func()) {
	t.Helper()
	var ended atomic.Bool
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	for range workers {
		all.Go(func() {
			for !ended.Load() {
				res, err := client.Get("http://" + w.data + "/")
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusTooManyRequests {
					t.Errorf("a request gets %s", res.Status)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		ended.Store(true)
		all.Wait()
		client.CloseIdleConnections()
	})
	t.Cleanup(stop)
	return stop
}

// awaitHeld waits until the sidecars hold so much of their limit together, and each of them
// at least so much.
func awaitHeld(t *testing.T, what string, all, each int, admins ...string) {
	t.Helper()
	eventually(t, what, func() (bool, string) {
		sum, least := 0, all
		var seen []sharedLimit
		for _, a := range admins {
			s := sharedLimitOf(t, a)
			sum, least, seen = sum+s.Held, min(least, s.Held), append(seen, s)
			if !s.StoreUp || s.Outage != "" {
				least = -1
			}
		}
		return sum == all && least >= each, fmt.Sprintf("%+v", seen)
	})
}

// All functions of an account share its limit, 100 unless it is set, and what it is
// changed to while they run; what one does not use is the other's.
func TestFunctionsShareTheLimitOfTheirAccount(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	nats := startNATS(t)
	f, c := countedFunction(t)
	var weirs []*weir
	var admins []string
	for _, name := range []string{"cut", "paste"} {
		w := start(t, "--upstream="+f.url(), "--function="+name, "--account=shop", "--limits-nats-url="+nats.ClientURL(),
			"--lease-time="+lease.String(), "--overflow=wait", "--max-inflight=50")
		weirs, admins = append(weirs, w), append(admins, w.admin(t))
	}
	for _, a := range admins {
		if s := sharedLimitOf(t, a); s.Scope != "account" || s.Limit != 100 {
			t.Errorf("unset, the account's limit is %+v", s)
		}
	}
	stop := press(t, weirs[0], 12)
	press(t, weirs[1], 12)
	eventually(t, "both run what they get", func() (bool, string) {
		most, _ := c.part(time.Now())
		return most > 12, fmt.Sprint(most)
	})

	one, other := newOperator(t, weirs[0]), newOperator(t, weirs[1])
	one.must("PATCH", "/v1/limits", `{"account_max_inflight": 6}`)
	awaitHeld(t, "the lower limit of one holds for both", 6, 3, admins...)
	eventually(t, "what ran above it has ended", func() (bool, string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.n <= 6, fmt.Sprint(c.n)
	})
	began := time.Now()
	c.part(began)
	time.Sleep(lease / 4) // a while of full load
	if most, _ := c.part(began); most > 6 {
		t.Errorf("%d run at once, the limit is 6", most)
	}
	client := &http.Client{}
	t.Cleanup(client.CloseIdleConnections)
	one.must("PATCH", "/v1/limits", `{"overflow": "reject"}`)
	eventually(t, "who is refused is told of the account", func() (bool, string) {
		res, err := client.Get("http://" + weirs[0].data + "/")
		if err != nil {
			return false, err.Error()
		}
		_ = res.Body.Close()
		return res.Header.Get("Weir-Throttled") == "account", fmt.Sprint(res.Status, res.Header)
	})
	one.must("PATCH", "/v1/limits", `{"overflow": null}`)

	stop()
	idle := time.Now()
	awaitHeld(t, "what one does not use is the other's", 6, 0, admins[1])
	if took := time.Since(idle); took > 2*lease {
		t.Errorf("idle slots were another's after %v, a lease is %v", took, lease)
	} else {
		t.Logf("idle slots were another's after %v", took)
	}

	// The lowest holds: raised by one alone it stays.
	other.must("PATCH", "/v1/limits", `{"account_max_inflight": 8}`)
	one.must("PATCH", "/v1/limits", `{"account_max_inflight": null}`)
	awaitHeld(t, "the limit is that of the other now", 8, 0, admins[1])

	// How long a lease outlasts its server, and what then, is changed while it is held.
	for i, a := range admins {
		if s := sharedLimitOf(t, a); s.LeaseSeconds != lease.Seconds() || s.LeaseConfiguredSeconds != lease.Seconds() || s.OnOutage != "share" {
			t.Errorf("%d, as it was started: %+v", i, s)
		}
	}
	one.must("PATCH", "/v1/limits", `{"lease_time": "1m"}`)
	other.must("PATCH", "/v1/limits", `{"lease_time": "1s"}`)
	eventually(t, "each shows the lease that it has", func() (bool, string) {
		a, b := sharedLimitOf(t, admins[0]), sharedLimitOf(t, admins[1])
		return a.LeaseSeconds == 60 && b.LeaseSeconds == 1, fmt.Sprintf("%+v %+v", a, b)
	})
	nats.Shutdown()
	nats.WaitForShutdown()
	other.must("PATCH", "/v1/limits", `{"on_outage": "closed"}`)
	eventually(t, "the short lease has ended", func() (bool, string) {
		s := sharedLimitOf(t, admins[1])
		return s.Outage == "closed" && s.OnOutage == "closed" && s.Held == 0, fmt.Sprintf("%+v", s)
	})
}

// A sidecar that was stopped for longer than its lease lets nobody in on it: what came
// meanwhile waits until it has a new one.
func TestAStoppedSidecarComesBackWithoutItsLease(t *testing.T) {
	t.Parallel()
	const limit, lease = 6, time.Second
	nats := startNATS(t)
	f, c := countedFunction(t)
	var weirs []*weir
	var admins []string
	for range 2 {
		w := start(t, "--upstream="+f.url(), "--limits-nats-url="+nats.ClientURL(), fmt.Sprint("--function-max-inflight=", limit),
			"--lease-time="+lease.String(), "--overflow=wait", "--queue-timeout=60s")
		weirs, admins = append(weirs, w), append(admins, w.admin(t))
	}
	press(t, weirs[0], 2*limit)
	stop := press(t, weirs[1], 2*limit)
	awaitHeld(t, "each has its share", limit, limit/2, admins...)
	// Nothing may be on its way while it is stopped: that would go out afterwards.
	stop()
	weirs[1].signal(t, syscall.SIGSTOP)
	awaitHeld(t, "the other has all", limit, limit, admins[0])
	press(t, weirs[1], 2*limit)
	began := time.Now()
	c.part(began)
	time.Sleep(lease / 4) // its requests arrive
	weirs[1].signal(t, syscall.SIGCONT)
	awaitHeld(t, "each has its share again", limit, limit/2, admins...)
	if most, _ := c.part(began); most > limit {
		t.Errorf("%d ran at once as it went on, the limit is %d", most, limit)
	}
}

// A bucket that is deleted while sidecars run is made anew with what they held; nobody
// takes more meanwhile, and the log says what happened.
func TestALostBucketOfLeasesIsRestored(t *testing.T) {
	t.Parallel()
	const limit = 6
	s := startNATS(t)
	f, c := countedFunction(t)
	var weirs []*weir
	var admins []string
	for range 2 {
		w := start(t, "--upstream="+f.url(), "--limits-nats-url="+s.ClientURL(), fmt.Sprint("--function-max-inflight=", limit), "--overflow=wait")
		weirs, admins = append(weirs, w), append(admins, w.admin(t))
		press(t, w, 2*limit)
	}
	awaitHeld(t, "each has its share", limit, limit/2, admins...)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.part(began)
	if err := js.DeleteKeyValue(t.Context(), "weir_limits"); err != nil {
		t.Fatal(err)
	}
	const lost = "the leases of a shared limit were lost by the server that kept them; they are restored as this sidecar last knew them"
	eventually(t, "somebody restores them", func() (bool, string) {
		return weirs[0].log.count(lost)+weirs[1].log.count(lost) > 0, ""
	})
	eventually(t, "the bucket is there again", func() (bool, string) {
		kv, err := js.KeyValue(t.Context(), "weir_limits")
		if err != nil {
			return false, err.Error()
		}
		keys, err := kv.Keys(t.Context())
		return err == nil && len(keys) == 1, fmt.Sprint(keys, err)
	})
	awaitHeld(t, "each has its share again", limit, limit/2, admins...)
	time.Sleep(300 * time.Millisecond) // a while of full load
	if most, _ := c.part(began); most > limit {
		t.Errorf("%d ran at once, the limit is %d", most, limit)
	}
}
