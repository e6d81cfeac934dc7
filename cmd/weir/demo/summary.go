package demo

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/limits"
)

// Summary is what a demo showed. It is read once nothing runs any more.
type Summary struct {
	scenario Scenario
	length   time.Duration // from the first call to the end of the last
	kinds    [kinds]tally
	all      tally
	failure  error // the first of those that callers count as failed

	function books           // over the length, by the function itself
	gate     limits.Snapshot // after the drain
	seconds  float64         // weir's integral over the length
	ended    uint64          // calls that weir let in and saw end
	exports  exports         // over the length
	widest   gap             // of exact and estimated concurrency, within a second

	// cut is true where calls were cut off, because the user asked for it or they
	// did not end in time. Their accounts need not agree then.
	cut     bool
	overdue int // calls that did not end in time
}

// Broken lists what must hold and did not.
func (s *Summary) Broken() []string {
	var broken []string
	say := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if s.function.most > s.scenario.MaxInflight {
		say("the function ran %d calls at once; the limit is %d", s.function.most, s.scenario.MaxInflight)
	}
	if s.gate.HighWater > s.scenario.MaxInflight {
		say("weir let in %d calls at once; the limit is %d", s.gate.HighWater, s.scenario.MaxInflight)
	}
	if s.gate.Inflight != 0 || s.gate.Waiting != 0 {
		say("at the end %d calls are in flight and %d wait", s.gate.Inflight, s.gate.Waiting)
	}
	if s.overdue > 0 {
		say("%d calls had not ended %v after the last was sent", s.overdue, s.scenario.patience())
	}
	if s.all.failed > 0 {
		say("%d calls got neither the function's answer nor a refusal, the first: %v", s.all.failed, s.failure)
	}
	if sum := s.all.served + s.all.turnedAway() + s.all.failed + s.all.abandoned; sum != s.all.sent {
		say("%d calls were sent, but %d had an end", s.all.sent, sum)
	}
	if s.cut || s.all.failed > 0 {
		return broken
	}
	if s.function.running != 0 {
		say("the function still runs %d calls", s.function.running)
	}
	if !s.countedAlike() {
		say("callers were served %d times; the function counted %d calls, weir's gate %d, its histogram %d",
			s.all.served, s.function.calls, s.ended, s.exports.running.count)
	}
	if !s.refusedAlike() {
		say("callers were refused %v times; weir's metrics have %v", positive(s.all.refused), positive(s.exports.throttles))
	}
	// A call has its slot from before the function has it until after, however busy
	// the machine. Its caller waits for longer than that, but for the moment between
	// the last byte of the response and the end of the slot.
	if s.function.seconds > s.seconds+s.rounding() {
		say("the function counted %.6f call-seconds, weir's integral only %.6f", s.function.seconds, s.seconds)
	}
	if s.seconds > (1+closing)*s.callersSeconds()+s.rounding() {
		say("weir's integral has %.6f call-seconds, callers less their waiting only %.6f", s.seconds, s.callersSeconds())
	}
	return broken
}

// callersSeconds is what callers saw of calls that ran, in call-seconds: all of
// their time less that in the queue. Those who waited in vain are in both, and
// leave only the way there and back.
func (s *Summary) callersSeconds() float64 {
	return (s.all.servedFor + s.all.timedOutFor).Seconds() - s.exports.waited.seconds
}

// closing is how much longer than the callers' time the slots' may be.
const closing = 0.05

// countedAlike reports whether everybody counted the same calls.
func (s *Summary) countedAlike() bool {
	return s.function.calls == s.all.served && s.ended == s.all.served && s.exports.running.count == s.all.served
}

// refusedAlike reports whether weir counted the refusals that callers saw.
func (s *Summary) refusedAlike() bool {
	return maps.Equal(positive(s.exports.throttles), positive(s.all.refused))
}

// rounding is what reading the clock to the nanosecond may add up to.
func (s *Summary) rounding() float64 { return 1e-9 * float64(2*s.ended+1000) }

func positive(m map[limits.Reason]uint64) map[limits.Reason]uint64 {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(_ limits.Reason, n uint64) bool { return n == 0 })
	return m
}

// mean is a mean concurrency from call-seconds.
func (s *Summary) mean(seconds float64) float64 { return seconds / s.length.Seconds() }

