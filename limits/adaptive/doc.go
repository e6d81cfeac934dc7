// Package adaptive finds how many calls a function can run at once, from what
// every proxy sees: how many are in flight and how many end.
//
// # The rule
//
// A function with room for C calls answers in S while fewer run, and makes each
// wait inside once more do: in the mean it takes R = S N/B, where N calls are in flight
// of which B run, at most C. Throughput is N/R by Little's law, so that beyond C only
// latency grows. The limit L is to be C: the knee, where throughput over latency is
// greatest (Kleinrock's power, 1979).
//
// Time is cut into windows that hold enough calls for their noise. Each window in which
// the limit mattered gives one R, and what is known of C and S is how likely each pair of
// them is (belief): a Bayes filter on a grid, as those that track what cannot be seen
// (Jazwinski, "Stochastic Processes and Filtering Theory", 1970).
//
//   - A pair for which R is likely gains, the others lose, by the noise that so few calls
//     have. B is that of the queue M/M/C/L with N calls in the mean, so that it counts
//     that not all slots are in use all the time. N is that of the windows before: in one
//     whose calls happen to take longer more are in flight for that, which by itself would
//     look as if latency followed concurrency. S comes out of the same evidence:
//     Gradient2 (Netflix's concurrency-limits, 2018) and TCP Vegas (Brakmo and Peterson,
//     1995) take it from what they measure under load, the one as a slow mean, which
//     drifts up with what the limit itself lets in, the other as a minimum, which has to
//     be measured anew and then forgets. Here, that latency follows concurrency is what
//     tells S from waiting, as in the correlation-guarded descendants of Vegas
//     (failsafe-go's adaptive limiter, 2025).
//   - As time goes by the function may have become another: with other room and the same
//     S, slower or faster with the same room, or both, once in some 90 s, besides a slow
//     drift. That is how evidence ages, and how a function that lost room is told from
//     one that became slower: of two changes that explain the same latency both stay
//     likely, until a measurement at another limit decides. One latency in fifty tells
//     nothing.
//   - L becomes what fits C best, where that is clearly better than what it is: C, and a
//     little more where C is large, since what is too low loses more than what is too high.
//     While that is vague it goes between the quartiles of C, up by half of itself at once.
//   - The next window is measured at another limit where that tells more of C than
//     one at L does: by how much the latencies differ that it may have there, for all that
//     C and S may be, against the noise (D. V. Lindley, "On a measure of the information
//     provided by an experiment", 1956). The more likely L is right, the more it has to
//     tell, and the longer nothing is tried after it, all the more after one that was far
//     from L. As the likelihood grows that the function has got more room, a higher limit
//     is tried now and then; it turns nobody away. A lower one is tried only in an overload. There is no window of minimal
//     concurrency, as Envoy's gradient controller has.
//
// L goes down only while more calls come than the function is likely to run, and a good
// part of them finds no slot; a load below that is no reason to turn bursts away, and L
// may stand a fifth above C. Nothing moves while the function is not limited by L, but for
// that fifth: neither drift nor growth. Failures (timeouts, 5xx) in more than a tenth of a
// window's calls take a tenth off L. A 429 of the function itself says that it is full: L
// goes below what was in flight. Both forget what was known. L is at least 1.
//
// # How soon
//
// Two limits whose latencies differ by a part d are told apart by some (3 v/d)^2 calls,
// where v is the coefficient of variation of the service: for neighbours around C = 1 a
// hundred, around C = 3 a few hundred where v is 1. Services that vary more, or run so few
// calls, take longer in proportion: of 1 ms, and 1 s in two of a hundred, v is 6.6, and it
// takes minutes, in which the limit may stray (docs/limits.md). At one call a second it
// takes some minutes too; neighbours are measured again and again there, as fewer calls
// come than tell them apart before the function may have changed. A function whose calls
// share processors has the same means, and C is how many run at full speed.
//
// An update takes about a tenth of a millisecond and allocates nothing
// (BenchmarkUpdate); there are at most ten a second, and none where every call finds a slot.
package adaptive
