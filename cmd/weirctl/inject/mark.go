package inject

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// What weir adds to a file stands between marks, each a comment of its own line:
//
//	# weir:begin
//	...                  the lines of weir
//	# weir:was ...       the lines in whose place they stand, if any, one each
//	# weir:end 1a2b3c4d  a checksum of what is between
//
// The break that ended the last line replaced ends the end mark.
const (
	markBegin = "# weir:begin"
	markWas   = "# weir:was "
	markEnd   = "# weir:end "
)

// A change puts lines in the place of lines[from:to].
type change struct {
	from, to int
	indent   int // of the marks
	lines    []string
	// element is set for one of a list, whose dash may stand where a key would.
	element bool
}

func (c change) depth() int {
	if c.element {
		return 2*c.indent + 1
	}
	return 2 * c.indent
}

// mark returns the lines with the changes made, each between marks. Changes that
// touch share one pair. Changes that overlap are an error.
func mark(lines []line, changes []change) ([]line, error) {
	slices.SortStableFunc(changes, func(a, b change) int {
		// Of lines for one place, the innermost come first: they end what is outside.
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(b.depth(), a.depth()))
	})
	var merged []change
	for _, c := range changes {
		// A last line without a break has to get one: it is replaced by itself.
		if n := len(lines); c.from == n && n > 0 && lines[n-1].end == "" {
			if m := len(merged); m == 0 || merged[m-1].to < n {
				c.lines = append([]string{lines[n-1].text}, c.lines...)
				c.from--
			}
		}
		if m := len(merged); m > 0 && c.from <= merged[m-1].to {
			last := &merged[m-1]
			if c.from < last.to {
				return nil, fmt.Errorf("two changes of line %d", c.from+1)
			}
			last.lines, last.to = append(last.lines, c.lines...), max(last.to, c.to)
			continue
		}
		merged = append(merged, c)
	}
	var out []line
	next := 0
	for _, c := range merged {
		out = append(out, lines[next:c.from]...)
		out = append(out, block(lines, c)...)
		next = c.to
	}
	return append(out, lines[next:]...), nil
}

func block(lines []line, c change) []line {
	end := lineBreak(lines, c.from)
	indent := strings.Repeat(" ", c.indent)
	out := []line{{indent + markBegin, end}}
	for _, text := range c.lines {
		out = append(out, line{text, end})
	}
	last := end
	for i := c.from; i < c.to; i++ {
		was := line{indent + markWas + lines[i].text, lines[i].end}
		if i == c.to-1 {
			last, was.end = was.end, end
		}
		out = append(out, was)
	}
	return append(out, line{indent + markEnd + checksum(out[1:]), last})
}

func checksum(lines []line) string {
	h := crc32.NewIEEE()
	for _, l := range lines {
		_, _ = h.Write([]byte(l.text + "\n")) // a hash takes everything
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

// A markError is a mark that is not as it was written.
type markError struct {
	line int // from 0
	text string
}

func (e *markError) Error() string { return e.text }

// strip returns the document's lines without weir's, and what those replaced in
// their place. Marks that do not pair are an error, as are lines between them that
// are not as they were written, unless force is set: what a person wrote there
// would be lost. Lines of a block scalar are no marks: somebody keeps manifests in
// a ConfigMap.
func (t *tree) strip(force bool) ([]line, error) {
	var out []line
	lines, literal := t.lines, t.literal()
	for i := 0; i < len(lines); i++ {
		switch text := strings.TrimLeft(lines[i].text, " "); {
		case literal[i]:
			out = append(out, lines[i])
		case text == markBegin:
			length, was, err := stripBlock(lines[i:], force)
			if err != nil {
				err.line += i
				return nil, err
			}
			out = append(out, was...)
			i += length - 1
		case strings.HasPrefix(text, markWas), strings.HasPrefix(text, markEnd):
			return nil, &markError{i, fmt.Sprintf("%q without a %q above it: put that back, or remove what weir added by hand", text, markBegin)}
		default:
			out = append(out, lines[i])
		}
	}
	return out, nil
}

// stripBlock reads the marks that begin at the first line, and returns how many
// lines they take and what those replaced.
func stripBlock(lines []line, force bool) (length int, was []line, err *markError) {
	for i, l := range lines[1:] {
		i++
		text := strings.TrimLeft(l.text, " ")
		if text == markBegin {
			break
		}
		if original, ok := strings.CutPrefix(text, markWas); ok {
			was = append(was, line{original, l.end})
			continue
		}
		sum, ok := strings.CutPrefix(text, markEnd)
		if !ok {
			if len(was) > 0 {
				return 0, nil, &markError{i, fmt.Sprintf("a line of its own after %q", markWas)}
			}
			continue
		}
		if n := len(was); n > 0 {
			was[n-1].end = l.end
		}
		if sum != checksum(lines[1:i]) && !force {
			return 0, nil, &markError{0, "what weir added here was edited by hand, which would be lost: set it by annotation weir.sidecar/... or by flag instead, and use --force to give up the edits"}
		}
		return i + 1, was, nil
	}
	return 0, nil, &markError{0, fmt.Sprintf("%q without a %q below it: put that back, or remove what weir added by hand", markBegin, markEnd)}
}
