package lease

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIdleSlotsMoveToThoseWhoWantThem(t *testing.T) {
	together(t, 3, fiveSeconds(90, OutageShare), func(t *testing.T, s *shared, all []*sidecar) {
		a, b, c := all[0], all[1], all[2]
		want(10*time.Second, map[*sidecar]int{a: 200})
		if n := a.held(); n != 90 {
			t.Errorf("alone in wanting any, it has %d of 90", n)
		}
		want(6*time.Second, map[*sidecar]int{a: 200, b: 200, c: 10})
		// What the others do not use any more is its own again.
		want(10*time.Second, map[*sidecar]int{a: 200, b: 0, c: 0})
		if n := a.held(); n < 86 {
			t.Errorf("alone again it has %d of 90", n)
		}
		want(step, map[*sidecar]int{a: 0})
		for _, c := range all {
			c.stop()
		}
		if r, _, _ := s.Get(t.Context()); len(r.Members) != 0 {
			t.Errorf("%d members are left in the record", len(r.Members))
		}
	})
}

// Who begins to want as much as another who holds all of it has nearly as much after two
// seconds, with one refusal each 50 ms as with many, and the ledger is not stormed.
func TestEqualDemandComesToEqualShares(t *testing.T) {
	for _, refusals := range []int{1, 100} {
		t.Run(fmt.Sprint(refusals), func(t *testing.T) {
			together(t, 2, fiveSeconds(90, OutageShare), func(t *testing.T, s *shared, all []*sidecar) {
				a, b := all[0], all[1]
				load := map[*sidecar]int{a: 200}
				want(10*time.Second, load)
				if n := a.held(); n != 90 {
					t.Errorf("alone in wanting any, it has %d of 90", n)
				}
				before := s.written()
				load[b] = 200
				for range 40 {
					want(step, load)
					for range refusals - 1 {
						// What it got since then may let some in.
						one := &limits.Slot{}
						if b.gate.Enter(context.Background(), &limits.Call{}, one) == nil {
							b.calls = append(b.calls, one)
						}
					}
				}
				if m, n := a.held(), b.held(); n < 36 || m < 36 || m+n > 90 {
					t.Errorf("after 2 s they hold %d and %d of 90", m, n)
				}
				writes := s.written() - before
				if writes > 2*2*20 {
					t.Errorf("%d writes of two members in 2 s", writes)
				}
				t.Logf("%d and %d of 90, %d writes in 2 s", a.held(), b.held(), writes)
			})
		})
	}
}

func TestAnOutage(t *testing.T) {
	for _, c := range []struct {
		do     OnOutage
		during int // of a limit of 10, for each of three
	}{{OutageShare, 3}, {OutageClosed, 0}, {OutageOpen, 1000}} {
		t.Run(string(c.do), func(t *testing.T) {
			together(t, 3, fiveSeconds(10, c.do), func(t *testing.T, s *shared, all []*sidecar) {
				load := equally(all, 30)
				want(10*time.Second, load)
				s.fail(true)
				want(time.Second, load)
				for _, one := range all { // a lease goes on to its end
					if s := one.lease.Snapshot(); s.Outage || len(one.calls) < 3 {
						t.Errorf("after a second %d run: %+v", len(one.calls), s)
					}
				}
				want(9*time.Second, load)
				run := 0
				for _, one := range all {
					n := len(one.calls)
					run += n
					if c.do == OutageOpen && n != 30 || c.do != OutageOpen && n < c.during {
						t.Errorf("one runs %d", n)
					}
					if snapshot := one.lease.Snapshot(); !snapshot.Outage || snapshot.Up || snapshot.DownFor < 9*time.Second {
						t.Errorf("%+v", snapshot)
					}
				}
				if c.do == OutageShare && run != 10 || c.do == OutageClosed && run != 0 {
					t.Errorf("they run %d together", run)
				}
				s.fail(false)
				want(10*time.Second, load)
				if n, _ := sum(all); n != 10 {
					t.Errorf("afterwards they hold %d of 10", n)
				}
			})
		})
	}
}

// When the ledger is back after an outage that leases of a minute did not outlast, who wants
// what others had has it soon, by a few writes of each.
func TestLongLeasesAreBackSoonAfterAnOutage(t *testing.T) {
	const limit, n = 100, 10
	together(t, n, Config{Limit: limit, OnOutage: OutageShare, Time: time.Minute}, func(t *testing.T, s *shared, all []*sidecar) {
		load := equally(all, 2)
		load[all[0]] = limit
		want(30*time.Second, load)
		for i, outage := range []time.Duration{20 * time.Second, 2 * time.Minute} { // shorter and longer than a lease
			s.fail(true)
			hungry := all[i+1]
			load[all[i]], load[hungry] = 2, limit
			want(outage, load)
			s.fail(false)
			before := s.written()
			took := until(func() bool { return hungry.held() >= limit-4*n }, time.Minute, load)
			writes := s.written() - before
			t.Logf("after an outage of %v: %v, %d writes", outage, took, writes)
			if took > 2*time.Second {
				t.Errorf("after an outage of %v it has what it wants after %v, want at most 2s", outage, took)
			}
			want(10*time.Second, load)
			if all := s.written() - before; all > 8*n {
				t.Errorf("%d writes of %d members, %d of them at once", all, n, writes)
			}
		}
	})
}

