package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"weir/limits"
	"weir/metrics"
	"weir/proxy"
	"weir/queue"
)

// put stores a call under its id.
type put func(ctx context.Context, id queue.ID, call []byte) error

// enqueuer is the proxy's way into another store than weir's.
type enqueuer struct{ put put }

func (e enqueuer) Enqueue(ctx context.Context, r *proxy.AsyncRequest) (proxy.AsyncReceipt, error) {
	now := time.Now()
	c := &queue.Call{
		ID: queue.NewID(now), Method: r.Method, Target: r.Target, Host: r.Host, Fields: make([]queue.Field, len(r.Fields)),
		EnqueuedAt: now, ExpiresAt: now.Add(6 * time.Hour),
	}
	for i, f := range r.Fields {
		c.Fields[i] = queue.Field(f)
	}
	data := append(c.AppendHead(make([]byte, 0, 512+len(r.Body))), r.Body...)
	if err := e.put(ctx, c.ID, data); err != nil {
		return proxy.AsyncReceipt{}, errors.Join(proxy.ErrQueueUnavailable, err)
	}
	return proxy.AsyncReceipt{ID: string(c.ID)}, nil
}

// CheckCallback is for calls that name one; none of wrk's do.
func (enqueuer) CheckCallback(string) error { return nil }

// Await is for clients that wait; none of wrk's do.
func (enqueuer) Await(context.Context, string) (*proxy.AsyncResponse, error) { return nil, nil }

// serve is the front of a store, until SIGTERM.
func serve(store, socket, listen string, pool int) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	debug.SetGCPercent(400) // as much room as weir gives itself under load
	var e enqueuer
	switch store {
	case "redis":
		client, err := openRedis(socket)
		if err != nil {
			return err
		}
		defer client.Close()
		e.put = func(ctx context.Context, _ queue.ID, call []byte) error {
			return client.Do(ctx, client.B().Lpush().Key(redisList).Element(rueidis.BinaryString(call)).Build()).Error()
		}
	case "postgres":
		db, err := openPostgres(ctx, socket, pool)
		if err != nil {
			return err
		}
		defer db.Close()
		e.put = func(ctx context.Context, id queue.ID, call []byte) error {
			_, err := db.Exec(ctx, "INSERT INTO calls (id, call) VALUES ($1, $2)", string(id), call)
			return err
		}
	default:
		return fmt.Errorf("-serve %q: redis or postgres", store)
	}
	gate, err := limits.NewGate(limits.Policy{MaxInflight: 1})
	if err != nil {
		return err
	}
	upstream, err := proxy.NewUpstream(proxy.UpstreamOptions{Scheme: "http", Address: "127.0.0.1:1", ConnectTimeout: time.Second, IdleTimeout: time.Minute, MaxIdle: 1})
	if err != nil {
		return err
	}
	p := proxy.New(proxy.Options{
		Gate: gate, Metrics: metrics.New(metrics.Options{Function: "f", Gate: gate.Snapshot}), Upstream: upstream, Log: slog.Default(), Enqueuer: e,
		Settings: proxy.Settings{
			RequestTimeout: time.Minute, ClientReadTimeout: 30 * time.Second, ClientWriteTimeout: 30 * time.Second,
			Async: &proxy.AsyncSettings{Function: "f", MaxBody: 64 << 20},
		},
	})
	server, err := proxy.NewServer(p, proxy.ServerOptions{HeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	return server.Serve(ln)
}

const redisList = "calls"

func openRedis(socket string) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{socket}, DisableCache: true, AlwaysPipelining: true, ForceSingleClient: true,
		DialCtxFn: func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
	})
}

func openPostgres(ctx context.Context, socket string, pool int) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(fmt.Sprintf("host=%s user=postgres database=postgres pool_max_conns=%d", socket, pool))
	if err != nil {
		return nil, err
	}
	c.MinConns = int32(pool)
	return pgxpool.NewWithConfig(ctx, c)
}
