package main

import (
	"testing"

	"weir/limits"
)

func TestRestIsDueWhereNothingHasRun(t *testing.T) {
	var r rested
	for i, c := range []struct {
		s    limits.Snapshot
		want bool
	}{
		{limits.Snapshot{}, true},
		{limits.Snapshot{Ended: 5}, false},              // some have run
		{limits.Snapshot{Ended: 5, Inflight: 1}, false}, // one runs
		{limits.Snapshot{Ended: 5, Inflight: 1}, false}, // still
		{limits.Snapshot{Ended: 5, Waiting: 1}, false},
		{limits.Snapshot{Ended: 6}, false},
		{limits.Snapshot{Ended: 6}, true},
		{limits.Snapshot{Ended: 6}, true},
	} {
		if got := r.due(c.s); got != c.want {
			t.Errorf("look %d, %+v: due is %v", i, c.s, got)
		}
	}
}
