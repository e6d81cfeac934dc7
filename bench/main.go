//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	rounds, seconds, idle int
	quick                 bool
	only                  string
	out                   string
	weir                  string
	within                time.Duration
}

func parseOptions() (*options, error) {
	o := &options{}
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of the cells that must hold something; the others have half as many, rounded up")
	flag.IntVar(&o.seconds, "seconds", 2, "`seconds` of load at each proxy, in each round")
	flag.IntVar(&o.idle, "idle", 9500, "idle keep-alive connections; 0 leaves them out")
	flag.BoolVar(&o.quick, "quick", false, "one round of a second, 500 idle connections: to see that it works, not to quote")
	flag.StringVar(&o.only, "only", "", "`cells` to measure, by name with commas: "+strings.Join(cellNames(), ", ")+", idle, syscalls")
	flag.StringVar(&o.out, "out", "bench", "`directory` for RESULTS.md and cpu.svg")
	flag.StringVar(&o.weir, "weir", "", "a weir `binary` to measure instead of building one")
	flag.DurationVar(&o.within, "within", 12*time.Minute, "time for all of it, after which it stops and fails")
	flag.Parse()
	if flag.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.quick {
		o.rounds, o.seconds, o.idle = 1, 1, min(o.idle, 500)
	}
	if o.idle > mostIdle {
		return nil, fmt.Errorf("-idle %d: HAProxy is set up for %d connections at most here", o.idle, mostIdle)
	}
	if o.rounds < 1 || o.seconds < 1 || o.idle < 0 {
		return nil, fmt.Errorf("-rounds %d and -seconds %d are to be at least 1, -idle %d at least 0", o.rounds, o.seconds, o.idle)
	}
	for _, name := range o.names() {
		if !slices.Contains(append(cellNames(), "idle", "syscalls"), name) {
			return nil, fmt.Errorf("-only %q: there is no such cell; there are %s, idle, syscalls", name, strings.Join(cellNames(), ", "))
		}
	}
	return o, nil
}

// mostIdle leaves HAProxy, whose maxconn is 9900, some for what else connects.
const mostIdle = 9800

func cellNames() (names []string) {
	for _, c := range cells {
		names = append(names, c.name)
	}
	return names
}

func (o *options) names() []string {
	if o.only == "" {
		return nil
	}
	return strings.Split(o.only, ",")
}

func (o *options) wants(name string) bool {
	return o.only == "" || slices.Contains(o.names(), name)
}

// results are what was measured: of each cell and proxy a sample a round.
type results struct {
	samples map[string]map[string][]*sample
	idle    map[string]*idleSample
	calls   map[string]*calls
}

func run() (err error) {
	o, err := parseOptions()
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, o.within)
	defer cancel()
	// Where Debian has haproxy and nginx, and users have not.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return err
	}
	for _, tool := range []string{"wrk", "h2load", "nginx", "haproxy", "strace"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w; install it: scripts/install-deps bench", err)
		}
	}
	files, err := raiseFiles()
	if err != nil {
		return err
	}
	if need := uint64(2*o.idle + 500); files < need {
		return fmt.Errorf("%d idle connections take %d open files of a proxy, and at most %d are allowed here: raise the hard limit (ulimit -Hn), or give -idle less", o.idle, need, files)
	}
	m, err := thisMachine(ctx)
	if err != nil {
		return err
	}
	if m.load > 0.5 {
		fmt.Fprintf(os.Stderr, "bench: the machine is busy already (load %.2f): figures will be of little worth\n", m.load)
	}

	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &parts{dir: dir, weir: o.weir, reverseProxy: filepath.Join(dir, "reverseproxy"), threads: runtime.GOMAXPROCS(0)}
	if b.weir == "" {
		b.weir = filepath.Join(dir, "weir")
		if err := build(ctx, b.weir, "./cmd/weir"); err != nil {
			return err
		}
	}
	if err := build(ctx, b.reverseProxy, "./bench/reverseproxy"); err != nil {
		return err
	}
	if m.versions, err = versions(ctx, b.weir); err != nil {
		return err
	}
	if b.function, err = startFunction(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.function.stop()) }()

	r := &results{samples: map[string]map[string][]*sample{}, idle: map[string]*idleSample{}, calls: map[string]*calls{}}
	for _, step := range []func(context.Context, *parts, *options) error{r.measureIdle, r.measureCells, r.countCalls} {
		if err := step(ctx, b, o); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("stopped after %v: %w", time.Since(began).Round(time.Second), errors.Join(cause, err))
			}
			return err
		}
	}
	rp := &report{results: r, machine: m, took: time.Since(began), date: began, command: commandLine(), options: o}
	if err := rp.write(o.out); err != nil {
		return err
	}
	for _, row := range rp.rows() {
		fmt.Printf("%-12s %s: %s (wanted %s)\n", row.verdict, row.figure, row.measured, row.want)
	}
	fmt.Printf("%s written after %v\n", filepath.Join(o.out, "RESULTS.md"), time.Since(began).Round(time.Second))
	return nil
}

