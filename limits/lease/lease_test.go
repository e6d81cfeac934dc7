package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weir/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shared is a ledger that several leases use at once, and that can be out of reach.
type shared struct {
	mu sync.Mutex
	ledger
	down   bool
	slow   time.Duration // is what a write takes more
	refuse error         // of each write, which is not made
	asked  time.Time     // for the last write that was made
}

var errDown = errors.New("out of reach")

func (s *shared) Get(ctx context.Context) (*Record, uint64, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, 0, errDown
	}
	return s.ledger.Get(ctx)
}

func (s *shared) Put(ctx context.Context, r *Record, revision uint64) (uint64, error) {
	asked := time.Now()
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	time.Sleep(time.Millisecond + slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return 0, errDown
	}
	if s.refuse != nil {
		return 0, s.refuse
	}
	s.asked = asked
	return s.ledger.Put(ctx, r, revision)
}

func (s *shared) fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shared) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// sidecar is a real Gate with a lease, and calls that keep so many of its slots busy as
// they can get, up to wants.
type sidecar struct {
	t      *testing.T
	gate   *limits.Gate
	lease  *Lease
	cancel context.CancelFunc
	calls  []*limits.Slot
}

func newSidecar(t *testing.T, s Store, limit int, o OnOutage) *sidecar {
	t.Helper()
	g, err := limits.NewGate(limits.Policy{MaxInflight: 1000})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Options{
		Name: "function", Store: s, Part: g.Share(limits.ReasonFunction),
		Config: Config{Limit: limit, OnOutage: o, Time: 5 * time.Second}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &sidecar{t: t, gate: g, lease: l}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(t.Context())
	go l.Run(ctx, nil)
	return c
}

// want runs as many calls as it can get, up to n, for a while: each for 50 ms.
func want(d time.Duration, n map[*sidecar]int) {
	for range d / (50 * time.Millisecond) {
		for c, n := range n {
			for _, s := range c.calls {
				s.Leave(limits.Succeeded)
			}
			c.calls = c.calls[:0]
			for range n {
				s := &limits.Slot{}
				if c.gate.Enter(context.Background(), &limits.Call{}, s) != nil {
					break
				}
				c.calls = append(c.calls, s)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *sidecar) held() int { return c.lease.Snapshot().Held }

func TestIdleSlotsMoveToThoseWhoWantThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a, b, c := newSidecar(t, s, 90, OutageShare), newSidecar(t, s, 90, OutageShare), newSidecar(t, s, 90, OutageShare)
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
		want(50*time.Millisecond, map[*sidecar]int{a: 0})
		for _, c := range []*sidecar{a, b, c} {
			c.cancel()
		}
		synctest.Wait()
		time.Sleep(time.Second)
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
			synctest.Test(t, func(t *testing.T) {
				s := &shared{}
				a, b := newSidecar(t, s, 90, OutageShare), newSidecar(t, s, 90, OutageShare)
				load := map[*sidecar]int{a: 200}
				want(10*time.Second, load)
				if n := a.held(); n != 90 {
					t.Errorf("alone in wanting any, it has %d of 90", n)
				}
				before := s.written()
				load[b] = 200
				for range 40 {
					want(50*time.Millisecond, load)
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
				want(50*time.Millisecond, map[*sidecar]int{a: 0, b: 0})
				a.cancel()
				b.cancel()
				synctest.Wait()
				time.Sleep(time.Second)
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
			synctest.Test(t, func(t *testing.T) {
				s := &shared{}
				var all []*sidecar
				load := map[*sidecar]int{}
				for range 3 {
					all = append(all, newSidecar(t, s, 10, c.do))
					load[all[len(all)-1]] = 30
				}
				want(10*time.Second, load)
				s.fail(true)
				want(time.Second, load)
				for _, one := range all { // a lease goes on to its end
					if s := one.lease.Snapshot(); s.Outage || len(one.calls) < 3 {
						t.Errorf("after a second %d run: %+v", len(one.calls), s)
					}
				}
				want(9*time.Second, load)
				sum := 0
				for _, one := range all {
					n := len(one.calls)
					sum += n
					if c.do == OutageOpen && n != 30 || c.do != OutageOpen && n < c.during {
						t.Errorf("one runs %d", n)
					}
					if snapshot := one.lease.Snapshot(); !snapshot.Outage || snapshot.Up || snapshot.DownFor < 9*time.Second {
						t.Errorf("%+v", snapshot)
					}
				}
				if c.do == OutageShare && sum != 10 || c.do == OutageClosed && sum != 0 {
					t.Errorf("they run %d together", sum)
				}
				s.fail(false)
				want(10*time.Second, load)
				sum = 0
				for _, one := range all {
					sum += one.held()
				}
				if sum != 10 {
					t.Errorf("afterwards they hold %d of 10", sum)
				}
				want(50*time.Millisecond, map[*sidecar]int{all[0]: 0, all[1]: 0, all[2]: 0})
				for _, one := range all {
					one.cancel()
				}
				synctest.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}

func TestTheLowestLimitHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a, b := newSidecar(t, s, 20, OutageShare), newSidecar(t, s, 20, OutageShare)
		load := map[*sidecar]int{a: 50, b: 50}
		want(10*time.Second, load)
		sum := func() int { return a.held() + b.held() }
		if n := sum(); n != 20 {
			t.Errorf("they hold %d of 20", n)
		}
		a.lease.Configure(Config{Limit: 8, OnOutage: OutageShare, Time: 5 * time.Second})
		want(10*time.Second, load)
		if x := b.lease.Snapshot(); sum() != 8 || x.InForce != 8 || x.Limit != 20 {
			t.Errorf("one says 8: they hold %d; %+v", sum(), x)
		}
		b.lease.Configure(Config{Limit: 30, OnOutage: OutageShare, Time: 5 * time.Second})
		want(10*time.Second, load)
		if n := sum(); n != 8 {
			t.Errorf("8 and 30: they hold %d", n)
		}
		a.lease.Configure(Config{Limit: 30, OnOutage: OutageShare, Time: 5 * time.Second})
		want(10*time.Second, load)
		if n := sum(); n != 30 {
			t.Errorf("both say 30: they hold %d", n)
		}
		want(50*time.Millisecond, map[*sidecar]int{a: 0, b: 0})
		a.cancel()
		b.cancel()
		synctest.Wait()
		time.Sleep(time.Second)
	})
}

// Many members at one record do not keep each other from renewing.
func TestManyMembersRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		var all []*sidecar
		load := map[*sidecar]int{}
		for range 30 {
			all = append(all, newSidecar(t, s, 300, OutageClosed))
			load[all[len(all)-1]] = 20
		}
		want(10*time.Second, load)
		before := s.written()
		want(10*time.Second, load)
		sum, least := 0, 300
		for _, c := range all {
			sum, least = sum+c.held(), min(least, c.held())
		}
		if sum < 285 || least < 8 {
			t.Errorf("they hold %d of 300 together, one only %d", sum, least)
		}
		t.Log(fmt.Sprint("writes a second: ", (s.written()-before)/10))
		for _, c := range all {
			load[c] = 0
		}
		want(50*time.Millisecond, load)
		for _, c := range all {
			c.cancel()
		}
		synctest.Wait()
		time.Sleep(5 * time.Second)
	})
}

// A lease counts from before it was asked for: others may count from then on as well.
func TestALeaseCountsFromBeforeItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{slow: 500 * time.Millisecond}
		a := newSidecar(t, s, 10, OutageClosed)
		want(10*time.Second, map[*sidecar]int{a: 5})
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
		want(50*time.Millisecond, map[*sidecar]int{a: 0})
		a.cancel()
		synctest.Wait()
		time.Sleep(2 * time.Second)
	})
}

