package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"weir/limits"
)

// tally is what the callers of one kind, or of all, have seen.
type tally struct {
	sent      uint64
	served    uint64 // 200 from the function
	refused   map[limits.Reason]uint64
	failed    uint64 // any other answer, or none
	abandoned uint64 // cut off by the demo's own end
	unsent    uint64 // due, but every caller of the kind was busy

	servedIn, refusedIn latencies
	// What calls took in all that had a slot, or waited for one in vain.
	servedFor, timedOutFor time.Duration
}

func (t *tally) add(o *tally) {
	t.sent += o.sent
	t.served += o.served
	t.failed += o.failed
	t.abandoned += o.abandoned
	t.unsent += o.unsent
	t.servedFor += o.servedFor
	t.timedOutFor += o.timedOutFor
	t.servedIn.add(&o.servedIn)
	t.refusedIn.add(&o.refusedIn)
	if t.refused == nil {
		t.refused = map[limits.Reason]uint64{}
	}
	for reason, n := range o.refused {
		t.refused[reason] += n
	}
}

// since is the difference to an earlier state of the same tally.
func (t *tally) since(before *tally) tally {
	d := *t
	d.sent -= before.sent
	d.served -= before.served
	d.failed -= before.failed
	d.abandoned -= before.abandoned
	d.unsent -= before.unsent
	d.servedFor -= before.servedFor
	d.timedOutFor -= before.timedOutFor
	d.servedIn.since(&before.servedIn)
	d.refusedIn.since(&before.refusedIn)
	d.refused = maps.Clone(t.refused)
	for reason, n := range before.refused {
		d.refused[reason] -= n
	}
	return d
}

// turnedAway is the number of refusals, whatever the reason.
func (t *tally) turnedAway() uint64 {
	var sum uint64
	for _, n := range t.refused {
		sum += n
	}
	return sum
}

// callers sends the traffic of one kind: calls that come when they are due,
// whether or not those before have ended, up to a bound. Nobody retries, so
// that what is sent is what the schedule says.
type callers struct {
	kind   kind
	url    string
	client *http.Client
	free   chan struct{}   // one for each caller that is not busy
	wg     *sync.WaitGroup // of calls under way

	mu      sync.Mutex
	tally   tally
	failure error // the first
}

func newCallers(k kind, addr string, n int, wg *sync.WaitGroup) *callers {
	c := &callers{
		kind: k,
		url:  "http://" + addr + k.path(),
		client: &http.Client{Transport: &http.Transport{
			Proxy:               nil, // the sidecar is here, whatever HTTP_PROXY says
			MaxIdleConnsPerHost: n,
			IdleConnTimeout:     30 * time.Second, // below the sidecar's
			DisableCompression:  true,
		}},
		free:  make(chan struct{}, n),
		wg:    wg,
		tally: tally{refused: map[limits.Reason]uint64{}},
	}
	for range n {
		c.free <- struct{}{}
	}
	return c
}

// snapshot is what the callers have seen until now.
func (c *callers) snapshot() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tally
	t.refused = maps.Clone(c.tally.refused)
	return t
}

func (c *callers) firstFailure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// send lets a free caller make one call.
func (c *callers) send(ctx context.Context) {
	select {
	case <-c.free:
	default:
		c.mu.Lock()
		c.tally.unsent++
		c.mu.Unlock()
		return
	}
	c.wg.Go(func() {
		defer func() { c.free <- struct{}{} }()
		c.call(ctx)
	})
}

func (c *callers) call(ctx context.Context) {
	c.mu.Lock()
	c.tally.sent++
	c.mu.Unlock()
	began := time.Now()
	reason, err := c.ask(ctx)
	took := time.Since(began)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
		c.tally.abandoned++
	case err != nil:
		c.tally.failed++
		if c.failure == nil {
			c.failure = err
		}
	case reason != "":
		c.tally.refused[reason]++
		c.tally.refusedIn.record(took)
		if reason == limits.ReasonQueueTimeout {
			c.tally.timedOutFor += took
		}
	default:
		c.tally.served++
		c.tally.servedIn.record(took)
		c.tally.servedFor += took
	}
}

// ask makes the call and returns why it was refused, "" if it was served.
func (c *callers) ask(ctx context.Context) (limits.Reason, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return "", err
	}
	res, err := c.client.Do(req)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return "", fmt.Errorf("GET %s: reading the answer: %w", c.url, err)
	}
	reason := limits.Reason(res.Header.Get("Weir-Throttled"))
	if reason == "" && res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s (Proxy-Status %q)", c.url, res.Status, res.Header.Get("Proxy-Status"))
	}
	return reason, nil
}

// close gives up idle connections.
func (c *callers) close() { c.client.CloseIdleConnections() }

// tooLate is how far behind its time a call may start. What a stalled machine
// missed by more is not made up for: the traffic is to stay as scheduled.
const tooLate = 100 * time.Millisecond

// follow sends what the schedule has for the kind from start on, until stop
// ends. Calls are made under ctx.
func (c *callers) follow(ctx context.Context, stop <-chan struct{}, s Scenario, start time.Time) {
	due := time.Duration(0) // since start
	for {
		next, n := s.next(c.kind, due, rand.ExpFloat64())
		if !sleepUntil(start.Add(next), stop) {
			return
		}
		due = next
		if late := time.Since(start); late-due > tooLate {
			due = late
			continue
		}
		for range n {
			c.send(ctx)
		}
	}
}

// sleepUntil reports whether the time came before the stop.
func sleepUntil(t time.Time, stop <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-stop:
		return false
	case <-timer.C:
		return true
	}
}
