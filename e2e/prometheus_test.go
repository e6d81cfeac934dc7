package e2e

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"
)

const (
	// tolerance is what a figure that Prometheus gives may be off the true one.
	tolerance = 0.02
	// rateWindow is what rates are taken over, $range in the expressions: ten
	// scrapes of one target, two or three of the other.
	rateWindow = 10 * time.Second
)

// span is the time between two samples, the first and the last of a window. The
// counts that the test keeps are compared over the same.
type span struct{ from, to time.Time }

func (s span) seconds() float64 { return s.to.Sub(s.from).Seconds() }

func (s span) increase(of *course) float64 { return of.value(s.to) - of.value(s.from) }

func (s span) mean(of *course) float64 {
	return (of.integral(s.to) - of.integral(s.from)) / s.seconds()
}

// figure is something that Prometheus is asked for, and what is true.
type figure struct {
	name string
	job  string
	// expr gets the job's matcher for $job, the window for $range and the ends of
	// its span for $from and $to.
	expr  string
	truth func(span) float64
}

func TestPrometheusShowsTheTrueFigures(t *testing.T) {
	counted := newFunction(t, http.HandlerFunc(takes))
	bin := newFunction(t, httpbin.New())
	short := newFunction(t, http.HandlerFunc(takes))
	countedWeir := start(t, "--upstream="+counted.url(), "--function=counted", "--max-inflight=12")
	binWeir := start(t, "--upstream="+bin.url(), "--function=httpbin")
	shortWeir := start(t, "--upstream="+short.url(), "--function=short")
	p := startPrometheus(t,
		target{"counted", countedWeir.metrics, time.Second},
		target{"httpbin", binWeir.metrics, time.Second},
		target{"short", shortWeir.metrics, 5 * time.Second},
	)
	for _, w := range []*weir{countedWeir, binWeir, shortWeir} {
		w.awaitReady(t)
	}

	// A burst, all at once, before anything else comes.
	const burst = 20
	binClients := newClients(t)
	var wg sync.WaitGroup
	for range burst {
		wg.Go(func() { binClients.get(context.Background(), "http://"+binWeir.data+"/delay/2") })
	}
	wg.Wait()
	binClients.mustOnly(t, http.StatusOK)
	if n := bin.running.highest(); n != burst {
		t.Fatalf("the function saw %d at once, want the whole burst of %d", n, burst)
	}
	p.awaitSample(t, "httpbin", time.Now())
	p.compareHighWater(t, "httpbin", bin)

	// More clients than slots; those refused come back.
	countedClients, shortClients := newClients(t), newClients(t)
	loads := []*load{
		countedClients.keep(t, 16, callFor(countedWeir, 300*time.Millisecond, 1200*time.Millisecond, 500*time.Millisecond, 800*time.Millisecond),
			func(status int) time.Duration {
				if status == http.StatusTooManyRequests {
					return 150 * time.Millisecond
				}
				return 60 * time.Millisecond
			}),
		binClients.keep(t, 5, func(worker, n int) string {
			return "http://" + binWeir.data + []string{"/delay/0.8", "/status/503", "/bytes/2048", "/drip?duration=1s&numbytes=5", "/get"}[(worker+n)%5]
		}, func(int) time.Duration { return 100 * time.Millisecond }),
		shortClients.keep(t, 8, callFor(shortWeir, time.Millisecond), func(int) time.Duration { return 5 * time.Millisecond }),
	}

	loaded := time.Now()
	refused := func(c *clients) *course { return c.answered(http.StatusTooManyRequests) }
	figures := []figure{
		{
			"request rate", "counted", `sum(rate(weir_requests_total{$job}[$range]))`,
			func(s span) float64 { return s.increase(counted.ended) / s.seconds() },
		},
		{
			"requests between two instants", "counted", `sum(weir_requests_total{$job} @ $to) - sum(weir_requests_total{$job} @ $from)`,
			func(s span) float64 { return s.increase(counted.ended) },
		},
		{
			"throttle rate", "counted", `sum(rate(weir_throttles_total{$job,reason="max_inflight"}[$range]))`,
			func(s span) float64 { return s.increase(refused(countedClients)) / s.seconds() },
		},
		{
			"throttles between two instants", "counted", `sum(weir_throttles_total{$job} @ $to) - sum(weir_throttles_total{$job} @ $from)`,
			func(s span) float64 { return s.increase(refused(countedClients)) },
		},
		{
			"mean concurrency", "counted", `rate(weir_concurrency_seconds_total{$job}[$range])`,
			func(s span) float64 { return s.mean(counted.running) },
		},
		{
			"mean concurrency", "httpbin", `rate(weir_concurrency_seconds_total{$job}[$range])`,
			func(s span) float64 { return s.mean(bin.running) },
		},
		{
			"error rate", "httpbin", `rate(weir_requests_total{$job,mode="sync",code_class="5xx",origin="function"}[$range])`,
			func(s span) float64 {
				return s.increase(binClients.answered(http.StatusServiceUnavailable)) / s.seconds()
			},
		},
		{
			"request rate", "short", `sum(rate(weir_requests_total{$job}[$range]))`,
			func(s span) float64 { return s.increase(short.ended) / s.seconds() },
		},
	}
	for _, f := range figures {
		t.Run(strings.ReplaceAll(f.job+" "+f.name, " ", "_"), func(t *testing.T) { p.compare(t, f, loaded) })
	}
	t.Run("short_concurrency", func(t *testing.T) { p.compareShort(t, short, shortClients, loaded) })
	t.Run("high_water", func(t *testing.T) {
		p.compareHighWater(t, "counted", counted)
		if n := counted.running.highest(); n != 12 {
			t.Errorf("the function saw %d at once, want all of its 12 slots taken and no more", n)
		}
	})

	for _, l := range loads {
		l.stop()
	}
	stopped := time.Now()
	countedClients.mustOnly(t, http.StatusOK, http.StatusTooManyRequests)
	binClients.mustOnly(t, http.StatusOK, http.StatusServiceUnavailable)
	shortClients.mustOnly(t, http.StatusOK)
	t.Run("totals", func(t *testing.T) {
		// Nothing moves any more: the counters are exact.
		for _, total := range []struct {
			job, expr string
			want      int
		}{
			{"counted", `sum(weir_requests_total{job="counted"})`, counted.ended.now()},
			{"counted", `weir_requests_total{job="counted",mode="sync",code_class="2xx",origin="function"}`, countedClients.answered(http.StatusOK).now()},
			{"counted", `sum(weir_throttles_total{job="counted"})`, refused(countedClients).now()},
			{"counted", `weir_inflight_requests{job="counted"}`, 0},
			{"counted", `weir_inflight_limit{job="counted"}`, 12},
			{"httpbin", `sum(weir_requests_total{job="httpbin"})`, bin.ended.now()},
			{"httpbin", `weir_requests_total{job="httpbin",mode="sync",code_class="5xx",origin="function"}`, binClients.answered(http.StatusServiceUnavailable).now()},
			{"httpbin", `sum(weir_requests_total{job="httpbin",origin!="function"})`, 0},
			{"httpbin", `sum(weir_throttles_total{job="httpbin"})`, 0},
			{"short", `sum(weir_requests_total{job="short"})`, short.ended.now()},
			{"short", `sum(weir_request_duration_seconds_count{job="short"})`, short.ended.now()},
		} {
			p.awaitSample(t, total.job, stopped)
			if got := p.value(t, time.Now(), total.expr); got != float64(total.want) {
				t.Errorf("%s = %v, want %d", total.expr, got, total.want)
			}
		}
		if up := p.value(t, time.Now(), `sum(up)`); up != 3 {
			t.Errorf("%v targets are up, want 3", up)
		}
	})
}

