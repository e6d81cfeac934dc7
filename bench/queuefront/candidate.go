package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Names of what is measured, in the order of the table.
const (
	weirStore     = "weir"
	redisStore    = "Redis"
	postgresStore = "PostgreSQL"
)

// candidate is a store with its front, at work.
type candidate struct {
	address string
	front   *process
	store   *process              // nil for weir
	count   func() (int64, error) // calls stored
}

func (c *candidate) stop() error {
	err := c.front.stop(syscall.SIGTERM)
	if c.store != nil {
		err = errors.Join(err, c.store.stop(syscall.SIGINT))
	}
	return err
}

// parts are where binaries and directories are.
type parts struct {
	dir, weir, self string
	pool            int
	function        string // address of one that does not answer
	runs            int
}

func (b *parts) start(ctx context.Context, name string) (_ *candidate, err error) {
	b.runs++
	dir := filepath.Join(b.dir, strconv.Itoa(b.runs))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c := &candidate{}
	if c.address, err = freeAddress(); err != nil {
		return nil, err
	}
	switch name {
	case weirStore:
		w, err := b.startWeir(ctx, dir, b.function, 1)
		if err != nil {
			return nil, err
		}
		c.address, c.front = w.address, w.process
		c.count = func() (int64, error) {
			n, err := metric(w.metrics, "weir_async_depth")
			return int64(n) + 1, err // one runs
		}
	case redisStore:
		err = b.startRedis(ctx, dir, c)
	case postgresStore:
		err = b.startPostgres(ctx, dir, c)
	}
	if err != nil {
		return nil, err
	}
	return c, await(ctx, c.front, "the first call", func() error { return post(c.address) })
}

// weir is a running weir.
type weir struct {
	*process
	address, metrics string
}

func (b *parts) startWeir(ctx context.Context, dir, function string, limit int) (*weir, error) {
	w := &weir{}
	var err error
	if w.address, err = freeAddress(); err != nil {
		return nil, err
	}
	if w.metrics, err = freeAddress(); err != nil {
		return nil, err
	}
	w.process, err = startServer(dir, "weir", nil, b.weir, "run", "--listen", w.address, "--metrics-listen", w.metrics, "--admin-listen", "127.0.0.1:0",
		"--upstream", "http://"+function, "--function", "f", "--max-inflight", strconv.Itoa(limit), "--drain-timeout", "100ms",
		"--async", "--async-dir", filepath.Join(dir, "calls"), "--async-max-store", "16GiB")
	return w, err
}

func (b *parts) startRedis(ctx context.Context, dir string, c *candidate) (err error) {
	socket := filepath.Join(dir, "redis.sock")
	if c.store, err = startServer(dir, "redis", nil, "redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0", "--save", ""); err != nil {
		return err
	}
	c.count = func() (int64, error) {
		client, err := openRedis(socket)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		return client.Do(ctx, client.B().Llen().Key(redisList).Build()).AsInt64()
	}
	if err := await(ctx, c.store, "redis", func() error { _, err := c.count(); return err }); err != nil {
		return err
	}
	c.front, err = startServer(dir, "front", nil, b.self, "-serve", "redis", "-socket", socket, "-listen", c.address)
	return err
}

// startPostgres runs as the user of that name where we are root, for it refuses to be.
func (b *parts) startPostgres(ctx context.Context, dir string, c *candidate) (err error) {
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	var as *syscall.Credential
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(data, uid, gid)); err != nil {
			return err
		}
		as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	setup := exec.CommandContext(ctx, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N")
	setup.Dir, setup.SysProcAttr = data, &syscall.SysProcAttr{Credential: as}
	if out, err := setup.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if c.store, err = startServer(dir, "postgres", as, "postgres", "-D", data, "-k", data, "-c", "listen_addresses=", "-c", "fsync=on",
		"-c", "synchronous_commit=on", "-c", "max_connections=200", "-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB"); err != nil {
		return err
	}
	query := func(sql string) (n int64, err error) {
		db, err := openPostgres(ctx, data, 1)
		if err != nil {
			return 0, err
		}
		defer db.Close()
		return n, db.QueryRow(ctx, sql).Scan(&n)
	}
	if err := await(ctx, c.store, "postgres", func() error { _, err := query("SELECT 1::bigint"); return err }); err != nil {
		return err
	}
	db, err := openPostgres(ctx, data, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec(ctx, "CREATE TABLE calls (id text PRIMARY KEY, call bytea NOT NULL)"); err != nil {
		return err
	}
	c.count = func() (int64, error) { return query("SELECT count(*) FROM calls") }
	c.front, err = startServer(dir, "front", nil, b.self, "-serve", "postgres", "-socket", data, "-listen", c.address, "-pool", strconv.Itoa(b.pool))
	return err
}

// measure puts one candidate under load.
func (b *parts) measure(ctx context.Context, name string, seconds int) (*load, error) {
	c, err := b.start(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l, err := func() (*load, error) {
		if _, err := post128(ctx, b.dir, c.address, 1); err != nil {
			return nil, err
		}
		before, err := c.count()
		if err != nil {
			return nil, err
		}
		l, err := post128(ctx, b.dir, c.address, seconds)
		if err != nil {
			return nil, err
		}
		// What was on its way when wrk stopped is stored and not counted there.
		after, err := c.count()
		if stored := after - before; err == nil && (stored < int64(l.requests) || stored > int64(l.requests)+256) {
			err = fmt.Errorf("%d calls were accepted, %d are stored", l.requests, stored)
		}
		return l, err
	}()
	if err = errors.Join(err, c.stop()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, os.RemoveAll(filepath.Join(b.dir, strconv.Itoa(b.runs)))
}

// newFunction serves a function that takes its time, or none.
func newFunction(delay time.Duration) (address string, err error) {
	if address, err = freeAddress(); err != nil {
		return "", err
	}
	s := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = s.ListenAndServe() }() // until the process ends
	return address, nil
}
