package limits

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// gatekeeper is a Limiter that records what it is asked.
type gatekeeper struct {
	name   string
	log    *[]string
	refuse bool
}

func (k *gatekeeper) Enter(time.Duration, *Call) (uint64, *Throttle) {
	if k.refuse {
		return 0, &Throttle{Reason: Reason(k.name), RetryAfter: time.Second}
	}
	*k.log = append(*k.log, k.name+" in")
	return uint64(len(*k.log)), nil
}

func (k *gatekeeper) Leave(_ time.Duration, token uint64, o Outcome) {
	*k.log = append(*k.log, fmt.Sprintf("%s out %d (%d)", k.name, token, o))
}

func TestLimitersComposeInFrontOfTheLimit(t *testing.T) {
	var log []string
	a, b := &gatekeeper{name: "a", log: &log}, &gatekeeper{name: "b", log: &log}
	g := newGate(t, Policy{MaxInflight: 1}, a, b)
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(log, want) {
			t.Fatalf("limiters saw %q, want %q", log, want)
		}
		log = nil
	}
	s := mustEnter(t, g)
	expect("a in", "b in")
	var n Slot
	wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), ReasonMaxInflight)
	expect("a in", "b in", fmt.Sprintf("b out 2 (%d)", Refused), fmt.Sprintf("a out 1 (%d)", Refused))
	s.Leave(Full)
	expect(fmt.Sprintf("b out 2 (%d)", Full), fmt.Sprintf("a out 1 (%d)", Full))
	b.refuse = true
	wantThrottle(t, g.Enter(t.Context(), &Call{}, &n), "b")
	expect("a in", fmt.Sprintf("a out 1 (%d)", Refused))
	wantEmpty(t, g)
}

func TestMoreLimitersThanASlotHoldsAreAnError(t *testing.T) {
	if _, err := NewGate(Policy{}, make([]Limiter, maxLimiters+1)...); err == nil {
		t.Error("accepted")
	}
}
