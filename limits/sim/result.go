package sim

import (
	"slices"
	"time"

	"weir/limits"
)

// Result is what happened in a run.
type Result struct {
	// Samples are taken every 100 ms.
	Samples  []Sample
	scenario *Scenario
	records  []record
}

// Sample is the state at one moment.
type Sample struct {
	At                                time.Duration
	Limit, Inflight, Waiting, Workers int
}

// record is one attempt that has ended.
type record struct {
	stream, attempt                 int
	first, arrived, admitted, ended time.Duration
	served, useful                  bool
	asked                           time.Duration // of slot-time, at the function's full speed
	reason                          limits.Reason // of a refusal
	again                           bool          // to be tried again
	inflight, workers               int           // in the function when it was refused
}

func (r *Result) add(x record) { r.records = append(r.records, x) }

// Between summarises the attempts that ended from one moment until before another.
func (r *Result) Between(from, to time.Duration) Summary {
	return r.summary(from, to, func(*record) bool { return true })
}

// Of is Between for the stream of a name.
func (r *Result) Of(name string, from, to time.Duration) Summary {
	return r.summary(from, to, func(x *record) bool { return r.scenario.Streams[x.stream].Name == name })
}

// Attempt is Between for the attempts of a number, 0 being the first.
func (r *Result) Attempt(n int, from, to time.Duration) Summary {
	return r.summary(from, to, func(x *record) bool { return x.attempt == n })
}

// Summary is a part of a run in figures.
type Summary struct {
	Span    time.Duration
	Served  int // by the function
	Useful  int // and within the client's patience
	Refused map[limits.Reason]int
	// Lost are the refusals after which no other attempt was made.
	Lost int
	// Premature are refusals while a worker of the function was idle.
	Premature   int
	SlotSeconds float64
	Asked       float64         // slot-seconds that all of them asked for, those refused as well
	latencies   []time.Duration // of those served, from the attempt's arrival
	refusals    []time.Duration // until the refusal
}

func (r *Result) summary(from, to time.Duration, which func(*record) bool) Summary {
	s := Summary{Span: to - from, Refused: map[limits.Reason]int{}}
	for i := range r.records {
		x := &r.records[i]
		if x.ended < from || x.ended >= to || !which(x) {
			continue
		}
		s.Asked += x.asked.Seconds()
		if !x.served {
			s.Refused[x.reason]++
			if !x.again {
				s.Lost++
			}
			if x.inflight < x.workers {
				s.Premature++
			}
			s.refusals = append(s.refusals, x.ended-x.arrived)
			continue
		}
		s.Served++
		s.SlotSeconds += (x.ended - x.admitted).Seconds()
		if x.useful {
			s.Useful++
		}
		s.latencies = append(s.latencies, x.ended-x.arrived)
	}
	slices.Sort(s.latencies)
	slices.Sort(s.refusals)
	return s
}

// Goodput is what was of use to its client, a second.
func (s Summary) Goodput() float64 { return float64(s.Useful) / s.Span.Seconds() }

// Refusals is the number of refused attempts, for whatever reason.
func (s Summary) Refusals() int { return len(s.refusals) }

// Latency is the quantile of the time that those served took, waiting included.
func (s Summary) Latency(q float64) time.Duration { return quantile(s.latencies, q) }

// RefusedAfter is the quantile of the time until a refusal.
func (s Summary) RefusedAfter(q float64) time.Duration { return quantile(s.refusals, q) }

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// MeanLimit is the limit's mean over time.
func (r *Result) MeanLimit(from, to time.Duration) float64 {
	sum, n := 0, 0
	for _, s := range r.Samples {
		if s.At >= from && s.At < to {
			sum += s.Limit
			n++
		}
	}
	return float64(sum) / float64(max(n, 1))
}

// MedianLimit is the median over time of the limit.
func (r *Result) MedianLimit(from, to time.Duration) int {
	var limits []int
	for _, s := range r.Samples {
		if s.At >= from && s.At < to {
			limits = append(limits, s.Limit)
		}
	}
	if len(limits) == 0 {
		return 0
	}
	slices.Sort(limits)
	return limits[len(limits)/2]
}

// MaxMeanLimit is the greatest mean of the limit over any stretch of the length.
func (r *Result) MaxMeanLimit(from, to, stretch time.Duration) float64 {
	greatest := 0.0
	for at := from; at+stretch <= to; at += stretch {
		greatest = max(greatest, r.MeanLimit(at, at+stretch))
	}
	return greatest
}

// Jain is the fairness index of R. Jain et al. (DEC TR-301, 1984): 1 where all
// shares are equal, 1/n where one has everything.
func Jain(shares ...float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(shares)) * squares)
}
