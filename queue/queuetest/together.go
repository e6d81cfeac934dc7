package queuetest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"weir/queue"
)

// Calls that come at once may be stored together; it must not show.
func together(t *testing.T, s *stage) {
	const calls = 120
	var group sync.WaitGroup
	bodies := map[queue.ID]string{}
	var mu sync.Mutex
	for i := range calls {
		group.Go(func() {
			c := newCall(fmt.Sprint("call ", i))
			c.Body = append(c.Body, bytes.Repeat([]byte{byte(i)}, 40*i)...)
			mu.Lock()
			bodies[c.ID] = string(c.Body)
			mu.Unlock()
			if err := s.store.Commit(ctx(t), &queue.Change{Entry: c, Ticket: 1}); err != nil {
				t.Errorf("commit: %v", err)
			}
		})
	}
	group.Wait()
	s.counts(calls, 0)
	n := 0
	for id := range bodies {
		if n++; n%10 == 0 {
			if r := s.record(id); r.State != queue.Enqueued || r.Ticket != 1 || r.Revision != 0 {
				t.Errorf("the record of a call that waits: %+v", r)
			}
		}
	}
	for _, limit := range []int{7, 1000} {
		if n := len(uniq(idsOf(s.list(queue.Enqueued, limit)))); n != calls {
			t.Errorf("%d calls are listed, %d at a time", n, limit)
		}
	}
	var entries []*queue.Entry
	got := map[queue.ID]bool{}
	take := func() *queue.Entry {
		e := s.fetch()
		if got[e.Call.ID] || bodies[e.Call.ID] != string(e.Call.Body) || e.Ticket != 1 || e.Place == 0 {
			t.Errorf("%s came twice (%v), or is not as it was: %d bytes", e.Call.ID, got[e.Call.ID], len(e.Call.Body))
		}
		got[e.Call.ID] = true
		return e
	}
	for range calls {
		entries = append(entries, take())
	}
	if e := s.tryFetch(); e != nil {
		t.Errorf("%s came twice, or is one too many", e.Call.ID)
	}
	s.counts(0, calls)
	for i, e := range entries {
		if i%2 == 0 { // every second one ends
			if err := e.Done(); err != nil {
				t.Error(err)
			}
			continue
		}
		delete(got, e.Call.ID)
		if i%4 == 1 { // half of the others is returned, the rest stays held
			if err := e.Return(); err != nil {
				t.Error(err)
			}
		}
	}
	for range calls / 4 {
		if err := take().Hold(); err != nil {
			t.Error(err)
		}
	}
	s.counts(0, calls/2)
	if n := len(uniq(idsOf(s.list("", 11)))); n != calls/2 {
		t.Errorf("%d calls are listed, %d have not ended", n, calls/2)
	}
	s.reopen()
	again := map[queue.ID]bool{}
	for range calls / 2 {
		e := s.fetch()
		again[e.Call.ID] = true
		if err := e.Done(); err != nil {
			t.Error(err)
		}
	}
	for i, e := range entries {
		if ended := i%2 == 0; again[e.Call.ID] == ended {
			t.Errorf("number %d, which had ended: %v, came again: %v", i, ended, again[e.Call.ID])
		}
	}
	s.counts(0, 0)
	if e := s.tryFetch(); e != nil {
		t.Errorf("%s is one too many", e.Call.ID)
	}
}

func uniq(ids []queue.ID) map[queue.ID]bool {
	set := map[queue.ID]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return set
}

// counts waits until so many entries wait and so many are held. The store may take a
// moment to see what was written or ended.
func (s *stage) counts(waiting, held int) {
	s.t.Helper()
	var st queue.Stats
	s.until(fmt.Sprintf("%d entries wait and %d are held", waiting, held), func() bool {
		var err error
		if st, err = s.store.Stats(ctx(s.t)); err != nil {
			s.t.Fatal(err)
		}
		return st.Waiting == waiting && st.Held == held
	})
	if (waiting > 0) == st.Oldest.IsZero() {
		s.t.Errorf("%d entries wait, the oldest since %v", waiting, st.Oldest)
	}
}
