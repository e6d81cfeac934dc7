package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// result is what came of a load after its first second.
type result struct {
	due      int
	late     []time.Duration // from the time that each was due until it was sent
	goodput  float64         // answered by the function, of capacity
	admitted []time.Duration
	refused  []time.Duration // at once or after a wait
	reasons  map[string]int
	callers  []callerResult
}

type callerResult struct {
	served, refused int
	seconds         float64 // that the function worked for it
}

func (r *result) String() string {
	reasons := ""
	for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
		reasons += fmt.Sprintf(", %d of %s", r.reasons[reason], reason)
	}
	return fmt.Sprintf("%d due, sent late by p50 %s, p99 %s; goodput %.1f %%; %d answered, p50 %s, p99 %s; %d refused, p50 %s, p99 %s%s",
		r.due, ms(quantile(r.late, 0.5)), ms(quantile(r.late, 0.99)), 100*r.goodput, len(r.admitted), ms(quantile(r.admitted, 0.5)), ms(quantile(r.admitted, 0.99)),
		len(r.refused), ms(quantile(r.refused, 0.5)), ms(quantile(r.refused, 0.99)), reasons)
}

// arrival is one request and what came of it.
type arrival struct {
	due     time.Duration // since the begin
	caller  int
	sent    time.Duration
	ended   time.Duration
	status  int
	reason  string
	problem error
}

// schedule draws the arrivals: for each caller a Poisson process of its rate.
func schedule(rates []float64, length time.Duration, seed uint64) []arrival {
	var all []arrival
	for i, rate := range rates {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		for t := random.ExpFloat64() / rate; t < length.Seconds(); t += random.ExpFloat64() / rate {
			all = append(all, arrival{due: time.Duration(t * float64(time.Second)), caller: i})
		}
	}
	slices.SortFunc(all, func(a, b arrival) int { return int(a.due - b.due) })
	return all
}

// warmUp is how much of each load is left out.
const warmUp = time.Second

// load sends the arrivals of some callers to a weir that is started for it.
func load(ctx context.Context, weir string, flags []string, rates []float64, length time.Duration, seed uint64) (*result, error) {
	work := &function{seconds: make([]float64, len(rates))}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: work, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends by Close
	defer server.Close()
	p, err := start(ctx, weir, append([]string{"--upstream", "http://" + listener.Addr().String(), "--max-inflight", strconv.Itoa(slots)}, flags...))
	if err != nil {
		return nil, err
	}
	defer p.stop()

	transport := &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 4096, DisableCompression: true}
	defer transport.CloseIdleConnections()
	arrivals := schedule(rates, warmUp+length, seed)
	work.begin = time.Now()
	var sent sync.WaitGroup
	for i := range arrivals {
		a := &arrivals[i]
		sleepUntil(work.begin.Add(a.due))
		if ctx.Err() != nil {
			break
		}
		sent.Go(func() { a.send(ctx, transport, p.url, work.begin) })
	}
	sent.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return judge(arrivals, work, length)
}

func (a *arrival) send(ctx context.Context, transport *http.Transport, url string, begin time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	a.sent = time.Since(begin)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		a.problem = err
		return
	}
	req.Header.Set("X-Tenant", strconv.Itoa(a.caller))
	resp, err := transport.RoundTrip(req)
	if err != nil {
		a.problem = err
		return
	}
	_, a.problem = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	a.ended = time.Since(begin)
	a.status, a.reason = resp.StatusCode, resp.Header.Get("Weir-Throttled")
}

// judge counts. A request without an answer, or with one that is neither the
// function's nor a refusal, makes the measurement void.
func judge(arrivals []arrival, work *function, length time.Duration) (*result, error) {
	r := &result{reasons: map[string]int{}, callers: make([]callerResult, len(work.seconds))}
	answered := 0
	for _, a := range arrivals {
		if a.problem != nil {
			return nil, fmt.Errorf("a request got no answer: %w", a.problem)
		}
		if a.status == http.StatusOK && a.ended >= warmUp && a.ended < warmUp+length {
			answered++
		}
		if a.due < warmUp {
			continue
		}
		r.due++
		r.late = append(r.late, a.sent-a.due)
		c := &r.callers[a.caller]
		latency := a.ended - a.due
		switch {
		case a.status == http.StatusOK:
			c.served++
			r.admitted = append(r.admitted, latency)
		case a.reason == "":
			return nil, fmt.Errorf("an answer with status %d that is no refusal", a.status)
		default:
			c.refused++
			r.reasons[a.reason]++
			r.refused = append(r.refused, latency)
		}
	}
	r.goodput = float64(answered) / (capacity * length.Seconds())
	work.mu.Lock()
	defer work.mu.Unlock()
	for i, s := range work.seconds {
		r.callers[i].seconds = s
	}
	return r, nil
}

// function sleeps, and counts for whom.
type function struct {
	begin time.Time

	mu      sync.Mutex
	seconds []float64
}

func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	time.Sleep(serviceTime)
	_, _ = io.WriteString(w, "done\n")
	caller, err := strconv.Atoi(r.Header.Get("X-Tenant"))
	if err != nil || began.Sub(f.begin) < warmUp {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if caller >= 0 && caller < len(f.seconds) {
		f.seconds[caller] += time.Since(began).Seconds()
	}
}

// process is a weir.
type process struct {
	cmd *exec.Cmd
	url string
}

// start runs weir until it says where it listens.
func start(ctx context.Context, weir string, flags []string) (*process, error) {
	args := append([]string{"run", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--admin-listen", "", "--log-format", "text"}, flags...)
	p := &process{cmd: exec.CommandContext(ctx, weir, args...)}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Stdout = os.Stderr
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", weir, err)
	}
	said := ""
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "port=data") {
			if _, after, ok := strings.Cut(lines.Text(), "addr="); ok {
				p.url = "http://" + strings.Fields(after)[0] + "/"
				go io.Copy(io.Discard, log) //nolint:errcheck // it ends with the process
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("weir ended before it listened: %w; it said:\n%s", p.cmd.Wait(), said)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // ended by our signal
}

// quantile sorts d.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// jain is the fairness index of R. Jain et al. (DEC TR-301, 1984).
func jain(shares []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, s := range shares {
		sum, squares = sum+s, squares+s*s
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(shares)) * squares)
}