// WriteTo prints the summary in lines of at most 80 columns.
func (s *Summary) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	p("weir demo: what %.1f s of it showed", s.length.Seconds())
	p("")
	p("%-10s %8s %8s %8s %12s %12s %13s", "callers", "sent", "served", "refused", "served p50", "served p95", "refused p95")
	row := func(who string, t *tally) {
		p("%-10s %8d %8d %8d %12s %12s %13s", who, t.sent, t.served, t.turnedAway(),
			short(t.servedIn.quantile(0.5)), short(t.servedIn.quantile(0.95)), short(t.refusedIn.quantile(0.95)))
	}
	for k := range kinds {
		row(k.String(), &s.kinds[k])
	}
	row("all", &s.all)
	p("")
	for _, line := range s.outcomes() {
		p("%s", line)
	}
	p("")
	p("At once    the function never ran more than %d calls; the limit is %d", s.function.most, s.scenario.MaxInflight)
	p("           in flight at the end: %d", s.gate.Inflight)
	p("")
	for _, line := range s.concurrency() {
		p("%s", line)
	}
	p("")
	p("Your own function, with the same limit:")
	p("  weir run --max-inflight %d --upstream http://127.0.0.1:3000", s.scenario.MaxInflight)
	p("  weir run --max-inflight %d -- COMMAND ARGS...", s.scenario.MaxInflight)
	p("Then send requests to port 8080, and point Prometheus at port 9464, /metrics.")
	p("What it does now: http://127.0.0.1:9465, on the same machine.")
	n, err := io.WriteString(w, b.String())
	if err != nil {
		return int64(n), fmt.Errorf("demo: printing the summary: %w", err)
	}
	return int64(n), nil
}

// outcomes tells what became of the calls.
func (s *Summary) outcomes() []string {
	var refused []string
	for _, r := range slices.Sorted(maps.Keys(s.all.refused)) {
		refused = append(refused, fmt.Sprintf("%s %d", r, s.all.refused[r]))
	}
	if len(refused) == 0 {
		refused = []string{"none"}
	}
	lines := []string{"Refused    " + strings.Join(refused, ", ")}
	if n := s.exports.waited.count; n > 0 {
		lines = append(lines, fmt.Sprintf("Waited     %d calls waited for a slot, %s on average", n, short(s.exports.waited.mean())))
	} else {
		lines = append(lines, "Waited     no call had to wait for a slot")
	}
	for _, other := range []struct {
		n    uint64
		what string
	}{
		{s.all.failed, "Failed     %d calls got neither the function's answer nor a refusal"},
		{s.all.abandoned, "Cut off    %d calls ended with the demo"},
		{s.all.unsent, "Not sent   %d calls were due while all their callers were busy"},
	} {
		if other.n > 0 {
			lines = append(lines, fmt.Sprintf(other.what, other.n))
		}
	}
	return lines
}

// concurrency sets the three figures beside each other.
func (s *Summary) concurrency() []string {
	running := s.exports.running
	lines := []string{
		"Mean concurrency over the whole time, three times counted and once estimated",
		fmt.Sprintf("  %8.4f  by the function itself, within its handler", s.mean(s.function.seconds)),
		fmt.Sprintf("  %8.4f  by weir's exact integral, from slot taken to slot given back", s.mean(s.seconds)),
	}
	if s.function.calls > 0 && s.function.seconds > 0 && !s.cut {
		more := s.seconds - s.function.seconds
		lines = append(lines, fmt.Sprintf("            %+.2f %%: %s a call on the way to the function and back",
			100*more/s.function.seconds, short(time.Duration(more/float64(s.function.calls)*float64(time.Second)))))
		if more > agreement*s.function.seconds {
			lines = append(lines, fmt.Sprintf("            more than %.0f %%, which tells of a busy machine", 100*agreement))
		}
	}
	lines = append(lines,
		fmt.Sprintf("  %8.4f  by the callers, less their waiting", s.mean(s.callersSeconds())),
		fmt.Sprintf("  %8.4f  rate x duration (Little's law): %.2f calls/s x %s",
			running.rateTimesDuration(s.length), float64(running.count)/s.length.Seconds(), short(running.mean())))
	if s.widest.size() > 0 {
		lines = append(lines, fmt.Sprintf("            over a single second up to %.2f off: %.2f where %.2f is exact",
			s.widest.size(), s.widest.estimate, s.widest.exact))
	}
	return lines
}

// agreement is how close weir's integral and the function's own count are on a
// machine that has time for both.
const agreement = 0.01
