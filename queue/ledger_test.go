package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/queue"
)

// ledger is a file to which whole lines are appended, one write each: they outlive
// the process.
type ledger struct{ f *os.File }

func openLedger(dir, name string) (ledger, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return ledger{f}, err
}

func (l ledger) note(words ...any) error {
	_, err := l.f.WriteString(fmt.Sprintln(words...))
	return err
}

// lines reads a ledger's whole lines.
func lines(t *testing.T, dir, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	all := strings.Split(string(b), "\n")
	return all[:len(all)-1] // what follows the last end of a line
}

// newLines returns a function that counts the lines which a ledger has got since.
func newLines(t *testing.T, dir, name string) func() int {
	t.Helper()
	path := filepath.Join(dir, name)
	from := int64(0)
	if info, err := os.Stat(path); err == nil {
		from = info.Size()
	}
	return func() int {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, max(info.Size()-from, 0))
		n, _ := f.ReadAt(b, from) // it only grows
		return bytes.Count(b[:n], []byte("\n"))
	}
}

// ledgers is what the processes have left behind.
type ledgers struct {
	acked   []queue.ID
	runs    map[queue.ID][]ranAs
	answers []answer // in order
	damaged []queue.ID
}

// ranAs is an attempt, and the number of the process that made it.
type ranAs struct{ attempt, process int }

type answer struct {
	id      queue.ID
	process int
}

func readLedgers(t *testing.T, dir string) *ledgers {
	t.Helper()
	l := &ledgers{runs: map[queue.ID][]ranAs{}}
	for _, line := range lines(t, dir, "acked") {
		l.acked = append(l.acked, queue.ID(line))
	}
	for _, line := range lines(t, dir, "runs") {
		var id queue.ID
		var r ranAs
		n, err := fmt.Sscan(line, &id, &r.attempt, &r.process)
		if n != 3 {
			t.Fatalf("runs has the line %q: %v", line, err)
		}
		if strings.HasSuffix(line, "damaged") {
			l.damaged = append(l.damaged, id)
		}
		l.runs[id] = append(l.runs[id], r)
	}
	for _, line := range lines(t, dir, "answers") {
		var a answer
		if _, err := fmt.Sscan(line, &a.id, &a.process); err != nil {
			t.Fatalf("answers has the line %q: %v", line, err)
		}
		l.answers = append(l.answers, a)
	}
	return l
}

// lost are the calls that were acknowledged and have no final answer.
func (l *ledgers) lost() []queue.ID {
	answered := map[queue.ID]bool{}
	for _, a := range l.answers {
		answered[a.id] = true
	}
	return slices.DeleteFunc(slices.Clone(l.acked), func(id queue.ID) bool { return answered[id] })
}

// repeated counts the calls that ran again after an answer that was final, and gives
// how many answers of its process came after the earliest of those.
func (l *ledgers) repeated() (calls, earliest int, within []queue.ID) {
	last := map[queue.ID]int{}  // process of its latest answer
	after := map[queue.ID]int{} // answers of that process up to it
	of := map[int]int{}         // answers by process
	behind := func(id queue.ID) int { return of[last[id]] - after[id] }
	for _, a := range l.answers {
		if process, ok := last[a.id]; ok {
			calls++
			if process == a.process {
				within = append(within, a.id)
			} else {
				earliest = max(earliest, behind(a.id))
			}
		}
		of[a.process]++
		last[a.id], after[a.id] = a.process, of[a.process]
	}
	return calls, earliest, within
}

// An outcome is written within two commits after its answer; as many attempts as
// there are slots begin in each. The rest is for a machine that makes one wait.
const lastInstants = 8 * crashLimit

