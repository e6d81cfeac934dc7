// Package adaptive finds how many calls a function can run at once, from what
// every proxy sees: how many are in flight and how many end.
//
// # The rule
//
// A function with room for C calls answers in S while fewer run, and makes each
// wait inside once more do: R(n) = S max(1, n/C). Throughput is n/R by Little's
// law, so that beyond C only latency grows. The limit L is to be C: the knee, where
// throughput over latency is greatest (Kleinrock's power, 1979).
//
// Time is cut into windows that hold enough calls for their noise. Of a window in
// which the limit mattered:
//
//   - L shrinks to L S/R where R/S says that calls wait inside. That is the
//     gradient of Netflix's Gradient2 (concurrency-limits, 2018), and the queue
//     estimate of TCP Vegas (Brakmo and Peterson, 1995) in another form. Both take S
//     from what they measure under load, the one as a slow mean, the other as a
//     minimum that has to be measured anew: under steady overload the first drifts up
//     with what the limit itself lets in, and the second forgets.
//   - So S is learned only where the knee is not: from windows whose concurrency
//     was lower, and in which latency did not fall with it. That latency follows
//     concurrency is the guard that correlation-guarded descendants of Vegas apply to
//     all samples (failsafe-go's adaptive limiter, 2025); here it is an experiment of
//     one window, below.
//   - L grows by a trial: one window with a higher limit. Where its latency grew by
//     less than half as much as its concurrency, throughput gained more than latency
//     lost, and L stays there (the power rule again; hill climbing by finite
//     differences after Kiefer and Wolfowitz, 1952, as the .NET thread pool does it).
//     Trials that succeed follow each other with growing steps; ones that fail grow
//     rare.
//   - A dip, the opposite trial, checks S: one window with a lower limit. Where
//     latency falls with concurrency, calls were waiting inside, S was too high, and
//     the descent goes on. Where it does not, the window was below the knee and what it
//     measured is S: the limit returns at once. A dip takes place only while the limit
//     turns calls away anyway, seldom once it has confirmed S, and never goes to one:
//     no window of minimal concurrency, as Envoy's gradient controller has.
//   - The same check follows a large shrink: a function that became slower without
//     having less room is told from one that lost room, and L returns.
//
// Nothing moves while the function is not limited by L: neither drift nor growth.
// Failures (timeouts, 5xx) in more than a tenth of a window's calls take a tenth off
// L. A 429 of the function itself says that it is full: L goes below what was in
// flight. L is at least 1.
package adaptive
