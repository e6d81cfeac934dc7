package sibling

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

const role = "SIBLING_TEST_ROLE"

// The test binary also plays the weir that is looked for: as `… run` it ends on
// SIGTERM, saying so; as `… health` it must be left alone.
func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("up")
	select {
	case <-term:
		fmt.Println("draining")
	case <-time.After(2 * time.Minute): // where a test fails to end it
	}
	os.Exit(0)
}

// play starts the test binary with the given arguments, until the test ends.
func play(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), role+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "up\n" {
		t.Fatalf("the process says %q: %v", line, err)
	}
	return cmd, lines
}

func TestDrainTellsTheWeirThatServes(t *testing.T) {
	other, _ := play(t, "health")
	weir, lines := play(t, "run", "--listen", ":8080")
	pid, err := Drain()
	if err != nil || pid != weir.Process.Pid {
		t.Fatalf("Drain: process %d, %v; want %d", pid, err, weir.Process.Pid)
	}
	if line, err := lines.ReadString('\n'); line != "draining\n" {
		t.Errorf("the weir that serves says %q: %v", line, err)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("another process of the program has ended: %v", err)
	}
}

func TestDrainWithoutAWeir(t *testing.T) {
	play(t, "health")
	if _, err := Drain(); !errors.Is(err, ErrNone) {
		t.Errorf("%v, want %v", err, ErrNone)
	}
}

func TestDrainDoesNotGuess(t *testing.T) {
	one, _ := play(t, "run")
	two, _ := play(t, "run")
	_, err := Drain()
	if err == nil {
		t.Fatal("one of two was told to drain")
	}
	for _, cmd := range []*exec.Cmd{one, two} {
		if want := fmt.Sprintf("process %d", cmd.Process.Pid); !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("process %d has ended: %v", cmd.Process.Pid, err)
		}
	}
}
