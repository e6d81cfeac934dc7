//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// calls are the system calls of a proxy while it answered some requests.
type calls struct {
	requests int
	counts   []callCount // most first
	invalid  string
}

type callCount struct {
	name string
	n    int
}

func (c *calls) total() (n int) {
	for _, one := range c.counts {
		n += one.n
	}
	return n
}

// countCalls attaches strace to a proxy while the cell's load is on it. That
// makes the proxy slow, which changes how often it finds nothing to do: the
// counts are a guide, and no measure of cost.
func (c *cell) countCalls(ctx context.Context, p *peer, dir string, seconds int) (*calls, error) {
	pids, err := p.pids()
	if err != nil {
		return nil, err
	}
	table := filepath.Join(dir, "strace-"+p.name)
	args := []string{"-c", "-f", "-U", "calls,name", "-o", table}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	log := table + ".log"
	errOut, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer errOut.Close()
	cmd.Stderr = errOut
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start strace: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l, loadErr := func() (*loaded, error) {
		if err := attached(ctx, log, len(pids)); err != nil {
			return nil, err
		}
		return c.runWrk(ctx, p.address, dir, seconds)
	}()
	// strace detaches, writes its table and ends, by the signal.
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return nil, fmt.Errorf("stop strace: %w", err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = cmd.Process.Kill() // it is gone otherwise
		return nil, fmt.Errorf("strace did not end by SIGINT")
	}
	if loadErr != nil {
		return nil, loadErr
	}
	text, err := os.ReadFile(table)
	if err != nil {
		return nil, err
	}
	counts, err := parseStrace(string(text))
	if err != nil {
		return nil, err
	}
	return &calls{requests: l.requests, counts: counts, invalid: l.invalid}, nil
}

// attached waits until strace says that it is attached to all processes.
func attached(ctx context.Context, log string, processes int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if strings.Count(string(text), " attached") >= processes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("strace did not attach: %s", text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// parseStrace reads the table of strace -c -U calls,name.
func parseStrace(table string) ([]callCount, error) {
	var counts []callCount
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) != 2 || f[1] == "syscall" || f[1] == "total" || strings.HasPrefix(f[0], "-") {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil {
			return nil, fmt.Errorf("strace's table: %q: %w", line, err)
		}
		counts = append(counts, callCount{f[1], n})
	}
	if len(counts) == 0 {
		return nil, fmt.Errorf("strace's table has no call: %q", table)
	}
	slices.SortFunc(counts, func(a, b callCount) int { return cmp.Or(b.n-a.n, strings.Compare(a.name, b.name)) })
	return counts, nil
}
