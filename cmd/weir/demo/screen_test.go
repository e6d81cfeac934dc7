package demo

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDetectScreen(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	if s := DetectScreen(&bytes.Buffer{}, env("TERM", "xterm")); s.Terminal || s.Colour {
		t.Error("a buffer is taken for a terminal")
	}
	if s := DetectScreen(file, env("TERM", "xterm")); s.Terminal || s.Colour {
		t.Error("a file is taken for a terminal")
	}

	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal to be had: %v", err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	for _, c := range []struct {
		name                      string
		env                       []string
		terminal, colour, unicode bool
	}{
		{"ordinary", []string{"TERM", "xterm", "LANG", "en_US.UTF-8"}, true, true, true},
		{"no UTF-8", []string{"TERM", "xterm", "LANG", "C"}, true, true, false},
		{"no locale", []string{"TERM", "xterm"}, true, true, false},
		{"LC_ALL wins", []string{"TERM", "xterm", "LANG", "C", "LC_ALL", "C.utf8"}, true, true, true},
		{"LC_ALL wins the other way", []string{"TERM", "xterm", "LANG", "C.UTF-8", "LC_ALL", "C"}, true, true, false},
		{"NO_COLOR", []string{"TERM", "xterm", "NO_COLOR", "1"}, true, false, false},
		{"dumb", []string{"TERM", "dumb", "LANG", "C.UTF-8"}, false, false, false},
		{"TERM not set", nil, false, false, false},
	} {
		s := DetectScreen(terminal, env(c.env...))
		if s.Terminal != c.terminal || s.Colour != c.colour || s.Unicode != c.unicode {
			t.Errorf("%s: %+v, want terminal %v, colour %v, unicode %v", c.name, s, c.terminal, c.colour, c.unicode)
		}
	}
}

func painterOn(out *bytes.Buffer, columns, rows int) Screen {
	return Screen{Out: out, Terminal: true, Size: func() (int, int, error) { return columns, rows, nil }}
}

func TestPainterLeavesTheTerminalAsItWas(t *testing.T) {
	var out bytes.Buffer
	p, err := painterOn(&out, 80, 24).display(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := fixedView()
	for range 2 {
		if err := p.show(&v); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) {
		t.Errorf("output does not begin with %q and end with %q", enterScreen, leaveScreen)
	}
	if n := strings.Count(text, cursorHome); n != 2 {
		t.Errorf("%d frames, want 2", n)
	}
	if strings.Contains(text, "\x1b[1m") || strings.Contains(text, "\x1b[0m") {
		t.Error("coloured although nobody asked for it")
	}
}

func TestPainterKeepsToTheTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 60}, {40, 10}, {1, 1}, {0, 0}} {
		var out bytes.Buffer
		p, err := painterOn(&out, size[0], size[1]).display(nil)
		if err != nil {
			t.Fatal(err)
		}
		out.Reset()
		v := fixedView()
		if err := p.show(&v); err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(out.String(), cursorHome), clearBelow)
		lines := strings.Split(text, "\r\n")
		if len(lines) > max(size[1], 1) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		for _, l := range lines {
			if n := len([]rune(strings.TrimSuffix(l, clearLine))); n > max(size[0]-1, 0) {
				t.Errorf("%v: %d columns: %q", size, n, l)
			}
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("terminal gone") }

func TestOutputErrorsAreReported(t *testing.T) {
	v := fixedView()
	v.elapsed = time.Hour
	if _, err := (Screen{Out: brokenWriter{}}).display(nil); err == nil {
		t.Error("plain lines: no error")
	}
	if _, err := (Screen{Out: brokenWriter{}, Terminal: true}).display(nil); err == nil {
		t.Error("table: no error")
	}
	p := &painter{screen: painterOn(&bytes.Buffer{}, 80, 24), glyphs: asciiGlyphs}
	p.screen.Out = brokenWriter{}
	if p.show(&v) == nil || p.close() == nil {
		t.Error("painter: no error")
	}
	p.screen.Size = func() (int, int, error) { return 0, 0, errors.New("no terminal") }
	if err := p.show(&v); err == nil || !strings.Contains(err.Error(), "size") {
		t.Errorf("terminal without a size: %v", err)
	}
	if (&printer{out: brokenWriter{}}).show(&v) == nil {
		t.Error("printer: no error")
	}
}

func TestPrinterPrintsALineASecond(t *testing.T) {
	var out bytes.Buffer
	p, err := (Screen{Out: &out}).display([]string{"what this is", "and where"})
	if err != nil {
		t.Fatal(err)
	}
	v := fixedView()
	v.elapsed = 0
	for range 40 { // ten seconds, with a stall of three
		v.elapsed += 250 * time.Millisecond
		if v.elapsed == 4*time.Second {
			v.elapsed += 3 * time.Second
		}
		if err := p.show(&v); err != nil {
			t.Fatal(err)
		}
	}
	v.phase = -1
	v.elapsed += time.Second
	if err := p.show(&v); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	golden(t, "lines.txt", out.String())
	for _, l := range strings.Split(out.String(), "\n") {
		if len(l) > 80 {
			t.Errorf("%d columns: %s", len(l), l)
		}
		if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("a character that is no plain text: %q", l)
		}
	}
}