// compare asks for a figure at one scrape after the other, until it is within
// the tolerance of the true one. A busy machine can delay a scrape, and what
// rate() makes of a window with a hole in it is an estimate; a figure that is
// wrong stays wrong.
func (p *prometheus) compare(t *testing.T, f figure, loaded time.Time) {
	deadline := time.Now().Add(patience)
	var s span
	for {
		s = p.window(t, f.job, loaded, s.to)
		expr := strings.NewReplacer("$job", fmt.Sprintf("job=%q", f.job), "$range", rateWindow.String(),
			"$from", seconds(s.from), "$to", seconds(s.to)).Replace(f.expr)
		got, want := p.value(t, s.to, expr), f.truth(s)
		off := got/want - 1
		t.Logf("%s at %s = %.4f, true %.4f (%+.2f %%)", expr, s.to.Format("05.000"), got, want, 100*off)
		if math.Abs(off) <= tolerance {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s of %s was never within %v %% of the true figure", f.name, f.job, 100*tolerance)
		}
	}
}

// compareShort compares the concurrency of 1 ms calls, scraped every 5 s. Such a
// call holds its slot for longer than the handler runs by the way there and
// back; see the comment at the head of concurrency_test.go.
func (p *prometheus) compareShort(t *testing.T, f *function, c *clients, loaded time.Time) {
	deadline := time.Now().Add(patience)
	var s span
	for {
		s = p.window(t, "short", loaded, s.to)
		got := p.value(t, s.to, fmt.Sprintf(`rate(weir_concurrency_seconds_total{job="short"}[%s])`, rateWindow))
		little := p.value(t, s.to, fmt.Sprintf(`rate(weir_request_duration_seconds_sum{job="short"}[%s])`, rateWindow))
		function, clients := s.mean(f.running), s.mean(c.running)
		t.Logf("mean concurrency of 1 ms calls over %.1f s: handlers %.4f, Prometheus %.4f, clients %.4f; rate times duration %.4f (%+.2f %%)",
			s.seconds(), function, got, clients, little, 100*(got/little-1))
		if got < function*(1-tolerance) || got > clients*(1+tolerance) {
			t.Errorf("the mean concurrency is %.4f: less than the handlers', %.4f, or more than the clients', %.4f", got, function, clients)
		}
		if math.Abs(got/little-1) <= tolerance {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the mean concurrency was never within %v %% of rate times duration", 100*tolerance)
		}
	}
}

