package demo

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/limits"
)

// fixedSummary is one in which everything holds.
func fixedSummary(t *testing.T) *Summary {
	t.Helper()
	s := &Summary{scenario: mustScenario(t, 8, 30*time.Second), length: 30 * time.Second}
	set := func(k kind, served int, each time.Duration, refused map[limits.Reason]uint64) {
		tally := &s.kinds[k]
		tally.refused = refused
		for range served {
			tally.served++
			tally.servedIn.record(each)
			tally.servedFor += each
		}
		for reason, n := range refused {
			for range n {
				tally.refusedIn.record(600 * time.Microsecond)
				if reason == limits.ReasonQueueTimeout {
					tally.timedOutFor += 501 * time.Millisecond
				}
			}
		}
		tally.sent = tally.served + tally.turnedAway()
		s.all.add(tally)
	}
	set(steady, 800, 101*time.Millisecond, map[limits.Reason]uint64{limits.ReasonMaxInflight: 200})
	set(burst, 200, 250*time.Millisecond, map[limits.Reason]uint64{limits.ReasonQueueFull: 80, limits.ReasonQueueTimeout: 2})
	set(overload, 1000, 101*time.Millisecond, map[limits.Reason]uint64{limits.ReasonMaxInflight: 3000})
	s.function = books{most: 8, seconds: 200, calls: 2000}
	s.gate = limits.Snapshot{HighWater: 8}
	s.seconds, s.ended = 200.8, 2000
	s.exports = exports{
		running: summed{2000, 200.7}, waited: summed{192, 29},
		throttles: map[limits.Reason]uint64{
			limits.ReasonMaxInflight: 3200, limits.ReasonQueueFull: 80, limits.ReasonQueueTimeout: 2, limits.ReasonDraining: 0,
		},
	}
	s.widest = gap{exact: 7.5, estimate: 5.25}
	return s
}

func written(t *testing.T, s *Summary) string {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d, %v for %d bytes", n, err, b.Len())
	}
	for _, l := range strings.Split(b.String(), "\n") {
		if len(l) > 80 {
			t.Errorf("%d columns: %s", len(l), l)
		}
	}
	return b.String()
}

func TestSummary(t *testing.T) {
	s := fixedSummary(t)
	if broken := s.Broken(); broken != nil {
		t.Errorf("broken: %q", broken)
	}
	golden(t, "summary.txt", written(t, s))
}

func TestSummaryOfTrouble(t *testing.T) {
	s := fixedSummary(t)
	s.seconds = 205
	s.all.failed, s.all.unsent, s.all.sent = 3, 4, s.all.sent+3
	s.failure = errors.New("GET /burst: connection reset")
	golden(t, "summary-trouble.txt", written(t, s))
}

func TestSummaryOfNothing(t *testing.T) {
	s := &Summary{scenario: mustScenario(t, 8, 0), length: 10 * time.Millisecond}
	if broken := s.Broken(); broken != nil {
		t.Errorf("broken: %q", broken)
	}
	text := written(t, s)
	for _, want := range []string{"Refused    none", "no call had to wait"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("a division by nothing in\n%s", text)
	}
}

func TestWhatMustHoldIsChecked(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(*Summary)
		want    string
		whenCut bool // found although calls were cut off
	}{
		{"function over the limit", func(s *Summary) { s.function.most = 9 }, "ran 9 calls at once; the limit is 8", true},
		{"weir over the limit", func(s *Summary) { s.gate.HighWater = 9 }, "let in 9 calls", true},
		{"a slot leaked", func(s *Summary) { s.gate.Inflight = 1 }, "1 calls are in flight", true},
		{"a waiter left behind", func(s *Summary) { s.gate.Waiting = 2 }, "2 wait", true},
		{"calls that hang", func(s *Summary) { s.overdue = 5 }, "5 calls had not ended", true},
		{"failed calls", func(s *Summary) {
			s.all.failed, s.all.sent, s.failure = 1, s.all.sent+1, errors.New("connection reset")
		}, "connection reset", true},
		{"a call lost", func(s *Summary) { s.all.sent++ }, "5283 calls were sent, but 5282 had an end", true},
		{"function still runs", func(s *Summary) { s.function.running = 1 }, "still runs 1", false},
		{"function counted other calls", func(s *Summary) { s.function.calls-- }, "counted 1999 calls", false},
		{"gate counted other calls", func(s *Summary) { s.ended++ }, "gate 2001", false},
		{"histogram counted other calls", func(s *Summary) { s.exports.running.count = 0 }, "histogram 0", false},
		{"refusals counted wrongly", func(s *Summary) { s.exports.throttles[limits.ReasonQueueFull]++ }, "queue_full:81", false},
		{"a refusal not counted", func(s *Summary) { delete(s.exports.throttles, limits.ReasonQueueTimeout) }, "callers were refused", false},
		{"integral too small", func(s *Summary) { s.seconds = 199.9 }, "integral only 199.9", false},
		{"integral too large", func(s *Summary) { s.seconds = 250 }, "callers less their waiting only", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fixedSummary(t)
			c.spoil(s)
			broken := s.Broken()
			if len(broken) != 1 || !strings.Contains(broken[0], c.want) {
				t.Errorf("broken: %q, want one with %q", broken, c.want)
			}
			s.cut = true
			if broken := s.Broken(); (len(broken) > 0) != c.whenCut {
				t.Errorf("with calls cut off, broken: %q", broken)
			}
		})
	}
}