// commandLine is how to run this again.
func commandLine() string {
	if len(os.Args) == 1 {
		return "make bench"
	}
	return "make bench BENCHFLAGS='" + strings.Join(os.Args[1:], " ") + "'"
}

func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// group runs proxies side by side while do works with them.
func (b *parts) group(ctx context.Context, names []string, limit int, refuse, h2c bool, do func(map[string]*peer) error) (err error) {
	peers := map[string]*peer{}
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.stop())
		}
	}()
	for _, name := range names {
		p, err := b.start(ctx, name, limit, refuse, h2c)
		if err != nil {
			return err
		}
		peers[name] = p
	}
	return do(peers)
}

// measureIdle goes first, with proxies that have done nothing else, one after
// the other.
func (r *results) measureIdle(ctx context.Context, b *parts, o *options) error {
	if o.idle == 0 || !o.wants("idle") {
		return nil
	}
	for _, name := range allPeers {
		err := b.group(ctx, []string{name}, forwardLimit, false, false, func(peers map[string]*peer) (err error) {
			r.idle[name], err = measureIdle(ctx, peers[name], o.idle)
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "idle: %s: %.1f MiB, was %.1f %s\n", name, float64(r.idle[name].after)/mib, float64(r.idle[name].before)/mib, r.idle[name].invalid)
	}
	return nil
}

// measureCells measures cell by cell, round by round, proxy by proxy.
func (r *results) measureCells(ctx context.Context, b *parts, o *options) error {
	type setting struct{ refused, h2c bool }
	for _, s := range []setting{{false, false}, {true, false}, {false, true}} {
		var these []*cell
		for _, c := range cells {
			if o.wants(c.name) && c.refused == s.refused && c.h2c == s.h2c {
				these = append(these, c)
			}
		}
		if len(these) == 0 {
			continue
		}
		limit := forwardLimit
		if s.refused {
			limit = tightLimit
		}
		err := b.group(ctx, these[0].peers, limit, s.refused, s.h2c, func(peers map[string]*peer) error {
			if err := warmUp(ctx, these[0], peers, b.dir); err != nil {
				return err
			}
			for round := range o.rounds {
				for _, c := range these {
					if !c.judged && round >= (o.rounds+1)/2 {
						continue
					}
					if err := r.measureRound(ctx, c, peers, b, o, round); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// warmUp has pools filled and connections made before anything counts.
func warmUp(ctx context.Context, c *cell, peers map[string]*peer, dir string) error {
	for _, p := range peers {
		if _, err := c.measure(ctx, p, dir, 1); err != nil {
			return err
		}
	}
	return nil
}

func (r *results) measureRound(ctx context.Context, c *cell, peers map[string]*peer, b *parts, o *options, round int) error {
	for i := range c.peers {
		name := c.peers[(i+round)%len(c.peers)] // nobody always comes after the same
		s, err := c.measure(ctx, peers[name], b.dir, o.seconds)
		if err != nil {
			return fmt.Errorf("%s at %s: %w", c.name, name, err)
		}
		if r.samples[c.name] == nil {
			r.samples[c.name] = map[string][]*sample{}
		}
		r.samples[c.name][name] = append(r.samples[c.name][name], s)
		line := s.invalid
		if line == "" {
			line = fmt.Sprintf("%.2f µs, %.0f/s, p99 %v", s.cpuPerRequest()/1e3, s.rate(), s.p99)
		}
		fmt.Fprintf(os.Stderr, "%s round %d: %s: %s\n", c.name, round+1, name, line)
	}
	return nil
}

// countCalls comes last and apart, for it slows its proxies down.
func (r *results) countCalls(ctx context.Context, b *parts, o *options) error {
	if !o.wants("syscalls") {
		return nil
	}
	names := []string{weir, haproxy, nginx}
	c := cells[slices.IndexFunc(cells, func(c *cell) bool { return c.name == cellSmall })]
	return b.group(ctx, names, forwardLimit, false, false, func(peers map[string]*peer) error {
		if err := warmUp(ctx, c, peers, b.dir); err != nil {
			return err
		}
		for _, name := range names {
			counted, err := c.countCalls(ctx, peers[name], b.dir, 1)
			if err != nil {
				return err
			}
			r.calls[name] = counted
			fmt.Fprintf(os.Stderr, "syscalls: %s: %d in %d requests %s\n", name, counted.total(), counted.requests, counted.invalid)
		}
		return nil
	})
}

// machine is where the figures come from.
type machine struct {
	cpu, kernel string
	cores       int
	memory      string
	load        float64 // average of a minute, before the run
	versions    [][2]string
}

func thisMachine(ctx context.Context) (*machine, error) {
	m := &machine{cores: runtime.NumCPU()}
	read := func(name string) string {
		if b, err := os.ReadFile(name); err == nil {
			return string(b)
		}
		return "" // then the table lacks a word
	}
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.cpu = strings.TrimSpace(value)
			break
		}
	}
	kernel, err := command(ctx, "uname", "-srm")
	if err != nil {
		return nil, err
	}
	m.kernel = strings.TrimSpace(kernel)
	if total, err := statusKiB(read("/proc/meminfo"), "MemTotal"); err == nil {
		m.memory = fmt.Sprintf("%.0f GiB", float64(total)/mib)
	}
	first, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	if m.load, err = strconv.ParseFloat(first, 64); err != nil {
		return nil, fmt.Errorf("/proc/loadavg: %w", err)
	}
	return m, nil
}

// versions are those of all that took part.
func versions(ctx context.Context, weirBinary string) ([][2]string, error) {
	commit := "unknown"
	if out, err := command(ctx, "git", "describe", "--tags", "--always", "--dirty"); err == nil {
		commit = strings.TrimSpace(out)
	}
	list := [][2]string{{"weir", commit}, {"Go", runtime.Version()}}
	for _, tool := range []struct{ name, path, arg, pattern string }{
		{"HAProxy", "haproxy", "-v", "version "},
		{"nginx", "nginx", "-v", "nginx/"},
		{"wrk", "wrk", "-v", "wrk "},
		{"h2load", "h2load", "--version", "nghttp2/"},
		{"strace", "strace", "-V", "version "},
	} {
		// nginx and wrk say it on the other output, or with an exit code of 1.
		out, err := exec.CommandContext(ctx, tool.path, tool.arg).CombinedOutput()
		_, rest, ok := strings.Cut(string(out), tool.pattern)
		if !ok {
			return nil, fmt.Errorf("%s %s: no version in %q (%v)", tool.path, tool.arg, out, err)
		}
		fields := strings.Fields(rest)
		if tool.name == "wrk" {
			fields = strings.Fields(strings.TrimPrefix(rest, "debian/"))
		}
		list = append(list, [2]string{tool.name, fields[0]})
	}
	return list, nil
}
