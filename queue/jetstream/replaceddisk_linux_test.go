package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/faults"
	"weir/queue"
)

// moments is a log that calls a function with each line.
type moments struct {
	slog.Handler
	at func(line string)
}

func (m moments) Enabled(context.Context, slog.Level) bool { return true }

func (m moments) Handle(ctx context.Context, r slog.Record) error {
	m.at(r.Message)
	if !m.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return m.Handler.Handle(ctx, r)
}

// move is what becomes of a disk that has failed, at a moment: a line of the log that
// begins so, or a number of lines after the one before where there is no text.
type move struct {
	line  string
	lines int
}

// disturbed is a disk that fails, is taken away and replaced at moments of its store's
// reopening.
type disturbed struct {
	*faults.Disk
	t       *testing.T
	mu      sync.Mutex
	out, in move
	healthy bool // only its server is gone
	state   diskState
	since   int // lines in that state
	from    time.Time
}

// longest is how long the moment of a move is awaited.
const longest = 3 * time.Second

// become needs the lock.
func (d *disturbed) become(s diskState) { d.state, d.since, d.from = s, 0, time.Now() }

type diskState int

const (
	isWell diskState = iota
	isDead
	isAway
	isReplaced
)

func (d *disturbed) line(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since++
	if d.state == isDead && d.out.is(text, d.since) {
		d.Unplug(d.t)
		d.become(isAway)
	}
	if d.state == isAway && d.in.is(text, d.since) {
		d.PlugIn(d.t)
		d.become(isReplaced)
	}
}

// goOn takes the next move where its moment does not come for long.
func (d *disturbed) goOn(atOnce bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !atOnce && time.Since(d.from) < longest:
	case d.state == isDead:
		d.Unplug(d.t)
		d.become(isAway)
	case d.state == isAway:
		d.PlugIn(d.t)
		d.become(isReplaced)
	}
}

func (m move) is(text string, lines int) bool {
	if m.line == "" {
		return lines >= m.lines
	}
	return strings.HasPrefix(text, m.line)
}

func (d *disturbed) fail(s *Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.become(isDead)
	if !d.healthy {
		d.CutPower(d.t)
		return
	}
	server := s.session.Load().server
	go func() {
		stopServer(server)
		s.markDown(errors.New("its server is gone"))
	}()
}

func (d *disturbed) is(s diskState) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state == s
}

// A disk may be taken away and another one put in its place at any moment while its store
// is about to reopen: nothing is accepted below the place where it is mounted, and what
// was accepted before and after is all there, without a restart and after one.
func TestADiskIsReplacedAtAnyMoment(t *testing.T) {
	const starting, stopping = "nats: Starting nats-server", "nats: Initiating Shutdown"
	proofs := os.Getenv("QUEUE_PROOFS") != "" // set by make queue-proofs
	for _, c := range []struct {
		name    string
		out, in move
		proof   bool
	}{
		{"as the server starts, for long", move{line: starting}, move{line: "the store of asynchronous calls is up again"}, false},
		{"as the server starts, for a moment", move{line: starting}, move{line: "nats:   Store Directory"}, true},
		{"as the server starts, until it is ready", move{line: starting}, move{line: "nats: Server is ready"}, true},
		{"as the server stops", move{line: stopping}, move{line: "the store of asynchronous calls is still down"}, true},
	} {
		for of, healthy := range map[string]bool{", of a dead disk": false, ", of a healthy one": true} {
			if (c.proof || !healthy) && !proofs {
				continue
			}
			t.Run(c.name+of, func(t *testing.T) {
				t.Parallel()
				d := disturbed{out: c.out, in: c.in, healthy: healthy}
				d.run(t)
			})
		}
	}
	if !proofs {
		return
	}
	t.Run("at random, with both processors busy", func(t *testing.T) {
		busy, stop := context.WithCancel(t.Context())
		defer stop()
		for range 2 * runtime.GOMAXPROCS(0) {
			go func() {
				for busy.Err() == nil {
				}
			}()
		}
		for began, round := time.Now(), 0; time.Since(began) < 2*time.Minute; round++ {
			d := disturbed{out: move{lines: rand.IntN(40)}, in: move{lines: rand.IntN(40)}, healthy: rand.IntN(2) == 0}
			if !t.Run(fmt.Sprintf("%d, away after %d lines for %d, healthy %t", round, d.out.lines, d.in.lines, d.healthy), d.run) {
				return
			}
		}
	})
}

func (d *disturbed) run(t *testing.T) {
	d.t, d.Disk = t, faults.NewDisk(t, 64<<20)
	o := testOptions(t, "f", filepath.Join(d.Dir, "calls"))
	o.WriteTimeout = 500 * time.Millisecond
	// What the server says of a disk that has failed is of no interest here.
	o.Log = slog.New(moments{slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError + 1}), d.line})
	s := mustOpen(t, o)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	before, after := map[queue.ID]bool{}, map[queue.ID]bool{}
	enqueue := func(accepted map[queue.ID]bool) error {
		now := time.Now()
		c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: make([]byte, 20_000), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
		err := s.Commit(ctx, &queue.Change{Entry: c, Ticket: 1})
		if err == nil {
			mu.Lock()
			accepted[c.ID] = true
			mu.Unlock()
		}
		return err
	}
	var group sync.WaitGroup
	for range 8 { // some of them in a bundle
		group.Go(func() {
			for range 3 {
				if err := enqueue(before); err != nil && !errors.Is(err, queue.ErrUnknown) && !errors.Is(err, queue.ErrUnavailable) {
					t.Error(err)
				}
			}
		})
	}
	// Some are at work.
	fetchOne(t, s)
	group.Wait()
	d.fail(s)
	for {
		well, away := d.is(isReplaced), d.is(isAway)
		err := enqueue(after)
		if err == nil && away && d.is(isAway) {
			t.Error("a call was accepted while there was no disk")
			d.goOn(true)
			break
		}
		if err == nil && well {
			break
		}
		d.goOn(false)
		if ctx.Err() != nil {
			t.Fatalf("nothing is accepted in state %d: %v", d.state, err)
		}
		<-time.After(5 * time.Millisecond)
	}
	for range 3 {
		if err := enqueue(after); err != nil {
			t.Errorf("after the disk was replaced: %v", err)
		}
	}
	got := fetchAll(t, s, before, after)
	t.Run("before, without a restart", func(t *testing.T) { lack(t, got, before) })
	t.Run("after, without a restart", func(t *testing.T) { lack(t, got, after) })
	mustClose(t, s)
	o.Log = testLog(t)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	got = fetchAll(t, s, before, after)
	t.Run("before", func(t *testing.T) { lack(t, got, before) })
	t.Run("after", func(t *testing.T) { lack(t, got, after) })
}
