package demo

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/limits"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what people read with the file of that name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; -update writes it anew\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// fixedView is a second in the middle of everything.
func fixedView() view {
	v := view{
		elapsed: 18250 * time.Millisecond, length: 30 * time.Second,
		phases: []string{"steady", "burst", "overload", "all three", "quiet"}, phase: 3, left: 3750 * time.Millisecond,
		limit: 8, queueDepth: 32, running: 8, waiting: 21, highWater: 8, waitingMost: 32,
		runningTrail: []float64{0, 0.01, 0.125, 0.25, 0.4, 0.5, 0.66, 0.75, 0.9, 1, 1.004},
		waitingTrail: []float64{0, 0, 0, 0, 0, 0, 0, 0, 1, 0.66, 0.33},
		metricsURL:   "http://127.0.0.1:40001/metrics",
		pageURL:      "http://127.0.0.1:40002/",
	}
	v.window = interval{length: time.Second, exact: 7.9523, estimate: 6.251}
	record := func(k kind, sent uint64, served, refused []time.Duration, reasons map[limits.Reason]uint64) {
		t := tally{sent: sent, served: uint64(len(served)), refused: reasons}
		for _, d := range served {
			t.servedIn.record(d)
		}
		for _, d := range refused {
			t.refusedIn.record(d)
		}
		v.window.kinds[k] = t
		v.window.all.add(&t)
	}
	const ms = time.Millisecond
	record(steady, 41, []time.Duration{40 * ms, 50 * ms, 60 * ms, 1200 * ms}, []time.Duration{400 * time.Microsecond}, map[limits.Reason]uint64{limits.ReasonMaxInflight: 37})
	record(burst, 48, []time.Duration{100 * ms, 300 * ms, 400 * ms}, []time.Duration{2 * ms, 500 * ms}, map[limits.Reason]uint64{limits.ReasonQueueFull: 9, limits.ReasonQueueTimeout: 2})
	record(overload, 1200, nil, []time.Duration{500 * time.Microsecond, 700 * time.Microsecond}, map[limits.Reason]uint64{limits.ReasonMaxInflight: 1200})
	v.soFar.add(&v.window.all)
	v.soFar.add(&v.window.all)
	return v
}

func rendered(lines []line, width int, colour bool) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.render(width, colour))
		b.WriteByte('\n')
	}
	return b.String()
}
