package proxy

import (
	"errors"
	"testing"

	"weir/limits"
)

func TestPassesAreCounted(t *testing.T) {
	for value, want := range map[string]int{
		"": 0, "weir-f": 1, "weir-f,weir-f": 2, " weir-f ;a=b ,\tweir-f\t": 2, "weir-f;": 1, ",,weir-f,": 1, ";weir-f": 0,
		"weir-fx, xweir-f, Weir-F, weir -f": 0, `a; b="weir-f"`: 0, "weir-f weir-f": 0,
	} {
		if got := passes(value, "weir-f"); got != want {
			t.Errorf("%q has %d, want %d", value, got, want)
		}
	}
}

func TestLoopsAreRefusedFromTheBoundOn(t *testing.T) {
	for _, c := range []struct {
		bound, passed int
		refused       bool
	}{{0, 1000, false}, {16, 0, false}, {16, 15, false}, {16, 16, true}, {16, 17, true}, {1, 0, false}, {1, 1, true}} {
		var refused *limits.Throttle
		err := (&Settings{MaxLoop: c.bound}).loopOf(c.passed)
		if errors.As(err, &refused) != c.refused || c.refused && (refused.Reason != limits.ReasonLoop || refused.Limit != c.bound) {
			t.Errorf("%d of %d: %v", c.passed, c.bound, err)
		}
	}
}

// What a client sends counts at least what a parser of the whole grammar would count.
func FuzzPasses(f *testing.F) {
	for _, v := range []string{"weir-f", "a, weir-f;x=\"y,z\", weir-f", "\"weir-f", ",;,"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		n := passes(value, "weir-f")
		if n < 0 || n > len(value)/len("weir-f") {
			t.Fatalf("%q has %d", value, n)
		}
		if more := passes(value+", weir-f", "weir-f"); more != n+1 {
			t.Fatalf("%q has %d, with another one %d", value, n, more)
		}
	})
}
