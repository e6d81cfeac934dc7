package limits

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestPriorityNames(t *testing.T) {
	for _, p := range []Priority{CriticalPlus, Critical, SheddablePlus, Sheddable} {
		got, err := ParsePriority(p.String())
		if err != nil || got != p {
			t.Errorf("%v reads as %v, %v", p, got, err)
		}
	}
	for _, name := range []string{"", "async", "Critical", "high"} {
		if _, err := ParsePriority(name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	var zero Priority
	if zero != Critical || zero.String() != "critical" {
		t.Errorf("the zero priority is %v", zero)
	}
}

// waiters is a plain model of the line: who waits, in order of arrival.
type plainWaiter struct {
	slot   *Slot
	cancel context.CancelFunc
	done   <-chan error
	level  int
}

// TestLevelsAgainstThePlainModel drives the Gate with calls of every priority
// beside a model that searches a list. The calls of one step end before the next.
func TestLevelsAgainstThePlainModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		// Drawn before the bubble, which rapid could not shrink within.
		limit, depth := rapid.IntRange(1, 4).Draw(rt, "limit"), rapid.IntRange(1, 5).Draw(rt, "depth")
		shares := rapid.SampledFrom([][2]float64{{0, 0}, {0, 0.5}, {0.5, 0.5}, {0.3, 1}}).Draw(rt, "shares")
		type step struct{ Op, Which int }
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{rapid.IntRange(0, 5).Draw(t, "op"), rapid.IntRange(0, 59).Draw(t, "which")}
		}), 1, 80).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			policy := func() Policy {
				return Policy{MaxInflight: limit, Overflow: OverflowWait, QueueDepth: depth, StrictQueue: true, AsyncMinShare: shares[0], AsyncMaxShare: shares[1]}
			}
			g := newGate(t, policy())
			var running, queue, async []plainWaiter
			grants, aged := 0, 0
			quota, nextCut := 1e6, time.Now() // of asynchronous calls

			trace := []string{fmt.Sprintf("limit %d depth %d shares %v", limit, depth, shares)}
			defer func() {
				if t.Failed() {
					t.Log(strings.Join(trace, "\n"))
				}
			}()
			asyncRunning := func() (n int) {
				for _, e := range running {
					if e.level == asyncLevel {
						n++
					}
				}
				return n
			}
			owed := func() bool {
				return shares[0] > 0 && asyncRunning() < max(int(shares[0]*float64(limit)), 1)
			}
			asyncMay := func() bool {
				most := limit
				if shares[1] > 0 {
					most = max(int(shares[1]*float64(limit)), 1)
				}
				return owed() || asyncRunning() < most && float64(asyncRunning()+1) <= quota
			}
			first := func(level int) int {
				return slices.IndexFunc(queue, func(w plainWaiter) bool { return w.level == level })
			}
			next := func() int {
				top := -1
				for level := range asyncLevel {
					if i := first(level); i >= 0 {
						top = i
						break
					}
				}
				if grants%ageing == ageing-1 {
					for range asyncLevel {
						aged = (aged + 1) % asyncLevel
						if i := first(aged); i >= 0 && aged > queue[top].level {
							return i
						}
					}
				}
				return top
			}
			settle := func() {
				for len(running) < limit {
					switch {
					case len(async) > 0 && asyncMay() && (len(queue) == 0 || owed()):
						running, async = append(running, async[0]), async[1:]
					case len(queue) > 0:
						i := next()
						grants++
						running = append(running, queue[i])
						queue = slices.Delete(queue, i, i+1)
					default:
						return
					}
				}
			}
			for _, step := range steps {
				op := step.Op
				trace = append(trace, fmt.Sprintf("%+v", step))
				switch {
				case op <= 1:
					level := step.Which % levels
					ctx, cancel := context.WithCancel(t.Context())
					full := len(running) >= limit
					s, done := enterLater(ctx, g, Call{Priority: CriticalPlus - Priority(level)})
					e := plainWaiter{s, cancel, done, level}
					switch {
					case level == asyncLevel:
						async = append(async, e)
					case !full:
						running = append(running, e)
					default:
						if g.asyncUsed.Load() && !time.Now().Before(nextCut) {
							quota = asyncCut * min(quota, float64(asyncRunning()))
							nextCut = time.Now().Add(1)
						}
						if len(queue) < depth {
							queue = append(queue, e)
							break
						}
						// The lowest level gives way: its newest.
						lowest := level
						for _, w := range queue {
							lowest = max(lowest, w.level)
						}
						if lowest == level {
							wantThrottle(t, <-done, ReasonQueueFull)
							cancel()
							break
						}
						for i := len(queue) - 1; ; i-- {
							if queue[i].level == lowest {
								wantThrottle(t, <-queue[i].done, ReasonPriority)
								queue[i].cancel()
								queue = slices.Delete(queue, i, i+1)
								break
							}
						}
						queue = append(queue, e)
					}
				case op == 2 && len(running) > 0:
					i := step.Which % len(running)
					e := running[i]
					running = slices.Delete(running, i, i+1)
					e.slot.Leave(Succeeded)
					e.cancel()
				case op == 3 && len(queue)+len(async) > 0:
					from := &queue
					i := step.Which % (len(queue) + len(async))
					if i >= len(queue) {
						from, i = &async, i-len(queue)
					}
					(*from)[i].cancel()
					if err := <-(*from)[i].done; !errors.Is(err, context.Canceled) {
						t.Fatalf("quitter got %v", err)
					}
					*from = slices.Delete(*from, i, i+1)
				case op == 4:
					limit = 1 + step.Which%4
					if err := g.SetPolicy(policy()); err != nil {
						t.Fatal(err)
					}
				case op == 5:
					time.Sleep(time.Hour) // a cut is over by then
					quota = 1e6
				}
				synctest.Wait()
				settle()
				trace = append(trace, fmt.Sprintf("-> %d running, %d waiting, %d async", len(running), len(queue), len(async)))
				s := g.Snapshot()
				if s.Inflight != len(running) || s.Waiting != len(queue) || s.Async != asyncRunning() {
					t.Fatalf("gate has %d in flight (%d async), %d waiting; the model %d (%d), %d and %d async",
						s.Inflight, s.Async, s.Waiting, len(running), asyncRunning(), len(queue), len(async))
				}
				for _, e := range running {
					if !e.slot.Held() {
						t.Fatalf("the model's runner of level %d holds no slot", e.level)
					}
				}
				for _, e := range slices.Concat(queue, async) {
					if e.slot.Held() {
						t.Fatalf("the model's waiter of level %d holds a slot", e.level)
					}
				}
			}
			for _, e := range slices.Concat(queue, async) {
				e.cancel()
				<-e.done
			}
			for _, e := range running {
				e.slot.Leave(Succeeded)
				e.cancel()
			}
			wantEmpty(t, g)
		})
	})
}

func TestAsyncWaitsBelowEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 5, QueueTimeout: time.Second})
		held := mustEnter(t, g)
		low, lowDone := enterLater(t.Context(), g, Call{Priority: Async})
		time.Sleep(time.Hour) // no queue timeout for it
		sync, syncDone := enterLater(t.Context(), g, Call{Priority: Sheddable})
		held.Leave(Succeeded)
		if err := <-syncDone; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if low.Held() {
			t.Fatal("the asynchronous call went beside the synchronous one")
		}
		sync.Leave(Succeeded)
		if err := <-lowDone; err != nil {
			t.Fatal(err)
		}
		if s := g.Snapshot(); s.Async != 1 || s.Inflight != 1 {
			t.Errorf("%+v", s)
		}
		low.Leave(Succeeded)
		wantEmpty(t, g)
	})
}

// TestAsyncLeavesRoomForThoseWhoCannotWait: with overflow reject the line holds
// asynchronous calls only, and would hand them every slot.
func TestAsyncLeavesRoomForThoseWhoCannotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 2})
		var async []*Slot
		var results []<-chan error
		for range 20 {
			s, done := enterLater(t.Context(), g, Call{Priority: Async})
			async, results = append(async, s), append(results, done)
		}
		var s Slot
		wantThrottle(t, g.Enter(t.Context(), &Call{}, &s), ReasonMaxInflight)
		async[0].Leave(Succeeded)
		synctest.Wait()
		if n := g.Snapshot().Inflight; n != 1 {
			t.Fatalf("%d in flight: the freed slot went to an asynchronous call right after a refusal", n)
		}
		if err := g.Enter(t.Context(), &Call{}, &s); err != nil {
			t.Fatal(err)
		}
		s.Leave(Succeeded)
		time.Sleep(10 * asyncGrowLeast)
		synctest.Wait()
		if n := g.Snapshot().Async; n != 2 {
			t.Fatalf("%d asynchronous calls run: nobody was refused for a while, want 2", n)
		}
		for i := 1; i < len(async); i++ {
			if err := <-results[i]; err != nil {
				t.Fatal(err)
			}
			async[i].Leave(Succeeded)
		}
		wantEmpty(t, g)
	})
}

func TestDrainSendsAsyncElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1})
		held := mustEnter(t, g)
		_, done := enterLater(t.Context(), g, Call{Priority: Async})
		g.Drain()
		wantThrottle(t, <-done, ReasonDraining)
		held.Leave(Succeeded)
		var s Slot
		wantThrottle(t, g.Enter(t.Context(), &Call{Priority: Async}, &s), ReasonDraining)
		wantEmpty(t, g)
	})
}

func TestSharesThatCannotHoldAreRefused(t *testing.T) {
	for _, p := range []Policy{
		{AsyncMinShare: -0.1},
		{AsyncMaxShare: 1.1},
		{AsyncMinShare: 0.6, AsyncMaxShare: 0.5},
	} {
		if _, err := NewGate(p); err == nil {
			t.Errorf("NewGate accepted %+v", p)
		}
	}
}

// TestAgeingServesEveryLevel: a top level that always waits does not starve the
// others.
func TestAgeingServesEveryLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Policy{MaxInflight: 1, Overflow: OverflowWait, QueueDepth: 1000})
		running := mustEnter(t, g)
		type waiting struct {
			slot  *Slot
			done  <-chan error
			level Priority
		}
		var all []waiting
		add := func(p Priority) {
			s, done := enterLater(t.Context(), g, Call{Priority: p})
			all = append(all, waiting{s, done, p})
		}
		for range 3 {
			add(SheddablePlus)
			add(Sheddable)
		}
		served := map[Priority]int{}
		for range 5 * ageing {
			add(CriticalPlus)
			running.Leave(Succeeded)
			synctest.Wait()
			i := slices.IndexFunc(all, func(w waiting) bool { return w.slot.Held() })
			if err := <-all[i].done; err != nil {
				t.Fatal(err)
			}
			running = all[i].slot
			served[all[i].level]++
			all = slices.Delete(all, i, i+1)
		}
		if served[SheddablePlus] < 2 || served[Sheddable] < 2 || served[CriticalPlus] < 4*ageing {
			t.Errorf("served %v of %d", served, 5*ageing)
		}
		for g.Snapshot().Waiting > 0 {
			running.Leave(Succeeded)
			synctest.Wait()
			running = all[slices.IndexFunc(all, func(w waiting) bool { return w.slot.Held() })].slot
		}
		running.Leave(Succeeded)
		wantEmpty(t, g)
	})
}
