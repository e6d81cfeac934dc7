// Command overload measures what the limits promise under overload, over loopback,
// with the real binary: goodput at 2, 5 and 10 times capacity, latency of those
// admitted, time of refusals, fairness among callers.
//
// The function sleeps for a tenth of a second, hence its capacity is known: ten
// requests a second for each slot. Requests come by a schedule that was drawn before
// (Poisson, seeded), whether earlier ones have been answered or not, and their
// latency counts from the time they were due; how late they were sent is told beside it,
// for that is this program's part. Generator and function are this process; weir is its
// own. All share the machine's cores.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	slots        = 20
	serviceTime  = 100 * time.Millisecond
	capacity     = float64(slots) / 0.1 // requests a second
	queueTimeout = 500 * time.Millisecond
	callers      = 10
	// within bounds the whole run.
	within = 3 * time.Minute
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(1)
	}
}

func run() error {
	weir := flag.String("weir", "", "a weir `binary` to measure instead of building one")
	out := flag.String("out", "bench/OVERLOAD.md", "`file` for the figures; - is standard output alone")
	length := flag.Duration("for", 10*time.Second, "`length` of each measurement; those of fairness are twice and four times as long")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *length < time.Second || *length > 20*time.Second {
		return fmt.Errorf("-for %v is not between 1s and 20s", *length)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, within, errors.New("the run took longer than it may"))
	defer cancel()

	if *weir == "" {
		dir, err := os.MkdirTemp("", "overload-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		*weir = filepath.Join(dir, "weir")
		build := exec.CommandContext(ctx, "go", "build", "-o", *weir, "./cmd/weir")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build weir: %w", err)
		}
	}
	// So that what is due need not wait for a place among what the program does besides:
	// which thread runs is left to the kernel.
	runtime.GOMAXPROCS(4 * runtime.NumCPU())
	began := time.Now()
	rows, notes, err := measure(ctx, *weir, *length)
	if err != nil {
		return err
	}
	page := report(rows, notes, *length, time.Since(began))
	fmt.Print(page)
	if *out != "-" {
		return os.WriteFile(*out, []byte(page), 0o644)
	}
	return nil
}

// row is one promise and what was seen of it.
type row struct {
	what, bar, seen string
	holds           bool
}

// measure runs every load, each at a weir of its own.
func measure(ctx context.Context, weir string, length time.Duration) (rows []row, notes []string, err error) {
	waiting := []string{"--overflow", "wait", "--queue-timeout", queueTimeout.String()}
	at := func(times float64, seed uint64, flags ...string) (*result, error) {
		r, err := load(ctx, weir, flags, []float64{times * capacity}, length, seed)
		if err == nil {
			notes = append(notes, fmt.Sprintf("%g times capacity, %s: %s", times, flags[1], r))
		}
		return r, err
	}
	unloaded, err := at(0.2, 1, waiting...)
	if err != nil {
		return nil, nil, err
	}
	base := quantile(unloaded.admitted, 0.99)
	for i, g := range []struct{ times, least float64 }{{2, 0.95}, {5, 0.92}, {10, 0.90}} {
		r, err := at(g.times, uint64(i+2), waiting...)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, row{
			fmt.Sprintf("goodput at %g times capacity", g.times), fmt.Sprintf("at least %.0f %%", 100*g.least),
			fmt.Sprintf("%.1f %%", 100*r.goodput), r.goodput >= g.least,
		})
		switch g.times {
		case 2:
			p99, most := quantile(r.admitted, 0.99), base*3/2+queueTimeout
			rows = append(rows, row{
				"p99 of those admitted at 2 times capacity", fmt.Sprintf("at most %s: 1.5 times the unloaded p99 of %s, and the queue timeout", ms(most), ms(base)),
				ms(p99), p99 <= most,
			})
		case 10:
			rows = append(rows, refusals("wait", r))
		}
	}
	r, err := at(10, 5, "--overflow", "reject")
	if err != nil {
		return nil, nil, err
	}
	rows = append(rows, refusals("reject", r))

	// Demand is random: at the whole of its share a caller asks for more in half of all
	// stretches of time, the more so the shorter they are.
	for i, f := range []struct {
		part   float64
		length time.Duration
	}{{0.9, 2 * length}, {1, 4 * length}} {
		part := f.part
		rates := make([]float64, callers)
		for c := range rates {
			rates[c] = part * capacity / callers
		}
		rates[0] = 10 * capacity / callers
		r, err := load(ctx, weir, append(waiting, "--caller-key", "header:X-Tenant", "--trusted-proxies", "127.0.0.1/32"), rates, f.length, uint64(6+i))
		if err != nil {
			return nil, nil, err
		}
		load := fmt.Sprintf("one caller at 10 times its share, nine at %g of theirs", part)
		notes = append(notes, load+": "+r.String())
		rows = append(rows, fairness(load, part, f.length, r)...)
	}
	return rows, notes, nil
}