func TestTheLowestLimitHolds(t *testing.T) {
	together(t, 2, fiveSeconds(20, OutageShare), func(t *testing.T, _ *shared, all []*sidecar) {
		load := equally(all, 50)
		configured := []int{20, 20}
		for _, c := range []struct{ who, to, inForce int }{{0, 20, 20}, {0, 8, 8}, {1, 30, 8}, {0, 30, 30}} {
			all[c.who].lease.Configure(fiveSeconds(c.to, OutageShare))
			configured[c.who] = c.to
			want(10*time.Second, load)
			if n, _ := sum(all); n != c.inForce {
				t.Errorf("they are configured with %d: they hold %d, want %d", configured, n, c.inForce)
			}
			for i, one := range all {
				if s := one.lease.Snapshot(); s.InForce != c.inForce || s.Limit != configured[i] {
					t.Errorf("they are configured with %d: %+v", configured, s)
				}
			}
		}
	})
}

// Many members at one record do not keep each other from renewing.
func TestManyMembersRenew(t *testing.T) {
	together(t, 30, fiveSeconds(300, OutageClosed), func(t *testing.T, s *shared, all []*sidecar) {
		load := equally(all, 20)
		want(10*time.Second, load)
		before := s.written()
		want(10*time.Second, load)
		if n, least := sum(all); n < 285 || least < 8 {
			t.Errorf("they hold %d of 300 together, one only %d", n, least)
		}
		t.Log(fmt.Sprint("writes a second: ", (s.written()-before)/10))
	})
}

// A lease counts from before it was asked for: others may count from then on as well.
func TestALeaseCountsFromBeforeItWasAskedFor(t *testing.T) {
	together(t, 1, fiveSeconds(10, OutageClosed), func(t *testing.T, s *shared, all []*sidecar) {
		a := all[0]
		s.mu.Lock()
		s.slow = 500 * time.Millisecond
		s.mu.Unlock()
		want(10*time.Second, equally(all, 5))
		if a.held() == 0 {
			t.Fatal("it has none")
		}
		a.lease.mu.Lock()
		until := a.lease.holder.bound.Until
		a.lease.mu.Unlock()
		s.mu.Lock()
		ends := s.asked.Add(5 * time.Second * 7 / 10)
		s.mu.Unlock()
		if until.After(ends) {
			t.Errorf("the lease goes on for %v after it should have ended", until.Sub(ends))
		}
	})
}

// Nothing is held by a write that has failed, or that came after another's.
func TestNothingIsHeldWithoutAWrite(t *testing.T) {
	for _, refuse := range []error{errDown, ErrConflict} {
		t.Run(refuse.Error(), func(t *testing.T) {
			together(t, 1, fiveSeconds(20, OutageClosed), func(t *testing.T, s *shared, all []*sidecar) {
				a := all[0]
				want(5*time.Second, equally(all, 2))
				before := a.held()
				s.mu.Lock()
				s.refuse = refuse
				s.mu.Unlock()
				for range 20 {
					want(step, equally(all, 20))
					if n := a.held(); n > before {
						t.Fatalf("it holds %d, and %d by the last write that succeeded", n, before)
					}
				}
				if up := a.lease.Snapshot().Up; before == 0 || up != (refuse == ErrConflict) {
					t.Errorf("it held %d; the ledger is in reach: %v", before, up)
				}
			})
		})
	}
}

// What one held that died is used by the others within its lease time, be it short, and
// however many they are.
func TestSlotsOfTheDeadAreBackWithinTheLeaseTime(t *testing.T) {
	for _, lease := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second} {
		for _, n := range []int{2, 10} {
			var most time.Duration
			for moment := range 5 { // of what it does between two renewals
				together(t, n, Config{Limit: 4 * n, OnOutage: OutageShare, Time: lease}, func(t *testing.T, _ *shared, all []*sidecar) {
					load := equally(all, 8)
					want(2*lease+2*time.Second, load)
					time.Sleep(time.Duration(moment) * lease / 20)
					if held, least := sum(all); held != 4*n || least != 4 {
						t.Fatalf("they hold %d of %d, one only %d", held, 4*n, least)
					}
					all[0].kill()
					delete(load, all[0])
					took := until(func() bool { held, _ := sum(all[1:]); return held == 4*n }, 2*lease, load)
					most = max(most, took)
				})
			}
			t.Logf("%d sidecars, leases of %v: back after %v at most", n, lease, most)
			if most > lease {
				t.Errorf("%d sidecars, leases of %v: they are back after %v", n, lease, most)
			}
		}
	}
}

