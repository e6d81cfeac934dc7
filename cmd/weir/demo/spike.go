package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Spike is what the demo of asynchronous calls shows: four times as many calls as the
// function can run, for a while, each accepted at once and run when there is room. Make
// one with NewSpike.
type Spike struct {
	MaxInflight int
	// MeanDuration is what the function's calls take on average.
	MeanDuration time.Duration
	Calls        int
	// Length is how long calls come; the function needs spikeFactor times that.
	Length time.Duration
}

const (
	spikeFactor  = 4 // calls that come, by what the function can run meanwhile
	spikeSenders = 16
	spikeLength  = 20 * time.Second // of the whole, where none is given
	// spikePatience is how long after its expected end the last call may run.
	spikePatience = 30 * time.Second
)

// NewSpike plans a spike that is absorbed after about length; 0 is 20 s.
func NewSpike(maxInflight int, length time.Duration) (Spike, error) {
	s, err := NewScenario(maxInflight, length)
	if err != nil {
		return Spike{}, err
	}
	if length == 0 {
		length = spikeLength
	}
	perSecond := float64(maxInflight) / s.MeanDuration.Seconds()
	return Spike{
		MaxInflight: maxInflight, MeanDuration: s.MeanDuration,
		Calls: max(1, int(perSecond*length.Seconds())), Length: length / spikeFactor,
	}, nil
}

// QueueState is how the queue stands, and what it has done since the start, in calls.
type QueueState struct {
	Accepted, Waiting, Running, Done int
	Oldest                           time.Duration // age of the oldest that waits
}

// SpikeOptions is what the demo of a spike is made of. All fields are required.
type SpikeOptions struct {
	Spike    Spike
	Function *Function
	Screen   Screen

	Addr                string // of the data port, host:port
	PageURL, MetricsURL string
	Queue               func(context.Context) QueueState
	// Failed receives an error if the sidecar stops by itself.
	Failed <-chan error
	// Stop ends the sending when it is closed: what was accepted still runs.
	Stop <-chan struct{}
}

// RunSpike sends the calls and shows what becomes of them, until all that were accepted
// have run. The end of ctx leaves the rest in the queue. The summary is nil where an
// error made it impossible.
func RunSpike(ctx context.Context, o SpikeOptions) (*SpikeSummary, error) {
	r := &spike{SpikeOptions: o, start: time.Now(), client: &http.Client{Transport: &http.Transport{
		Proxy: nil, MaxIdleConnsPerHost: spikeSenders, DisableCompression: true,
	}}}
	defer r.client.CloseIdleConnections()
	if err := r.head(); err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	return r.sum(context.WithoutCancel(ctx)), nil
}

// spike is such a demo under way.
type spike struct {
	SpikeOptions
	client *http.Client
	start  time.Time
	lines  int

	mostWaiting int
	oldest      time.Duration
	length      time.Duration
	cut         bool
	overdue     int

	mu         sync.Mutex
	accepted   []string // ids, in the order of their answers
	acceptedIn latencies
	refused    int
	failure    error // the first
}

func (r *spike) run(ctx context.Context) error {
	sending, stopSending := context.WithCancel(ctx)
	defer stopSending()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r.send(sending)
	}()
	defer func() { stopSending(); <-sent }()
	tick := time.NewTicker(printEvery)
	defer tick.Stop()
	glance := time.NewTicker(glanceEvery)
	defer glance.Stop()
	late := time.NewTimer(spikeFactor*r.Spike.Length + spikePatience)
	defer late.Stop()
	stop, allSent, all := r.Stop, sent, false
	for {
		select {
		case <-allSent:
			allSent, all = nil, true
		case <-stop:
			stop = nil
			stopSending()
		case err := <-r.Failed:
			return err
		case err := <-r.Function.failed:
			return err
		case <-ctx.Done():
			r.cut, r.length = true, time.Since(r.start)
			return nil
		case <-late.C:
			q := r.look(ctx)
			r.overdue, r.length = q.Waiting+q.Running, time.Since(r.start)
			return nil
		case <-tick.C:
			if err := r.show(r.look(ctx)); err != nil {
				return err
			}
		case <-glance.C:
			if q := r.look(ctx); all && q.Waiting+q.Running == 0 && q.Done >= q.Accepted {
				r.length = time.Since(r.start)
				return r.show(q)
			}
		}
	}
}