// fairness is what becomes of nine callers that ask for a part of their share, beside
// one that asks for far more. Max-min fair is what the nine ask for, and to the one
// the rest.
func fairness(load string, part float64, length time.Duration, r *result) []row {
	var lost, asked int
	var shares []float64
	all := 0.0
	var demand []float64
	for _, c := range r.callers {
		all += c.seconds
		demand = append(demand, float64(c.served+c.refused))
	}
	over := 0.0 // what the nine asked for above that
	for i, fair := range maxMin(capacity*length.Seconds(), demand) {
		if i > 0 {
			over += demand[i] - fair
		}
	}
	for i, c := range r.callers {
		if i == 0 {
			shares = append(shares, c.seconds/(all*(1-part*(callers-1)/callers)))
			continue
		}
		lost, asked = lost+c.refused, asked+c.refused+c.served
		shares = append(shares, c.seconds/(all*part/callers))
	}
	loses, index := float64(lost)/float64(max(asked, 1)), jain(shares)
	return []row{
		{load + ": what the nine lose", "under 2 %", fmt.Sprintf("%.2f %% (%d of %d; they happened to ask for %.2f %% more than is max-min fair)", 100*loses, lost, asked, 100*over/float64(max(asked, 1))), asked > 0 && loses < 0.02},
		{load + ": Jain's index of slot-seconds, of what is max-min fair to each", "at least 0.95", fmt.Sprintf("%.3f", index), index >= 0.95},
	}
}

// maxMin shares a capacity: none gets more than it asks for, and who gets less gets as
// much as anybody.
func maxMin(capacity float64, demand []float64) []float64 {
	level, left := 0.0, capacity
	for i, d := range slices.Sorted(slices.Values(demand)) {
		level = left / float64(len(demand)-i)
		if d >= level {
			break
		}
		level, left = d, left-d
	}
	fair := slices.Clone(demand)
	for i := range fair {
		fair[i] = min(fair[i], level)
	}
	return fair
}

// refusals is the promise of how soon each is told, those who waited among them.
func refusals(overflow string, r *result) row {
	p99 := quantile(r.refused, 0.99)
	return row{"p99 of all refusals at 10 times capacity, overflow " + overflow, "under 5 ms", ms(p99), len(r.refused) > 0 && p99 < 5*time.Millisecond}
}

// report is the page.
func report(rows []row, notes []string, length, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Limits under overload, over loopback

Written by `+"`make overload`"+` (`+"`bench/overload`"+`). Do not edit.

A function of %d slots that sleeps %v: %g requests a second. Open loop, Poisson
arrivals, latency from the time a request was due; the first second of each
measurement is left out. Queue timeout %v, everything else by default.
Generator and function are one process, weir another, on the same cores.

Machine: %s, %s/%s, %d cores, %s. %s a measurement, %v in all.

| what | bar | seen | |
|---|---|---|---|
`, slots, serviceTime, capacity, queueTimeout, processor(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), length, took.Round(time.Second))
	for _, r := range rows {
		verdict := "holds"
		if !r.holds {
			verdict = "**does not hold**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.bar, r.seen, verdict)
	}
	b.WriteString("\nWhat was seen, in full:\n\n")
	for _, n := range notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	return b.String()
}

// processor is the model, where the kernel tells.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // not everywhere there
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
