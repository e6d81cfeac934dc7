package limits

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/limits/ramp"
	"weir/limits/rate"
)

// calls is how many TestEverythingAtOnce makes; make storm makes a million.
var calls = flag.Int("calls", 32_000, "calls of TestEverythingAtOnce")

// TestEverythingAtOnce: everything configured and changed live, under calls that are
// cancelled while they wait, panic while they run, leave twice, or wait without
// bound. In the end nothing is left: no slot, no waiter, no caller's call, no
// goroutine.
func TestEverythingAtOnce(t *testing.T) {
	policy := func(i int) Policy {
		p := Policy{
			MaxInflight: 1 + i%3, Overflow: OverflowWait, QueueDepth: 4, QueueTimeout: 2 * time.Millisecond,
			Callers: &Callers{MaxInflight: 3 + i%3, Rate: rate.Limit{Calls: 100_000, Period: time.Second}, Remembered: callerShards},
			Rate:    rate.Limit{Calls: 1_000_000, Period: time.Second},
			Ramp:    ramp.Policy{PerMinute: 1000, Retention: time.Minute},
		}
		switch i % 5 {
		case 1:
			p.Callers = nil
		case 2:
			p.Ramp.PerMinute = 0
		case 3:
			p.MaxInflight, p.Auto = 0, &Auto{Min: 1, Ceiling: 10}
		case 4:
			p.DryRun = true
		}
		return p
	}
	g := newGate(t, policy(0))
	stop := make(chan struct{})
	var changer, wg sync.WaitGroup
	changer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := g.SetPolicy(policy(i)); err != nil {
				t.Error(err)
			}
			g.Snapshot()
			g.TopCallers(3)
		}
	})
	route := NewRate(rate.Limit{Calls: 500_000, Period: time.Second})
	const workers = 32
	var entered, cancelled, refused, panicked atomic.Int64
	run := func(s *Slot, i int) {
		defer func() {
			if recover() != nil {
				panicked.Add(1)
			}
		}()
		defer s.Leave(Outcome(i % 4))
		runtime.Gosched() // let others find the slot taken
		if i%11 == 0 {
			panic("in the middle of a call")
		}
	}
	for w := range workers {
		wg.Go(func() {
			var s Slot
			for i := range *calls / workers {
				ctx, cancel := context.WithCancel(t.Context())
				call := Call{
					Caller: fmt.Sprint((i * w) % 100), Priority: Priority(1 - i%5), Rate: route,
				}
				if i%7 == 0 {
					call.Caller = ""
				}
				if call.Priority == Async || i%4 == 0 {
					go cancel()
				}
				err := g.Enter(ctx, &call, &s)
				var th *Throttle
				switch {
				case err == nil:
					entered.Add(1)
					run(&s, i)
				case errors.Is(err, context.Canceled):
					cancelled.Add(1)
				case errors.As(err, &th):
					refused.Add(1)
				default:
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	close(stop)
	changer.Wait()
	t.Logf("%d entered, %d of them panicked; %d cancelled, %d refused", entered.Load(), panicked.Load(), cancelled.Load(), refused.Load())
	if panicked.Load() == 0 || cancelled.Load() == 0 || refused.Load() == 0 {
		t.Error("the storm did not do its work")
	}
	if n := g.Snapshot().Ended; n != uint64(entered.Load()) {
		t.Errorf("%d entered, %d ended", entered.Load(), n)
	}
	wantEmpty(t, g)
	if n := g.everyone.admitted.Load(); n != 0 {
		t.Errorf("%d calls without a caller are left", n)
	}
	for _, c := range g.TopCallers(1000) {
		if c.Admitted != 0 {
			t.Errorf("%+v is left", c)
		}
	}
	if g.asyncRunning.Load() != 0 || g.asyncWaits() {
		t.Error("asynchronous calls are left")
	}
}
