package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/limits"
)

var update = flag.Bool("update", false, "write docs/limits.md and its plots")

// contender is a limit in the report.
type contender struct {
	name, colour string
	gate         func(*testing.T) *limits.Gate // or
	other        func() Limiter
}

var contenders = []contender{
	{"weir, max_inflight auto", "#1f77b4", func(t *testing.T) *limits.Gate { return auto(t) }, nil},
	{"failsafe-go v0.9.8, adaptive", "#ff7f0e", nil, newFailsafe},
	{"go-concurrency-limits v0.8.0, Gradient2, windowed", "#2ca02c", nil, newGradient2},
}

func (c contender) run(t *testing.T, s Scenario) *Result {
	var r *Result
	synctest.Test(t, func(t *testing.T) {
		if c.gate != nil {
			s.Gate = c.gate(t)
		} else {
			s.Other = c.other()
		}
		r = Run(&s)
	})
	return r
}

const reportCapacity = 40

// steps is a capacity that halves and doubles under twice its load, and then seven
// tenths of that.
func steps() Scenario {
	return Scenario{
		Seed: 1, For: 2 * time.Minute,
		Function: Function{
			Service: Lognormal(20*time.Millisecond, 0.5), Workers: reportCapacity,
			Changes: []Change{{At: 30 * time.Second, Workers: reportCapacity / 2}, {At: 60 * time.Second, Workers: reportCapacity}},
		},
		Streams: []Stream{{
			Rate:     Burst(0.7*reportCapacity/0.02, 2*reportCapacity/0.02, 0, 90*time.Second),
			Patience: 200 * time.Millisecond,
		}},
	}
}

// slight is a load a fifth above the capacity, for ten minutes.
func slight() Scenario {
	return Scenario{
		Seed: 2, For: 10 * time.Minute,
		Function: Function{Service: Lognormal(20*time.Millisecond, 0.5), Workers: reportCapacity},
		Streams:  []Stream{{Rate: Steady(1.2 * reportCapacity / 0.02), Patience: 200 * time.Millisecond}},
	}
}

// rareMean is the mean of 1 ms and, in two of a hundred calls, 1 s.
const rareMean = 20980 * time.Microsecond

// rare is a function of which nearly all time goes into few calls.
func rare(capacity int) Scenario {
	return Scenario{
		Seed: 3, For: 10 * time.Minute,
		Function: Function{Service: Bimodal(time.Millisecond, time.Second, 0.02), Workers: capacity},
		Streams:  []Stream{{Rate: Steady(2 * float64(capacity) / rareMean.Seconds())}},
	}
}

