package queue_test

import (
	"context"
	"fmt"
	"testing"
)

// First in first out, also where weir is stopped in the middle and what ran is handed
// back: that keeps its place.
func TestCallsKeepTheirOrderOverRestarts(t *testing.T) {
	b := newBench(t, 1)
	const calls = 12
	for i := range calls / 2 {
		b.enqueue(fmt.Sprint(i))
	}
	for restart := range 2 {
		b.function.mu.Lock()
		b.function.block = make(chan struct{})
		b.function.mu.Unlock()
		b.run()
		b.until("one runs", func() bool { return len(b.function.seen()) == restart+1 })
		for i := range calls / 4 { // behind the others
			b.enqueue(fmt.Sprint(calls/2 + restart*calls/4 + i))
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.queue.Drain(ended); err == nil {
			t.Error("nothing was handed back")
		}
		if err := b.store.Close(); err != nil {
			t.Fatal(err)
		}
		b.open()
	}
	b.function.mu.Lock()
	b.function.block = nil
	b.function.mu.Unlock()
	b.run()
	b.until("all have run", func() bool { return b.queue.Snapshot(b.ctx()).Succeeded == calls })
	seen := b.function.seen()
	want := append([]string{"0", "0"}, func() (all []string) {
		for i := range calls {
			all = append(all, fmt.Sprint(i))
		}
		return all
	}()...)
	for i, s := range seen {
		if i < len(want) && s.body != want[i] {
			t.Errorf("number %d was %q, want %q", i, s.body, want[i])
		}
	}
	if len(seen) != len(want) || seen[2].attempt != 3 {
		t.Errorf("%d attempts, want %d; the first call's last was number %d, want 3", len(seen), len(want), seen[2].attempt)
	}
}
