package queue_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/limits"
	"weir/queue"
	"weir/queue/jetstream"
)

// A process of its own accepts and runs calls and is killed in the middle of it,
// again and again. Ledgers outlive it: the ids that were acknowledged, those that the
// function ran with the number of the attempt, and those that it answered for good.
// What must hold between them is what weir promises.

const (
	crashDir     = "QUEUE_CRASH_DIR"     // makes the test binary that process
	crashProcess = "QUEUE_CRASH_PROCESS" // its number, from 1
	crashFinish  = "QUEUE_CRASH_FINISH"  // it accepts nothing more and ends when nothing is left
	crashStore   = "QUEUE_CRASH_STORE"   // where it keeps calls, if not beside the ledgers
	crashNoSync  = "QUEUE_CRASH_NOSYNC"  // it does not fsync
	crashBodies  = "QUEUE_CRASH_BODIES"  // the bytes of its largest bodies but for some that are kept apart
	crashCallers = "QUEUE_CRASH_CALLERS" // how many call it at once; 0 is crashClients
	crashTell    = "QUEUE_CRASH_TELL"    // the URL that is to be told of its calls' ends, if any
	crashRounds  = "QUEUE_CRASH_ROUNDS"  // kills; make crash-test sets it

	crashClients = 16
	crashLimit   = 8
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := runCrashProcess(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	verifyNoLeaks(m)
}

// recorder is the function: it notes what it runs, and that it answers.
type recorder struct {
	process       int
	runs, answers ledger
}

func (r recorder) Invoke(_ context.Context, c *queue.Call, attempt int, _ int64) (*queue.Response, error) {
	if want := targetOf(c.Body); c.Target != want {
		return nil, r.runs.note(c.ID, attempt, r.process, "damaged")
	}
	if err := r.runs.note(c.ID, attempt, r.process); err != nil {
		return nil, err
	}
	<-time.After(rand.N(3 * time.Millisecond))
	if rand.N(20) == 0 {
		return &queue.Response{Status: 503}, nil
	}
	if err := r.answers.note(c.ID, r.process); err != nil {
		return nil, err
	}
	return &queue.Response{Status: 200}, nil
}

// targetOf names a body, so that the function sees whether it is the one that was
// sent.
func targetOf(body []byte) string {
	return fmt.Sprintf("/%d/%08x", len(body), crc32.ChecksumIEEE(body))
}

func setting(name string, otherwise int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

func runCrashProcess(dir string) error {
	var err error
	ledgers := map[string]ledger{}
	for _, name := range []string{"acked", "runs", "answers", "told"} {
		if ledgers[name], err = openLedger(dir, name); err != nil {
			return err
		}
	}
	number, err := setting(crashProcess, 0)
	if err != nil {
		return err
	}
	bodies, err := setting(crashBodies, 2000)
	if err != nil {
		return err
	}
	callers, err := setting(crashCallers, crashClients)
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
	q := queue.New(queue.Options{
		Store: store, Gate: gate, Policy: policy, Log: log, Poll: 50 * time.Millisecond,
		Invoker: recorder{number, ledgers["runs"], ledgers["answers"]}, Notifier: teller{ledgers["told"]},
	})
	go q.Run(context.Background())
	go q.Deliver(context.Background())
	if os.Getenv(crashFinish) != "" {
		// What is held and does not run comes again once its hold has lapsed; what does
		// not within five times that was lost with its disk, and is missed below.
		for quiet, enough := 0, 5; quiet < enough; <-time.After(50 * time.Millisecond) {
			s := q.Snapshot(context.Background())
			enough = 5
			if s.Held > 0 {
				enough = 200
			}
			if quiet++; !s.Up || s.Waiting+s.Scheduled+s.Running+s.Deliveries > 0 {
				quiet = 0
			}
		}
		return errors.Join(q.Drain(context.Background()), store.Close())
	}
	// Asked to end, it does so in order, as weir does.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	failed := make(chan error, callers)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() { failed <- callOn(ctx, q, ledgers["acked"], bodies) })
	}
	select {
	case err := <-failed:
		if ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
	}
	group.Wait()
	return errors.Join(q.Drain(context.Background()), store.Close())
}

// callOn makes one call after another, until ctx ends, and notes those that are
// acknowledged.
func callOn(ctx context.Context, q *queue.Queue, acked ledger, largest int) error {
	for ctx.Err() == nil {
		size := rand.N(largest)
		if rand.N(50) == 0 {
			size = 700_000 // kept apart from the call
		}
		c := newCall(strings.Repeat(strconv.Itoa(rand.N(10)), size))
		c.Target, c.Callback = targetOf(c.Body), os.Getenv(crashTell)
		a, err := q.Enqueue(context.Background(), c, "", time.Duration(rand.N(2))*rand.N(200*time.Millisecond))
		if err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		if err := acked.note(a.ID); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		<-time.After(rand.N(10 * time.Millisecond))
	}
	return nil
}

// course runs such processes one after another on the same ledgers.
type course struct {
	t       *testing.T
	dir     string
	env     []string
	started int
}

func (c *course) command(ctx context.Context, env ...string) *exec.Cmd {
	c.started++
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(append(os.Environ(), c.env...), append(env, crashDir+"="+c.dir, crashProcess+"="+strconv.Itoa(c.started))...)
	return cmd
}

// stopped runs one until it has acknowledged enough calls and more says so, then
// stops it.
func (c *course) stopped(acks int, more func() bool, stop func(*exec.Cmd), env ...string) (stderr string) {
	c.t.Helper()
	cmd := c.command(context.Background(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	before := newLines(c.t, c.dir, "acked")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); before() < acks || !more(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			c.t.Fatalf("process %d: too few calls were accepted\n%s", c.started, said.String())
		}
	}
	stop(cmd)
	return said.String()
}

// finished runs one that accepts nothing, and ends once nothing is left to do: it may
// take its time as long as it gets on.
func (c *course) finished(env ...string) {
	c.t.Helper()
	const patience = 2 * time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	runs, told := newLines(c.t, c.dir, "runs"), newLines(c.t, c.dir, "told")
	var out []byte
	ended := make(chan error, 1)
	go func() {
		var err error
		out, err = c.command(ctx, append(env, crashFinish+"=1")...).CombinedOutput()
		ended <- err
	}()
	for last, at := 0, time.Now(); ; {
		select {
		case err := <-ended:
			if err != nil {
				c.t.Fatalf("the last process: %v\n%s", err, out[max(0, len(out)-2000):])
			}
			return
		case <-time.After(time.Second):
		}
		if now := runs() + told(); now != last {
			last, at = now, time.Now()
		} else if time.Since(at) > patience {
			cancel()
			<-ended
			c.t.Fatalf("the last process ran %d calls and told %d ends, then did nothing for %v, nor did it end\n%s",
				runs(), told(), patience, out[max(0, len(out)-2000):])
		}
	}
}

func always() bool { return true }

func roundsOf(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := setting(name, otherwise)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// killed ends a process as kill -9 does.
func killed(t *testing.T) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
}

func TestNoAcknowledgedCallIsLostOverKills(t *testing.T) {
	rounds := roundsOf(t, crashRounds, 6)
	c := course{t: t, dir: t.TempDir()}
	for round := range rounds {
		// Killed after so many acknowledgements, hence always in the middle of load, and
		// sometimes right after its start.
		if said := c.stopped(1+rand.N(150), always, killed(t)); strings.Contains(said, "enqueue:") || strings.Contains(said, "ledger:") {
			t.Fatalf("round %d: %s", round, said)
		}
	}
	c.finished()
	readLedgers(t, c.dir).check(t, rounds)
}

// Where weir ends in order nothing runs twice: the same load, but for the kills.
func TestWithoutACrashNothingRunsTwice(t *testing.T) {
	rounds := max(2, roundsOf(t, crashRounds, 0)/30)
	c := course{t: t, dir: t.TempDir()}
	for range rounds {
		c.stopped(1+rand.N(300), always, func(cmd *exec.Cmd) {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("process %d did not end in order: %v", c.started, err)
			}
		})
	}
	c.finished()
	l := readLedgers(t, c.dir)
	l.check(t, 0)
	for id, runs := range l.runs {
		for i, r := range runs {
			if r.attempt != i+1 {
				t.Errorf("%s ran with the attempts %v", id, runs)
				break
			}
		}
	}
}
