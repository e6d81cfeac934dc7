package demo

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func fixedSpikeSummary(t *testing.T) *SpikeSummary {
	t.Helper()
	spike, err := NewSpike(8, 8*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s := &SpikeSummary{
		spike: spike, length: 9100 * time.Millisecond, ran: map[string]int{}, books: books{most: 8},
		queue: QueueState{Accepted: spike.Calls, Done: spike.Calls}, mostWaiting: 486, oldest: 6140 * time.Millisecond,
	}
	for i := range spike.Calls {
		id := fmt.Sprint("id", i)
		s.accepted, s.ran[id] = append(s.accepted, id), 1
		s.acceptedIn.record(time.Duration(1+i%9) * time.Millisecond)
	}
	return s
}

func TestSpikeSummary(t *testing.T) {
	s := fixedSpikeSummary(t)
	if broken := s.Broken(); broken != nil {
		t.Errorf("broken: %q", broken)
	}
	var b strings.Builder
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "spike.txt", b.String())
	for l := range strings.Lines(b.String()) {
		if len(l) > 81 {
			t.Errorf("%d columns: %s", len(l)-1, l)
		}
	}
	s.cut = true
	delete(s.ran, "id7")
	b.Reset()
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "Left       1 accepted calls") || strings.Contains(b.String(), "Lost") {
		t.Errorf("got\n%s", &b)
	}
}

func TestWhatMustHoldOfASpikeIsChecked(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(*SpikeSummary)
		want    string
		whenCut bool // found although the user did not wait
	}{
		{"a call lost", func(s *SpikeSummary) { delete(s.ran, "id7"); s.queue.Done-- }, "1 of 640 accepted calls did not run", false},
		{"a call twice", func(s *SpikeSummary) { s.ran["id7"] = 2 }, "1 calls ran more than once", true},
		{"a call cut off and repeated", func(s *SpikeSummary) { s.begun = map[string]int{"id7": 2} }, "1 calls ran more than once", true},
		{"a call of nobody", func(s *SpikeSummary) { s.ran["other"] = 1 }, "1 calls ran that nobody was told of", false},
		{"over the limit", func(s *SpikeSummary) { s.books.most = 9 }, "ran 9 calls at once; the limit is 8", true},
		{"not accepted", func(s *SpikeSummary) { s.refused, s.failure = 2, errors.New("503") }, "2 calls were not accepted, the first: 503", true},
		{"calls that hang", func(s *SpikeSummary) { s.overdue = 3 }, "3 calls had not ended after 9s", true},
		{"the queue accepted others", func(s *SpikeSummary) { s.queue.Accepted++ }, "accepted 641", false},
		{"the queue has done others", func(s *SpikeSummary) { s.queue.Done-- }, "has done 639", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fixedSpikeSummary(t)
			c.spoil(s)
			if broken := s.Broken(); len(broken) != 1 || !strings.Contains(broken[0], c.want) {
				t.Errorf("broken: %q, want one with %q", broken, c.want)
			}
			s.cut = true
			if broken := s.Broken(); (len(broken) > 0) != c.whenCut {
				t.Errorf("where the user did not wait, broken: %q", broken)
			}
		})
	}
}

func TestASpikeIsMoreThanTheFunctionCanRun(t *testing.T) {
	s, err := NewSpike(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	can := float64(s.MaxInflight) / s.MeanDuration.Seconds() * s.Length.Seconds()
	if want := spikeFactor * can; float64(s.Calls) < want-1 || float64(s.Calls) > want+1 {
		t.Errorf("%d calls within %v, of which the function can run %.0f", s.Calls, s.Length, can)
	}
	if _, err := NewSpike(0, 0); err == nil {
		t.Error("a limit of 0 is accepted")
	}
}
