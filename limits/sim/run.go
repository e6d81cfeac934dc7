package sim

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"weir/limits"
)

// Scenario is all that a run depends on.
type Scenario struct {
	Seed     uint64
	For      time.Duration
	Function Function
	Streams  []Stream
	// Gate is what decides; where nil, Other does.
	Gate *limits.Gate
	// Refuses says that the Gate makes no call wait. That spares a goroutine for each,
	// and most of the run's time.
	Refuses bool
	Other   Limiter
	// At is done at moments of the run, such as a change of policy.
	At []Action
}

// Action is something that happens at a moment.
type Action struct {
	At time.Duration
	Do func()
}

// Limiter is another limiter to run instead of a Gate: it never makes calls wait.
type Limiter interface {
	// Enter returns what ends an admitted call, nil for a refusal.
	Enter() (leave func(limits.Outcome))
	Limit() int
}

// Run lets the scenario happen, within a synctest bubble, and returns what
// happened. Calls that still run at its end are cut off.
func Run(s *Scenario) *Result {
	r := &run{scenario: s, base: time.Now()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.server = newServer(&s.Function, r)
	r.result = &Result{scenario: s}
	if s.Gate != nil {
		s.Gate.Seed(s.Seed)
	}
	for i := range s.Streams {
		newSource(&s.Streams[i], i, s.Seed).schedule(r)
	}
	for _, a := range s.At {
		r.at(a.At, a.Do)
	}
	for at := sampleEvery; at <= s.For; at += sampleEvery {
		r.at(at, r.sample)
	}
	for len(r.events) > 0 && r.events[0].at <= s.For {
		e := heap.Pop(&r.events).(event)
		if e.at > r.now {
			time.Sleep(e.at - r.now)
			r.now = e.at
		}
		r.collect() // of those whose wait ended meanwhile
		e.do()
		r.collect()
	}
	r.cancel()
	synctest.Wait()
	r.collect()
	for _, c := range r.running {
		c.leave(limits.Aborted)
	}
	return r.result
}

const sampleEvery = 100 * time.Millisecond

type run struct {
	scenario *Scenario
	result   *Result
	server   *server
	base     time.Time
	now      time.Duration
	events   events
	ids      int
	seq      int
	ctx      context.Context
	cancel   context.CancelFunc
	waiting  int           // calls in a goroutine of their own
	running  map[int]*call // admitted
	mu       sync.Mutex    // guards settled
	settled  []*waitedCall // whose Enter has returned
}

type waitedCall struct {
	*call
	err error
	at  time.Duration
}

func (r *run) nextID() int { r.ids++; return r.ids }

func (r *run) at(t time.Duration, do func()) {
	r.seq++
	heap.Push(&r.events, event{max(t, r.now), r.seq, do})
}

// arrive asks for the call's admission.
func (r *run) arrive(c *call) {
	st := c.source.stream
	if r.scenario.Gate == nil {
		if leave := r.scenario.Other.Enter(); leave != nil {
			c.leave = leave
			r.admit(c)
		} else {
			r.refused(c, &limits.Throttle{Reason: limits.ReasonMaxInflight, RetryAfter: time.Second})
		}
		return
	}
	c.gateCall = st.Call
	if st.Tells && st.Patience > 0 {
		c.gateCall.Deadline = r.base.Add(c.first + st.Patience)
	}
	c.leave = c.slot.Leave
	if r.scenario.Refuses {
		err := r.scenario.Gate.Enter(r.ctx, &c.gateCall, &c.slot)
		r.entered(c, err, r.now)
		return
	}
	r.waiting++
	go func() {
		err := r.scenario.Gate.Enter(r.ctx, &c.gateCall, &c.slot)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.settled = append(r.settled, &waitedCall{c, err, time.Since(r.base)})
	}()
}

// collect lets those whose Enter has returned go on, in order of arrival.
func (r *run) collect() {
	if r.waiting == 0 {
		return
	}
	synctest.Wait()
	r.mu.Lock()
	settled := r.settled
	r.settled = nil
	r.mu.Unlock()
	slices.SortFunc(settled, func(a, b *waitedCall) int { return a.id - b.id })
	for _, w := range settled {
		r.waiting--
		r.entered(w.call, w.err, w.at)
	}
}

// entered goes on with a call about which the Gate has decided.
func (r *run) entered(c *call, err error, at time.Duration) {
	var t *limits.Throttle
	switch {
	case err == nil:
		r.admit(c)
	case errors.As(err, &t):
		r.refusedAt(c, t, at)
	}
}

func (r *run) admit(c *call) {
	c.admitted = r.now
	if r.running == nil {
		r.running = map[int]*call{}
	}
	r.running[c.id] = c
	r.server.begin(c)
}

// served is told by the function that a call is done.
func (r *run) served(c *call) {
	delete(r.running, c.id)
	o := limits.Succeeded
	if c.failed {
		o = limits.Failed
	}
	c.leave(o)
	patience := c.source.stream.Patience
	r.result.add(record{
		stream: c.source.index, first: c.first, arrived: c.arrived, admitted: c.admitted, ended: r.now, attempt: c.attempt, asked: c.service,
		served: true, useful: !c.failed && (patience == 0 || r.now-c.first <= patience),
	})
}

func (r *run) refused(c *call, t *limits.Throttle) { r.refusedAt(c, t, r.now) }

func (r *run) refusedAt(c *call, t *limits.Throttle, at time.Duration) {
	st := c.source.stream
	again := c.attempt < st.Retries && (st.Patience == 0 || at-c.first < st.Patience)
	r.result.add(record{
		stream: c.source.index, first: c.first, arrived: c.arrived, ended: at, attempt: c.attempt, asked: c.service,
		reason: t.Reason, inflight: r.server.inflight(), workers: r.server.workers, again: again,
	})
	if !again {
		return
	}
	wait := t.RetryAfter
	if st.Backoff != nil {
		wait = st.Backoff(c.source.service, t)
	} else {
		// Whole seconds on the wire; a network apart on arrival.
		wait += time.Duration(c.source.service.Int64N(int64(time.Millisecond)))
	}
	r.at(at+wait, func() {
		r.arrive(&call{
			id: r.nextID(), source: c.source, service: c.service, first: c.first, arrived: r.now, attempt: c.attempt + 1,
		})
	})
}

func (r *run) sample() {
	s := Sample{At: r.now, Workers: r.server.workers, Inflight: r.server.inflight()}
	if g := r.scenario.Gate; g != nil {
		p := g.Snapshot()
		s.Limit, s.Waiting = p.Limit, p.Waiting
	} else {
		s.Limit = r.scenario.Other.Limit()
	}
	r.result.Samples = append(r.result.Samples, s)
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

// events is a heap by time, and by order of planning where that is equal.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}
