package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/admin/api"
)

func (t *tool) topCommand() *cobra.Command {
	count := 0
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the sidecar: a live table; a line each second where the output is no terminal",
		Long: `On a terminal, a table that is painted anew each second, with the oldest running
requests below it, until Ctrl-C; where the sidecar is gone, it is asked again. On
anything else, a line each second; with -o json, the whole state as one line of
JSON each.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if count < 0 {
				return usageError("--count %d is negative", count)
			}
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, stop := interruptible(c)
			defer stop()
			out := c.OutOrStdout()
			switch screen := terminalOf(out, t.connection.getenv); {
			case t.output == outputJSON:
				return follow(ctx, client, count, jsonLines(out))
			case screen == nil:
				return follow(ctx, client, count, plainLines(out))
			default:
				return watch(ctx, client, count, screen)
			}
		},
	}
	c.Flags().IntVarP(&count, "count", "n", 0, "end after so many seconds; 0 goes on")
	return c
}

// follow shows states until count of them, or until the stream ends.
func follow(ctx context.Context, client *api.Client, count int, show func(*api.State) error) error {
	n := 0
	for s, err := range client.Events(ctx) {
		if errors.Is(err, io.EOF) {
			return errors.New("the sidecar has ended")
		}
		if err != nil {
			return asked(err)
		}
		if err := show(s); err != nil {
			return err
		}
		if n++; n == count {
			return nil
		}
	}
	return nil // interrupted, as top is meant to be
}

func jsonLines(w io.Writer) func(*api.State) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return func(s *api.State) error { return e.Encode(s) }
}

// headerEvery is after how many lines the header comes again.
const headerEvery = 20

// plainLines shows a line a state, in columns of fixed width.
func plainLines(w io.Writer) func(*api.State) error {
	n := 0
	return func(s *api.State) error {
		if n++; n%headerEvery == 1 {
			if _, err := fmt.Fprintf(w, "%-8s  %9s  %7s  %8s  %7s  %7s  %8s  %8s  %8s  %s\n",
				"TIME", "RUNNING", "WAITING", "ENDED/s", "5XX/s", "REFUS/s", "P50", "P95", "P99", "STATUS"); err != nil {
				return err
			}
		}
		running := fmt.Sprint(s.Inflight)
		if s.Limit > 0 {
			running = fmt.Sprintf("%d/%d", s.Inflight, s.Limit)
		}
		_, err := fmt.Fprintf(w, "%-8s  %9s  %7d  %8d  %7d  %7d  %8s  %8s  %8s  %s\n",
			s.Time.Local().Format(time.TimeOnly), running, s.Waiting, s.Second.Ended, s.Second.Failed, s.Second.Refused(),
			durationOf(s.Second.P50), durationOf(s.Second.P95), durationOf(s.Second.P99), plain(status(s)))
		return err
	}
}

// screen is a terminal.
type screen struct {
	out  io.Writer
	size func() (columns, rows int, err error)
}

// terminalOf gives the terminal that w is, nil where it is none that can be
// painted.
func terminalOf(w io.Writer, getenv func(string) string) *screen {
	file, ok := w.(*os.File)
	if t := getenv("TERM"); !ok || t == "" || t == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &screen{w, func() (int, int, error) { return term.GetSize(int(file.Fd())) }}
}

// Control functions of the terminal (ECMA-48, and xterm's private modes).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	cursorHome  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// paint shows lines from the top, cut to what there is room for.
func (s *screen) paint(lines []string) error {
	columns, rows, err := s.size()
	if err != nil {
		return fmt.Errorf("asking the terminal for its size: %w", err)
	}
	var b strings.Builder
	b.WriteString(cursorHome)
	for i, line := range lines[:min(len(lines), max(rows, 1))] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		line := []rune(plain(line))
		b.WriteString(string(line[:min(len(line), max(columns-1, 0))]))
		b.WriteString(clearLine)
	}
	b.WriteString(clearBelow)
	_, err = io.WriteString(s.out, b.String())
	return err
}

// again is how long top waits before it asks a sidecar that is gone once more.
const again = time.Second

// watch paints states until ctx ends. A sidecar that goes away is waited for.
func watch(ctx context.Context, client *api.Client, count int, s *screen) (err error) {
	if _, err := io.WriteString(s.out, enterScreen); err != nil {
		return err
	}
	defer func() {
		_, left := io.WriteString(s.out, leaveScreen)
		err = errors.Join(err, left)
	}()
	var last []string
	for n := 0; ctx.Err() == nil; {
		for state, err := range client.Events(ctx) {
			if err != nil {
				var p *api.Problem
				if errors.As(err, &p) && p.Status < 500 {
					return err // no token, say: asking again would not help
				}
				if err := s.paint(append([]string{"no answer: " + err.Error() + "; asking again", ""}, last...)); err != nil {
					return err
				}
				break
			}
			_, rows, err := s.size()
			if err != nil {
				return err
			}
			head := topLines(state)
			last = head
			if room := rows - len(head) - 2; room > 0 && state.Inflight > 0 {
				if running, err := client.Inflight(ctx, api.InflightQuery{Limit: min(room, api.MaxInflightRows)}); err == nil {
					last = append(head, runningLines(running)...)
				}
			}
			if err := s.paint(last); err != nil {
				return err
			}
			if n++; n == count {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
	return nil
}

// topLines is the upper part of the screen.
func topLines(s *api.State) []string {
	var b strings.Builder
	rows := stateRows(s)
	for i, row := range rows {
		if row[0] == "running" {
			rows[i][1] = bar(s.Inflight, s.Limit) + rows[i][1]
		}
	}
	_ = table(&b, nil, rows) // a Builder takes everything
	return append([]string{"weirctl top  " + s.Time.Local().Format(time.TimeOnly) + "  Ctrl-C ends", ""}, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}

// bar draws how much of the limit is taken.
func bar(n, limit int) string {
	const width = 20
	if limit == 0 {
		return ""
	}
	full := min(n*width/limit, width)
	if n > 0 && full == 0 {
		full = 1
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(" ", width-full) + "] "
}

func runningLines(running *api.Inflight) []string {
	var b strings.Builder
	_ = table(&b, inflightHeader, inflightRows(running.Requests)) // a Builder takes everything
	return append([]string{""}, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}
