package jetstream

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"weir/faults"
	"weir/queue"
)

// A disk that is full answers no call with a success that is not stored; once there
// is space the store takes calls again by itself, and has all that it accepted.
func TestAFullDiskLosesNothingAndIsOvercome(t *testing.T) {
	disk := faults.NewDisk(t, 64<<20)
	o := testOptions(t, "f", filepath.Join(disk.Dir, "calls"))
	o.WriteTimeout = 2 * time.Second
	s := mustOpen(t, o)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	accepted := map[queue.ID]bool{}
	enqueue := func(size int) error {
		now := time.Now()
		c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", Body: make([]byte, size), EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
		err := s.Commit(ctx, &queue.Change{Entry: c, Ticket: 1})
		if err == nil {
			accepted[c.ID] = true
		}
		return err
	}
	for range 20 {
		if err := enqueue(1000); err != nil {
			t.Fatal(err)
		}
	}
	empty := disk.Fill(t)
	var err error
	for i := 0; err == nil; i++ {
		if i > 1000 {
			t.Fatal("a full disk took 100 MB")
		}
		err = enqueue(100_000)
	}
	t.Logf("on a full disk: %v", err)
	for range 3 {
		began := time.Now()
		if err := enqueue(100_000); err == nil {
			t.Error("a call was accepted on a full disk")
		}
		if took := time.Since(began); took > o.WriteTimeout+20*time.Second {
			t.Errorf("the refusal took %v", took)
		}
	}
	empty()
	freed := time.Now()
	for err = enqueue(1000); err != nil; err = enqueue(1000) {
		if time.Since(freed) > time.Minute {
			t.Fatalf("a minute after space came back: %v", err)
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Logf("calls are accepted again %v after space came back", time.Since(freed).Round(time.Millisecond))
	seen := map[queue.ID]bool{}
	for deadline := time.Now().Add(time.Minute); len(accepted) > 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%d accepted calls are lost", len(accepted))
		}
		e, err := s.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if e == nil {
			<-time.After(20 * time.Millisecond)
			continue
		}
		if seen[e.Call.ID] {
			t.Errorf("%s came twice", e.Call.ID)
		}
		seen[e.Call.ID] = true
		delete(accepted, e.Call.ID)
	}
}
