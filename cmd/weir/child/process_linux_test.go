package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	roles["weir"] = playWeir
	roles["init"] = playInit
}

// playWeir starts a listener as weir would, says "weir up", and on SIGINT sends
// the listener a SIGUSR1.
func playWeir([]string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	c, err := Start([]string{os.Args[0], "function", "stubborn"}, Options{
		Env: append(os.Environ(), role+"=listen"),
	})
	if err != nil {
		return complain(err)
	}
	fmt.Println("weir up")
	for range signals {
		fmt.Println("weir got SIGINT")
		if err := c.Signal(syscall.SIGUSR1); err != nil {
			return complain(err)
		}
	}
	return 1
}

func TestKilledWeirTakesTheFunctionAlong(t *testing.T) {
	weir := helperCommand("weir")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	weir.Stdout = write
	if err := weir.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	lines := make(chan string, 64)
	go readLines(read, lines)
	expect(t, lines, "function up")
	if err := weir.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = weir.Wait() // the error says that it was killed
	// The function ignores SIGTERM, and does not notice that nobody reads what it
	// writes, so only the kernel can have ended it.
	drain(t, lines)
}

func TestCtrlCInTheTerminalReachesWeirAlone(t *testing.T) {
	terminal, name := openTerminal(t)
	slave, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := noEcho(slave); err != nil {
		t.Fatal(err)
	}
	weir := helperCommand("weir")
	weir.Stdin, weir.Stdout, weir.Stderr = slave, slave, slave
	weir.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := weir.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	lines := make(chan string, 64)
	go readLines(terminal, lines)
	t.Cleanup(func() {
		_ = weir.Process.Kill()
		_ = weir.Wait()
		for range lines {
		}
	})
	up := map[string]bool{}
	for len(up) < 2 {
		line, ok := <-lines
		if !ok {
			t.Fatalf("output ended after %v", up)
		}
		up[line] = true
	}
	if !up["weir up"] || !up["function up"] {
		t.Fatalf("unexpected output: %v", up)
	}
	if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	expect(t, lines, "weir got SIGINT")
	// Had the terminal sent SIGINT to the function as well, it would have been
	// delivered before the SIGUSR1 that weir sent afterwards.
	if before := expect(t, lines, "function got SIGUSR1"); len(before) > 0 {
		t.Errorf("the function said %q before", before)
	}
}

// openTerminal returns the master of a pseudo-terminal and the slave's name.
func openTerminal(t *testing.T) (master *os.File, slave string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || failed != nil {
		t.Fatal(errors.Join(err, failed))
	}
	return master, fmt.Sprintf("/dev/pts/%d", number)
}

// noEcho keeps what is typed out of what is read.
func noEcho(terminal *os.File) error {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		var settings *unix.Termios
		if settings, failed = unix.IoctlGetTermios(int(fd), unix.TCGETS); failed == nil {
			settings.Lflag &^= unix.ECHO
			failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, settings)
		}
	})
	return errors.Join(err, failed)
}

// The parent-death signal comes when the thread that forked ends.
func TestFunctionOutlivesTheThreadThatCalledStart(t *testing.T) {
	thread := make(chan int)
	started := make(chan *function, 1)
	var begin func()
	begin = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The main thread never ends: keep it busy, so that another one is used.
			defer runtime.UnlockOSThread()
			go begin()
			<-t.Context().Done()
			return
		}
		// Not unlocked: the thread ends with this goroutine.
		thread <- unix.Gettid()
		started <- startFunction(t, "listen", "function")
	}
	go begin()
	tid, f := <-thread, <-started
	f.expect("function up")
	eventually(t, "the thread has ended", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return errors.Is(err, os.ErrNotExist)
	})
	if err := f.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	f.expect("function got SIGUSR1")
}

func TestProcessOneReapsOrphansAndKeepsExitCodes(t *testing.T) {
	cmd := helperCommand("init")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Skipf("no PID namespaces for this user here: %v", err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitNoProc {
		t.Skipf("no /proc for a PID namespace here: %s", output.String())
	}
	if err != nil || !strings.HasSuffix(output.String(), "all is well\n") {
		t.Errorf("process 1 of its own namespace: %v\n%s", err, output.String())
	}
}

const exitNoProc = 77

// playInit is weir as process 1 of a container.
func playInit([]string) int {
	if pid := os.Getpid(); pid != 1 {
		return complain(fmt.Errorf("process %d, not 1", pid))
	}
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("proc", "/proc", "proc", 0, "")
	}
	if err != nil {
		fmt.Println(err)
		return exitNoProc
	}

	// A function that litters: two hundred processes whose parents do not wait,
	// a third of them outside its process group.
	litter := `
		i=0
		while [ $i -lt 200 ]; do
			if [ $((i % 3)) = 0 ]; then (setsid true &); else (true &); fi
			i=$((i + 1))
		done
		trap 'exit 7' TERM
		echo littered
		while :; do sleep 1000 & wait; done`
	read, write, err := os.Pipe()
	if err != nil {
		return complain(err)
	}
	c, err := Start([]string{"sh", "-c", litter}, Options{Stdout: write})
	if err != nil {
		return complain(err)
	}
	_ = write.Close()
	lines := make(chan string, 1)
	go readLines(read, lines)
	if line := <-lines; line != "littered" {
		return complain(fmt.Errorf("the function said %q", line))
	}
	// Only weir, the function and what it runs now may be left: sh and sleep.
	remaining := ""
	if !within(func() bool { remaining = processes(); return strings.Count(remaining, "\n") == 3 }) {
		return complain(fmt.Errorf("not reaped while the function runs:\n%s", remaining))
	}

	// Meanwhile the exit status of functions is theirs, however they are hidden
	// among orphans that end at the same moment.
	for i := range 100 {
		f, err := Start([]string{"sh", "-c", fmt.Sprintf("(true &); (true &); exit %d", i)}, Options{})
		if err != nil {
			return complain(err)
		}
		<-f.Done()
		if f.ExitCode() != i {
			return complain(fmt.Errorf("function %d: %s", i, f.Outcome()))
		}
		if err := f.Stop(contextWithin()); err != nil {
			return complain(err)
		}
	}

	if err := c.Stop(contextWithin()); err != nil {
		return complain(err)
	}
	if c.ExitCode() != 7 {
		return complain(fmt.Errorf("the function ended with %s, want exit code 7", c.Outcome()))
	}
	fmt.Println("all is well")
	return 0
}

// processes lists all processes, a line each.
func processes() string {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err.Error()
	}
	var list strings.Builder
	for _, name := range names {
		if stat, err := os.ReadFile(name); err == nil {
			list.Write(stat)
		}
	}
	return list.String()
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		}
	}
}

// within polls until cond holds, for roles.
func within(cond func() bool) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if cond() {
			return true
		}
		<-time.After(5 * time.Millisecond)
	}
	return false
}

// contextWithin ends when patience does, for roles.
func contextWithin() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	context.AfterFunc(ctx, cancel)
	return ctx
}
