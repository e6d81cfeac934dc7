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
		live  uint64
		since time.Duration
		want  int
	}{
		{0, 0, 400},
		{1 << 20, time.Second, 400},
		{4 << 20, time.Second, 400},
		{8 << 20, often, 200},
		{12 << 20, often, 133},
		{16 << 20, often, 100},
		{1 << 30, 0, 100},
		{1 << 20, often + 1, 100},
		{1 << 20, 2 * time.Minute, 100},
	} {
		if got := percentFor(c.live, c.since); got != c.want {
			t.Errorf("%d bytes in use, %v after the last: %d %%, want %d", c.live, c.since, got, c.want)
		}
	}
}

func TestTheHeapHasRoomWhileCollectionsComeOften(t *testing.T) {
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
			runtime.GC()
		}
	}
	await("often, with little in use", time.Millisecond, func(p uint64) bool { return p > 100 })
	much := make([]byte, 64<<20)
	await("often, with much in use", time.Millisecond, func(p uint64) bool { return p == 100 })
	runtime.KeepAlive(much)
	await("often, with little in use again", time.Millisecond, func(p uint64) bool { return p > 100 })
	await("seldom", often+100*time.Millisecond, func(p uint64) bool { return p == 100 })
}
