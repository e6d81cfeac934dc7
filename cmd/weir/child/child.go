// Package child runs the function's process for `weir run -- COMMAND`, and
// promises that it ends neither too early nor too late: Ctrl-C in weir's
// terminal does not reach it before weir has drained, Stop leaves nothing of it
// running, and a weir that is killed takes it along (Linux).
//
// The function inherits weir's standard output and error as they are, so every
// byte goes where weir's own goes, in order, with nothing in between that could
// lose it.
package child

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrKilled is wrapped by what Stop returns where SIGTERM was not enough.
var ErrKilled = errors.New("killed")

const (
	// groupPoll is how often Stop looks whether processes that the function
	// left behind have ended: they are not weir's children, so nothing tells it.
	groupPoll = 10 * time.Millisecond
	// killGrace bounds the wait for what was sent SIGKILL. Only a process that
	// hangs in the kernel outlives it, and weir must not hang with it.
	killGrace = 5 * time.Second
)

// Options say how the function's process is started. The zero value is valid.
type Options struct {
	// Env is the function's environment; nil is weir's own without weir's
	// settings, see Environ.
	Env []string
	// Stdout and Stderr are inherited by the function; nil is weir's own. They
	// are files and not writers, because copying could lose the last words of a
	// crash, and would wait for every process that the function left behind.
	Stdout, Stderr *os.File
	// Log gets what nobody can be handed as an error; nil is slog.Default().
	Log *slog.Logger
}

// Environ returns environ without weir's own settings (WEIR_*): they may hold
// secrets that are none of the function's business, and a weir that is itself
// the function would take them for its own. Nor does the function get what is
// between weir and systemd: it would answer in weir's place.
func Environ(environ []string) []string {
	kept := make([]string, 0, len(environ))
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(entry, "WEIR_") && !slices.Contains(ofSystemd, name) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// ofSystemd are the variables of sd_notify(3) and sd_watchdog_enabled(3).
var ofSystemd = []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}

// Child is a started function. Its methods are safe for concurrent use; there
// is no valid zero value.
type Child struct {
	name    string // the command as it is shown to people
	cmd     *exec.Cmd
	pid     int // of the process, of its group and of its session
	started time.Time
	log     *slog.Logger
	reaper  *reaper // nil unless weir is process 1

	done chan struct{}
	// Written before done is closed, read after.
	ended time.Time
	state *os.ProcessState // nil if lost
}

// Start starts argv[0] with the arguments argv[1:]. Its standard input is empty,
// and it runs in a session of its own: signals that a terminal sends to weir's
// process group are weir's to handle.
//
// As process 1 weir also reaps orphans from here on until Stop returns; nothing
// else in this program may then start processes, or their exit status is taken.
//
// The error is a *StartError. Where there is none, Stop must be called, whether
// or not the function has ended by itself.
func Start(argv []string, opt Options) (*Child, error) {
	return start(argv, opt, os.Getpid() == 1)
}

func start(argv []string, opt Options, reap bool) (*Child, error) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, newStartError(argv, errNoCommand)
	}
	c := &Child{
		name: commandLine(argv),
		log:  opt.Log,
		done: make(chan struct{}),
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Env = opt.Env
	if c.cmd.Env == nil {
		c.cmd.Env = Environ(os.Environ())
	}
	c.cmd.Stdout, c.cmd.Stderr = opt.Stdout, opt.Stderr
	if opt.Stdout == nil {
		c.cmd.Stdout = os.Stdout
	}
	if opt.Stderr == nil {
		c.cmd.Stderr = os.Stderr
	}
	c.cmd.SysProcAttr = processAttributes()

	if reap {
		c.reaper = startReaper(c.log)
	}
	started := make(chan error)
	go c.run(started)
	if err := <-started; err != nil {
		c.reaper.close()
		return nil, newStartError(argv, err)
	}
	return c, nil
}

// run starts the process and waits for it, both on one thread: Linux sends the
// parent-death signal when the *thread* that forked ends, not when its process
// does, so that thread has to live as long as the function.
func (c *Child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	err := startOwned(func() (int, error) {
		if err := c.cmd.Start(); err != nil {
			return 0, err
		}
		return c.cmd.Process.Pid, nil
	})
	if err != nil {
		started <- err
		return
	}
	c.pid = c.cmd.Process.Pid
	c.started = time.Now()
	started <- nil

	// What the function leaves behind in its group is told to end as well:
	// where the system can say that a process has ended without reaping it,
	// before it is reaped, since until then its number belongs to no other group.
	zombie := awaitExit(c.pid)
	if zombie {
		c.signalGroup(syscall.SIGTERM)
	}
	err = c.cmd.Wait()
	c.ended = time.Now()
	if !zombie {
		c.signalGroup(syscall.SIGTERM)
	}
	c.state = c.cmd.ProcessState
	if c.state == nil {
		c.log.Error("the function's exit status is lost", "process", c.pid, "error", err)
	}
	disown(c.pid)
	c.reaper.wake()
	close(c.done)
}

