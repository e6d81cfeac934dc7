package jetstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/queue"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(context.Background(), Options{
		Function: "f", Dir: b.TempDir(), AnyFilesystem: true, MaxBytes: 64 << 30, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func benchCall(body []byte) *queue.Call {
	now := time.Now()
	return &queue.Call{
		ID: queue.NewID(now), Method: "POST", Target: "/orders?x=1", Host: "function.example",
		Fields: []queue.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Forwarded-For", Value: "10.0.0.1"}},
		Body:   body, EnqueuedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

// each runs f b.N times, by so many goroutines.
func each(b *testing.B, goroutines int, f func() error) {
	var next atomic.Int64
	var group sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range goroutines {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// Calls of 1 KiB, fsynced.
func BenchmarkEnqueue(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	for _, clients := range []int{1, 8, 32, 128, 512} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			s := benchStore(b)
			each(b, clients, func() error {
				return s.Commit(context.Background(), &queue.Change{Entry: benchCall(body), Ticket: 1})
			})
		})
	}
}

// A call's whole life: accepted, fetched, begun, settled.
func BenchmarkLife(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	for _, clients := range []int{1, 32, 128} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			s := benchStore(b)
			ctx := context.Background()
			each(b, clients, func() error {
				if err := s.Commit(ctx, &queue.Change{Entry: benchCall(body), Ticket: 1}); err != nil {
					return err
				}
				var e *queue.Entry
				for e == nil { // it may take a moment to be seen
					var err error
					if e, err = s.Fetch(ctx); err != nil {
						return err
					}
				}
				r := &queue.Record{ID: e.Call.ID, State: queue.Running, Attempts: 1, Ticket: 1, Place: e.Place}
				if err := s.Commit(ctx, &queue.Change{Record: r}); err != nil {
					return err
				}
				r.State = queue.Succeeded
				if err := s.Commit(ctx, &queue.Change{Record: r, Response: &queue.Response{Status: 200, Body: body}, Keep: time.Hour}); err != nil {
					return err
				}
				return e.Done()
			})
		})
	}
}

// A page of calls out of a backlog with as many that have ended, none of them of the
// state that is looked for: as much as one list reads.
func BenchmarkList(b *testing.B) {
	s := benchStore(b)
	body := bytes.Repeat([]byte("x"), 1024)
	var group sync.WaitGroup
	for range 128 {
		group.Go(func() {
			for range 100 {
				c := benchCall(body)
				ended := &queue.Change{Record: queue.NewRecord(c, queue.Succeeded, 1), Keep: time.Hour}
				for _, change := range []*queue.Change{{Entry: c, Ticket: 1}, ended} {
					if err := s.Commit(context.Background(), change); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	for _, state := range []queue.State{queue.Running, queue.Scheduled, queue.Failed} {
		b.Run(string(state), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := s.Calls(context.Background(), state, "", 100); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
