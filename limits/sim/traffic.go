package sim

import (
	"math/rand/v2"
	"time"

	"weir/limits"
)

// Stream is one source of calls: independent arrivals at a rate that may change.
type Stream struct {
	Name string
	// Call is what the Gate is told of each call.
	Call limits.Call
	// Rate is the arrivals a second expected at a moment; below 0.001 is none.
	Rate func(at time.Duration) float64
	// Longer multiplies the service times of its calls; 0 is 1.
	Longer float64
	// Patience is how long a client waits for its answer; what comes later is of no
	// use to it. 0 is for ever.
	Patience time.Duration
	// Tells hands the end of the patience to the Gate as the call's deadline.
	Tells bool
	// Retries is how often a refused call is tried again.
	Retries int
	// Backoff is the wait before a retry, drawn from the refusal; nil honours the
	// refusal's Retry-After.
	Backoff func(r *rand.Rand, refused *limits.Throttle) time.Duration
}

// Steady arrives at one rate all the time.
func Steady(perSecond float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return perSecond }
}

// Burst is a base rate with a higher one between two moments.
func Burst(base, high float64, from, to time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if at >= from && at < to {
			return high
		}
		return base
	}
}

// Ramp goes from one rate to another in a straight line.
func Ramp(first, last float64, over time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		return first + (last-first)*min(at.Seconds()/over.Seconds(), 1)
	}
}

// Promptly retries after a second, give or take a half, whatever the refusal
// says, as most clients do.
func Promptly(r *rand.Rand, _ *limits.Throttle) time.Duration {
	return time.Duration((0.5 + r.Float64()) * float64(time.Second))
}

// source is a Stream at work. What it draws does not depend on what becomes of
// its calls, so that limiters can be compared on the same traffic.
type source struct {
	stream            *Stream
	index             int
	arrivals, service *rand.Rand
}

func newSource(s *Stream, index int, seed uint64) *source {
	return &source{
		stream: s, index: index,
		arrivals: rand.New(rand.NewPCG(seed, uint64(2*index))),
		service:  rand.New(rand.NewPCG(seed, uint64(2*index+1))),
	}
}

const lookAgain = 10 * time.Millisecond // while a stream's rate is next to nothing

// schedule plans the arrival after the present moment.
func (s *source) schedule(r *run) {
	rate := s.stream.Rate(r.now)
	if rate < 0.001 {
		r.at(r.now+lookAgain, func() { s.schedule(r) })
		return
	}
	r.at(r.now+time.Duration(s.arrivals.ExpFloat64()/rate*float64(time.Second)), func() {
		service := r.server.f.Service(s.service)
		if s.stream.Longer > 0 {
			service = time.Duration(float64(service) * s.stream.Longer)
		}
		r.arrive(&call{
			id: r.nextID(), source: s, service: service, arrived: r.now, first: r.now,
		})
		s.schedule(r)
	})
}

// call is one attempt of one client.
type call struct {
	id       int
	source   *source
	service  time.Duration
	first    time.Duration // when the client first asked
	arrived  time.Duration
	admitted time.Duration
	attempt  int
	failed   bool
	slot     limits.Slot
	gateCall limits.Call
	leave    func(limits.Outcome)
}
