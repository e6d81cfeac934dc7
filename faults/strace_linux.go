package faults

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Strace attaches strace to a running process, all its threads and those to come, and
// returns a function that detaches it. The test is skipped where strace is not
// installed or may not trace.
func Strace(t testing.TB, pid int, args ...string) (detach func()) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed; scripts/install-deps does that")
	}
	if out, err := exec.Command(path, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v: %s", err, out)
	}
	cmd := exec.Command(path, append([]string{"-f", "-p", strconv.Itoa(pid)}, args...)...)
	said := &said{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	detach = func() {
		once.Do(func() {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Errorf("ending strace: %v", err)
			}
			_ = cmd.Wait() // it ends with the signal that it was sent
		})
	}
	t.Cleanup(detach)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(said.String(), "attached"); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("strace did not attach:\n%s", said)
		}
	}
	return detach
}

// said is what a process wrote to its standard error.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
