// Command bench measures weir beside other proxies with the same limit, on this
// machine, in one run: HAProxy, nginx, a tuned net/http ReverseProxy, and weir on
// its net/http engine. Every process is its own, on loopback, and is stopped at
// the end.
//
// Load generator, function and proxy share the machine's cores. What a proxy
// costs is therefore its CPU time, as the kernel accounts it to its processes,
// divided by the requests that were answered; peers take turns within each round,
// and ratios are taken within a round. Requests a second and latencies are those
// of a machine that is busy with all three.
//
// A measurement that did not measure what it says (another status, a socket
// error, too few or too many bytes, a slot that was free) is invalid; so is its
// cell, and no ratio is taken with it.
//
// It needs Linux, wrk, h2load, nginx, haproxy and strace: see make bench.
package main
