package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		live uint64
		much bool
		want int
	}{
		{0, true, 400},
		{1 << 20, true, 400},
		{4 << 20, true, 400},
		{8 << 20, true, 200},
		{12 << 20, true, 133},
		{16 << 20, true, 100},
		{1 << 30, true, 100},
		{0, false, 12},
		{1 << 20, false, 37},
		{2 << 20, false, 62},
		{4 << 20, false, 100},
		{1 << 30, false, 100},
	} {
		if got := percentFor(c.live, c.much); got != c.want {
			t.Errorf("%d bytes in use, much garbage %v: %d %%, want %d", c.live, c.much, got, c.want)
		}
	}
}

func TestPace(t *testing.T) {
	begin := time.Now()
	p := pace{at: begin}
	for _, c := range []struct {
		after time.Duration
		made  uint64 // MiB since the start
		want  bool
	}{
		{time.Minute, 1, false},
		// A scrape that brings two collections at once is not much.
		{time.Minute + time.Millisecond, 2, false},
		{time.Minute + 2*time.Millisecond, 3, false},
		// A load is, as soon as it has made as much as two seconds may.
		{time.Minute + 3*time.Millisecond, 5, true},
		{time.Minute + 100*time.Millisecond, 21, true},
		{time.Minute + 3*time.Second, 37, true},
		// A slower one still is: its collections come seldom for the room that it has.
		{time.Minute + 9*time.Second, 53, true},
		{2 * time.Minute, 54, false},
	} {
		if got := p.much(begin.Add(c.after), c.made<<20); got != c.want {
			t.Errorf("%d MiB after %v: much is %v", c.made, c.after, got)
		}
	}
}

var garbage []byte

func TestTheHeapHasRoomWhileMuchGarbageIsMade(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(100)
	giveHeapRoom()
	percent := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	await := func(what string, between time.Duration, holds func(uint64) bool) {
		t.Helper()
		for until := time.Now().Add(30 * time.Second); !holds(percent()); time.Sleep(between) {
			if time.Now().After(until) {
				t.Fatalf("%s: the percentage is %d", what, percent())
			}
			if between < paceWindow {
				garbage = make([]byte, 2*muchGarbage)
			}
			runtime.GC()
		}
	}
	await("a load, with little in use", time.Millisecond, func(p uint64) bool { return p > 100 })
	much := make([]byte, 64<<20)
	await("a load, with much in use", time.Millisecond, func(p uint64) bool { return p == 100 })
	runtime.KeepAlive(much)
	await("a load, with little in use again", time.Millisecond, func(p uint64) bool { return p > 100 })
	garbage = nil
	await("no load", paceWindow+100*time.Millisecond, func(p uint64) bool { return p < 100 })
}
