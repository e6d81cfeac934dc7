package e2e

import (
	"math"
	"net/http"
	"testing"
	"time"
)

// A request holds its slot from when it is let in until its answer has gone out.
// The function's handler runs for less: what lies between is the way there and
// back, which is the slot's time and not the handler's. So where F is what the
// handlers counted, W weir's integral and C what the clients counted,
//
//	F <= W <= C
//
// holds at any time, on any machine, however busy. How close W is to F depends
// on how long the calls are: some 0.1 to 0.3 ms a call on an idle machine, which
// is nothing beside 500 ms and a fifth of 1 ms. For short calls, the bounds of
// what W must be are therefore weir's own clocks for each single request, which
// share nothing with the integral: the time from handing a request over to the
// end of its answer (U), and from the request's head to the last byte (D),
//
//	U <= W <= D
//
// A busy machine only makes the way longer, never shorter. Hence the inequalities
// must hold in every interval, and the distance be within 1 % in the quietest of
// a few.
const (
	scrapeInterval = 5 * time.Second // some rounds of the long calls
	shortInterval  = time.Second     // some hundred of the short ones
	intervals      = 6               // at most
	within         = 0.01
)

func TestMeanConcurrencyOfLongCallsIsWhatTheFunctionCounted(t *testing.T) {
	f := newFunction(t, http.HandlerFunc(takes))
	w := start(t, "--upstream="+f.url())
	w.awaitReady(t)
	c := newClients(t)
	c.keep(t, 12, callFor(w, 600*time.Millisecond, 1800*time.Millisecond, 900*time.Millisecond, 2500*time.Millisecond),
		func(int) time.Duration { return 250 * time.Millisecond })
	eventually(t, "calls under way", func() (bool, string) { return f.ended.now() > 0, "none has ended" })

	from := w.scrapeSharply(t)
	for i := range intervals {
		<-time.After(time.Until(from.sent.Add(scrapeInterval)))
		to := w.scrapeSharply(t)
		weir := to.total(t, "weir_concurrency_seconds_total") - from.total(t, "weir_concurrency_seconds_total")
		least := f.running.integral(to.sent) - f.running.integral(from.received)
		most := f.running.integral(to.received) - f.running.integral(from.sent)
		clients := c.running.integral(to.received) - c.running.integral(from.sent)
		interval := to.sent.Sub(from.sent).Seconds()
		t.Logf("interval %d: function %.4f to %.4f, weir %.4f (%+.3f %%), clients %.4f", i+1,
			least/interval, most/interval, weir/interval, 100*(weir/least-1), clients/interval)
		if weir < least || weir > clients {
			t.Errorf("weir counted %.4f call-seconds in %.2f s: less than the function, %.4f, or more than the clients, %.4f", weir, interval, least, clients)
		}
		// weir's integral is of some moment of the scrape; the function's is known
		// for its beginning and its end, which must tell something.
		if most-least <= within*least && weir <= most*(1+within) {
			c.mustOnly(t, http.StatusOK)
			return
		}
		from = to
	}
	t.Errorf("weir's mean concurrency was never seen to be within %v %% of the function's", 100*within)
}

func TestMeanConcurrencyOfShortCallsIsExact(t *testing.T) {
	f := newFunction(t, http.HandlerFunc(takes))
	w := start(t, "--upstream="+f.url())
	w.awaitReady(t)
	c := newClients(t)
	from := w.scrape(t)
	tightest := math.Inf(1)
	for i := range intervals {
		// Between two scrapes with nothing in flight, every request is in each
		// account as a whole.
		load := c.keep(t, 8, callFor(w, time.Millisecond), func(int) time.Duration { return 5 * time.Millisecond })
		<-time.After(time.Until(from.sent.Add(shortInterval)))
		load.stop()
		w.awaitQuiet(t)
		to := w.scrape(t)
		delta := func(name string) float64 { return to.total(t, name) - from.total(t, name) }
		interval := to.sent.Sub(from.sent).Seconds()
		calls := delta("weir_requests_total")
		weir := delta("weir_concurrency_seconds_total")
		upstream := delta("weir_upstream_duration_seconds_sum")
		whole := delta("weir_request_duration_seconds_sum")
		function := f.running.integral(to.sent) - f.running.integral(from.received)
		clients := c.running.integral(to.sent) - c.running.integral(from.received)
		t.Logf("interval %d: %.0f calls of 1 ms in %.2f s, mean concurrency: handlers %.4f, weir %.4f, clients %.4f; "+
			"rate times duration: %.4f to %.4f; a slot is held %.0f us longer than the handler runs (%+.1f %%)", i+1,
			calls, interval, function/interval, weir/interval, clients/interval, upstream/interval, whole/interval,
			1e6*(weir-function)/calls, 100*(weir/function-1))
		if got := f.ended.value(to.sent) - f.ended.value(from.received); calls != got {
			t.Errorf("weir counted %.0f requests, the function %.0f", calls, got)
		}
		if weir < function || weir > clients {
			t.Errorf("weir counted %.4f call-seconds: less than the function, %.4f, or more than the clients, %.4f", weir, function, clients)
		}
		// Each account reads the clock for itself: one after the other, some
		// hundred nanoseconds apart.
		slack := calls * 5e-6
		if weir < upstream-slack || weir > whole+slack {
			t.Errorf("weir's integral is %.4f call-seconds, want one from %.4f to %.4f, the sums of the durations", weir, upstream, whole)
		}
		if tightest = min(tightest, whole/upstream-1); tightest <= within {
			break
		}
		from = to
	}
	c.mustOnly(t, http.StatusOK)
	// What lies between them is time that weir was kept off its core: on a machine that
	// is busy with other things the bounds are wider, and hold.
	if tightest > 10*within {
		t.Errorf("the durations that bound the integral were never closer than %.1f %% to each other: that bounds nothing", 100*tightest)
	}
}
