package demo

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"weir/limits"
)

func TestTable(t *testing.T) {
	v := fixedView()
	golden(t, "table.txt", rendered(table(&v, unicodeGlyphs), tableWidth, false))
	golden(t, "table-ascii.txt", rendered(table(&v, asciiGlyphs), tableWidth, false))
	coloured := rendered(table(&v, unicodeGlyphs), tableWidth, true)
	golden(t, "table-colour.txt", strings.ReplaceAll(coloured, "\x1b", "ESC"))

	v.phase, v.length = -1, 0
	golden(t, "table-ending.txt", rendered(table(&v, unicodeGlyphs), tableWidth, false))
}

func TestASCIIGlyphsAreASCII(t *testing.T) {
	v := fixedView()
	for _, r := range rendered(table(&v, asciiGlyphs), tableWidth, false) {
		if r > '~' {
			t.Errorf("%q is not ASCII", r)
		}
	}
}

// The greatest numbers that the demo can come to fit a terminal of 80 by 24.
func TestTableFits(t *testing.T) {
	v := fixedView()
	v.elapsed, v.length = 9999*time.Second, 9999*time.Second
	v.limit, v.running, v.highWater = MaxInflight, MaxInflight, MaxInflight
	v.queueDepth, v.waiting, v.waitingMost = queueFactor*MaxInflight, queueFactor*MaxInflight, queueFactor*MaxInflight
	v.window.exact, v.window.estimate = 64, 0.01
	v.left = 59 * time.Second
	v.metricsURL, v.pageURL = "http://127.0.0.1:65535/metrics", "http://127.0.0.1:65535/"
	v.soFar.refused = map[limits.Reason]uint64{}
	for i, r := range reasons {
		v.soFar.refused[r] = 999_999_999
		v.window.all.refused[r] = uint64(i + 2000)
	}
	for k := range kinds {
		v.window.kinds[k].sent, v.window.kinds[k].served = 2000, 2000
		v.window.kinds[k].refused = v.window.all.refused
	}
	for range trailLength + 5 {
		v.runningTrail, v.waitingTrail = trail(v.runningTrail, 1), trail(v.waitingTrail, 1)
	}
	lines := table(&v, unicodeGlyphs)
	if len(lines) > tableHeight {
		t.Errorf("%d lines, want at most %d", len(lines), tableHeight)
	}
	for _, l := range lines {
		whole := l.render(1000, false)
		if n := utf8.RuneCountInString(whole); n > tableWidth {
			t.Errorf("%d columns, want at most %d: %s", n, tableWidth, whole)
		}
	}
}

func TestLinesAreClipped(t *testing.T) {
	l := line{{"ab", strong}, {"cdé", faint}, {"fgh", normal}}
	for _, c := range []struct {
		width  int
		colour bool
		want   string
	}{
		{80, false, "abcdéfgh"},
		{4, false, "abcd"},
		{5, false, "abcdé"},
		{0, false, ""},
		{0, true, ""},
		{3, true, "\x1b[1mab\x1b[0m\x1b[2mc\x1b[0m"},
	} {
		if got := l.render(c.width, c.colour); got != c.want {
			t.Errorf("width %d, colour %v: %q, want %q", c.width, c.colour, got, c.want)
		}
	}
}

func TestBarTellsSomeFromNoneAndFullFromAlmost(t *testing.T) {
	for _, c := range []struct{ n, most, want int }{
		{0, 8, 0},
		{1, 8, 2},
		{4, 8, 8},
		{7, 8, 14},
		{8, 8, 16},
		{9, 8, 16},
		{1, 256, 1},
		{255, 256, 15},
		{256, 256, 16},
		{0, 0, 0},
		{3, 0, 0},
	} {
		filled, empty := asciiGlyphs.bar(c.n, c.most, 16)
		if len(filled) != c.want || len(filled)+len(empty) != 16 {
			t.Errorf("%d of %d: %q%q, want %d filled of 16", c.n, c.most, filled, empty, c.want)
		}
	}
}

func TestSpark(t *testing.T) {
	for _, c := range []struct {
		shares []float64
		want   string
	}{
		{nil, "     "},
		{[]float64{0, 0.001, 0.5, 1, 1.2}, " ▁▄██"},
		{[]float64{1, 1, 0, 0, 0, 0, 1}, "    █"},
		{[]float64{-0.1}, "     "},
	} {
		if got := unicodeGlyphs.spark(c.shares, 5); got != c.want {
			t.Errorf("%v: %q, want %q", c.shares, got, c.want)
		}
	}
}

func TestNumbersAreShort(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "-"},
		{123 * time.Microsecond, "0.12 ms"},
		{994 * time.Microsecond, "0.99 ms"},
		{996 * time.Microsecond, "1.0 ms"},
		{9940 * time.Microsecond, "9.9 ms"},
		{9960 * time.Microsecond, "10 ms"},
		{999 * time.Millisecond, "999 ms"},
		{999700 * time.Microsecond, "1.00 s"},
		{83 * time.Second, "83.00 s"},
	} {
		if got := short(c.d); got != c.want || len(got) > 7 {
			t.Errorf("short(%v) is %q, want %q", c.d, got, c.want)
		}
	}
	for v, want := range map[float64]string{0: "0.0", 999.94: "999.9", 999.96: "1000", 1234.5: "1234"} {
		if got := ratio(v); got != want {
			t.Errorf("ratio(%v) is %q, want %q", v, got, want)
		}
	}
}
