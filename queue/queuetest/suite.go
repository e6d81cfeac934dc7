package queuetest

import (
	"fmt"
	"testing"
	"time"

	"weir/queue"
)

// Opener opens a store. An empty one, where function was not used before; the same
// one again, after it was closed, where it was. HoldTime must be 1 s.
type Opener func(t *testing.T, function string) queue.Store

// patience is how long what must happen may take on a busy machine.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *stage)
	}{
		{"an accepted call is fetched as it was", fetchedAsItWas},
		{"entries come first in first out", firstInFirstOut},
		{"a fetched entry is nobody else's until its hold lapses", holdLapses},
		{"an entry that is held on to stays its holder's", heldOn},
		{"a returned entry comes again at once", returned},
		{"entries that come again do so one after another", comeAgain},
		{"what is done does not come again", doneStaysDone},
		{"a record replaces the one that it was made for, and no other", compareAndSwap},
		{"a change is written whole or not at all", wholeOrNot},
		{"a call that waits has a record", waitingRecord},
		{"a key is taken once", keys},
		{"concurrent commits do not disturb each other", concurrent},
		{"calls that come at once are each other's equals", together},
		{"one bad change does not spoil those beside it", badApple},
		{"an entry for later comes at its time", scheduled},
		{"records, responses and keys go after their time", expiry},
		{"calls are listed by state", callsByState},
		{"a list that is read while calls move misses none", listMeanwhile},
		{"dead letters are kept, listed and removed", deadLetters},
		{"a large body is kept apart", largeBody},
		{"a delivery is fetched as it was", deliveredAsItWas},
		{"a delivery is owed with the call's end or not at all", deliveryWithItsEnd},
		{"a delivery is repeated at its time, and its record replaced", deliveryRepeated},
		{"a later end's delivery takes the place of an earlier one's", deliveryReplaced},
		{"a delivery is nobody else's until its hold lapses", deliveryHeld},
		{"all of it is there after a reopening", reopening},
		{"stats count", stats},
		{"a closed store takes nothing", closed},
		{"what was not asked for is not found", notFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &stage{t: t, open: open, function: fmt.Sprintf("f%x", queue.NewID(time.Now())[10:])}
			s.reopen()
			t.Cleanup(func() {
				if err := s.store.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			c.test(t, s)
		})
	}
}