// The ledger is looked at as an entry ends that is not renewed, and not at the next turn.
func TestTheEndOfAnEntryIsLookedAt(t *testing.T) {
	for range 5 {
		together(t, 2, fiveSeconds(10, OutageShare), func(t *testing.T, _ *shared, all []*sidecar) {
			time.Sleep(10 * time.Second)
			all[0].kill()
			time.Sleep(2 * time.Second) // the last beat has been seen
			l := all[1].lease
			l.mu.Lock()
			end := l.holder.nextEnd(time.Now())
			l.mu.Unlock()
			time.Sleep(time.Until(end) + 5*time.Millisecond)
			if n := l.Snapshot().Members; n != 1 {
				t.Errorf("%d are members as the entry of one has ended", n)
			}
		})
	}
}

// Who finds no slot looks no less often than a short lease asks for.
func TestWhoFindsNoSlotLooksAsOftenAsOthers(t *testing.T) {
	together(t, 1, Config{Limit: 5, OnOutage: OutageClosed, Time: time.Second}, func(t *testing.T, s *shared, all []*sidecar) {
		want(5*time.Second, equally(all, 10))
		before := s.read()
		want(10*time.Second, equally(all, 10))
		if n := s.read() - before; n < 75 {
			t.Errorf("it has looked %d times in ten leases, want eight in each or so", n)
		}
	})
}

// Who ends in order gives back at once, and lets nobody in any more.
func TestWhoEndsInOrderGivesBackAtOnce(t *testing.T) {
	together(t, 2, fiveSeconds(20, OutageShare), func(t *testing.T, _ *shared, all []*sidecar) {
		a, b := all[0], all[1]
		want(10*time.Second, equally(all, 30))
		if a.held() != 10 || b.held() != 10 {
			t.Errorf("they hold %d and %d of 20", a.held(), b.held())
		}
		want(step, map[*sidecar]int{b: 0})
		b.cancel()
		if took := until(func() bool { return a.held() == 20 }, 10*time.Second, map[*sidecar]int{a: 30}); took > time.Second {
			t.Errorf("they are back after %v, want at most 1s", took)
		}
		if b.gate.Enter(t.Context(), &limits.Call{}, &limits.Slot{}) == nil {
			t.Error("who has given back its lease lets a call in")
		}
	})
}

// What one does not use any more, another who wants it has within two seconds.
func TestIdleSlotsAreBackWithinTwoSeconds(t *testing.T) {
	together(t, 2, fiveSeconds(20, OutageShare), func(t *testing.T, _ *shared, all []*sidecar) {
		a, b := all[0], all[1]
		want(10*time.Second, map[*sidecar]int{a: 30})
		if n := a.held(); n != 20 {
			t.Errorf("it holds %d of 20", n)
		}
		want(step, map[*sidecar]int{a: 0})
		took := until(func() bool { return b.held() >= 19 }, 10*time.Second, map[*sidecar]int{b: 30})
		if took > 2*time.Second {
			t.Errorf("they are another's after %v, want at most 2s", took)
		}
		t.Logf("%d of 20 after %v", b.held(), took)
	})
}

// What is changed in an outage is in force in it.
func TestOnOutageIsChangedInAnOutage(t *testing.T) {
	together(t, 1, fiveSeconds(10, OutageClosed), func(t *testing.T, s *shared, all []*sidecar) {
		a, load := all[0], equally(all, 30)
		want(5*time.Second, load)
		s.fail(true)
		want(10*time.Second, load)
		if n := a.held(); n != 0 {
			t.Errorf("closed, it may run %d", n)
		}
		for _, c := range []struct {
			to   OnOutage
			runs int
		}{{OutageShare, 10}, {OutageOpen, 30}, {OutageClosed, 0}} {
			a.lease.Configure(fiveSeconds(10, c.to))
			want(10*time.Second, load)
			if n := len(a.calls); n != c.runs {
				t.Errorf("%s, it runs %d, want %d", c.to, n, c.runs)
			}
		}
	})
}

// The time of a lease is changed while it is held, at one sidecar after the other, and
// nobody holds less for it.
func TestTheTimeOfALeaseIsChanged(t *testing.T) {
	together(t, 2, fiveSeconds(20, OutageClosed), func(t *testing.T, s *shared, all []*sidecar) {
		load := equally(all, 30)
		want(10*time.Second, load)
		for _, to := range []time.Duration{time.Second, time.Minute, 5 * time.Second} {
			for _, c := range all {
				c.lease.Configure(Config{Limit: 20, OnOutage: OutageClosed, Time: to})
				for range 100 {
					want(step, load)
					if n, _ := sum(all); n != 20 {
						t.Fatalf("they hold %d of 20 while the lease time becomes %v", n, to)
					}
				}
			}
			// As long as that, and not longer, does it outlast the ledger: it is given up by the
			// last attempt at renewing it that has an answer in time.
			s.fail(true)
			left, again := all[0].left()
			lasted := until(func() bool { return all[0].held() == 0 }, 2*to, load)
			if left > to*3/4 || left < to/4 || lasted > left+step || lasted < left-again {
				t.Errorf("a lease of %v, of which %v were left, outlasts the ledger by %v", to, left, lasted)
			}
			s.fail(false)
			want(10*time.Second, load)
		}
	})
}