// TestReport runs the limits beside each other with -update, and writes what docs/
// says of them. Without, it runs weir's alone.
func TestReport(t *testing.T) {
	if raced {
		return // TestTheLimitFollows has as much
	}
	contenders := contenders
	if !*update {
		contenders = contenders[:1]
	}
	var doc bytes.Buffer
	fmt.Fprint(&doc, reportHead)
	// What became of the calls, by contender.
	fmt.Fprintf(&doc, "## A capacity that halves, doubles, and is left alone\n\n%s", reportSteps)
	var limit, latency, goodput []series
	fmt.Fprintf(&doc, "| | mean limit at 20 to 30 s (capacity 40) | 40 to 60 s (20) | 80 to 90 s (40) | in time, 5 to 90 s | p99 | refused with a worker idle, from 95 s |\n|---|---|---|---|---|---|---|\n")
	for _, c := range contenders {
		r := c.run(t, steps())
		s, calm := r.Between(5*time.Second, 90*time.Second), r.Between(95*time.Second, 120*time.Second)
		offered := 55.0*reportCapacity/0.02 + 30*reportCapacity/2/0.02
		fmt.Fprintf(&doc, "| %s | %.1f | %.1f | %.1f | %.1f %% of capacity | %d ms | %d |\n", c.name,
			r.MeanLimit(20*time.Second, 30*time.Second), r.MeanLimit(40*time.Second, 60*time.Second), r.MeanLimit(80*time.Second, 90*time.Second),
			100*float64(s.Useful)/offered, s.Latency(0.99).Milliseconds(), calm.Premature)
		limit = append(limit, r.limits(c, time.Second))
		latency = append(latency, r.over(c, time.Second, func(s Summary) float64 { return s.Latency(0.99).Seconds() * 1000 }))
		goodput = append(goodput, r.over(c, time.Second, Summary.Goodput))
		if c.gate != nil && (calm.Premature > 0 || float64(s.Useful) < 0.9*offered) {
			t.Errorf("%s: %.1f%% of capacity in time, %d refused with a worker idle", c.name, 100*float64(s.Useful)/offered, calm.Premature)
		}
	}
	if !*update {
		return
	}
	plots := map[string]string{
		"limits-steps-limit.svg":   plot("limit", "calls", limit, 100),
		"limits-steps-latency.svg": plot("p99 latency", "ms", latency, 400),
		"limits-steps-goodput.svg": plot("answers in time", "a second", goodput, 2500),
	}
	fmt.Fprintf(&doc, "\n![limits](limits-steps-limit.svg)\n\n![latency](limits-steps-latency.svg)\n\n![goodput](limits-steps-goodput.svg)\n\n")

	fmt.Fprintf(&doc, "## A load that is slightly too much\n\n%s", reportSlight)
	fmt.Fprintf(&doc, "| | mean limit in minute 1 | 5 | 10 | in time | p99 |\n|---|---|---|---|---|---|\n")
	limit = nil
	for _, c := range contenders {
		r := c.run(t, slight())
		s := r.Between(time.Minute, 10*time.Minute)
		minute := func(n int) float64 { return r.MeanLimit(time.Duration(n-1)*time.Minute, time.Duration(n)*time.Minute) }
		fmt.Fprintf(&doc, "| %s | %.1f | %.1f | %.1f | %.1f %% of capacity | %d ms |\n", c.name, minute(1), minute(5), minute(10),
			100*s.Goodput()*0.02/reportCapacity, s.Latency(0.99).Milliseconds())
		limit = append(limit, r.limits(c, 5*time.Second))
	}
	plots["limits-slight-limit.svg"] = plot("limit", "calls", limit, 120)
	fmt.Fprintf(&doc, "\n![limits](limits-slight-limit.svg)\n\n")

	fmt.Fprintf(&doc, "## A queue under pressure\n\n%s", reportQueue)
	fmt.Fprintf(&doc, "| load | queue_order fifo: in time | p99 of those served | adaptive: in time | p99 of those served |\n|---|---|---|---|---|\n")
	for _, load := range []float64{0.9, 2, 5, 10} {
		fmt.Fprintf(&doc, "| %g times the capacity |", load)
		for _, strict := range []bool{true, false} {
			p := waiting(10)
			p.StrictQueue = strict
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 3, For: time.Minute, Function: Function{Service: Lognormal(100*time.Millisecond, 0.5), Workers: 10},
					Streams: []Stream{{Rate: Steady(load * 100), Patience: time.Second}}, Gate: gate(t, p),
				}
			})
			s := r.Between(10*time.Second, time.Minute)
			fmt.Fprintf(&doc, " %.1f %% of capacity | %d ms |", s.Goodput(), s.Latency(0.99).Milliseconds())
		}
		fmt.Fprintln(&doc)
	}

	fmt.Fprintf(&doc, "\n## Where the limit takes long\n\n%s", reportLong)
	fmt.Fprintf(&doc, "| capacity | limit at 15 to 20 s | minutes 5 to 10 | least and most in a minute | in time |\n|---|---|---|---|---|\n")
	for _, capacity := range []int{3, 10, 50} {
		r := contenders[0].run(t, rare(capacity))
		least, most := 1e9, 0.0
		for at := 5 * time.Minute; at < 10*time.Minute; at += time.Minute {
			mean := r.MeanLimit(at, at+time.Minute)
			least, most = min(least, mean), max(most, mean)
		}
		fmt.Fprintf(&doc, "| %d | %.1f | %.1f | %.1f, %.1f | %.1f %% of capacity |\n", capacity, r.MeanLimit(15*time.Second, 20*time.Second),
			r.MeanLimit(5*time.Minute, 10*time.Minute), least, most,
			100*r.Between(5*time.Minute, 10*time.Minute).Goodput()*rareMean.Seconds()/float64(capacity))
	}
	plots["limits.md"] = doc.String()
	for name, content := range plots {
		if err := os.WriteFile("../../docs/"+name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// series is one line of a plot.
type series struct {
	name, colour string
	values       []float64 // one for each width of time
	width        time.Duration
}

func (r *Result) over(c contender, width time.Duration, of func(Summary) float64) series {
	s := series{c.name, c.colour, nil, width}
	for at := time.Duration(0); at+width <= r.scenario.For; at += width {
		s.values = append(s.values, of(r.Between(at, at+width)))
	}
	return s
}

func (r *Result) limits(c contender, width time.Duration) series {
	s := series{c.name, c.colour, nil, width}
	for at := time.Duration(0); at+width <= r.scenario.For; at += width {
		s.values = append(s.values, r.MeanLimit(at, at+width))
	}
	return s
}

// plot draws lines as SVG; what is above top is cut off.
func plot(title, unit string, lines []series, top float64) string {
	const width, height, left, bottom = 720.0, 260.0, 48.0, 60.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#fff"/><text x="%g" y="14" font-weight="bold">%s (%s)</text>`+"\n", width, height, left, title, unit)
	x := func(share float64) float64 { return left + share*(width-left-12) }
	y := func(value float64) float64 { return 24 + (1-min(value, top)/top)*(height-24-bottom) }
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%g</text>`+"\n", left, x(1), y(v), y(v), left-6, y(v)+4, v)
	}
	for _, l := range lines {
		span := time.Duration(len(l.values)) * l.width
		fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="end">%v</text>`+"\n", x(1), height-bottom+16, span)
		break
	}
	for i, l := range lines {
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, l.colour)
		for k, v := range l.values {
			fmt.Fprintf(&b, "%.1f,%.1f ", x((float64(k)+0.5)/float64(len(l.values))), y(v))
		}
		fmt.Fprintf(&b, `"/><rect x="%g" y="%g" width="10" height="10" fill="%s"/><text x="%g" y="%g">%s</text>`+"\n",
			left+float64(i)*225, height-26, l.colour, left+14+float64(i)*225, height-17, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

const reportHead = `# How the limits do under overload

Made by ` + "`make sim`" + `: the real limits, in virtual time, on traffic from a seed
(` + "`limits/sim`" + `), beside others on the same arrivals and with their own defaults. A
simulation: its function is a number of workers with a queue in front, and yours is
more than that. The tests in ` + "`limits/sim`" + ` hold weir to its figures.

`

const reportSteps = `Twice the load that the function can take; it takes 40 calls at once, 20 from 30 s
on, 40 from 60 s on. From 90 s the load is seven tenths of the capacity. A call takes
20 ms (lognormal, sigma 0.5), its client waits 200 ms.

`

const reportSlight = `A fifth more than the function can take, for ten minutes; 40 calls at once. What a
limit lets in above that only waits inside, and a baseline that is measured under
load moves with it.

`

const reportQueue = `` + "`overflow: wait`" + ` with ten slots, calls of 100 ms and clients that give up after a
second without telling.

`

const reportLong = `The limit is tested for service times with a coefficient of variation of up to 1, and
for functions whose workers take one call at a time as well as for those whose calls
share processors: there it is as many calls as run at full speed.

Where nearly all time goes into few calls it takes minutes, and is not held to the figures
above: the means that it compares need thousands of calls. This is 1 ms, and 1 s in two of a
hundred calls (a coefficient of variation of 6.6), at twice the capacity, from one seed. With
a load just above a small capacity it strays to many times that, for minutes. Set ` + "`max_inflight`" + ` to a number
there, or give the long calls a route of their own.

`
