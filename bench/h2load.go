//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const h2Streams = 16 // at once, on each connection

// runH2Load sends calls as of gRPC: POST with a small body, te: trailers.
func (c *cell) runH2Load(ctx context.Context, address, dir string, seconds int) (*loaded, error) {
	body := filepath.Join(dir, "h2-body")
	if err := os.WriteFile(body, []byte(strings.Repeat("x", c.upload)), 0o644); err != nil {
		return nil, err
	}
	log := filepath.Join(dir, "h2-log")
	if err := os.RemoveAll(log); err != nil { // h2load appends
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+20*time.Second)
	defer cancel()
	out, err := command(ctx, "h2load", "-t", "1", "-c", strconv.Itoa(c.connections), "-m", strconv.Itoa(h2Streams),
		"-D", strconv.Itoa(seconds), "-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers",
		"--log-file", log, "http://"+address+c.path)
	if err != nil {
		return nil, err
	}
	l, err := parseH2Load(out)
	if err != nil {
		return nil, err
	}
	l.took = time.Duration(seconds) * time.Second
	return l, l.readH2Log(log)
}

var (
	h2Requests = regexp.MustCompile(`(?m)^requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	h2Statuses = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
)

func parseH2Load(out string) (*loaded, error) {
	requests, statuses := h2Requests.FindStringSubmatch(out), h2Statuses.FindStringSubmatch(out)
	if requests == nil || statuses == nil {
		return nil, fmt.Errorf("h2load did not say what it saw: %s", out)
	}
	n := func(text string) int {
		v, err := strconv.Atoi(text)
		if err != nil {
			panic(err) // it matched \d+
		}
		return v
	}
	l := &loaded{requests: n(requests[2])}
	succeeded, failed, errored, timeout := n(requests[3]), n(requests[4]), n(requests[5]), n(requests[6])
	switch {
	case succeeded != l.requests || failed+errored+timeout > 0:
		l.invalid = fmt.Sprintf("of %d calls %d succeeded, %d failed, %d errored, %d timed out", l.requests, succeeded, failed, errored, timeout)
	case n(statuses[2])+n(statuses[3])+n(statuses[4]) > 0 || n(statuses[1]) < l.requests:
		l.invalid = fmt.Sprintf("of %d calls: %s", l.requests, statuses[0])
	}
	return l, nil
}

// readH2Log takes the latencies from h2load's log: start, status, microseconds.
func (l *loaded) readH2Log(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var took []time.Duration
	for lines := bufio.NewScanner(f); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return err
			}
			break
		}
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 3 {
			return fmt.Errorf("h2load's log: %q", lines.Text())
		}
		us, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("h2load's log: %q: %w", lines.Text(), err)
		}
		if fields[1] != "200" && l.invalid == "" {
			l.invalid = "a call was answered " + fields[1]
		}
		took = append(took, time.Duration(us)*time.Microsecond)
	}
	if len(took) == 0 {
		return fmt.Errorf("h2load's log has no call")
	}
	slices.Sort(took)
	l.p50, l.p99 = took[len(took)*50/100], took[len(took)*99/100]
	return nil
}
