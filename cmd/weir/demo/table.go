package demo

import (
	"fmt"
	"time"

	"weir/limits"
)

// tableWidth and tableHeight are those of the smallest terminal that shows the
// whole table.
const (
	tableWidth  = 79 // leaves the last column free: terminals differ in what they do after it
	tableHeight = 24
)

// reasons are the refusals that the table has a column for: those that can
// happen while the demo runs.
var reasons = []limits.Reason{limits.ReasonMaxInflight, limits.ReasonQueueFull, limits.ReasonQueueTimeout}

// table lays a view out.
func table(v *view, g glyphs) []line {
	lines := []line{
		flushRight(line{textf(strong, " weir demo"), textf(faint, "  a sample function with weir in front of it")}, textf(faint, "%s", v.clock())),
		{},
		v.phaseLine(),
		{},
		v.barLine(g, "running", v.running, v.limit, fmt.Sprintf("high water %d in 1 min", v.highWater)),
		v.barLine(g, "waiting", v.waiting, v.queueDepth, fmt.Sprintf("at most %d in 1 s", v.waitingMost)),
		{},
		{
			textf(faint, " concurrency of the last second   "),
			textf(normal, "exact "), textf(strong, "%5.2f", v.window.exact),
			textf(normal, "   rate x duration "), textf(strong, "%5.2f", v.window.estimate),
			textf(faint, "  %+.2f", v.window.estimate-v.window.exact),
		},
		{textf(faint, " last 15 s  running "), textf(good, "%s", g.spark(v.runningTrail, trailLength-2)), textf(faint, "|")},
		{textf(faint, "            waiting "), textf(full, "%s", g.spark(v.waitingTrail, trailLength-2)), textf(faint, "|")},
		{},
		{textf(faint, " %-10s %8s %8s %9s %11s %11s %12s", "callers", "sent/s", "served/s", "refused/s", "served p50", "served p95", "refused p95")},
	}
	for k := range kinds {
		lines = append(lines, v.callersLine(k.String(), &v.window.kinds[k], normal))
	}
	lines = append(lines, v.callersLine("all", &v.window.all, strong), line{})
	lines = append(lines, v.refusals()...)
	return append(lines, line{}, line{
		textf(faint, " page    "), textf(normal, "%s", v.pageURL), textf(faint, "   in a browser"),
	}, line{
		textf(faint, " metrics "), textf(normal, "%s", v.metricsURL), textf(faint, "   Ctrl-C ends and sums up"),
	})
}

// phaseLine shows which traffic there is, and for how long.
func (v *view) phaseLine() line {
	l := line{textf(faint, " traffic   ")}
	for i, name := range v.phases {
		if i == v.phase {
			l = append(l, textf(strong, "[%s]", name))
		} else {
			l = append(l, textf(faint, " %s ", name))
		}
		l = append(l, textf(normal, " "))
	}
	if v.phase < 0 {
		l = append(l, textf(strong, " ending"))
	} else {
		l = append(l, textf(normal, " %d s left", wholeSeconds(v.left)))
	}
	return l
}

// clock is the time since the start, and the whole where there is an end.
func (v *view) clock() string {
	if v.length > 0 {
		return fmt.Sprintf("%d of %d s", int(v.elapsed.Seconds()), wholeSeconds(v.length))
	}
	return fmt.Sprintf("%d s", int(v.elapsed.Seconds()))
}

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// flushRight appends a span that ends with the table.
func flushRight(l line, s span) line {
	used := 0
	for _, s := range append(l[:len(l):len(l)], s) {
		used += len([]rune(s.text))
	}
	return append(l, textf(normal, "%*s", max(tableWidth-used, 1), ""), s)
}

// barLine shows a number against its bound.
func (v *view) barLine(g glyphs, what string, n, most int, remark string) line {
	filled, empty := g.bar(n, most, 32)
	colour := good
	if n >= most {
		colour = full
	}
	return line{
		textf(faint, " %-8s", what), textf(strong, "%4d", n), textf(normal, " of %-4d ", most),
		textf(colour, "%s", filled), textf(faint, "%s", empty), textf(faint, "  %s", remark),
	}
}

// callersLine shows what callers saw within the window.
func (v *view) callersLine(who string, t *tally, s style) line {
	refused := t.turnedAway()
	colour := s
	if refused > 0 {
		colour = full
	}
	rate := func(n uint64) string { return ratio(v.window.perSecond(n)) }
	return line{
		textf(s, " %-10s %8s %8s ", who, rate(t.sent), rate(t.served)), textf(colour, "%9s", rate(refused)),
		textf(s, " %11s %11s %12s", short(t.servedIn.quantile(0.5)), short(t.servedIn.quantile(0.95)), short(t.refusedIn.quantile(0.95))),
	}
}

// refusals shows why callers were turned away, in the window and so far.
func (v *view) refusals() []line {
	head, rate, sum := textf(faint, " %-10s", "refused"), textf(normal, " %-10s", "per s"), textf(normal, " %-10s", "so far")
	for _, r := range reasons {
		head.text += fmt.Sprintf(" %14s", r)
		rate.text += fmt.Sprintf(" %14s", ratio(v.window.perSecond(v.window.all.refused[r])))
		sum.text += fmt.Sprintf(" %14d", v.soFar.refused[r])
	}
	return []line{{head}, {rate}, {sum}}
}
