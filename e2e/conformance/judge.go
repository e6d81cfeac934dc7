package conformance

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// mustFail runs a case that is expected to fail, and fails t when it does not.
func mustFail(t testing.TB, reason string, run func(testing.TB)) {
	t.Helper()
	j := &judge{TB: t}
	j.try(run)
	if !j.Failed() {
		t.Errorf("no longer fails: remove it from the list (expected to fail because: %s)", reason)
		return
	}
	t.Logf("fails as expected (%s):\n%s", reason, j.account())
}

// judge is a testing.TB that keeps failures to itself, so that a case can be
// asked whether it fails without failing the test that asks.
type judge struct {
	testing.TB

	mu       sync.Mutex
	failed   bool
	said     []string
	cleanups []func()
}

// try runs fn and then its clean-ups, whose failures count as well. It returns
// when all are done, however they ended.
func (j *judge) try(fn func(testing.TB)) {
	j.apart(func() { fn(j) })
	for {
		j.mu.Lock()
		n := len(j.cleanups)
		if n == 0 {
			j.mu.Unlock()
			return
		}
		last := j.cleanups[n-1]
		j.cleanups = j.cleanups[:n-1]
		j.mu.Unlock()
		j.apart(last)
	}
}

// apart runs fn in a goroutine of its own, since FailNow ends the one it is
// called in.
func (j *judge) apart(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

func (j *judge) account() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.said, "\n")
}

func (j *judge) say(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.said = append(j.said, strings.TrimRight(s, "\n"))
}

func (j *judge) Fail() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = true
}

func (j *judge) Failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

func (j *judge) FailNow() {
	j.Fail()
	runtime.Goexit()
}

func (j *judge) Cleanup(fn func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cleanups = append(j.cleanups, fn)
}

func (j *judge) Log(args ...any)                 { j.say(fmt.Sprintln(args...)) }
func (j *judge) Logf(format string, args ...any) { j.say(fmt.Sprintf(format, args...)) }

func (j *judge) Error(args ...any) {
	j.Log(args...)
	j.Fail()
}

func (j *judge) Errorf(format string, args ...any) {
	j.Logf(format, args...)
	j.Fail()
}

func (j *judge) Fatal(args ...any) {
	j.Log(args...)
	j.FailNow()
}

func (j *judge) Fatalf(format string, args ...any) {
	j.Logf(format, args...)
	j.FailNow()
}