// Pid is the process id, which is also the id of its process group and session.
func (c *Child) Pid() int { return c.pid }

// Done is closed once the function's process has ended, for whatever reason.
// Processes that it left behind may still run until Stop returns.
func (c *Child) Done() <-chan struct{} { return c.done }

// ExitCode is the function's exit code, or 128 and the signal's number where a
// signal ended it, as shells have it. It is -1 before Done is closed.
func (c *Child) ExitCode() int {
	select {
	case <-c.done:
		return exitCode(c.state)
	default:
		return -1
	}
}

// Outcome says in words how the function ended, such as "exit code 3 after 1.2s"
// or "SIGKILL (exit code 137) after 4s". It is "running" before Done is closed.
func (c *Child) Outcome() string {
	select {
	case <-c.done:
		return fmt.Sprintf("%s after %s", outcome(c.state), round(c.ended.Sub(c.started)))
	default:
		return "running"
	}
}

// Signal sends sig to the function's process alone, not to its group.
// It returns os.ErrProcessDone if that has ended.
func (c *Child) Signal(sig os.Signal) error {
	err := c.cmd.Process.Signal(sig)
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return fmt.Errorf("child: send %v to %s (process %d): %w", sig, c.name, c.pid, err)
}

// Stop ends the function: SIGTERM to its process, then, once that has ended, to
// what it left behind in its process group; SIGKILL to the whole group when ctx
// ends. It returns when nothing of the group runs any more.
//
// The error wraps ErrKilled where SIGTERM was not enough in time. Stop may be
// called repeatedly and after the function has ended by itself.
func (c *Child) Stop(ctx context.Context) error {
	defer c.reaper.close()
	began := time.Now()

	// A failure to signal leaves the function to the end of ctx and SIGKILL.
	if err := c.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.log.Warn("cannot tell the function to end", "error", err)
	}
	// A stopped process handles SIGTERM only once it continues.
	if err := c.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.log.Warn("cannot continue the function", "error", err)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return c.kill(began, "the function's process")
	}

	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for groupRuns(c.pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return c.kill(began, "processes that the function left behind")
		}
	}
	return nil
}

// kill ends the whole group, and says of whom SIGTERM was not enough.
func (c *Child) kill(began time.Time, who string) error {
	waited := round(time.Since(began))
	c.signalGroup(syscall.SIGKILL)
	deadline := time.NewTimer(killGrace)
	defer deadline.Stop()
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			if !groupRuns(c.pid) {
				return fmt.Errorf("child: %s: %s did not end within %s of SIGTERM: %w; let the command handle SIGTERM, or give it longer",
					c.name, who, waited, ErrKilled)
			}
		default:
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("child: %s: %w %s ago, and still there (process group %d): it hangs in the kernel; look at its disks and network file systems",
				c.name, ErrKilled, killGrace, c.pid)
		}
	}
}

// signalGroup signals every process of the function's group; none left is well.
func (c *Child) signalGroup(sig syscall.Signal) {
	if err := syscall.Kill(-c.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		c.log.Warn("cannot signal what the function left behind",
			"signal", signalName(sig), "process_group", c.pid, "error", err)
	}
}

// lostExitCode stands for an exit status that somebody else has taken.
const lostExitCode = 255

func exitCode(state *os.ProcessState) int {
	if state == nil {
		return lostExitCode
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

func outcome(state *os.ProcessState) string {
	if state == nil {
		return fmt.Sprintf("a lost exit status (exit code %d)", lostExitCode)
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return fmt.Sprintf("exit code %d", state.ExitCode())
	}
	text := fmt.Sprintf("%s (exit code %d)", signalName(status.Signal()), exitCode(state))
	if status.CoreDump() {
		text += ", core dumped"
	}
	return text
}

// commandLine shows a command as it could be typed, cut to a line's length.
func commandLine(argv []string) string {
	const longest = 120
	quoted := make([]string, len(argv))
	for i, arg := range argv {
		quoted[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$`*?[]{}()<>|&;#~") {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	line := []rune(strings.ToValidUTF8(strings.Join(quoted, " "), "\uFFFD"))
	if len(line) > longest {
		line = append(line[:longest-1], '…')
	}
	return string(line)
}

// signalName is the name of a signal as kill(1) knows it, with SIG before it.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
