package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/faults"
)

// A cluster keeps what was acknowledged when the server that leads is killed, calls go
// on running with the two that are left, and the third catches up when it is back.
func TestAClusterLosesNothingWithAServer(t *testing.T) {
	t.Parallel()
	if !proofs() {
		t.Skip("elections and holds that lapse take minutes; make queue-proofs waits for them")
	}
	const rounds, calls = 6, 400
	servers := faults.StartCluster(t, 3)
	url := faults.URLs(servers)
	f := newAsyncFunction(t)
	w := start(t, "--upstream="+f.url(), "--function=fn", "--async", "--nats-url="+url, "--nats-replicas=3", "--async-max-share=50",
		"--async-attempts=0", "--async-backoff=1ms", "--async-backoff-max=100ms")
	js, err := jetstream.New(faults.Connect(t, url))
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	accept := &traffic{w: w}
	for range 4 {
		group.Go(func() {
			accept.send(ctx, t, "POST", "/call", strings.Repeat("x", 1000), map[string]string{"Prefer": "respond-async"})
		})
	}
	synchronous := &traffic{w: w}
	group.Go(func() { synchronous.send(ctx, t, "GET", "/sync", "", nil) })

	running := func() int { return int(w.scrape(t).total(t, "weir_async_attempts_total")) }
	var longest time.Duration
	for range rounds {
		from := accept.count(202)
		eventually(t, "calls are accepted", func() (bool, string) { return accept.count(202) >= from+calls, accept.String() })
		leader := leaderOf(t, js, servers)
		leader.Kill(t)
		killed := time.Now()
		// The answers that were on their way are in by now.
		eventually(t, "calls are accepted by the two that are left", func() (bool, string) {
			return accept.count(202) >= from+calls+50, accept.String()
		})
		longest = max(longest, time.Since(killed))
		ran := running()
		eventually(t, "calls run", func() (bool, string) { n := running(); return n >= ran+50, fmt.Sprint(n-ran, " more") })
		leader.Start(t)
		eventually(t, "the third has caught up", func() (bool, string) { return caughtUp(t, js) })
	}
	stop()
	group.Wait()
	want := accept.accepted()
	eventually(t, "every accepted call has run", func() (bool, string) {
		missing := len(want)
		ran := map[string]bool{}
		for _, s := range f.seen() {
			ran[s.header.Get("X-Call-Id")] = true
		}
		for _, id := range want {
			if ran[id] {
				missing--
			}
		}
		return missing == 0, fmt.Sprintf("%d of %d have not", missing, len(want))
	})
	for _, id := range want {
		reaches(t, w, id, "succeeded")
	}
	last := map[string]string{}
	again := 0
	for _, s := range f.seen() {
		id, attempt := s.header.Get("X-Call-Id"), s.header.Get("Weir-Attempt")
		if id == "" {
			continue
		}
		if last[id] != "" {
			again++
		}
		if attempt <= last[id] { // of one digit
			t.Errorf("%s came as attempt %s after %s", id, attempt, last[id])
		}
		last[id] = attempt
	}
	if others := accept.others(202, 503); len(others) > 0 {
		t.Errorf("calls were answered with %v", others)
	}
	if others := synchronous.others(200); len(others) > 0 {
		t.Errorf("synchronous requests were answered with %v", others)
	}
	t.Logf("%d leaders killed: %d calls accepted and all run, %d of them again; %d refused, the slowest after %v; 50 more were accepted at most %v after a kill; %d synchronous requests, the slowest took %v",
		rounds, len(want), again, accept.count(503), accept.slowest(503), longest.Round(time.Millisecond), synchronous.count(200), synchronous.slowest(200))
}

// leaderOf gives the server that leads the stream of fn's calls.
func leaderOf(t *testing.T, js jetstream.JetStream, servers []*faults.NATS) (leader *faults.NATS) {
	t.Helper()
	eventually(t, "the stream has a leader", func() (bool, string) {
		info, err := streamInfo(js)
		if err != nil || info.Cluster == nil {
			return false, fmt.Sprint(err)
		}
		for _, s := range servers {
			if s.Name == info.Cluster.Leader {
				leader = s
			}
		}
		return leader != nil, info.Cluster.Leader
	})
	return leader
}

func streamInfo(js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "weir-fn")
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// caughtUp reports whether all three servers keep all there is.
func caughtUp(t *testing.T, js jetstream.JetStream) (bool, string) {
	t.Helper()
	info, err := streamInfo(js)
	if err != nil || info.Cluster == nil {
		return false, fmt.Sprint(err)
	}
	current := 0
	for _, r := range info.Cluster.Replicas {
		if r.Current && !r.Offline {
			current++
		}
	}
	return info.Cluster.Leader != "" && current == 2, fmt.Sprintf("%d of two followers are current", current)
}