// Nothing is held by a write that has failed, or that came after another's.
func TestNothingIsHeldWithoutAWrite(t *testing.T) {
	for _, refuse := range []error{errDown, ErrConflict} {
		t.Run(refuse.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shared{}
				a := newSidecar(t, s, 20, OutageClosed)
				want(5*time.Second, map[*sidecar]int{a: 2})
				before := a.held()
				s.mu.Lock()
				s.refuse = refuse
				s.mu.Unlock()
				for range 20 {
					want(50*time.Millisecond, map[*sidecar]int{a: 20})
					if n := a.held(); n > before {
						t.Fatalf("it holds %d, and %d by the last write that succeeded", n, before)
					}
				}
				if up := a.lease.Snapshot().Up; before == 0 || up != (refuse == ErrConflict) {
					t.Errorf("it held %d; the ledger is in reach: %v", before, up)
				}
				want(50*time.Millisecond, map[*sidecar]int{a: 0})
				a.cancel()
				synctest.Wait()
				time.Sleep(2 * time.Second)
			})
		})
	}
}

// What one held that died is used by another within the lease time; what one held that
// ended in order, at once, and the latter lets nobody in any more.
func TestSlotsOfTheDeadAreBackWithinTheLeaseTime(t *testing.T) {
	for _, c := range []struct {
		how    string
		within time.Duration
	}{{"killed", 5 * time.Second}, {"ended", time.Second}} {
		t.Run(c.how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shared{}
				a, b := newSidecar(t, s, 20, OutageShare), newSidecar(t, s, 20, OutageShare)
				want(10*time.Second, map[*sidecar]int{a: 30, b: 30})
				if a.held() != 10 || b.held() != 10 {
					t.Errorf("they hold %d and %d of 20", a.held(), b.held())
				}
				want(50*time.Millisecond, map[*sidecar]int{b: 0})
				if c.how == "killed" {
					s.mu.Lock()
					kept := clone(s.record)
					s.mu.Unlock()
					b.cancel()
					synctest.Wait()
					time.Sleep(10 * time.Millisecond) // it has given back
					s.mu.Lock()
					s.record.put(*kept.member(b.lease.o.ID))
					s.revision++
					s.mu.Unlock()
				} else {
					b.cancel()
				}
				from := time.Now()
				for a.held() < 20 && time.Since(from) < 10*time.Second {
					want(50*time.Millisecond, map[*sidecar]int{a: 30})
				}
				if took := time.Since(from); took > c.within {
					t.Errorf("they are back after %v, want at most %v", took, c.within)
				}
				if b.gate.Enter(t.Context(), &limits.Call{}, &limits.Slot{}) == nil {
					t.Error("who has given back its lease lets a call in")
				}
				want(50*time.Millisecond, map[*sidecar]int{a: 0})
				a.cancel()
				synctest.Wait()
				time.Sleep(time.Second)
			})
		})
	}
}

