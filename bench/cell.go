//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// cell is one kind of load, measured at several proxies.
type cell struct {
	name        string
	title       string
	path        string
	connections int
	response    int // bytes of each response's body
	upload      int // bytes of each request's body
	refused     bool
	h2c         bool
	judged      bool // a row of what must hold is about it: measured in every round
	peers       []string
}

// bytesPer is what the large bodies are measured by, 0 for the small.
func (c *cell) bytesPer() int {
	if n := max(c.response, c.upload); n >= mib {
		return n
	}
	return 0
}

const (
	// forwardLimit is above every load that is to be forwarded.
	forwardLimit = 1024
	// tightLimit is held full while refusals are measured, with ten times as many
	// connections asking.
	tightLimit = 10
)

// Names of the cells that rows of what must hold are about.
const (
	cellSmall  = "50B-32"
	cellLarge  = "10MiB"
	cellRefuse = "refused"
	cellH2C    = "h2c"
)

var cells = []*cell{
	{name: "50B-1", title: "50 B responses, 1 connection", path: "/50", connections: 1, response: smallBody, peers: allPeers},
	{name: cellSmall, title: "50 B responses, 32 connections", path: "/50", connections: 32, response: smallBody, judged: true, peers: allPeers},
	{name: "50B-512", title: "50 B responses, 512 connections", path: "/50", connections: 512, response: smallBody, peers: allPeers},
	{name: "64KiB", title: "64 KiB responses, 32 connections", path: "/64k", connections: 32, response: mediumBody, peers: allPeers},
	{name: cellLarge, title: "10 MiB responses, 8 connections", path: "/10m", connections: 8, response: largeBody, judged: true, peers: allPeers},
	{name: "up-1KiB", title: "1 KiB uploads, 32 connections", path: "/upload", connections: 32, response: smallBody, upload: kib, peers: allPeers},
	{name: "up-10MiB", title: "10 MiB uploads, 8 connections", path: "/upload", connections: 8, response: smallBody, upload: largeBody, peers: allPeers},
	{name: cellRefuse, title: fmt.Sprintf("Refusals: limit %d, all of it held, %d connections asking", tightLimit, 10*tightLimit), path: "/50", connections: 10 * tightLimit, refused: true, judged: true, peers: allPeers},
	{name: cellH2C, title: "h2c to h2c, 64 B messages as of gRPC, 8 connections of 16 streams", path: "/upload", connections: 8, response: smallBody, upload: 64, h2c: true, judged: true, peers: []string{weir, reverseProxy}},
}

// sample is one measurement of a cell at one proxy.
type sample struct {
	requests  int
	took      time.Duration
	cpu       time.Duration // of the proxy
	p50, p99  time.Duration
	rss       int64
	allocs    float64 // a request; negative where the proxy does not tell
	processed int64   // bytes of bodies, where the cell is measured by them
	invalid   string  // why it did not measure what it should have
}

func (s *sample) cpuPerRequest() float64 { return float64(s.cpu) / float64(s.requests) } // ns
func (s *sample) rate() float64          { return float64(s.requests) / s.took.Seconds() }
func (s *sample) cpuPerGiB() float64 { // ns
	return float64(s.cpu) / (float64(s.processed) / gib)
}

// loaded is what a load generator saw.
type loaded struct {
	requests int
	took     time.Duration
	p50, p99 time.Duration
	bytes    int64 // read, of bodies and heads, begun responses included
	invalid  string
}

// measure puts the cell's load on a proxy for some seconds.
func (c *cell) measure(ctx context.Context, p *peer, dir string, seconds int) (*sample, error) {
	s := &sample{allocs: -1}
	invalidate := func(format string, a ...any) {
		if s.invalid == "" {
			s.invalid = fmt.Sprintf(format, a...)
		}
	}
	if c.refused {
		held, err := hold(ctx, p.address, tightLimit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		defer held.close()
		defer func() {
			if n := held.lost(); n > 0 {
				invalidate("%d of %d slots were not held to the end", n, tightLimit)
			}
		}()
		if status, _, err := get(ctx, probeClient(), "http://"+p.address+"/50"); err != nil || status != http.StatusTooManyRequests {
			invalidate("with the limit held, a request was answered %d (%v)", status, err)
		}
	}

	var before allocations
	if p.stats != "" {
		var err error
		if before, err = p.allocations(ctx); err != nil {
			return nil, err
		}
	}
	throttlesBefore, err := c.throttles(ctx, p)
	if err != nil {
		return nil, err
	}
	cpu, err := p.cpu()
	if err != nil {
		return nil, err
	}
	address := p.address
	if c.bytesPer() > 0 && p.large != "" {
		address = p.large
	}
	var l *loaded
	if c.h2c {
		l, err = c.runH2Load(ctx, address, dir, seconds)
	} else {
		l, err = c.runWrk(ctx, address, dir, seconds)
	}
	if err != nil {
		return nil, err
	}
	after, err := p.cpu()
	if err != nil {
		return nil, err
	}
	s.cpu = after - cpu
	s.requests, s.took, s.p50, s.p99 = l.requests, l.took, l.p50, l.p99
	if s.rss, err = p.rss(); err != nil {
		return nil, err
	}
	if l.invalid != "" {
		invalidate("%s", l.invalid)
	}
	if s.requests == 0 {
		invalidate("not one request was answered")
		return s, nil
	}
	switch {
	case c.upload >= mib:
		s.processed = int64(s.requests) * int64(c.upload)
	case c.response >= mib:
		s.processed = l.bytes
	}
	if p.stats != "" {
		mallocs, err := p.metric(ctx, mallocsMetric, "")
		if err != nil {
			return nil, err
		}
		// A scrape allocates too: as much as the one before did.
		s.allocs = max(0, mallocs-before.mallocs-before.scrape) / float64(s.requests)
	}
	throttled, err := c.throttles(ctx, p)
	if err != nil {
		return nil, err
	}
	if c.refused && p.isWeir() {
		// What was on its way when the load ended is counted by weir alone.
		if n := int(throttled - throttlesBefore); n < s.requests || n > s.requests+c.connections {
			invalidate("weir counted %d refusals, the load %d", n, s.requests)
		}
	}
	return s, nil
}

func (p *peer) isWeir() bool { return p.kind == weir || p.kind == weirNetHTTP }

// throttles is weir's own count of refusals, for a cell of refusals.
func (c *cell) throttles(ctx context.Context, p *peer) (float64, error) {
	if !c.refused || !p.isWeir() {
		return 0, nil
	}
	return p.metric(ctx, "weir_throttles_total", `reason="max_inflight"`)
}

const mallocsMetric = "go_memstats_mallocs_total"

type allocations struct{ mallocs, scrape float64 }

// allocations counts the proxy's allocations so far, and what a scrape adds.
func (p *peer) allocations(ctx context.Context) (a allocations, err error) {
	var m [3]float64
	for i := range m {
		if m[i], err = p.metric(ctx, mallocsMetric, ""); err != nil {
			return a, err
		}
	}
	return allocations{mallocs: m[2], scrape: m[2] - m[1]}, nil
}
