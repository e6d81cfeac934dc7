package queue_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/limits"
	"weir/queue"
	"weir/queue/jetstream"
)

// A process of its own accepts and runs calls and is killed in the middle of it,
// again and again. Ledgers outlive it: the ids that were acknowledged, those that the
// function ran with the number of the attempt, and those that it answered for good. What must hold between them is
// what weir promises.

const (
	crashDir    = "QUEUE_CRASH_DIR"    // makes the test binary that process
	crashFinish = "QUEUE_CRASH_FINISH" // it accepts nothing more and ends when nothing is left
	crashStore  = "QUEUE_CRASH_STORE"  // where it keeps calls, if not beside the ledgers
	crashNoSync = "QUEUE_CRASH_NOSYNC" // it does not fsync
	crashRounds = "QUEUE_CRASH_ROUNDS" // kills; make crash-test sets it

	crashClients = 16
	crashLimit   = 8
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := crashProcess(dir, os.Getenv(crashFinish) != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	verifyNoLeaks(m)
}

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

type recorder struct{ runs, answers ledger }

func (r recorder) Invoke(_ context.Context, c *queue.Call, attempt int, _ int64) (*queue.Response, error) {
	if err := r.runs.note(c.ID, attempt); err != nil {
		return nil, err
	}
	<-time.After(rand.N(3 * time.Millisecond))
	if rand.N(20) == 0 {
		return &queue.Response{Status: 503}, nil
	}
	if err := r.answers.note(c.ID); err != nil {
		return nil, err
	}
	return &queue.Response{Status: 200, Body: c.Body}, nil
}

func crashProcess(dir string, finish bool) error {
	acked, err := openLedger(dir, "acked")
	if err != nil {
		return err
	}
	runs, err := openLedger(dir, "runs")
	if err != nil {
		return err
	}
	answers, err := openLedger(dir, "answers")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := jetstream.Open(context.Background(), jetstream.Options{
		Function: "f", Dir: cmp.Or(os.Getenv(crashStore), filepath.Join(dir, "store")), AnyFilesystem: true, NoSync: os.Getenv(crashNoSync) != "",
		WriteTimeout: time.Minute, HoldTime: 2 * time.Second, MaxBytes: 1 << 30, Log: log,
	})
	if err != nil {
		return err
	}
	gate, err := limits.NewGate(limits.Policy{MaxInflight: crashLimit, QueueDepth: 10})
	if err != nil {
		return err
	}
	policy := queue.DefaultPolicy()
	policy.MaxAttempts, policy.Backoff, policy.BackoffMax = 0, time.Millisecond, 300*time.Millisecond
	q := queue.New(queue.Options{Store: store, Gate: gate, Invoker: recorder{runs, answers}, Policy: policy, Log: log, Poll: 50 * time.Millisecond})
	go q.Run(context.Background())
	if err := acked.note("start"); err != nil {
		return err
	}
	if finish {
		// What is held and does not run comes again once its hold has lapsed; what does
		// not within five times that was lost with its disk, and is missed below.
		for quiet, enough := 0, 5; quiet < enough; <-time.After(50 * time.Millisecond) {
			s := q.Snapshot(context.Background())
			enough = 5
			if s.Held > 0 {
				enough = 200
			}
			if quiet++; !s.Up || s.Waiting+s.Scheduled+s.Running > 0 {
				quiet = 0
			}
		}
		return errors.Join(q.Drain(context.Background()), store.Close())
	}
	var group sync.WaitGroup
	for range crashClients {
		group.Go(func() {
			for {
				c := newCall(strings.Repeat("x", rand.N(2000)))
				a, err := q.Enqueue(context.Background(), c, "", time.Duration(rand.N(2))*rand.N(200*time.Millisecond))
				if err != nil {
					fmt.Fprintln(os.Stderr, "enqueue:", err)
					return
				}
				if err := acked.note(a.ID); err != nil {
					fmt.Fprintln(os.Stderr, "ledger:", err)
					return
				}
				<-time.After(rand.N(10 * time.Millisecond))
			}
		})
	}
	group.Wait()
	return errors.New("every client has given up")
}

// lines reads a ledger. A last line without its end was being written.
func lines(t *testing.T, dir, name string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	for s := bufio.NewScanner(f); s.Scan(); {
		all = append(all, s.Text())
	}
	return all
}

func TestNoAcknowledgedCallIsLostOverKills(t *testing.T) {
	rounds := 10
	if text := os.Getenv(crashRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	crash(t, rounds, t.TempDir(), nil, func(cmd *exec.Cmd) {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}).check(t, rounds)
}

// crash runs processes that stop in the middle of load, each in its own way, and a last
// one that does what is left.
func crash(t *testing.T, rounds int, dir string, env []string, stop func(*exec.Cmd)) *ledgers {
	t.Helper()
	for round := range rounds {
		before := len(lines(t, dir, "acked"))
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(append(os.Environ(), crashDir+"="+dir), env...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed after so many more acknowledgements, hence always in the middle of
		// load, and sometimes right after its start.
		target := before + 1 + rand.N(150)
		for deadline := time.Now().Add(time.Minute); len(lines(t, dir, "acked")) < target; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				t.Fatalf("round %d: too few calls were accepted\n%s", round, stderr.String())
			}
		}
		stop(cmd)
		// Where its disk goes first, it may say so.
		if s := stderr.String(); env == nil && (strings.Contains(s, "enqueue:") || strings.Contains(s, "ledger:")) {
			t.Fatalf("round %d: %s", round, s)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), crashDir+"="+dir, crashFinish+"=1"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the last process: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	return readLedgers(t, dir)
}

// ledgers is what the processes have left behind.
type ledgers struct {
	acked          map[string]bool
	attempts       map[string][]int // by id, in order
	repeated       int              // answers after one that was final
	unacknowledged int              // calls that ran and nobody was told of
	lost           []string         // acknowledged, and never run
}

func readLedgers(t *testing.T, dir string) *ledgers {
	t.Helper()
	l := &ledgers{acked: map[string]bool{}, attempts: map[string][]int{}}
	for _, line := range lines(t, dir, "runs") {
		id, n, ok := strings.Cut(line, " ")
		attempt, err := strconv.Atoi(n)
		if !ok || err != nil {
			t.Fatalf("runs has the line %q", line)
		}
		l.attempts[id] = append(l.attempts[id], attempt)
	}
	for _, id := range lines(t, dir, "acked") {
		if id == "start" {
			continue
		}
		l.acked[id] = true
		if len(l.attempts[id]) == 0 {
			l.lost = append(l.lost, id)
		}
	}
	for id := range l.attempts {
		if !l.acked[id] {
			l.unacknowledged++
		}
	}
	answered := map[string]bool{}
	for _, id := range lines(t, dir, "answers") {
		if answered[id] {
			l.repeated++
		}
		answered[id] = true
	}
	return l
}

func (l *ledgers) check(t *testing.T, rounds int) {
	t.Helper()
	for _, id := range l.lost {
		t.Errorf("%s was acknowledged and never ran", id)
	}
	for id, numbers := range l.attempts {
		for i := 1; i < len(numbers); i++ {
			if numbers[i] <= numbers[i-1] {
				t.Errorf("%s ran with the attempts %v", id, numbers)
				break
			}
		}
	}
	// A call may be written and its client die before it hears of that.
	if most := rounds * crashClients; l.unacknowledged > most {
		t.Errorf("%d calls ran that nobody was told of, at most %d can be", l.unacknowledged, most)
	}
	if most := rounds * crashLimit; l.repeated > most {
		t.Errorf("%d calls ran again after an answer that was final, at most %d were in flight", l.repeated, most)
	}
	t.Logf("%d stops: %d calls acknowledged, all ran; %d ran again because they were cut off; %d ran without an acknowledgement",
		rounds, len(l.acked), l.repeated, l.unacknowledged)
}
