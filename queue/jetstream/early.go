package jetstream

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"weir/queue"
)

// The server looks for schedules that are due once a second. So an entry for later is
// scheduled so much before its time, and kept here, held, until that has come.

// dueField is the field with the time of an entry that may come before it, in
// milliseconds since 1970, rounded up.
const dueField = "Weir-Due"

// earliness is how long before its time an entry is scheduled: less than it is held
// without a sign of life.
func (s *Store) earliness() time.Duration { return min(1100*time.Millisecond, s.o.HoldTime/2) }

// scheduleAt makes a message come to its subject at a time, by way of another subject.
func (s *Store) scheduleAt(m *nats.Msg, by string, at time.Time) {
	set(m, dueField, strconv.FormatInt(at.Add(time.Millisecond-1).UnixMilli(), 10))
	set(m, schedule, "@at "+at.Add(-s.earliness()).UTC().Format(time.RFC3339Nano))
	set(m, scheduleTarget, m.Subject)
	m.Subject = by
}

// dueOf reads the time of an entry, zero where it has none.
func dueOf(h nats.Header) (time.Time, error) {
	text := h.Get(dueField)
	if text == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the time %q cannot be read", text)
	}
	return time.UnixMilli(n), nil
}

// early are fetched entries whose time has not come.
type early struct {
	mu      sync.Mutex
	entries []earlyEntry // by their times
}

type earlyEntry struct {
	*queue.Entry
	due, fetched time.Time
}

func (e *early) add(entry *queue.Entry, due, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, _ := slices.BinarySearchFunc(e.entries, due, func(o earlyEntry, due time.Time) int {
		return cmp.Or(o.due.Compare(due), -1) // behind those of the same time
	})
	e.entries = slices.Insert(e.entries, at, earlyEntry{entry, due, now})
}

// ready reports whether an entry's time has come.
func (e *early) ready(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.entries) > 0 && !e.entries[0].due.After(now)
}

// next takes the entry whose time came first, nil where none's has. One that was kept
// for so long that its hold may lapse is left to come again.
func (e *early) next(now time.Time, holdTime time.Duration) *queue.Entry {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.entries) > 0 && !e.entries[0].due.After(now) {
		first := e.entries[0]
		e.entries = slices.Delete(e.entries, 0, 1)
		if now.Sub(first.fetched) > holdTime*3/4 || first.Hold() != nil {
			first.Leave()
			continue
		}
		first.More = first.More || len(e.entries) > 0 && !e.entries[0].due.After(now)
		return first.Entry
	}
	return nil
}

// returnAll gives the entries back, so that others need not wait until their holds have
// lapsed.
func (e *early) returnAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.entries {
		_ = o.Return() // it comes again once its hold has lapsed
	}
	e.entries = nil
}
