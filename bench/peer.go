//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Names of the proxies that are measured, in the order of the tables.
const (
	weir         = "weir"
	haproxy      = "HAProxy"
	nginx        = "nginx"
	reverseProxy = "ReverseProxy"
	weirNetHTTP  = "weir (nethttp)"
)

var allPeers = []string{weir, haproxy, nginx, reverseProxy, weirNetHTTP}

// peer is a proxy in front of the function.
type peer struct {
	*process
	kind    string // its name in the tables
	address string
	large   string // address for large bodies, "" for the same
	stats   string // host:port of /metrics with go_memstats_mallocs_total, "" where there is none
}

// parts are where the binaries and the function are.
type parts struct {
	dir                string
	weir, reverseProxy string
	function           *function
	threads            int // of each proxy: weir's GOMAXPROCS
	started            int // so that names of files differ
}

// start runs a proxy with a limit on requests in flight and waits until it
// serves. refuse makes HAProxy, whose maxconn queues, refuse what is above.
func (b *parts) start(ctx context.Context, name string, limit int, refuse, h2c bool) (*peer, error) {
	p := &peer{kind: name}
	var err error
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	upstream := "http://" + b.function.http1
	if h2c {
		upstream = "h2c://" + b.function.h2c
	}
	b.started++
	id := fmt.Sprintf("%s-%d", strings.NewReplacer(" (", "-", ")", "").Replace(strings.ToLower(name)), b.started)
	if name == weir || name == weirNetHTTP || name == reverseProxy {
		if p.stats, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	switch name {
	case weir, weirNetHTTP:
		engine := "own"
		if name == weirNetHTTP {
			engine = "nethttp"
		}
		p.process, err = startProcess(b.dir, id, b.weir, "run", "--listen", p.address, "--metrics-listen", p.stats, "--admin-listen", "127.0.0.1:0",
			"--upstream", upstream, "--max-inflight", strconv.Itoa(limit), "--http-engine", engine, "--client-idle-timeout", "300s",
			"--upstream-max-idle", "4096")
	case reverseProxy:
		p.process, err = startProcess(b.dir, id, b.reverseProxy, "-listen", p.address, "-stats", p.stats,
			"-upstream", upstream, "-limit", strconv.Itoa(limit))
	case haproxy:
		if p.large, err = freeAddress(); err != nil {
			return nil, err
		}
		p.process, err = b.startHAProxy(id, p.address, p.large, limit, refuse)
	case nginx:
		p.process, err = startNginx(b.dir, id, nginxConfig, "@LISTEN", p.address, "@FUNCTION", b.function.http1,
			"@LIMIT", strconv.Itoa(limit), "@WORKERS", strconv.Itoa(b.threads), "@ID", id)
	default:
		err = fmt.Errorf("unknown proxy %q", name)
	}
	if err != nil {
		return nil, err
	}
	if err := p.ready(ctx, h2c); err != nil {
		select {
		case <-p.ended:
			return nil, err
		default:
			return nil, errors.Join(err, p.stop())
		}
	}
	return p, nil
}

// nginxConfig streams bodies both ways instead of writing them to files.
const nginxConfig = `
@USER
worker_processes @WORKERS;
daemon off;
pid @DIR/@ID.pid;
error_log stderr crit;
worker_rlimit_nofile 20000;
events { worker_connections 10000; multi_accept on; }
http {
    access_log off;
    client_body_temp_path @DIR/@ID-body;
    proxy_temp_path @DIR/@ID-proxy;
    fastcgi_temp_path @DIR/@ID-fastcgi;
    uwsgi_temp_path @DIR/@ID-uwsgi;
    scgi_temp_path @DIR/@ID-scgi;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    client_max_body_size 0;
    limit_conn_zone $server_port zone=function:1m;
    limit_conn_status 429;
    limit_conn_log_level info;
    upstream function {
        server @FUNCTION;
        keepalive 1024;
        keepalive_requests 1000000000;
    }
    server {
        listen @LISTEN backlog=4096;
        limit_conn function @LIMIT;
        location / {
            proxy_pass http://function;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_buffers 16 16k;
            proxy_max_temp_file_size 0;
            proxy_request_buffering off;
        }
    }
}
`

// haproxyConfig has a second way in for large bodies, which moves them inside the
// kernel, as weir does: about half the CPU for them, and a little more for small
// ones. splice-auto does not set in.
const haproxyConfig = `
global
    nbthread @THREADS
    maxconn 9900
    maxpipes 64
defaults
    mode http
    option forwardfor
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 5s
    timeout http-request 10s
    timeout http-keep-alive 300s
frontend in
    bind @LISTEN backlog 4096
    maxconn 9900
    @REFUSE
    default_backend function
backend function
    server function @FUNCTION maxconn @LIMIT pool-max-conn -1
frontend large
    bind @LARGE
    default_backend large
backend large
    option splice-response
    option splice-request
    server function @FUNCTION maxconn @LIMIT pool-max-conn -1
`

func (b *parts) startHAProxy(id, address, large string, limit int, refuse bool) (*process, error) {
	rule := ""
	if refuse {
		rule = "http-request deny deny_status 429 if { srv_conn(function/function) ge " + strconv.Itoa(limit) + " }"
	}
	config := strings.NewReplacer("@THREADS", strconv.Itoa(b.threads), "@LISTEN", address, "@FUNCTION", b.function.http1,
		"@LIMIT", strconv.Itoa(limit), "@REFUSE", rule, "@LARGE", large).Replace(haproxyConfig)
	file := filepath.Join(b.dir, id+".cfg")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return startProcess(b.dir, id, "haproxy", "-db", "-f", file)
}

// readyWithin is what a server has to begin to serve.
const readyWithin = 10 * time.Second

// ready waits until the proxy passes a request on.
func (p *peer) ready(ctx context.Context, h2c bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	t := &http.Transport{DisableKeepAlives: true, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(!h2c)
	t.Protocols.SetUnencryptedHTTP2(h2c)
	defer t.CloseIdleConnections()
	c := &http.Client{Transport: t}
	for {
		status, body, err := get(ctx, c, "http://"+p.address+"/50")
		if err == nil && status == http.StatusOK && len(body) == smallBody {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %v; it wrote:\n%s", p.name, p.err, p.output())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve GET /50 on %s after %v: status %d, %d bytes, error %v; it wrote:\n%s", p.name, p.address, readyWithin, status, len(body), err, p.output())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, c *http.Client, url string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// metric reads a value from the proxy's /metrics: the sum of all series of the
// name that have the given label text.
func (p *peer) metric(ctx context.Context, name, label string) (float64, error) {
	status, body, err := get(ctx, http.DefaultClient, "http://"+p.stats+"/metrics")
	if err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("%s: /metrics: status %d, error %v", p.name, status, err)
	}
	return sumMetric(string(body), name, label)
}

func sumMetric(exposition, name, label string) (float64, error) {
	sum, found := 0.0, false
	for line := range strings.Lines(exposition) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '{') || !strings.Contains(rest, label) {
			continue
		}
		text := strings.TrimSpace(rest[strings.LastIndexByte(rest, '}')+1:])
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, fmt.Errorf("/metrics: %q: %w", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("/metrics: no %s with %q", name, label)
	}
	return sum, nil
}