// compareHighWater compares the latest high water with the most that the
// function has seen within the minute before.
func (p *prometheus) compareHighWater(t *testing.T, job string, f *function) {
	t.Helper()
	got := p.value(t, time.Now(), fmt.Sprintf(`weir_inflight_high_water{job=%q,window="1m"}`, job))
	if want := f.running.highest(); got != float64(want) {
		t.Errorf("%s: high water is %v, the function saw %d at once", job, got, want)
	}
}

// window waits for a sample of the job that is younger than after, at the end of
// a whole window that began after loaded. It gives the span of that window's
// samples.
func (p *prometheus) window(t *testing.T, job string, loaded, after time.Time) span {
	t.Helper()
	var s span
	eventually(t, "samples of a whole window", func() (bool, string) {
		samples, err := p.query(time.Now(), fmt.Sprintf(`weir_concurrency_seconds_total{job=%q}[1h]`, job))
		if err != nil {
			return false, err.Error() // before the first scrape
		}
		s = span{to: samples[len(samples)-1].at}
		begin := s.to.Add(-rateWindow)
		if !s.to.After(after) || begin.Before(loaded) || begin.Before(samples[0].at) {
			return false, fmt.Sprintf("the latest was taken at %v, the first at %v", s.to, samples[0].at)
		}
		for _, sample := range samples {
			if !sample.at.Before(begin) {
				s.from = sample.at
				break
			}
		}
		return s.from != s.to, "one sample in the window"
	})
	return s
}

// awaitSample waits for a sample of the job that was taken after a moment.
func (p *prometheus) awaitSample(t *testing.T, job string, after time.Time) {
	t.Helper()
	eventually(t, "a sample of "+job, func() (bool, string) {
		samples, err := p.query(time.Now(), fmt.Sprintf(`timestamp(weir_inflight_requests{job=%q})`, job))
		if err != nil {
			return false, err.Error()
		}
		return samples[0].value > float64(after.UnixMilli())/1000, "the latest is older"
	})
}

func seconds(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }

func TestPromtoolFindsNothingWrongWithTheMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("no promtool is installed (on Debian: apt-get install prometheus): %v", err)
	}
	f := newFunction(t, http.HandlerFunc(takes))
	w := start(t, "--upstream="+f.url())
	c := newClients(t)
	c.get(context.Background(), "http://"+w.data+"/?for=1ms")
	c.mustOnly(t, http.StatusOK)
	status, body, err := w.get("/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("/metrics: %d, %v", status, err)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