func (r *spike) look(ctx context.Context) QueueState {
	q := r.Queue(ctx)
	r.mostWaiting, r.oldest = max(r.mostWaiting, q.Waiting), max(r.oldest, q.Oldest)
	return q
}

// send makes the calls, evenly over the spike's length, or as fast as they are accepted
// where that takes longer.
func (r *spike) send(ctx context.Context) {
	due := make(chan int)
	var senders sync.WaitGroup
	for range spikeSenders {
		senders.Go(func() {
			for n := range due {
				r.call(ctx, n)
			}
		})
	}
	defer senders.Wait()
	defer close(due)
	for n := range r.Spike.Calls {
		if !sleepUntil(r.start.Add(r.Spike.Length*time.Duration(n)/time.Duration(r.Spike.Calls)), ctx.Done()) {
			return
		}
		due <- n
	}
}

func (r *spike) call(ctx context.Context, n int) {
	// One that is under way when the sending ends still gets its answer, so that it is
	// known whether it was accepted.
	ctx = context.WithoutCancel(ctx)
	began := time.Now()
	id, err := r.ask(ctx, n)
	took := time.Since(began)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.refused++
		if r.failure == nil {
			r.failure = err
		}
		return
	}
	r.accepted = append(r.accepted, id)
	r.acceptedIn.record(took)
}

// ask makes the call and returns its id.
func (r *spike) ask(ctx context.Context, n int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, spikePatience)
	defer cancel()
	url := "http://" + r.Addr + "/spike"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(fmt.Sprint("call ", n)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Prefer", "respond-async")
	res, err := r.client.Do(req)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return "", fmt.Errorf("POST %s: reading the answer: %w", url, err)
	}
	id := res.Header.Get("X-Call-Id")
	if res.StatusCode != http.StatusAccepted || id == "" {
		return "", fmt.Errorf("POST %s: %s (Proxy-Status %q), a call id of %q", url, res.Status, res.Header.Get("Proxy-Status"), id)
	}
	return id, nil
}

func (r *spike) head() error {
	s := r.Spike
	return r.print(fmt.Sprintf(`weir demo --async: %d calls within %.1f s, %d times what the sample function can run.
Each is on disk before its 202, and runs when one of %d slots comes free.
Status page while this runs: %s
Metrics while this runs: %s
`, s.Calls, s.Length.Seconds(), spikeFactor, s.MaxInflight, r.PageURL, r.MetricsURL))
}

// show prints a line of the table: how the queue stands.
func (r *spike) show(q QueueState) error {
	text := ""
	if r.lines%headEvery == 0 {
		text = fmt.Sprintf("\n%6s %9s %8s %8s %7s %9s  %s\n", "time", "accepted", "waiting", "running", "done", "oldest", "waiting, of all")
	}
	r.lines++
	glyphs := asciiGlyphs
	if r.Screen.Unicode {
		glyphs = unicodeGlyphs
	}
	filled, _ := glyphs.bar(q.Waiting, r.Spike.Calls, 24)
	text += strings.TrimRight(fmt.Sprintf("%5.0fs %9d %8d %8d %7d %9s  %s", time.Since(r.start).Seconds(),
		q.Accepted, q.Waiting, q.Running, q.Done, short(q.Oldest), filled), " ") + "\n"
	return r.print(text)
}

func (r *spike) print(text string) error {
	if _, err := io.WriteString(r.Screen.Out, text); err != nil {
		return fmt.Errorf("demo: writing to the output: %w", err)
	}
	return nil
}

