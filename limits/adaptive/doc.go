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
// Time is cut into windows that hold enough calls for their noise. The latency of each
// window in which the limit mattered is kept with the limit at which it was measured.
// After each, S and C are fitted to all that is kept (record.knee), and
//
//   - L becomes the C that fits best. Evidence adds up instead of being judged one window
//     at a time, and a step up takes as much of it as a step down; two neighbouring limits
//     do not alternate for ever. S comes out of the same fit: Gradient2 (Netflix's
//     concurrency-limits, 2018) and TCP Vegas (Brakmo and Peterson, 1995) take it from what
//     they measure under load, the one as a slow mean, which drifts up with what the limit
//     itself lets in, the other as a minimum, which has to be measured anew and then
//     forgets. Here, that latency follows concurrency is what tells S from waiting, as in
//     the correlation-guarded descendants of Vegas (failsafe-go's adaptive limiter, 2025).
//   - While the knee may be above all that was measured, a higher limit is tried, and while
//     it may be below, a lower one: each where the other side is the less likely, and by
//     growing steps, since two limits are told apart by the ratio of their latencies (hill
//     climbing by finite differences after Kiefer and Wolfowitz, 1952, as the .NET thread
//     pool does it). The descent may go down to one, for a function with room for one; it
//     ends where latency no longer falls.
//   - Around a knee that is known, a trial of half as many calls more, now and then, looks
//     whether the function has got more room. It turns nobody away.
//   - A dip, one window at a lower limit, takes place only where S is not clear enough to
//     tell L from the next lower limit, and the load is more than L lets in. There is no
//     window of minimal concurrency, as Envoy's gradient controller has.
//   - What differs from what the same limit gave before is measured again before anything
//     follows from it, up to four times (after Wald's sequential test, 1945). If it is
//     still another, so is the function, and what was known of it counts for next to
//     nothing: neither a function that lost room nor one that became slower is mistaken for
//     the other. Otherwise it is added to the rest. A measurement counts half after a
//     minute.
//
// L goes down only while more calls come than the function can run; a load below that is
// no reason to turn bursts away, and L may stand a fifth above C. Nothing moves while the
// function is not limited by L, but for that fifth: neither drift nor growth. Failures
// (timeouts, 5xx) in more than a tenth of a window's calls take a tenth off L. A 429 of
// the function itself says that it is full: L goes below what was in flight. L is at
// least 1.
//
// # How soon
//
// Two limits whose latencies differ by a part d are told apart by some (3 v/d)^2 calls,
// where v is the coefficient of variation of the service: for neighbours around C = 1 a
// hundred, around C = 3 a few hundred where v is 1. Services that vary more, or run so few
// calls, take longer in proportion.
package adaptive
