package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// What must hold with a backlog.
const (
	mostRSS   = 150 << 20
	mostReady = 5 * time.Second
	leastRate = 0.8    // of the rate with a queue that is next to empty
	little    = 40_000 // calls in such a one: enough to measure with
)

// measureBacklog fills weir's queue, ends it in two ways and dispatches from it.
func (b *parts) measureBacklog(ctx context.Context, calls int, r *report) error {
	fast, err := newFunction(0)
	if err != nil {
		return err
	}
	r.section = "A backlog"
	r.line("%d calls of 1 KiB waiting; the function is held back but for the last two rows.", calls)
	r.line("")
	r.line("| what | seen |")
	r.line("|---|---|")
	dir := filepath.Join(b.dir, "backlog")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	w, err := b.startWeir(ctx, dir, b.function, 1)
	if err != nil {
		return err
	}
	var highest int64
	note := func(what string) error {
		now, most, err := w.rss()
		if err != nil {
			return err
		}
		highest = max(highest, now)
		r.line("| memory %s | %d MB, at most %d MB |", what, now>>20, most>>20)
		return nil
	}
	if err := await(ctx, w.process, "weir", func() error { return post(w.address) }); err != nil {
		return err
	}
	began := time.Now()
	if err := b.fill(ctx, w, calls); err != nil {
		return err
	}
	r.line("| filled in | %.0f s |", time.Since(began).Seconds())
	if err := note("once full"); err != nil {
		return err
	}
	var slowest time.Duration
	for what, sig := range map[string]syscall.Signal{"a restart": syscall.SIGTERM, "a kill -9": syscall.SIGKILL} {
		if err := w.stop(sig); err != nil {
			return err
		}
		began := time.Now()
		if w, err = b.startWeir(ctx, dir, b.function, 1); err != nil {
			return err
		}
		if err := await(ctx, w.process, "weir after "+what, func() error { return post(w.address) }); err != nil {
			return err
		}
		took := time.Since(began)
		slowest = max(slowest, took)
		r.line("| accepts again after %s | %.2f s |", what, took.Seconds())
		n, err := metric(w.metrics, "weir_async_depth")
		if err != nil {
			return err
		}
		if int(n)+1 < calls {
			return fmt.Errorf("after %s %.0f calls wait, %d did", what, n, calls)
		}
		if err := note("after " + what); err != nil {
			return err
		}
	}
	if err := w.stop(syscall.SIGTERM); err != nil {
		return err
	}
	full, err := b.dispatched(ctx, dir, fast, 0, r, &highest)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	short, err := b.dispatched(ctx, dir, fast, little, r, nil)
	if err != nil {
		return err
	}
	r.line("")
	r.judge(highest <= mostRSS, "at most %d MB resident while they wait, 150 at most", highest>>20)
	r.judge(slowest <= mostReady, "ready after %.2f s at most, 5 at most", slowest.Seconds())
	r.judge(full >= leastRate*short, "dispatches %.2f times as many a second as with %d waiting, at least 0.8", full/short, little)
	return nil
}

// fill posts calls until so many wait.
func (b *parts) fill(ctx context.Context, w *weir, calls int) error {
	for {
		n, err := metric(w.metrics, "weir_async_depth")
		if err != nil || int(n) >= calls {
			return err
		}
		if _, err := post128(ctx, b.dir, w.address, min(max((calls-int(n))/30_000, 1), 20)); err != nil {
			return err
		}
	}
}

// dispatched is how many calls a second a fast function gets, of those that wait in dir.
func (b *parts) dispatched(ctx context.Context, dir, function string, fill int, r *report, highest *int64) (float64, error) {
	if fill > 0 {
		w, err := b.startWeir(ctx, dir, b.function, 1)
		if err != nil {
			return 0, err
		}
		if err := await(ctx, w.process, "weir", func() error { return post(w.address) }); err != nil {
			return 0, err
		}
		if err := b.fill(ctx, w, fill); err != nil {
			return 0, err
		}
		if err := w.stop(syscall.SIGTERM); err != nil {
			return 0, err
		}
	}
	w, err := b.startWeir(ctx, dir, function, 32)
	if err != nil {
		return 0, err
	}
	done := func() (float64, error) { return metric(w.metrics, "weir_async_succeeded_total") }
	if err := await(ctx, w.process, "the first calls", func() error {
		n, err := done()
		if err == nil && n < 1000 {
			err = fmt.Errorf("%.0f are done", n)
		}
		return err
	}); err != nil {
		return 0, err
	}
	before, err := done()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	time.Sleep(10 * time.Second)
	after, err := done()
	if err != nil {
		return 0, err
	}
	rate := (after - before) / time.Since(began).Seconds()
	waiting, err := metric(w.metrics, "weir_async_depth")
	if err != nil {
		return 0, err
	}
	if waiting == 0 {
		return 0, fmt.Errorf("the queue ran empty")
	}
	now, most, err := w.rss()
	if err != nil {
		return 0, err
	}
	if highest != nil {
		*highest = max(*highest, now)
	}
	r.line("| dispatched with %.0f waiting | %.0f a second; memory %d MB, at most %d MB |", waiting, rate, now>>20, most>>20)
	return rate, w.stop(syscall.SIGTERM)
}
