package queue

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// Every state with every event: where it leads, "" where it cannot happen.
func TestEveryMove(t *testing.T) {
	table := []struct {
		from                                                 State
		start, succeed, retry, fail, expire, cancel, redrive State
	}{
		{from: Enqueued, start: Running, expire: Expired, cancel: Cancelled},
		{from: Scheduled, start: Running, expire: Expired, cancel: Cancelled},
		{from: Running, start: Running, succeed: Succeeded, retry: Retrying, fail: Failed, expire: Expired, cancel: Cancelled},
		{from: Retrying, start: Running, expire: Expired, cancel: Cancelled},
		{from: Succeeded},
		{from: Failed, redrive: Enqueued},
		{from: Expired, redrive: Enqueued},
		{from: Cancelled},
	}
	if len(table) != len(States()) {
		t.Fatalf("%d states in the table, %d in the code", len(table), len(States()))
	}
	for _, row := range table {
		for e, want := range []State{row.start, row.succeed, row.retry, row.fail, row.expire, row.cancel, row.redrive} {
			event := Event(e)
			got, err := row.from.Move(event)
			var impossible *MoveError
			switch {
			case want == "" && (!errors.As(err, &impossible) || got != row.from):
				t.Errorf("%s, %s: got %s, %v; want an error and no move", row.from, event, got, err)
			case want != "" && (err != nil || got != want):
				t.Errorf("%s, %s: got %s, %v; want %s", row.from, event, got, err, want)
			}
		}
	}
}

func TestARecordMoves(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	r := Record{State: Enqueued, Ticket: 1, EnqueuedAt: t0}
	step := func(e Event, s int) {
		t.Helper()
		var err error
		if r, err = r.move(e, at(s)); err != nil {
			t.Fatal(err)
		}
	}
	step(Start, 1)
	if r.Attempts != 1 || !r.StartedAt.Equal(at(1)) {
		t.Errorf("after a start: %+v", r)
	}
	r.StatusCode, r.Error = 503, "no"
	step(Retry, 2)
	step(Start, 3)
	if r.Attempts != 2 || r.StatusCode != 0 || r.Error != "" {
		t.Errorf("after a second start: %+v", r)
	}
	step(Fail, 4)
	if !r.FinishedAt.Equal(at(4)) {
		t.Errorf("after the end: %+v", r)
	}
	step(Redrive, 5)
	if r.Attempts != 0 || r.Ticket != 2 || !r.FinishedAt.IsZero() {
		t.Errorf("after a redrive: %+v", r)
	}
}

// The drawing in the documentation has exactly the moves of the code.
func TestTheDrawingShowsEveryMove(t *testing.T) {
	text, err := os.ReadFile("../docs/async.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		from, rest, ok := strings.Cut(strings.TrimSpace(line), " --> ")
		to, event, labelled := strings.Cut(rest, ": ")
		if ok && labelled && from != "[*]" {
			drawn[from+" "+event+" "+to] = true
		}
	}
	count := 0
	for from, events := range moves {
		for event, to := range events {
			count++
			if move := string(from) + " " + event.String() + " " + string(to); !drawn[move] {
				t.Errorf("not drawn: %s", move)
			}
		}
	}
	if len(drawn) != count {
		t.Errorf("%d moves are drawn, the code has %d", len(drawn), count)
	}
}
