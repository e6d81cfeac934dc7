// Command reverseproxy is what weir is measured against: a small proxy on
// net/http and httputil.ReverseProxy, tuned as one would for this work, with a
// limit on requests in flight. It does nothing else: no metrics of requests, no
// checks, no deadlines.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reverseproxy:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "where requests come in; HTTP/1.1 and h2c")
	upstream := flag.String("upstream", "", "the function, http://host:port or h2c://host:port")
	limit := flag.Int("limit", 0, "requests in flight at most, 429 above")
	stats := flag.String("stats", "", "where /metrics tells of allocations; empty for nowhere")
	flag.Parse()
	target, err := url.Parse(*upstream)
	if err != nil || target.Host == "" {
		return fmt.Errorf("-upstream %q is not http://host:port or h2c://host:port", *upstream)
	}
	if *limit <= 0 {
		return fmt.Errorf("-limit %d is not positive", *limit)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := &http.Server{Handler: limited(*limit, proxyTo(target)), Protocols: new(http.Protocols), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if *stats != "" {
		sl, err := net.Listen("tcp", *stats)
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /metrics", serveStats)
		ss := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		go func() {
			if err := ss.Serve(sl); err != nil {
				fmt.Fprintln(os.Stderr, "reverseproxy: serve -stats:", err)
			}
		}()
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	if err := s.Close(); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func proxyTo(target *url.URL) http.Handler {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		Protocols:           new(http.Protocols),
	}
	if target.Scheme == "h2c" {
		t.Protocols.SetUnencryptedHTTP2(true)
	} else {
		t.Protocols.SetHTTP1(true)
	}
	target = &url.URL{Scheme: "http", Host: target.Host}
	return &httputil.ReverseProxy{
		Transport:  t,
		BufferPool: &buffers{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
	}
}

// buffers are what bodies are copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// limited lets limit requests in at once.
func limited(limit int, h http.Handler) http.Handler {
	slots := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		defer func() { <-slots }()
		h.ServeHTTP(w, r)
	})
}

func serveStats(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_, _ = fmt.Fprintf(w, "go_memstats_mallocs_total %d\n", m.Mallocs) // the reader sees a body cut short
}
