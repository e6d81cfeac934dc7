//go:build linux

package main

import (
	"fmt"
	"slices"
)

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// figure is one number of a sample.
type figure func(*sample) float64

var (
	cpuMicros  figure = func(s *sample) float64 { return s.cpuPerRequest() / 1e3 }
	cpuSeconds figure = func(s *sample) float64 { return s.cpuPerGiB() / 1e9 }
	rate       figure = func(s *sample) float64 { return s.rate() }
	p50Millis  figure = func(s *sample) float64 { return s.p50.Seconds() * 1e3 }
	p99Millis  figure = func(s *sample) float64 { return s.p99.Seconds() * 1e3 }
	rssMiB     figure = func(s *sample) float64 { return float64(s.rss) / mib }
	allocs     figure = func(s *sample) float64 { return s.allocs }
)

// of returns a figure of all rounds, and an error where the cell was not measured
// or is invalid.
func (r *results) of(cell, peer string, f figure) ([]float64, error) {
	samples := r.samples[cell][peer]
	if len(samples) == 0 {
		return nil, fmt.Errorf("not measured: %s at %s", cell, peer)
	}
	var v []float64
	for i, s := range samples {
		if s.invalid != "" {
			return nil, fmt.Errorf("invalid: %s at %s, round %d: %s", cell, peer, i+1, s.invalid)
		}
		v = append(v, f(s))
	}
	return v, nil
}

// ratios are figure(cell, peer)/figure(ofCell, ofPeer), round by round.
func (r *results) ratios(cell, peer, ofCell, ofPeer string, f figure) ([]float64, error) {
	a, err := r.of(cell, peer, f)
	if err != nil {
		return nil, err
	}
	b, err := r.of(ofCell, ofPeer, f)
	if err != nil {
		return nil, err
	}
	if len(a) != len(b) {
		return nil, fmt.Errorf("not measured in the same rounds: %s at %s, %s at %s", cell, peer, ofCell, ofPeer)
	}
	for i := range a {
		if b[i] == 0 {
			return nil, fmt.Errorf("invalid: %s at %s, round %d: nothing to divide by", ofCell, ofPeer, i+1)
		}
		a[i] /= b[i]
	}
	return a, nil
}

// row is a line of what must hold.
type row struct {
	figure, want, measured, verdict string
}

const (
	holds    = "holds"
	fails    = "does not"
	unjudged = "not judged"
)

// judge makes a row of values, whose median is held against a bound.
func judge(figure, want string, values []float64, err error, format string, ok func(median float64) bool) row {
	if err != nil {
		return row{figure, want, err.Error(), unjudged}
	}
	m := median(values)
	w := row{figure, want, fmt.Sprintf(format, m), fails}
	if len(values) > 1 {
		w.measured += fmt.Sprintf(" ("+format+" to "+format+")", slices.Min(values), slices.Max(values))
	}
	if ok(m) {
		w.verdict = holds
	}
	return w
}

// noAllocation is what may be left a request of what is not the requests': the
// probes of the function, the making of connections.
const noAllocation = 0.05

// rows are what must hold, with what was measured.
func (r *results) rows() []row {
	atMost := func(bound float64) func(float64) bool { return func(m float64) bool { return m <= bound } }
	atLeast := func(bound float64) func(float64) bool { return func(m float64) bool { return m >= bound } }
	const ratio = "%.2f"
	var rows []row
	add := func(figure, want string, values []float64, err error, format string, ok func(float64) bool) {
		rows = append(rows, judge(figure, want, values, err, format, ok))
	}

	v, err := r.ratios(cellSmall, weir, cellSmall, haproxy, cpuMicros)
	add("CPU a request, 32 connections, 50 B: weir / HAProxy", "at most 1.0", v, err, ratio, atMost(1))
	v, err = r.ratios(cellSmall, reverseProxy, cellSmall, weir, cpuMicros)
	add("CPU a request, 32 connections, 50 B: ReverseProxy / weir", "at least 3.5", v, err, ratio, atLeast(3.5))
	v, err = r.ratios(cellSmall, weir, cellSmall, haproxy, p99Millis)
	add("p99, 32 connections, 50 B: weir / HAProxy", "at most 1.2", v, err, ratio, atMost(1.2))
	v, err = r.ratios(cellLarge, weir, cellLarge, haproxy, cpuSeconds)
	add("CPU per GiB of 10 MiB responses: weir / HAProxy", "at most 1.1", v, err, ratio, atMost(1.1))
	v, err = r.ratios(cellRefuse, weir, cellSmall, weir, cpuMicros)
	add("CPU of a refusal / of a forwarded request, weir", "at most 0.5", v, err, ratio, atMost(0.5))
	v, err = r.of(cellRefuse, weir, p99Millis)
	add("p99 of refusals, weir", "under 5 ms", v, err, "%.2f ms", func(m float64) bool { return m < 5 })
	v, err = r.idleRatio()
	add("RSS with idle connections: weir / HAProxy", "at most 1.5", v, err, ratio, atMost(1.5))
	v, err = r.of(cellSmall, weir, allocs)
	add("allocations a forwarded request, weir", fmt.Sprintf("0 (under %.2f, see below)", noAllocation), v, err, "%.3f", func(m float64) bool { return m < noAllocation })
	v, err = r.ratios(cellH2C, reverseProxy, cellH2C, weir, cpuMicros)
	add("CPU a call, h2c: ReverseProxy / weir", "at least 1.0", v, err, ratio, atLeast(1))
	return rows
}

func (r *results) idleRatio() ([]float64, error) {
	for _, name := range []string{weir, haproxy} {
		switch s := r.idle[name]; {
		case s == nil:
			return nil, fmt.Errorf("not measured: idle at %s", name)
		case s.invalid != "":
			return nil, fmt.Errorf("invalid: idle at %s: %s", name, s.invalid)
		}
	}
	return []float64{float64(r.idle[weir].after) / float64(r.idle[haproxy].after)}, nil
}