// sum compares the ledgers.
func (r *spike) sum(ctx context.Context) *SpikeSummary {
	q := r.Queue(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	begun, ran := r.Function.ran()
	return &SpikeSummary{
		spike: r.Spike, length: r.length, accepted: r.accepted, acceptedIn: r.acceptedIn,
		refused: r.refused, failure: r.failure, begun: begun, ran: ran, books: r.Function.books(), queue: q,
		mostWaiting: r.mostWaiting, oldest: r.oldest, cut: r.cut, overdue: r.overdue,
	}
}

// SpikeSummary is what the demo of a spike showed. It is read once nothing runs any more.
type SpikeSummary struct {
	spike       Spike
	length      time.Duration
	accepted    []string // ids of calls that were answered with 202
	acceptedIn  latencies
	refused     int // calls that got anything else
	failure     error
	begun       map[string]int // how often the function has begun each call
	ran         map[string]int // how often the function has run each call to its end
	books       books
	queue       QueueState
	mostWaiting int
	oldest      time.Duration
	cut         bool // the user did not want to wait for the rest
	overdue     int  // calls that had not ended in time
}

// ledger compares what was accepted with what the function ran.
func (s *SpikeSummary) ledger() (once, lost, again, unknown int) {
	accepted := map[string]bool{}
	for _, id := range s.accepted {
		accepted[id] = true
		switch {
		case s.ran[id] == 0:
			lost++
		case s.ran[id] > 1 || s.begun[id] > 1: // cut off, and repeated
			again++
		default:
			once++
		}
	}
	for id := range s.ran {
		if !accepted[id] {
			unknown++
		}
	}
	return once, lost, again, unknown
}

// Broken lists what must hold and did not.
func (s *SpikeSummary) Broken() []string {
	var broken []string
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	once, lost, again, unknown := s.ledger()
	if s.books.most > s.spike.MaxInflight {
		say("the function ran %d calls at once; the limit is %d", s.books.most, s.spike.MaxInflight)
	}
	if s.refused > 0 {
		say("%d calls were not accepted, the first: %v", s.refused, s.failure)
	}
	if s.overdue > 0 {
		say("%d calls had not ended after %v", s.overdue, s.length.Round(time.Second))
	}
	if again > 0 {
		say("%d calls ran more than once", again)
	}
	if s.cut {
		return broken
	}
	if lost > 0 {
		say("%d of %d accepted calls did not run", lost, len(s.accepted))
	}
	if unknown > 0 {
		say("%d calls ran that nobody was told of", unknown)
	}
	if s.queue.Accepted != len(s.accepted) || s.overdue == 0 && s.queue.Done != once+again {
		say("callers were told of %d calls and the function ran %d; weir's queue accepted %d and has done %d", len(s.accepted), once+again, s.queue.Accepted, s.queue.Done)
	}
	return broken
}

// WriteTo prints the summary in lines of at most 80 columns.
func (s *SpikeSummary) WriteTo(w io.Writer) (int64, error) {
	once, lost, again, _ := s.ledger()
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("")
	p("weir demo --async: what %.1f s of it showed", s.length.Seconds())
	p("")
	p("Accepted   %d calls, on disk before their 202s; %s (p50), %s (p95)",
		len(s.accepted), short(s.acceptedIn.quantile(0.5)), short(s.acceptedIn.quantile(0.95)))
	p("Waited     at most %d calls, the oldest for %s", s.mostWaiting, short(s.oldest))
	p("At once    the function never ran more than %d calls; the limit is %d", s.books.most, s.spike.MaxInflight)
	p("Ran        %d calls once, %d more than once", once, again)
	switch {
	case s.cut:
		p("Left       %d accepted calls; in a queue of your own they run after the next start", lost)
	default:
		p("Lost       %d", lost)
	}
	p("")
	p("Your own function, with the same limit:")
	p("  weir run --max-inflight %d --async --upstream http://127.0.0.1:3000", s.spike.MaxInflight)
	p("  curl -i -d '{}' -H 'Prefer: respond-async' localhost:8080/")
	n, err := b.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("demo: printing the summary: %w", err)
	}
	return n, nil
}
