//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30

	smallBody  = 50
	mediumBody = 64 * kib
	largeBody  = 10 * mib
)

// function is what stands behind every proxy: nginx with one worker.
type function struct {
	*process
	http1 string // address
	h2c   string // address, HTTP/2 with prior knowledge
}

// functionConfig answers GET /50 and POST /upload with 50 bytes, /64k and /10m
// with files, and /slow, after what any proxy may want to buffer, so slowly that it
// holds a slot for a minute and a half. /upload
// answers once it has all of the body: the mirror reads it, then the handler for
// files refuses the method, which the named location turns into the answer.
const functionConfig = `
@USER
worker_processes 1;
daemon off;
pid @DIR/function.pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
    access_log off;
    client_body_temp_path @DIR/function-body;
    proxy_temp_path @DIR/function-proxy;
    fastcgi_temp_path @DIR/function-fastcgi;
    uwsgi_temp_path @DIR/function-uwsgi;
    scgi_temp_path @DIR/function-scgi;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    open_file_cache max=16;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_buffer_size 11m;
    http2_max_concurrent_streams 1024;
    server {
        listen @HTTP1 backlog=4096;
        listen @H2C http2 backlog=4096;
        root @DIR/files;
        location = /50 { return 200 "@SMALL"; }
        location = /64k { }
        location = /10m { }
        location = /slow { limit_rate_after 16k; limit_rate 512; }
        location = /upload { mirror /drop; error_page 405 =200 @uploaded; }
        location = /drop { internal; return 204; }
        location @uploaded { return 200 "@SMALL"; }
    }
}
`

func startFunction(dir string) (*function, error) {
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		return nil, err
	}
	for name, size := range map[string]int{"64k": mediumBody, "10m": largeBody, "slow": mediumBody, "upload": 0} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(strings.Repeat("x", size)), 0o644); err != nil {
			return nil, err
		}
	}
	f := &function{}
	var err error
	if f.http1, err = freeAddress(); err != nil {
		return nil, err
	}
	if f.h2c, err = freeAddress(); err != nil {
		return nil, err
	}
	f.process, err = startNginx(dir, "function", functionConfig, "@HTTP1", f.http1, "@H2C", f.h2c, "@SMALL", strings.Repeat("x", smallBody))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// startNginx runs nginx with a configuration in which words have been replaced.
func startNginx(dir, name, config string, words ...string) (*process, error) {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // who can read our directory
	}
	config = strings.NewReplacer(append(words, "@DIR", dir, "@USER", user)...).Replace(config)
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	p, err := startProcess(dir, name, "nginx", "-p", dir, "-e", "stderr", "-c", file)
	if err != nil {
		return nil, fmt.Errorf("nginx as %s: %w", name, err)
	}
	return p, nil
}
