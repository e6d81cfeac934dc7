package queue_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/faults"
	"weir/queue"
)

// powerCuts is how often the power is cut; make crash-test sets it.
const powerCuts = "QUEUE_POWER_CUTS"

// What was acknowledged has been fsynced: it outlives the power.
func TestNoAcknowledgedCallIsLostOverPowerCuts(t *testing.T) {
	cuts := roundsOf(t, powerCuts, 3)
	cutPower(t, cuts).check(t, cuts)
}

// Without fsync something is lost: else the test above would prove nothing.
func TestWithoutFsyncAPowerCutLosesCalls(t *testing.T) {
	l := cutPower(t, 3, crashNoSync+"=1")
	lost := len(l.lost())
	if lost == 0 {
		t.Errorf("none of %d acknowledged calls was lost: the power was not cut", len(l.acked))
	}
	t.Logf("%d of %d acknowledged calls were lost", lost, len(l.acked))
}

// cutPower cuts the power of a store that is used for five cuts, then of a new one:
// the first right after the first call of all, another while the server begins its
// next file of messages, the others at any time.
//
// What is acknowledged while the power is being cut counts, too, though no machine works on
// after its power is gone: this one does, and for a moment fsync may report success for what
// the journal that was just aborted (jbd2) has not written.
func cutPower(t *testing.T, cuts int, env ...string) *ledgers {
	t.Helper()
	disk := faults.NewDisk(t, 2<<30) // of which little is used
	c := course{t: t, dir: t.TempDir(), env: env}
	late := map[queue.ID]bool{}
	stop := func(cmd *exec.Cmd) {
		before := len(lines(t, c.dir, "acked"))
		disk.CutPower(t)
		killed(t)(cmd)
		disk.Restore(t)
		for _, id := range lines(t, c.dir, "acked")[before:] {
			late[queue.ID(id)] = true
		}
	}
	firsts, rollovers := 0, 0
	for cut := range cuts {
		path := filepath.Join(disk.Dir, fmt.Sprint("store", cut/5))
		store := crashStore + "=" + path
		switch cut % 5 {
		case 0:
			if n := lastBlock(t, path); n != 0 {
				t.Fatalf("a new store has %d blocks", n)
			}
			c.stopped(1, always, stop, store, crashCallers+"=1")
			firsts++
		case 1:
			before := lastBlock(t, path)
			acked := newLines(t, c.dir, "acked")
			c.stopped(1, func() bool {
				if lastBlock(t, path) == before {
					acked = newLines(t, c.dir, "acked")
					return false
				}
				return acked() > 1 // in the new one
			}, stop, store, crashBodies+"=300000")
			// Without fsync it is gone with the power.
			if lastBlock(t, path) <= before && len(env) == 0 {
				t.Errorf("after cut %d: the block that was begun is not there", cut)
			}
			rollovers++
		default:
			c.stopped(1+rand.N(150), always, stop, store)
		}
		if cut%5 == 4 || cut == cuts-1 {
			c.finished(store)
		}
	}
	t.Logf("%d cuts, of them %d after the first call of a store, %d after a block was begun", cuts, firsts, rollovers)
	l := readLedgers(t, c.dir)
	lost := slices.DeleteFunc(l.lost(), func(id queue.ID) bool { return !late[id] })
	t.Logf("%d calls were acknowledged while the power was being cut, %d of them are lost", len(late), len(lost))
	return l
}

// lastBlock is the number of the newest file of the stream's messages, 0 for none.
func lastBlock(t *testing.T, store string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "weir-f", "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(strings.TrimSuffix(filepath.Base(name), ".blk"), "%d", &n); err != nil {
			t.Fatalf("a block named %s: %v", name, err)
		}
		last = max(last, n)
	}
	return last
}
