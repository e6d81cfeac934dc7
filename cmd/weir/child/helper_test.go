package child

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// role makes the test binary play a function, or a weir, in a process of its own.
const role = "CHILD_TEST_ROLE"

// patience bounds every wait for something that must happen. It says nothing
// about how long that should take on a busy machine.
const patience = time.Minute

// roles are what the test binary can be; each returns its exit code.
var roles = map[string]func(args []string) int{
	"exit": func(args []string) int {
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return complain(err)
		}
		return code
	},
	"die": func(args []string) int { // of a signal
		number, err := strconv.Atoi(args[0])
		if err != nil {
			return complain(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.Signal(number)); err != nil {
			return complain(err)
		}
		select {}
	},
	"flood":  playFlood,
	"env":    func([]string) int { fmt.Println(strings.Join(os.Environ(), "\n")); return 0 },
	"stdin":  playStdin,
	"listen": playListen,
	"family": playFamily,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(role); name != "" {
		play, ok := roles[name]
		if !ok {
			fmt.Fprintln(os.Stderr, "no such role:", name)
			os.Exit(99)
		}
		os.Exit(play(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 98
}

const floodBytes = 1 << 20

// flood is what playFlood writes to the named stream.
func flood(stream string) []byte {
	line := []byte(stream + " 0123456789abcdefghijklmnopqrstuvwxyz\n")
	return bytes.Repeat(line, floodBytes/len(line)+1)[:floodBytes]
}

// playFlood writes 1 MiB to both streams and exits with the last byte.
func playFlood([]string) int {
	out, errs := flood("out"), flood("err")
	const step = 1000 // in turns, and never a whole line
	for i := 0; i < floodBytes; i += step {
		end := min(i+step, floodBytes)
		if _, err := os.Stdout.Write(out[i:end]); err != nil {
			return complain(err)
		}
		if _, err := os.Stderr.Write(errs[i:end]); err != nil {
			return complain(err)
		}
	}
	return 3
}

func playStdin([]string) int {
	n, err := io.Copy(io.Discard, os.Stdin)
	if err != nil {
		return complain(err)
	}
	fmt.Println("read", n)
	return 0
}

// playListen says which signals it gets, as "NAME got SIGNAL", after "NAME up".
// SIGTERM ends it with 7, unless it is told to be stubborn.
func playListen(args []string) int {
	name, stubborn := args[0], len(args) > 1 && args[1] == "stubborn"
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	fmt.Println(name, "up")
	// Where a test fails to end it, it must not stay on the machine.
	time.AfterFunc(2*patience, func() { os.Exit(1) })
	for sig := range signals {
		fmt.Println(name, "got", signalName(sig.(syscall.Signal)))
		if sig == syscall.SIGTERM && !stubborn {
			return 7
		}
	}
	return 1
}

// playFamily starts a listener in its own process group and leaves it behind: on
// SIGTERM ("on-term"), or on SIGUSR1 without having been asked to end ("on-usr1").
func playFamily(args []string) int {
	cmd := helperCommand("listen", append([]string{"grandchild"}, args[1:]...)...)
	cmd.Stdout = os.Stdout
	if err := cmd.Start(); err != nil {
		return complain(err)
	}
	signals := make(chan os.Signal, 1)
	if args[0] == "on-term" {
		signal.Notify(signals, syscall.SIGTERM)
	} else {
		signal.Notify(signals, syscall.SIGUSR1)
	}
	fmt.Println("family up")
	<-signals
	return 5
}

// helperCommand is the test binary in a role, for use by the roles themselves.
func helperCommand(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), role+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// A function is a child under test with its standard output as lines.
type function struct {
	*Child
	t     *testing.T
	lines chan string // closed at the end of the output
}

// startFunction starts the test binary in a role. It ends with the test.
func startFunction(t *testing.T, name string, args ...string) *function {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(append([]string{os.Args[0]}, args...), Options{
		Env:    append(Environ(os.Environ()), role+"="+name),
		Stdout: write,
	})
	_ = write.Close()
	if err != nil {
		t.Fatal(err)
	}
	f := &function{Child: c, t: t, lines: make(chan string, 64)}
	go readLines(read, f.lines)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what still runs is killed at once
		_ = c.Stop(ctx)
		for range f.lines {
		}
	})
	return f
}

func readLines(r io.ReadCloser, lines chan<- string) {
	defer close(lines)
	defer r.Close()
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		lines <- scan.Text()
	}
}

// expect waits for the given line and returns those before it.
func expect(t *testing.T, lines <-chan string, want string) (before []string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			switch {
			case !ok:
				t.Fatalf("output ended before %q; it was %q", want, before)
			case line == want:
				return before
			}
			before = append(before, line)
		case <-timeout:
			t.Fatalf("no %q in the output; it was %q", want, before)
		}
	}
}

func (f *function) expect(want string) []string {
	f.t.Helper()
	return expect(f.t, f.lines, want)
}

// wait waits until the function has ended.
func (f *function) wait() {
	f.t.Helper()
	select {
	case <-f.Done():
	case <-time.After(patience):
		f.t.Fatal("the function has not ended")
	}
}

// drain reads to the end of the output, which comes once nobody holds it.
func drain(t *testing.T, lines <-chan string) (rest []string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return rest
			}
			rest = append(rest, line)
		case <-timeout:
			t.Fatal("somebody still holds the output")
		}
	}
}
