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
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "queuefront:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var (
		store   = flag.String("serve", "", "be the front of this `store`, redis or postgres, instead of measuring")
		socket  = flag.String("socket", "", "the store's Unix socket, for PostgreSQL its directory")
		listen  = flag.String("listen", "", "the front's `address`")
		pool    = flag.Int("pool", 64, "connections to PostgreSQL")
		root    = flag.String("weir", "../..", "`directory` of weir's module, to build it from, or a weir binary")
		rounds  = flag.Int("rounds", 9, "rounds; each candidate has its turn in each")
		seconds = flag.Int("seconds", 5, "`seconds` of load at each candidate, in each round")
		backlog = flag.Int("backlog", 0, "measure weir with so many calls waiting instead")
		out     = flag.String("out", "", "`file` to write the results to, beside standard output")
	)
	flag.Parse()
	if *store != "" {
		return serve(*store, *socket, *listen, *pool)
	}
	// Where Debian has PostgreSQL's own programs.
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return err
	}
	if err := os.Setenv("PATH", strings.Join(append([]string{os.Getenv("PATH")}, dirs...), ":")); err != nil {
		return err
	}
	for _, tool := range []string{"wrk", "redis-server", "postgres", "initdb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w; install it: scripts/install-deps queue", err)
		}
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	b := &parts{pool: *pool, weir: *root}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "weir-queue-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := os.Chmod(b.dir, 0o755); err != nil { // another user's data is below
		return err
	}
	if info, err := os.Stat(*root); err != nil {
		return err
	} else if info.IsDir() {
		b.weir = filepath.Join(b.dir, "weir")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.weir, "./cmd/weir")
		build.Dir, build.Stderr = *root, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building weir: %w", err)
		}
	} else if b.weir, err = filepath.Abs(*root); err != nil {
		return err
	}
	if b.function, err = newFunction(time.Hour); err != nil {
		return err
	}
	r := &report{}
	if *backlog > 0 {
		err = b.measureBacklog(ctx, *backlog, r)
	} else {
		err = b.compare(ctx, *rounds, *seconds, r)
	}
	fmt.Print(r.String())
	if err == nil && *out != "" {
		err = r.replace(*out)
	}
	return errors.Join(err, r.verdict())
}

// compare measures all candidates in turns.
func (b *parts) compare(ctx context.Context, rounds, seconds int, r *report) error {
	names := []string{weirStore, redisStore, postgresStore}
	rates, p99s := map[string][]float64{}, map[string][]float64{}
	for round := range rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			l, err := b.measure(ctx, name, seconds)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s %.0f/s\n", round+1, rounds, name, l.rate)
			rates[name] = append(rates[name], l.rate)
			p99s[name] = append(p99s[name], float64(l.p99)/1e6)
		}
	}
	r.section = "Accepted a second"
	r.line("Calls of 1 KiB, on disk before they are answered with 202; 128 clients (wrk), HTTP and load generator included; median (lowest to highest) of %d rounds of %d s.", rounds, seconds)
	r.line("")
	r.line("| store | accepted a second | p99 |")
	r.line("|---|---|---|")
	for _, name := range names {
		v := rates[name]
		r.line("| %s | %.0f (%.0f to %.0f) | %.1f ms |", name, median(v), slices.Min(v), slices.Max(v), median(p99s[name]))
	}
	r.line("")
	w := median(rates[weirStore])
	r.judge(w >= 20_000, "weir accepts %.0f a second, at least 20,000", w)
	r.judge(w >= median(rates[redisStore]), "%.2f times LPUSH into Redis, at least 1", w/median(rates[redisStore]))
	r.judge(w >= 2*median(rates[postgresStore]), "%.2f times INSERT into PostgreSQL, at least 2", w/median(rates[postgresStore]))
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
