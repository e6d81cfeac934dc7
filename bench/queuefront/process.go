package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server started for the run.
type process struct {
	*exec.Cmd
	name string
	log  string
	done chan error
}

// startServer starts a server, by another user where the command is to be that of one.
func startServer(dir, name string, as *syscall.Credential, path string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{Cmd: exec.Command(path, args...), name: name, log: log.Name(), done: make(chan error, 1)}
	p.Stdout, p.Stderr, p.Dir = log, log, dir
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM, Credential: as}
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.done <- p.Wait() }()
	return p, nil
}

// stop ends the process with a signal and waits for it.
func (p *process) stop(sig syscall.Signal) error {
	if err := p.Process.Signal(sig); err != nil {
		return fmt.Errorf("stop %s: %w; it wrote:\n%s", p.name, err, p.output())
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(20 * time.Second):
		return errors.Join(fmt.Errorf("%s does not stop", p.name), p.Process.Kill())
	}
}

func (p *process) output() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-2000):])
}

// rss is the resident memory, in bytes, and the most that it has been.
func (p *process) rss() (now, most int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "VmRSS:" || f[0] == "VmHWM:") {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, 0, err
			}
			if f[0] == "VmRSS:" {
				now = kib << 10
			} else {
				most = kib << 10
			}
		}
	}
	return now, most, nil
}

// await repeats a check until it succeeds.
func await(ctx context.Context, p *process, what string, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case end := <-p.done:
			return fmt.Errorf("%s: %s has ended: %v\n%s", what, p.name, end, p.output())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; %s wrote:\n%s", what, err, p.name, p.output())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// post sends one call and reports whether it was accepted.
func post(address string) error {
	req, err := http.NewRequest(http.MethodPost, "http://"+address+"/", strings.NewReader("first"))
	if err != nil {
		return err
	}
	req.Header.Set("Prefer", "respond-async")
	res, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("answered %s", res.Status)
	}
	return nil
}

// metric reads one of weir's, by its name alone.
func metric(address, name string) (float64, error) {
	res, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^` + name + `\{[^}]*\} (\S+)$`).FindSubmatch(b)
	if m == nil {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// script makes wrk post calls of 1 KiB.
const script = `
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Prefer"] = "respond-async"
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("\nsaw %d %d %d %d\n", summary.requests, summary.duration,
        e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(99)))
end
`

// load is what wrk saw.
type load struct {
	requests int
	rate     float64 // accepted a second
	p99      time.Duration
}

// post128 posts calls over 128 connections.
func post128(ctx context.Context, dir, address string, seconds int) (*load, error) {
	file := filepath.Join(dir, "post.lua")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "wrk", "-t", "1", "-c", "128", "-d", strconv.Itoa(seconds)+"s", "--timeout", "10s", "-s", file, "http://"+address+"/").Output()
	if err != nil {
		return nil, fmt.Errorf("wrk: %w", err)
	}
	_, line, _ := strings.Cut(string(out), "\nsaw ")
	var n, us, failed, p99 int
	if _, err := fmt.Sscan(line, &n, &us, &failed, &p99); err != nil || us == 0 {
		return nil, fmt.Errorf("wrk said %q", out)
	}
	if failed > 0 {
		return nil, fmt.Errorf("%d of %d requests failed", failed, n)
	}
	return &load{n, float64(n) / (float64(us) / 1e6), time.Duration(p99) * time.Microsecond}, nil
}
