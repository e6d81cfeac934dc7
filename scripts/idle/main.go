// Command idle measures what a sidecar costs that has nothing to do: memory and
// CPU of a weir with a limit and metrics on, in front of a function, after some
// requests, while it is probed and scraped as in a cluster.
//
//	go run ./scripts/idle [-for 30s] [-most 15] [-tags noqueueserver] [-queue] [-- flags of weir run]
//
// It ends with code 1 where more than -most MB, of a million bytes, are resident in the
// latter half of the time, as seen each second. Linux only.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	duration := flag.Duration("for", 30*time.Second, "how long the sidecar is watched")
	most := flag.Float64("most", 15, "resident memory that is too much, in MB")
	requests := flag.Int("requests", 1000, "requests that it serves beforehand")
	tags := flag.String("tags", "", "build tags")
	queue := flag.Bool("queue", false, "with a queue of asynchronous calls")
	flag.Parse()
	over, err := measure(*duration, *most, *requests, *tags, *queue, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
		os.Exit(2)
	}
	if over {
		os.Exit(1)
	}
}

func measure(duration time.Duration, most float64, requests int, tags string, queue bool, args []string) (over bool, err error) {
	dir, err := os.MkdirTemp("", "weir-idle-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "weir")
	build := exec.Command("go", "build", "-tags="+tags, "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/weir")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("%w\n%s", err, out)
	}
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer function.Close()

	if queue {
		args = append([]string{"--async", "--async-dir=" + filepath.Join(dir, "queue"), "--async-any-filesystem"}, args...)
	}
	w, err := start(binary, append([]string{"--upstream=" + function.URL, "--max-inflight=100"}, args...))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	after, err := w.usage()
	if err != nil {
		return false, err
	}
	fmt.Printf("started:                     %s\n", after)
	for range requests {
		if err := get("http://" + w.data + "/"); err != nil {
			return false, err
		}
	}
	before, err := w.usage()
	if err != nil {
		return false, err
	}
	fmt.Printf("after %4d requests:         %s\n", requests, before)

	// As in a cluster: readiness every 2 s, liveness every 10 s, a scrape every 15 s.
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	begin := time.Now()
	var highest usage
	for n := 1; ; n++ {
		select {
		case <-second.C:
			// What it comes to is seen once the load before has been forgotten.
			now, err := w.usage()
			if err != nil {
				return false, err
			}
			if time.Since(begin) > duration/2 && now.rss > highest.rss {
				highest = now
			}
		case <-ctx.Done():
			after, err := w.usage()
			if err != nil {
				return false, err
			}
			cpu := (after.cpu - before.cpu).Seconds() / time.Since(begin).Seconds()
			fmt.Printf("after %-5s probed, scraped: %s, of which CPU %.3f %% of a core\n", duration, after, 100*cpu)
			fmt.Printf("at most, in its latter half: %s\n", highest)
			if over = highest.rss > most; over {
				fmt.Printf("more than %g MB\n", most)
			}
			return over, nil
		}
		for path, every := range map[string]int{"/readyz": 2, "/healthz": 10, "/metrics": 15} {
			if n%every == 0 {
				if err := get("http://" + w.metrics + path); err != nil {
					return false, err
				}
			}
		}
	}
}

func get(url string) error {
	res, err := http.Get(url)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return err
}

// weir is a running one.
type weir struct {
	cmd           *exec.Cmd
	data, metrics string
}

var listening = regexp.MustCompile(`msg=listening port=(\w+) addr=(\S+)`)

func start(binary string, args []string) (*weir, error) {
	args = append([]string{"run", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"}, args...)
	w := &weir{cmd: exec.Command(binary, args...)}
	log, err := w.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(log)
	var said strings.Builder
	for w.data == "" && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			switch m[1] {
			case "data":
				w.data = m[2]
			case "metrics":
				w.metrics = m[2]
			}
		}
	}
	if w.data == "" || w.metrics == "" {
		return nil, errors.Join(fmt.Errorf("weir did not listen:\n%s", said.String()), w.stop())
	}
	go func() { _, _ = io.Copy(io.Discard, log) }() // so that it never blocks
	return w, nil
}

func (w *weir) stop() error {
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return w.cmd.Wait()
}

// usage is what a process uses, in MB.
type usage struct {
	rss, anonymous, file float64
	cpu                  time.Duration
}

func (u usage) String() string {
	return fmt.Sprintf("%5.1f MB resident (%.1f its own, %.1f pages of the binary), %4d ms CPU", u.rss, u.anonymous, u.file, u.cpu.Milliseconds())
}

func (w *weir) usage() (usage, error) {
	dir := fmt.Sprintf("/proc/%d/", w.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return usage{}, err
	}
	megabytes := func(field string) float64 {
		m := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(status)
		if m == nil {
			return 0
		}
		n, _ := strconv.ParseFloat(string(m[1]), 64) // the pattern has only digits
		return n * 1024 / 1e6
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} { // utime and stime, of proc(5)
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return usage{}, err
		}
		ticks += n
	}
	return usage{megabytes("VmRSS"), megabytes("RssAnon"), megabytes("RssFile"), time.Duration(ticks) * 10 * time.Millisecond}, nil
}
