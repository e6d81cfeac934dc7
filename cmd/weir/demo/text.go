package demo

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// style is how a piece of text looks on a terminal that may be coloured.
type style uint8

const (
	normal style = iota
	strong
	faint
	good // below the limit
	full // at the limit, or turned away
)

// sgr are the parameters of ECMA-48's SELECT GRAPHIC RENDITION.
func (s style) sgr() string { return [...]string{"", "1", "2", "32", "33"}[s] }

type span struct {
	text  string
	style style
}

// line is one line of a frame. All its characters are one column wide.
type line []span

func textf(s style, format string, args ...any) span { return span{fmt.Sprintf(format, args...), s} }

// render clips the line to width and colours it where asked to.
func (l line) render(width int, colour bool) string {
	var b strings.Builder
	for _, s := range l {
		text := s.text
		if n := utf8.RuneCountInString(text); n > width {
			text = string([]rune(text)[:width])
		}
		width -= utf8.RuneCountInString(text)
		if sgr := s.style.sgr(); colour && sgr != "" && text != "" {
			text = "\x1b[" + sgr + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	if colour {
		return b.String()
	}
	return strings.TrimRight(b.String(), " ")
}

// glyphs are the characters for graphs.
type glyphs struct {
	filled, empty string
	ramp          []string // from nothing to full
	separator     string
}

var (
	unicodeGlyphs = glyphs{"█", "·", []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, "·"}
	asciiGlyphs   = glyphs{"#", ".", []string{" ", "_", ".", ":", "-", "=", "+", "*", "#"}, "-"}
)

// bar is n of most, as a part of width; never empty for one, nor full for one
// less than most.
func (g glyphs) bar(n, most, width int) (filled, empty string) {
	columns := 0
	if most > 0 {
		columns = min(n, most) * width / most
		if n > 0 {
			columns = max(columns, 1)
		}
	}
	return strings.Repeat(g.filled, columns), strings.Repeat(g.empty, width-columns)
}

// spark draws shares between 0 and 1, oldest first, right-aligned in width.
func (g glyphs) spark(shares []float64, width int) string {
	shares = shares[max(len(shares)-width, 0):]
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(shares)))
	top := len(g.ramp) - 1
	for _, v := range shares {
		level := int(math.Round(v * float64(top)))
		if v > 0 {
			level = max(level, 1)
		}
		b.WriteString(g.ramp[max(min(level, top), 0)])
	}
	return b.String()
}

// short formats a duration in at most 7 columns with two or three digits; "-"
// is for none.
func short(d time.Duration) string {
	switch ms := d.Seconds() * 1000; {
	case d == 0:
		return "-"
	case ms < 0.995:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 9.95:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 999.5:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// ratio formats a rate or a mean in at most 6 columns.
func ratio(v float64) string {
	if v >= 999.95 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
