package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"weir/limits"
)

// printEvery is how often a line is printed, and headEvery after how many lines
// the columns are named again.
const (
	printEvery = time.Second
	headEvery  = 24
)

// printer prints a line each second, without control characters, for output that is
// kept or read by programs.
type printer struct {
	out   io.Writer
	next  time.Duration
	lines int
}

const printHead = `                     ---concurrency---                --latency--     refused/s
 time  traffic   run wait exact rate*dur high  served/s   p50   p95   max+qf+qt
`

func newPrinter(out io.Writer, header []string) (*printer, error) {
	p := &printer{out: out, next: printEvery}
	text := strings.Join(header, "\n") + "\n" +
		"refused: max_inflight + queue_full + queue_timeout; wait: most within the second\n"
	return p, p.print(text)
}

func (p *printer) print(text string) error {
	if _, err := io.WriteString(p.out, text); err != nil {
		return fmt.Errorf("demo: writing to the output: %w", err)
	}
	return nil
}

func (p *printer) show(v *view) error {
	if v.elapsed < p.next {
		return nil
	}
	p.next = v.elapsed.Truncate(printEvery) + printEvery
	text := printed(v) + "\n"
	if p.lines%headEvery == 0 {
		text = "\n" + printHead + text
	}
	p.lines++
	return p.print(text)
}

func (p *printer) close() error { return p.print("\n") }

// printed is one line.
func printed(v *view) string {
	phase := "ending"
	if v.phase >= 0 {
		phase = v.phases[v.phase]
	}
	w, all := &v.window, &v.window.all
	rate := func(r limits.Reason) float64 { return w.perSecond(all.refused[r]) }
	return fmt.Sprintf("%4ds  %-9s %3d %4d %5.2f %8.2f %4d %9.1f %5.0f %5.0f %11s",
		int(v.elapsed.Seconds()), phase, v.running, v.waitingMost, w.exact, w.estimate, v.highWater,
		w.perSecond(all.served), ms(all.servedIn.quantile(0.5)), ms(all.servedIn.quantile(0.95)),
		fmt.Sprintf("%.0f+%.0f+%.0f", rate(limits.ReasonMaxInflight), rate(limits.ReasonQueueFull), rate(limits.ReasonQueueTimeout)))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
