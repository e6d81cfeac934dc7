package jetstream

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"weir/queue"
)

func TestABundleIsReadAsItWasWritten(t *testing.T) {
	var data []byte
	want := [][]byte{{}, []byte("x"), bytes.Repeat([]byte("y"), 300)}
	for _, e := range want {
		data = appendBundled(data, e)
	}
	header := func(n int) nats.Header { return nats.Header{callsField: []string{strconv.Itoa(n)}} }
	got, err := splitBundle(header(len(want)), data)
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d entries, %v", len(got), err)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("entry %d: %q", i, got[i])
		}
	}
	for name, c := range map[string]struct {
		calls int
		data  []byte
	}{
		"cut short": {3, data[:len(data)-1]}, "too few": {2, data}, "too many": {4, data}, "none": {0, nil}, "a length that is none": {1, bytes.Repeat([]byte{255}, 20)},
	} {
		if _, err := splitBundle(header(c.calls), c.data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Calls that come at once are stored in far fewer messages than there are, or group
// commit is gone.
func TestCallsThatComeAtOnceShareMessages(t *testing.T) {
	s := mustOpen(t, testOptions(t, "f", t.TempDir()))
	defer s.mustClose(t)
	const calls = 400
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			if err := s.Commit(context.Background(), &queue.Change{Entry: benchCall([]byte(fmt.Sprint(i))), Ticket: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	info, err := s.session.Load().stream.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.Msgs; n > calls/2 {
		t.Errorf("%d calls took %d messages", calls, n)
	}
}

// Which calls of a bundle have ended outlives the process, with or without their
// records, and goes with the bundle.
func TestWhatHasEndedOfABundleIsRemembered(t *testing.T) {
	o := testOptions(t, "f", t.TempDir())
	s := mustOpen(t, o)
	ctx := context.Background()
	calls := make([]*write, 10)
	for i := range calls {
		calls[i] = &write{done: make(chan struct{}, 1)}
		if c := benchCall([]byte{byte(i)}); !s.bundled(&queue.Change{Entry: c, Ticket: 1}, calls[i]) {
			t.Fatal("a small call goes by itself")
		}
	}
	s.commitCalls(calls)
	fetch := func() *queue.Entry {
		t.Helper()
		for {
			if e, err := s.Fetch(ctx); err != nil {
				t.Fatal(err)
			} else if e != nil {
				return e
			}
		}
	}
	progress := func() int {
		t.Helper()
		n := 0
		if err := s.scan(ctx, &getRequest{Seq: 1, NextFor: s.names.every("ended"), Batch: 10}, func(*stored) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	left := len(calls)
	for range 3 {
		for range 3 {
			e := fetch()
			if e.Call.Body[0]%2 == 1 {
				continue // stays held, and comes again after the restart
			}
			if err := e.Done(); err != nil {
				t.Fatal(err)
			}
			left--
		}
		s.mustClose(t)
		s = mustOpen(t, o)
		if n := progress(); n != 1 {
			t.Fatalf("%d messages tell what has ended", n)
		}
	}
	if left != 7 {
		t.Errorf("%d calls are left: what had ended came again", left)
	}
	for range left {
		if err := fetch().Done(); err != nil {
			t.Fatal(err)
		}
	}
	for progress() > 0 { // it goes a moment after the bundle
	}
	s.mustClose(t)
}

func (s *Store) mustClose(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