// What one does not use any more, another who wants it has within two seconds.
func TestIdleSlotsAreBackWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a, b := newSidecar(t, s, 20, OutageShare), newSidecar(t, s, 20, OutageShare)
		want(10*time.Second, map[*sidecar]int{a: 30})
		if n := a.held(); n != 20 {
			t.Errorf("it holds %d of 20", n)
		}
		want(50*time.Millisecond, map[*sidecar]int{a: 0})
		from := time.Now()
		for b.held() < 19 && time.Since(from) < 10*time.Second {
			want(50*time.Millisecond, map[*sidecar]int{b: 30})
		}
		took := time.Since(from)
		if took > 2*time.Second {
			t.Errorf("they are another's after %v, want at most 2s", took)
		}
		t.Logf("%d of 20 after %v", b.held(), took)
		want(50*time.Millisecond, map[*sidecar]int{b: 0})
		a.cancel()
		b.cancel()
		synctest.Wait()
		time.Sleep(time.Second)
	})
}

// What is changed in an outage is in force in it.
func TestOnOutageIsChangedInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a := newSidecar(t, s, 10, OutageClosed)
		want(5*time.Second, map[*sidecar]int{a: 30})
		s.fail(true)
		want(10*time.Second, map[*sidecar]int{a: 30})
		if n := a.held(); n != 0 {
			t.Errorf("closed, it may run %d", n)
		}
		for _, c := range []struct {
			to   OnOutage
			runs int
		}{{OutageShare, 10}, {OutageOpen, 30}, {OutageClosed, 0}} {
			a.lease.Configure(Config{Limit: 10, OnOutage: c.to, Time: 5 * time.Second})
			want(10*time.Second, map[*sidecar]int{a: 30})
			if n := len(a.calls); n != c.runs {
				t.Errorf("%s, it runs %d, want %d", c.to, n, c.runs)
			}
		}
		want(50*time.Millisecond, map[*sidecar]int{a: 0})
		a.cancel()
		synctest.Wait()
		time.Sleep(time.Second)
	})
}

// The time of a lease is changed while it is held, at one sidecar after the other, and
// nobody holds less for it.
func TestTheTimeOfALeaseIsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{}
		a, b := newSidecar(t, s, 20, OutageClosed), newSidecar(t, s, 20, OutageClosed)
		load := map[*sidecar]int{a: 30, b: 30}
		want(10*time.Second, load)
		for _, to := range []time.Duration{time.Second, time.Minute, 5 * time.Second} {
			for _, c := range []*sidecar{a, b} {
				c.lease.Configure(Config{Limit: 20, OnOutage: OutageClosed, Time: to})
				for range 100 {
					want(50*time.Millisecond, load)
					if n := a.held() + b.held(); n != 20 {
						t.Fatalf("they hold %d of 20 while the lease time becomes %v", n, to)
					}
				}
			}
			// As long as that, and not longer, does it outlast the ledger.
			s.fail(true)
			from := time.Now()
			for a.held() > 0 && time.Since(from) < 2*to {
				want(50*time.Millisecond, load)
			}
			if lasted := time.Since(from); lasted > to*3/4 || to > time.Second && lasted < to/4 {
				t.Errorf("a lease of %v outlasts the ledger by %v", to, lasted)
			}
			s.fail(false)
			want(10*time.Second+to/2, load) // each renews, and is heard of
		}
		want(50*time.Millisecond, map[*sidecar]int{a: 0, b: 0})
		a.cancel()
		b.cancel()
		synctest.Wait()
		time.Sleep(time.Second)
	})
}
