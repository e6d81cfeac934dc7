package datasource

import (
	"context"
	"errors"
	"io"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"weir/admin/api"
)

// upstream is a sidecar's events: a state a second, and what fails is decided by fail.
type upstream struct {
	begun, ended int
	at           []time.Duration // when each subscription began
	fail         func(subscription, event int) error
}

func (u *upstream) events(ctx context.Context) iter.Seq2[*api.State, error] {
	return func(yield func(*api.State, error) bool) {
		u.begun++
		u.at = append(u.at, time.Duration(time.Now().UnixNano()))
		n := u.begun
		defer func() { u.ended++ }()
		for i := 0; ; i++ {
			if u.fail != nil {
				if err := u.fail(n, i); err != nil {
					yield(nil, err)
					return
				}
			}
			if !yield(&api.State{Inflight: i}, nil) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

func TestAFeedIsSharedAndEndsWithTheLastWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		f := newFeed("a", u.events)
		first, leaveFirst := f.watch()
		second, leaveSecond := f.watch()
		for i := range 3 {
			if a, b := <-first, <-second; a.state.Inflight != i || b.state.Inflight != i {
				t.Fatalf("update %d: %v, %v", i, a, b)
			}
		}
		leaveFirst()
		leaveFirst() // harmless
		if a := <-second; a.state.Inflight != 3 {
			t.Errorf("after one has left: %v", a)
		}
		if u.begun != 1 {
			t.Errorf("%d subscriptions for two watchers", u.begun)
		}
		leaveSecond()
		synctest.Wait()
		if u.ended != 1 {
			t.Error("the subscription goes on, and nobody watches")
		}
		third, leaveThird := f.watch()
		if a := <-third; a.state.Inflight != 0 || u.begun != 2 {
			t.Errorf("a new one: %v, %d subscriptions", a, u.begun)
		}
		leaveThird()
	})
}

func TestAFeedComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		u := &upstream{fail: func(subscription, event int) error {
			switch {
			case subscription == 1 && event == 2:
				return io.EOF
			case subscription > 1 && subscription < 9:
				return refused
			}
			return nil
		}}
		f := newFeed("a", u.events)
		updates, leave := f.watch()
		defer leave()
		states, losses := 0, 0
		for states < 4 {
			switch a := <-updates; {
			case a.err != nil:
				losses++
			default:
				states++
			}
		}
		if losses != 8 || u.begun != 9 {
			t.Errorf("%d losses, %d subscriptions", losses, u.begun)
		}
		for i := 2; i < len(u.at); i++ {
			wait := u.at[i] - u.at[i-1]
			bound := min(firstRetry<<(i-1), lastRetry)
			if wait < bound/2 || wait > bound {
				t.Errorf("wait %d was %v, not from %v to %v", i, wait, bound/2, bound)
			}
		}
	})
}

// Who does not read keeps nobody waiting, and sees the newest.
func TestASlowWatcherMissesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed("a", (&upstream{}).events)
		slow, leaveSlow := f.watch()
		defer leaveSlow()
		fast, leaveFast := f.watch()
		defer leaveFast()
		for range 30 {
			<-fast
		}
		synctest.Wait()
		if a := <-slow; a.state.Inflight != 30-cap(slow) {
			t.Errorf("the slow one sees %d first", a.state.Inflight)
		}
	})
}
