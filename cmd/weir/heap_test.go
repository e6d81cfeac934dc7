package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestTheHeapHasRoomHoweverLittleIsInUse(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 4 << 20: 400, 8 << 20: 200, 12 << 20: 133, 16 << 20: 100, 1 << 30: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d", live, got, want)
		}
	}
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(100)
	giveHeapRoom()
	percent := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	await := func(what string, holds func(uint64) bool) {
		t.Helper()
		for until := time.Now().Add(20 * time.Second); !holds(percent()); time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("%s: the percentage is %d", what, percent())
			}
			runtime.GC()
		}
	}
	await("with little in use", func(p uint64) bool { return p > 100 })
	much := make([]byte, 64<<20)
	await("with much in use", func(p uint64) bool { return p == 100 })
	runtime.KeepAlive(much)
	await("with little in use again", func(p uint64) bool { return p > 100 })
}
