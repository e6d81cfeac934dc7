package queue_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"weir/queue/queuetest"
)

// powerCuts is how often the power is cut; make crash-test sets it.
const powerCuts = "QUEUE_POWER_CUTS"

// What was acknowledged has been fsynced: it outlives the power.
func TestNoAcknowledgedCallIsLostOverPowerCuts(t *testing.T) {
	rounds := 3
	if text := os.Getenv(powerCuts); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	cutPower(t, rounds).check(t, rounds)
}

// Without fsync something is lost: else the test above would prove nothing.
func TestWithoutFsyncAPowerCutLosesCalls(t *testing.T) {
	l := cutPower(t, 3, crashNoSync+"=1")
	if len(l.lost) == 0 {
		t.Errorf("none of %d acknowledged calls was lost: the power was not cut", len(l.acked))
	}
	t.Logf("%d of %d acknowledged calls were lost", len(l.lost), len(l.acked))
}

func cutPower(t *testing.T, rounds int, env ...string) *ledgers {
	t.Helper()
	disk := queuetest.NewDisk(t, 2<<30) // of which little is used
	env = append(env, crashStore+"="+filepath.Join(disk.Dir, "store"))
	return crash(t, rounds, t.TempDir(), env, func(cmd *exec.Cmd) {
		disk.CutPower(t)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		disk.Restore(t)
	})
}
