package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"weir/admin/api"
)

// table writes rows in columns. Cells are shown as plain text: what came from a
// client cannot move a terminal's cursor.
func table(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(header) > 0 {
		_, _ = fmt.Fprintln(t, strings.Join(header, "\t")) // Flush tells of errors
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = plain(cell)
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// plain replaces what is not to be printed.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// short shows a duration with three digits or so: 12.3ms, 4.56s, 3m20s.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// durationOf shows a duration that may be unknown.
func durationOf(s api.Seconds) string {
	if !s.Known() {
		return "-"
	}
	return short(float64(s))
}

// of shows a count and its bound; a bound of 0 is none.
func of(n, limit int, none string) string {
	if limit == 0 {
		return fmt.Sprintf("%d (%s)", n, none)
	}
	return fmt.Sprintf("%d of %d", n, limit)
}
