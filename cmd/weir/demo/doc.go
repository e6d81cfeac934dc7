// Package demo shows weir at work: a sample function of uneven durations, a
// sidecar in front of it that somebody else has wired, callers that come and go
// over real sockets, and a live view of what the sidecar measures. Every figure
// shown is measured while it is shown.
package demo
