package jetstream

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/faults"
)

// book is a log that is read while it is written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines gives those that hold a text.
func (b *book) lines(with string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, with) {
			all = append(all, line)
		}
	}
	return all
}

func (b *book) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(b.lines(text)) == 0; <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say %q:\n%s", text, strings.Join(b.lines(""), ""))
		}
	}
}

func TestAnOutageIsToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said book
		o := outage{log: slog.New(slog.NewTextHandler(&said, nil)), external: true}
		o.over() // of which there is nothing to tell
		for range 2 {
			for range 150 { // seconds
				o.noticed(errors.New("no servers"))
				time.Sleep(time.Second)
			}
			o.over()
			o.over()
		}
		var all []string
		for _, line := range said.lines("") {
			_, line, _ = strings.Cut(line, "level=")
			all = append(all, line)
		}
		once := `WARN msg="NATS does not answer: asynchronous calls wait until it does, and new ones are refused; does it run, and may it be reached from here?" err="no servers"
WARN msg="NATS still does not answer" for=1m0s err="no servers"
WARN msg="NATS still does not answer" for=2m0s err="no servers"
INFO msg="NATS answers again" after=2m30s
`
		if got := strings.Join(all, ""); got != once+once {
			t.Errorf("got:\n%swant, twice:\n%s", got, once)
		}
	})
}

// TestAnExternalServerThatIsAwayIsToldOnce: weir asks every second, and says so once.
func TestAnExternalServerThatIsAwayIsToldOnce(t *testing.T) {
	server := faults.StartNATS(t, "")
	var said book
	o := testOptions(t, "f", "")
	o.URL, o.WriteTimeout = server.URL, 100*time.Millisecond
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	s := mustOpen(t, o)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	server.Kill(t)
	said.await(t, "NATS does not answer")
	for range 5 {
		s.remeasure()
	}
	server.Start(t)
	said.await(t, "NATS answers again")
	for text, times := range map[string]int{"NATS does not answer": 1, "NATS answers again": 1, "": 2} {
		if got := said.lines(text); len(got) != times {
			t.Errorf("%d lines with %q, want %d:\n%s", len(got), text, times, strings.Join(got, ""))
		}
	}
}