// faults is what breaks weir's promises after so many crashes.
func (l *ledgers) faults(crashes int) []string {
	var all []string
	fault := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, id := range l.lost() {
		fault("%s was acknowledged and has no answer; it ran as %v", id, l.runs[id])
	}
	for _, id := range l.damaged {
		fault("%s came to the function with another body", id)
	}
	for id, runs := range l.runs {
		for i := 1; i < len(runs); i++ {
			if runs[i].attempt <= runs[i-1].attempt {
				fault("%s ran with the attempts %v", id, runs)
				break
			}
		}
	}
	// A call may be written and its client die before it hears of that.
	if n, most := l.unacknowledged(), crashes*crashClients; n > most {
		fault("%d calls ran that nobody was told of, at most %d can be", n, most)
	}
	calls, earliest, within := l.repeated()
	for _, id := range within {
		fault("%s ran again in the process that had its answer", id)
	}
	if most := crashes * crashLimit; calls > most {
		fault("%d calls ran again after an answer that was final, at most %d were in flight", calls, most)
	}
	if earliest > lastInstants {
		fault("a call ran again that was followed by %d answers before the crash: not one of the last instants", earliest)
	}
	return all
}

func (l *ledgers) unacknowledged() int {
	acked := map[queue.ID]bool{}
	for _, id := range l.acked {
		acked[id] = true
	}
	n := 0
	for id := range l.runs {
		if !acked[id] {
			n++
		}
	}
	return n
}

func (l *ledgers) check(t *testing.T, crashes int) {
	t.Helper()
	if len(l.acked) == 0 {
		t.Error("nothing was acknowledged")
	}
	for _, f := range l.faults(crashes) {
		t.Error(f)
	}
	repeated, earliest, _ := l.repeated()
	t.Logf("%d crashes: %d calls acknowledged, %d lost; %d ran again after their answer, which at most %d others followed; %d ran without an acknowledgement",
		crashes, len(l.acked), len(l.lost()), repeated, earliest, l.unacknowledged())
}

// What the ledgers must show is seen where it is missing.
func TestLedgersTellEveryFault(t *testing.T) {
	const a, b = queue.ID("a"), queue.ID("b")
	good := ledgers{
		acked: []queue.ID{a, b},
		runs:  map[queue.ID][]ranAs{a: {{1, 1}, {2, 2}}, b: {{1, 2}}},
		// a was answered, and its process killed before that was written.
		answers: []answer{{a, 1}, {a, 2}, {b, 2}},
	}
	if f := good.faults(1); len(f) != 0 {
		t.Errorf("a sound ledger has the faults %q", f)
	}
	many := slices.Clone(good.answers)
	for range lastInstants + 1 {
		many = slices.Insert(many, 1, answer{b, 1})
	}
	for want, broken := range map[string]ledgers{
		"b was acknowledged and has no answer":     {acked: good.acked, runs: good.runs, answers: good.answers[:2]},
		"a ran with the attempts":                  {acked: good.acked, runs: map[queue.ID][]ranAs{a: {{1, 1}, {1, 2}}, b: {{1, 2}}}, answers: good.answers},
		"a ran again in the process that had":      {acked: good.acked, runs: good.runs, answers: []answer{{a, 2}, {a, 2}, {b, 2}}},
		"a came to the function with another body": {acked: good.acked, runs: good.runs, answers: good.answers, damaged: []queue.ID{a}},
		"calls ran that nobody was told of":        {acked: nil, runs: manyRuns(crashClients + 1), answers: nil},
		"calls ran again after an answer":          {acked: good.acked, runs: good.runs, answers: manyAnswers(crashLimit + 1)},
		"not one of the last instants":             {acked: good.acked, runs: good.runs, answers: many},
	} {
		f := broken.faults(1)
		if !slices.ContainsFunc(f, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%q is not told: %q", want, f)
		}
	}
	if f := good.faults(0); len(f) != 1 {
		t.Errorf("a repetition without a crash: %q", f)
	}
}

func manyRuns(n int) map[queue.ID][]ranAs {
	runs := map[queue.ID][]ranAs{}
	for i := range n {
		runs[queue.ID(fmt.Sprint(i))] = []ranAs{{1, 1}}
	}
	return runs
}

// manyAnswers are of n calls that were answered before and after a crash.
func manyAnswers(n int) []answer {
	var all []answer
	for process := range 2 {
		for i := range n {
			all = append(all, answer{queue.ID(fmt.Sprint(i)), process})
		}
	}
	return all
}
