package queuetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"weir/queue"
)

// list reads a list to its end, in pages.
func (s *stage) list(state queue.State, limit int) []*queue.Record {
	s.t.Helper()
	var all []*queue.Record
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		records, next, err := s.store.Calls(ctx(s.t), state, cursor, limit)
		if err != nil || len(records) > limit || pages > 1000 {
			s.t.Fatalf("page %d of %q: %d records, %v", pages, state, len(records), err)
		}
		all, cursor = append(all, records...), next
	}
	return all
}

func idsOf(records []*queue.Record) []queue.ID {
	ids := []queue.ID{}
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

// callsByState has some calls in each state, and calls in states that they have left.
func callsByState(t *testing.T, s *stage) {
	want := map[queue.State][]queue.ID{}
	move := func(c *queue.Call, state queue.State, change queue.Change) {
		t.Helper()
		r := s.record(c.ID)
		r.State, r.NextAttemptAt = state, change.At
		if change.Ticket > 0 {
			r.Ticket, change.Entry = change.Ticket, c
		}
		if state.Final() {
			change.Keep = time.Hour
		}
		change.Record = r
		s.commit(&change)
		want[state] = append(want[state], c.ID)
	}
	const each = 5
	var entries []*queue.Entry
	begin := func() *queue.Call {
		t.Helper()
		s.enqueue("x")
		e := s.fetch()
		entries = append(entries, e)
		r := queue.NewRecord(e.Call, queue.Running, e.Ticket)
		r.Place, r.Attempts, r.StartedAt = e.Place, 1, time.Now()
		s.commit(&queue.Change{Record: r})
		return e.Call
	}
	done := func() {
		t.Helper()
		if err := entries[len(entries)-1].Done(); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Hour)
	for range each {
		c := newCall("later")
		r := queue.NewRecord(c, queue.Scheduled, 1)
		r.NextAttemptAt = later
		s.commit(&queue.Change{Record: r, Entry: c, At: later, Ticket: 1})
		want[queue.Scheduled] = append(want[queue.Scheduled], c.ID)

		move(begin(), queue.Retrying, queue.Change{At: later, Ticket: 2})
		done()
		for _, state := range []queue.State{queue.Succeeded, queue.Failed, queue.Expired} {
			move(begin(), state, queue.Change{Response: &queue.Response{Status: 200, Body: []byte("x")}})
			done()
		}
	}
	for range each {
		want[queue.Running] = append(want[queue.Running], begin().ID)
	}
	for range each {
		want[queue.Enqueued] = append(want[queue.Enqueued], s.enqueue("x").ID)
	}
	// Taken back while it waits: its entry stays.
	move(s.enqueue("x"), queue.Cancelled, queue.Change{})
	// A time that has come.
	soon := s.enqueue("x")
	move(soon, queue.Retrying, queue.Change{At: time.Now().Add(-time.Second), Ticket: 2})
	// Redriven.
	again := s.enqueue("x")
	move(again, queue.Enqueued, queue.Change{Ticket: 2})

	total := 0
	for _, state := range queue.States() {
		total += len(want[state])
		for _, limit := range []int{2, 100} {
			hold := func() {
				for _, e := range entries[len(entries)-each:] {
					if err := e.Hold(); err != nil {
						t.Fatal(err)
					}
				}
			}
			hold()
			s.until(fmt.Sprintf("those that are %s are listed", state), func() bool {
				hold()
				return reflect.DeepEqual(idsOf(s.list(state, limit)), want[state])
			})
		}
		for _, r := range s.list(state, 100) {
			if r.State != state || r.Method != "POST" || r.Target != "/p%2Fq?a=b" || r.EnqueuedAt.IsZero() {
				t.Errorf("listed as %s: %+v", state, r)
			}
		}
	}
	all := idsOf(s.list("", 3))
	if len(all) != total {
		t.Errorf("%d calls are listed, there are %d", len(all), total)
	}
	for state, ids := range want {
		for _, id := range ids {
			if !slices.Contains(all, id) {
				t.Errorf("one that is %s is not in the list of all", state)
			}
		}
	}
	for _, cursor := range []string{"x", "1", "call", "call.", "call.x", "call.-1", "dead.1", "due.1", "todo.99999999999999999999"} {
		if _, _, err := s.store.Calls(ctx(t), queue.Enqueued, cursor, 10); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, _, err := s.store.Calls(ctx(t), "dead", "", 10); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a state that is none: %v", err)
	}
}

// listMeanwhile reads all calls page by page while each of them moves on.
func listMeanwhile(t *testing.T, s *stage) {
	var ids []queue.ID
	for range 30 {
		ids = append(ids, s.enqueue("x").ID)
	}
	seen := map[queue.ID]bool{}
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		records, next, err := s.store.Calls(ctx(t), "", cursor, 3)
		if err != nil || pages > 100 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, r := range records {
			seen[r.ID] = true
		}
		cursor = next
		if pages < 15 {
			for range 2 {
				e := s.fetch()
				r := queue.NewRecord(e.Call, queue.Succeeded, e.Ticket)
				s.commit(&queue.Change{Record: r, Keep: time.Hour})
				if err := e.Done(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i, id := range ids {
		if !seen[id] {
			t.Errorf("call %d is in none of the pages", i)
		}
	}
}
