package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/queue"
)

// teller is the receiver: it notes what it takes, which is most of it.
type teller struct{ told ledger }

func (t teller) Notify(_ context.Context, d *queue.Delivery) error {
	if rand.N(10) == 0 {
		return errors.New("not now")
	}
	return t.told.note(d.Call, d.MessageID())
}

// Every call that ended has its caller told, under one id, whenever weir was killed.
func TestNoEndGoesUntoldOverKills(t *testing.T) {
	rounds := roundsOf(t, crashRounds, 2)
	c := course{t: t, dir: t.TempDir(), env: []string{crashTell + "=https://receiver.example/"}}
	for range rounds {
		// In the middle of load, and in the middle of telling.
		telling := newLines(t, c.dir, "told")
		c.stopped(1+rand.N(100), func() bool { return telling() > 0 }, killed(t))
	}
	c.finished()
	told := map[queue.ID]string{}
	repeated := 0
	for _, line := range lines(t, c.dir, "told") {
		var id queue.ID
		var message string
		if _, err := fmt.Sscan(line, &id, &message); err != nil {
			t.Fatalf("told has the line %q: %v", line, err)
		}
		if told[id] != "" {
			repeated++
		}
		if told[id] != "" && told[id] != message {
			t.Errorf("the end of %s was told as %s and as %s", id, told[id], message)
		}
		told[id] = message
	}
	l := readLedgers(t, c.dir)
	if lost := l.lost(); len(lost) > 0 {
		t.Errorf("%d calls were lost: %v", len(lost), lost)
	}
	for _, id := range l.acked {
		if told[id] == "" {
			t.Errorf("%s was acknowledged and ran, and its caller was not told", id)
		}
	}
	// Told again are at most those that were being told when it was killed, and of which
	// the outcome was not written yet.
	if most := rounds * 2 * 8; repeated > most {
		t.Errorf("%d ends were told again, at most %d", repeated, most)
	}
	t.Logf("%d kills: %d calls acknowledged, all told, %d of them again", rounds, len(l.acked), repeated)
}
