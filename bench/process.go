//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a server started for the run.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // file with its output
	ended chan struct{}
	err   error // how it ended; read after ended
}

// stopPatience is what a process has to end by itself after SIGTERM.
const stopPatience = 3 * time.Second

func startProcess(dir, name, path string, args ...string) (*process, error) {
	logFile, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	p := &process{name: name, cmd: exec.Command(path, args...), log: logFile.Name(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = logFile, logFile
	// A group of its own: Ctrl-C is for us, who then stop it in order. Should we
	// die otherwise, it is told to end.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s had ended by itself: %v; it wrote:\n%s", p.name, p.err, p.output())
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopPatience):
	}
	// The group, for nginx has workers.
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// output is the end of what the process wrote.
func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 2 << 10
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// pids are the process and its children: workers.
func (p *process) pids() ([]int, error) {
	pid := p.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	all := []int{pid}
	for _, f := range strings.Fields(string(b)) {
		child, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("%s: children %q: %w", p.name, b, err)
		}
		all = append(all, child)
	}
	return all, nil
}

// cpu is the user and system time of the process, its threads and its workers:
// the kernel's CPU-time clock of each, in nanoseconds and not in ticks
// (clock_getcpuclockid(3); threads that have ended count).
func (p *process) cpu() (time.Duration, error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range pids {
		const cpuClockSched = 2
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &t); err != nil {
			return 0, fmt.Errorf("CPU-time clock of %s (%d): %w", p.name, pid, err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}

// rss is the resident memory of the process and its workers, in bytes. Pages that
// workers share count in each.
func (p *process) rss() (int64, error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
		kib, err := statusKiB(string(b), "VmRSS")
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
		sum += kib << 10
	}
	return sum, nil
}

// statusKiB reads a size from /proc/PID/status.
func statusKiB(status, field string) (int64, error) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, field+":")
		if !ok {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		kib, err := strconv.ParseInt(number, 10, 64)
		if err != nil || unit != "kB" {
			return 0, fmt.Errorf("/proc/PID/status: %q is no size", line)
		}
		return kib, nil
	}
	return 0, fmt.Errorf("/proc/PID/status: no %s", field)
}

// freeAddress is an address on loopback that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// command runs a tool to its end and returns what it wrote.
func command(ctx context.Context, path string, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", path, strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String(), nil
}
