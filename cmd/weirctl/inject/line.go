package inject

import "strings"

// A line of a file, apart from the break that ends it.
type line struct{ text, end string }

// splitLines cuts where YAML's parser counts a line: at LF, CR LF and CR, and, as
// in YAML 1.1, at NEL, LS and PS. Joined, the lines are the text again.
func splitLines(text string) []line {
	var lines []line
	for text != "" {
		i := strings.IndexFunc(text, func(r rune) bool {
			return r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029'
		})
		if i < 0 {
			lines = append(lines, line{text, ""})
			break
		}
		size := 1
		switch {
		case strings.HasPrefix(text[i:], "\r\n"):
			size = 2
		case text[i] >= 0x80:
			size = len("\u0085")
			if text[i] != "\u0085"[0] {
				size = len("\u2028")
			}
		}
		lines = append(lines, line{text[:i], text[i : i+size]})
		text = text[i+size:]
	}
	return lines
}

func joinLines(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text)
		b.WriteString(l.end)
	}
	return b.String()
}

// lineBreak is what new lines near lines[i] end with.
func lineBreak(lines []line, i int) string {
	for j := min(i, len(lines)-1); j >= 0; j-- {
		if e := lines[j].end; e == "\n" || e == "\r\n" {
			return e
		}
	}
	return "\n"
}

func indentOf(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

func isBlank(text string) bool { return strings.Trim(text, " \t\ufeff") == "" }

func isComment(text string) bool { return strings.HasPrefix(strings.TrimLeft(text, " \t\ufeff"), "#") }
