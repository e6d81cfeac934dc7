package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Function is the model of what the limit protects: workers that each serve one
// call at a time, and a queue in front of them in order of arrival. With as many
// calls as workers it is at capacity; each call more only waits inside.
type Function struct {
	// Service draws how long a worker needs for one call.
	Service func(*rand.Rand) time.Duration
	// Workers is the capacity from the start on.
	Workers int
	// Changes of capacity and speed, in order of time.
	Changes []Change
	// Shares makes all calls run at once, each slower where they are more than the workers,
	// as threads share processors, instead of waiting for one.
	Shares bool
	// Crowding makes every call slower by this fraction for each other call in the
	// function when it begins, as shared caches, locks and garbage collection do.
	Crowding float64
	// Failing makes calls fail instead of succeed for those that begin within it.
	Failing func(at time.Duration) bool
}

// Change sets what a Function can do from a moment on.
type Change struct {
	At      time.Duration
	Workers int
	// Slower multiplies service times; 0 is 1.
	Slower float64
}

// Exponential service times: the memoryless ones of queueing theory.
func Exponential(mean time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// Lognormal service times, with the sigma of their logarithm; 0.5 to 1 is what
// services show.
func Lognormal(mean time.Duration, sigma float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(mean) * math.Exp(sigma*r.NormFloat64()-sigma*sigma/2))
	}
}

// Bimodal service times: most short, the rest long, such as a cache and what
// misses it.
func Bimodal(short, long time.Duration, longs float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		d := short
		if r.Float64() < longs {
			d = long
		}
		// Give or take a twentieth: no two events may happen at one moment.
		return time.Duration(float64(d) * (0.95 + 0.1*r.Float64()))
	}
}

// server is a Function at work.
type server struct {
	f       *Function
	workers int
	slower  float64
	busy    int
	queue   []*call
	run     *run

	// Where calls share: those that run, with how much each has had in all when it is done,
	// in seconds of a worker, how much each had until a moment, and which plan is the last.
	sharing []share
	had     float64
	until   time.Duration
	plans   int
}

type share struct {
	call *call
	due  float64
}

func newServer(f *Function, r *run) *server {
	s := &server{f: f, workers: f.Workers, slower: 1, run: r}
	for _, c := range f.Changes {
		r.at(c.At, func() {
			s.share()
			s.workers = c.Workers
			if c.Slower > 0 {
				s.slower = c.Slower
			}
			s.next()
		})
	}
	return s
}

func (s *server) inflight() int { return s.busy + len(s.queue) }

// begin takes an admitted call.
func (s *server) begin(c *call) {
	if s.f.Shares {
		s.share()
		s.busy++
		s.sharing = append(s.sharing, share{c, s.had + c.service.Seconds()*s.slower})
		s.plan()
		return
	}
	s.queue = append(s.queue, c)
	s.next()
}

// speed is what each call gets of a worker where they share.
func (s *server) speed() float64 { return min(1, float64(s.workers)/float64(s.busy)) }

// share accounts for what each call has had until now.
func (s *server) share() {
	if s.busy > 0 {
		s.had += (s.run.now - s.until).Seconds() * s.speed()
	}
	s.until = s.run.now
}

// plan plans the next end of a call that shares; it replaces the plan before.
func (s *server) plan() {
	s.plans++
	if s.busy == 0 {
		return
	}
	first, plan := 0, s.plans
	for i, x := range s.sharing {
		if x.due < s.sharing[first].due {
			first = i
		}
	}
	in := max(s.sharing[first].due-s.had, 0) / s.speed()
	s.run.at(s.run.now+time.Duration(in*float64(time.Second)), func() {
		if plan != s.plans {
			return
		}
		s.share()
		c := s.sharing[first].call
		s.sharing = append(s.sharing[:first], s.sharing[first+1:]...)
		s.busy--
		s.run.served(c)
		s.plan()
	})
}

func (s *server) next() {
	if s.f.Shares {
		s.plan()
		return
	}
	for s.busy < s.workers && len(s.queue) > 0 {
		c := s.queue[0]
		s.queue = s.queue[1:]
		s.busy++
		took := time.Duration(float64(c.service) * s.slower * (1 + s.f.Crowding*float64(s.inflight()-1)))
		if s.f.Failing != nil && s.f.Failing(s.run.now) {
			c.failed = true
		}
		s.run.at(s.run.now+took, func() {
			s.busy--
			s.run.served(c)
			s.next()
		})
	}
}
