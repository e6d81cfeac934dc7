//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// report is RESULTS.md with its plot.
type report struct {
	*results
	machine *machine
	options *options
	took    time.Duration
	date    time.Time
	command string
}

func (rp *report) write(dir string) error {
	svg, drawn := rp.plot()
	if drawn {
		if err := os.WriteFile(filepath.Join(dir, plotFile), svg, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), []byte(rp.markdown(drawn)), 0o644)
}

// table writes rows of cells, the first being the head.
func table(b *strings.Builder, rows [][]string) {
	for i, r := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(r, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|---%s|\n", strings.Repeat("|---:", len(r)-1))
		}
	}
	b.WriteString("\n")
}

func (rp *report) markdown(plotted bool) string {
	var b strings.Builder
	b.WriteString("# Side by side\n\n" +
		"Written by `" + rp.command + "` on " + rp.date.UTC().Format("2006-01-02 15:04") + " UTC in " + rp.took.Round(time.Second).String() +
		fmt.Sprintf(": %d rounds of %d s, %d for cells that no row below is about, proxies taking turns. Figures are medians over the rounds; ratios are taken within each round, and their median is judged.\n\n",
			rp.options.rounds, rp.options.seconds, (rp.options.rounds+1)/2))
	if rp.options.quick {
		b.WriteString("**A quick run, to see that it works: not to be quoted.**\n\n")
	}

	b.WriteString("## What must hold\n\n")
	rows := [][]string{{"figure", "measured", "wanted", ""}}
	for _, r := range rp.rows() {
		rows = append(rows, []string{r.figure, r.measured, r.want, r.verdict})
	}
	table(&b, rows)

	b.WriteString("## Machine\n\n")
	m := rp.machine
	rows = [][]string{{"", ""}, {"CPU", m.cpu}, {"cores", fmt.Sprint(m.cores)}, {"memory", m.memory}, {"kernel", m.kernel}, {"load before the run", fmt.Sprintf("%.2f", m.load)}}
	for _, v := range m.versions {
		rows = append(rows, []string{v[0], v[1]})
	}
	table(&b, rows)
	b.WriteString("Load generator, function and proxy share these cores: the CPU time of the proxy's processes is the steady figure, requests a second and latencies are those of a machine that all three keep busy. Every proxy has as many threads as there are cores.\n\n")

	b.WriteString("## Cells\n\n")
	if plotted {
		b.WriteString("![CPU a request](" + plotFile + ")\n\n")
	}
	for _, c := range cells {
		if rp.samples[c.name] != nil {
			rp.cellTable(&b, c)
		}
	}
	rp.idleTable(&b)
	rp.callsTable(&b)
	b.WriteString(notes)
	return b.String()
}

func (rp *report) cellTable(b *strings.Builder, c *cell) {
	fmt.Fprintf(b, "### %s\n\n", c.title)
	cost, costName, to := cpuMicros, "CPU µs a request", "%.2f"
	head := []string{"", costName, "/ weir", "requests/s", "p50 ms", "p99 ms", "RSS MiB", "allocations a request"}
	if c.bytesPer() > 0 {
		cost, to = cpuSeconds, "%.3f"
		head[1] = "CPU s per GiB"
	}
	rows := [][]string{head}
	for _, name := range c.peers {
		show := func(f figure, format string) string {
			v, err := rp.of(c.name, name, f)
			if err != nil {
				return "-"
			}
			return fmt.Sprintf(format, median(v))
		}
		if _, err := rp.of(c.name, name, cost); err != nil {
			rows = append(rows, []string{name, "**" + err.Error() + "**", "", "", "", "", "", ""})
			continue
		}
		against := "-"
		if v, err := rp.ratios(c.name, name, c.name, weir, cost); err == nil {
			against = fmt.Sprintf("%.2f", median(v))
		}
		allocations := "-"
		if v, err := rp.of(c.name, name, allocs); err == nil && v[0] >= 0 {
			allocations = fmt.Sprintf("%.3f", median(v))
		}
		rows = append(rows, []string{name, show(cost, to), against, show(rate, "%.0f"), show(p50Millis, "%.2f"), show(p99Millis, "%.2f"), show(rssMiB, "%.1f"), allocations})
	}
	table(b, rows)
}

func (rp *report) idleTable(b *strings.Builder) {
	if len(rp.idle) == 0 {
		return
	}
	fmt.Fprintf(b, "### %d idle keep-alive connections\n\n", rp.options.idle)
	rows := [][]string{{"", "RSS MiB before", "with them", "growth", "KiB a connection"}}
	for _, name := range allPeers {
		s := rp.idle[name]
		if s == nil {
			continue
		}
		if s.invalid != "" {
			rows = append(rows, []string{name, "**invalid: " + s.invalid + "**", "", "", ""})
			continue
		}
		growth := s.after - s.before
		rows = append(rows, []string{
			name, fmt.Sprintf("%.1f", float64(s.before)/mib), fmt.Sprintf("%.1f", float64(s.after)/mib),
			fmt.Sprintf("%.1f", float64(growth)/mib), fmt.Sprintf("%.2f", float64(growth)/kib/float64(s.connections)),
		})
	}
	table(b, rows)
	fmt.Fprintf(b, "Each was answered once, then left for %v; after the measurement each was answered again. Memory of the kernel (sockets) is not in it.\n\n", settleTime)
}

func (rp *report) callsTable(b *strings.Builder) {
	if len(rp.calls) == 0 {
		return
	}
	b.WriteString("### System calls a request, 50 B, 32 connections\n\n")
	rows := [][]string{{"", "all", "most of them"}}
	for _, name := range allPeers {
		c := rp.calls[name]
		switch {
		case c == nil:
			continue
		case c.invalid != "" || c.requests == 0:
			rows = append(rows, []string{name, "**invalid: " + c.invalid + "**", ""})
			continue
		}
		var most []string
		for _, one := range c.counts[:min(8, len(c.counts))] {
			most = append(most, fmt.Sprintf("%s %.2f", one.name, float64(one.n)/float64(c.requests)))
		}
		rows = append(rows, []string{name, fmt.Sprintf("%.2f", float64(c.total())/float64(c.requests)), strings.Join(most, ", ")})
	}
	table(b, rows)
	b.WriteString("Counted by `strace -c -f` in a run of its own. strace makes a proxy slow, so that it finds less to do at a time: a guide, and no measure of cost.\n\n")
}

const notes = `## How to read it

- CPU is user and system time of all processes and threads of the proxy, from the
  kernel's CPU-time clocks, over the whole of the load, the making of connections
  included, divided by the requests that were answered; for 10 MiB by the bytes.
- The limit is 1024 for what is forwarded, and is on at every proxy: --max-inflight,
  maxconn on HAProxy's server line, limit_conn, a semaphore. weir counts its metrics
  all the while.
- For refusals the limit is held full by other connections, whose responses trickle;
  HAProxy, whose maxconn queues, has a rule that refuses. In the cells before, nothing
  is refused.
- HAProxy takes 10 MiB bodies on a second frontend, with splicing on.
- Uploads are answered once the function has all of the body.
- Allocations are the process's own count (go_memstats_mallocs_total) over the
  load, less that of a scrape. What probes and new connections allocate is in it,
  hence a bound that is not 0.
- RSS of nginx is the sum over its processes, pages that they share counted in each.
- "ReverseProxy" is bench/reverseproxy: net/http and httputil.ReverseProxy with
  pooled buffers, many idle connections, a semaphore, and nothing else.
- A cell is invalid, and says so, if a status, a count of bytes, a socket or a held
  slot was not as it should be.
`
