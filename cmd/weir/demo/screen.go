package demo

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// display shows views as they come.
type display interface {
	show(v *view) error
	// close leaves the output as a shell expects it. Nothing is shown after it.
	close() error
}

// Screen says what the output can do.
type Screen struct {
	Out io.Writer
	// Terminal is true where frames can be repainted; plain lines are printed
	// otherwise.
	Terminal bool
	// Size returns columns and rows; both are asked for before each frame, so
	// that the terminal may be resized. Needed where Terminal is true.
	Size    func() (columns, rows int, err error)
	Colour  bool
	Unicode bool
}

// DetectScreen looks at the output and the environment: plain lines where the
// output is no terminal or TERM is dumb; no colour where NO_COLOR is set (see
// no-color.org); ASCII where the locale is not UTF-8.
func DetectScreen(out io.Writer, getenv func(string) string) Screen {
	s := Screen{Out: out}
	file, ok := out.(*os.File)
	if t := getenv("TERM"); !ok || t == "" || t == "dumb" {
		return s
	}
	fd := int(file.Fd())
	if !term.IsTerminal(fd) {
		return s
	}
	s.Terminal = true
	s.Size = func() (int, int, error) { return term.GetSize(fd) }
	s.Colour = getenv("NO_COLOR") == ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(getenv(name)); locale != "" {
			s.Unicode = strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
			break
		}
	}
	return s
}

func (s Screen) display(header []string) (display, error) {
	if !s.Terminal {
		return newPrinter(s.Out, header)
	}
	return newPainter(s)
}

// Control functions of the terminal (ECMA-48, and xterm's private modes).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	cursorHome  = "\x1b[H"
	clearLine   = "\x1b[K" // from the cursor to its end
	clearBelow  = "\x1b[J"
)

// painter repaints a table on the alternate screen, so that resizing leaves no
// debris and what was on the terminal before comes back.
type painter struct {
	screen Screen
	glyphs glyphs
}

func newPainter(s Screen) (*painter, error) {
	p := &painter{screen: s, glyphs: asciiGlyphs}
	if s.Unicode {
		p.glyphs = unicodeGlyphs
	}
	if _, err := io.WriteString(s.Out, enterScreen); err != nil {
		return nil, fmt.Errorf("demo: writing to the terminal: %w", err)
	}
	return p, nil
}

func (p *painter) show(v *view) error {
	columns, rows, err := p.screen.Size()
	if err != nil {
		return fmt.Errorf("demo: asking the terminal for its size: %w", err)
	}
	lines := table(v, p.glyphs)
	lines = lines[:min(len(lines), max(rows, 1))]
	var b strings.Builder
	b.WriteString(cursorHome)
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.render(max(min(columns-1, tableWidth), 0), p.screen.Colour))
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
	if _, err := io.WriteString(p.screen.Out, b.String()); err != nil {
		return fmt.Errorf("demo: writing to the terminal: %w", err)
	}
	return nil
}

func (p *painter) close() error {
	if _, err := io.WriteString(p.screen.Out, leaveScreen); err != nil {
		return fmt.Errorf("demo: restoring the terminal: %w", err)
	}
	return nil
}
