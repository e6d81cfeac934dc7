package limits

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestACallThatWaitsIsCountedOnce in what the automatic limit is told of the load: it ends
// like any other. One that gives up, or finds the queue full, never ends.
func TestACallThatWaitsIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{
			Auto:     &Auto{Min: 1, Ceiling: 10, Initial: 1},
			Overflow: OverflowWait, QueueDepth: 1, QueueTimeout: time.Second,
		})
		d := g.adapt.Load()
		told := func(when string, limited, refused int64) {
			t.Helper()
			if l, r := d.limited.Load(), d.refused.Load(); l != limited || r != refused {
				t.Errorf("%s: %d limited and %d refused, want %d and %d", when, l, r, limited, refused)
			}
		}
		enter := func() chan error {
			done := make(chan error, 1)
			go func() {
				var s Slot
				err := g.Enter(t.Context(), &Call{}, &s)
				if err == nil {
					s.Leave(Succeeded)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		s := mustEnter(t, g)
		told("a slot was free", 0, 0)
		waits := enter()
		told("one waits", 1, 0)
		wantThrottle(t, <-enter(), ReasonQueueFull)
		told("the queue was full", 2, 1)
		s.Leave(Succeeded)
		if err := <-waits; err != nil {
			t.Fatal(err)
		}
		told("the one that waited has run", 2, 1)
		s = mustEnter(t, g)
		wantThrottle(t, <-enter(), ReasonQueueTimeout)
		told("one waited in vain", 3, 2)
		s.Leave(Succeeded)
		wantEmpty(t, g)
	})
}
