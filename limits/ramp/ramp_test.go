package ramp

import (
	"sync"
	"testing"
	"time"
)

func fill(r *Ramp, now time.Duration) (n int) {
	for ; n < 100_000; n++ {
		if _, _, ok := r.Enter(now); !ok {
			return n
		}
	}
	return n
}

func TestItGrowsByTheMinute(t *testing.T) {
	r := New(Policy{PerMinute: 60, Retention: time.Hour})
	if n := fill(r, 0); n != 60 {
		t.Fatalf("%d at once, want 60", n)
	}
	if wait, _, ok := r.Enter(0); ok || wait <= 0 || wait > time.Second {
		t.Errorf("told to wait %v, a token comes each second", wait)
	}
	if n := fill(r, 30*time.Second); n != 30 {
		t.Errorf("%d more after half a minute, want 30", n)
	}
	for range 90 {
		r.Leave()
	}
	if n := fill(r, 30*time.Second); n != 90 {
		t.Errorf("%d of those that ran before, want all 90", n)
	}
}

func TestWhatIsNotUsedGoesCold(t *testing.T) {
	r := New(Policy{PerMinute: 10, Retention: 8 * time.Minute})
	fill(r, 0)
	for range 10 {
		r.Leave()
	}
	if n := fill(r, 7*time.Minute); n != 20 {
		t.Errorf("%d within the retention, want the 10 used and the 10 to grow by", n)
	}
	for range 20 {
		r.Leave()
	}
	if n := fill(r, time.Hour); n != 10 {
		t.Errorf("%d an hour later, want the 10 to grow by", n)
	}
}

func TestManyAtOnceGrowNoFurther(t *testing.T) {
	r := New(Policy{PerMinute: 100, Retention: time.Hour})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 2000 {
				if _, _, ok := r.Enter(time.Duration(i)); ok {
					if n := r.inflight.Load(); n > 100 {
						t.Errorf("%d in flight", n)
					}
					r.Leave()
				}
			}
		})
	}
	wg.Wait()
	if n := r.inflight.Load(); n != 0 || r.Warm() > 100 {
		t.Errorf("%d in flight at the end, %d warm", n, r.Warm())
	}
}
