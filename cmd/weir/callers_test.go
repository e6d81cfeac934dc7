package main

import (
	"strings"
	"testing"

	"weir/limits"
)

func TestACallerThatIsASecretIsNotShown(t *testing.T) {
	gate, err := limits.NewGate(limits.Policy{MaxInflight: 5, Callers: &limits.Callers{Remembered: 64}})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"Authorization", "Cookie", "X-Api-Key", "X-Auth-Token"} {
		c := newCallers(gate)
		c.identifiedBy("header", field)
		if shown := c.name("Bearer abc"); strings.Contains(shown, "abc") || shown != c.name("Bearer abc") || shown == c.name("Bearer abd") {
			t.Errorf("by %s the caller is shown as %q", field, shown)
		}
		c.identifiedBy("header", "X-Team") // changed live: what is known already stays hidden
		if shown := c.name("Bearer abc"); !strings.HasPrefix(shown, "hidden:") {
			t.Errorf("after a change the caller is shown as %q", shown)
		}
	}
	c := newCallers(gate)
	c.identifiedBy("header", "X-Team")
	c.identifiedBy("jwt", "sub")
	if shown := c.name("blue"); shown != "blue" {
		t.Errorf("a caller that is no secret is shown as %q", shown)
	}
	var s limits.Slot
	if err := gate.Enter(t.Context(), &limits.Call{Caller: "blue"}, &s); err != nil {
		t.Fatal(err)
	}
	defer s.Leave(limits.Succeeded)
	if top := c.top(); len(top) != 2 || top[0].Caller != "blue" || top[0].Admitted != 1 {
		t.Errorf("the top callers are %+v", top)
	}
}
