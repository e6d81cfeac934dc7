package sim

import (
	"fmt"
	"testing"
	"time"

	"weir/limits"
)

// services are the kinds of work that the rows must hold for, all with a mean of
// about 100 ms.
var services = map[string]Function{
	"exponential": {Service: Exponential(100 * time.Millisecond)},
	"lognormal":   {Service: Lognormal(100*time.Millisecond, 1)},
	"bimodal":     {Service: Bimodal(time.Millisecond, time.Second, 0.1)},
}

// waiting is the policy of those who want their overflow to wait.
func waiting(limit int) limits.Policy {
	return limits.Policy{MaxInflight: limit, Overflow: limits.OverflowWait, QueueDepth: 10 * limit, QueueTimeout: 5 * time.Second}
}

// TestGoodputUnderOverload: clients give up after a second without telling, so
// that only what is served in time counts.
func TestGoodputUnderOverload(t *testing.T) {
	const workers = 10
	const capacity = workers / 0.1
	for name, f := range services {
		f.Workers = workers
		if name == "bimodal" { // its long calls take a client's whole second
			f.Service = Bimodal(time.Millisecond, 500*time.Millisecond, 0.2)
		}
		for _, row := range []struct{ times, least float64 }{{2, 0.95}, {5, 0.92}, {10, 0.90}} {
			if raced && (name != "exponential" || row.times > 5) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%g times", name, row.times), func(t *testing.T) {
				t.Parallel()
				r := bubble(t, func() *Scenario {
					return &Scenario{
						Seed: 2, For: 80 * time.Second, Function: f,
						Streams: []Stream{{Rate: Steady(row.times * capacity), Patience: time.Second}},
						Gate:    gate(t, waiting(workers)),
					}
				})
				s := r.Between(5*time.Second, 80*time.Second)
				t.Logf("goodput %.1f%% of capacity, served %d, p50 %v p99 %v, refused %v, after p50 %v p99 %v", 100*s.Goodput()/capacity, s.Served,
					s.Latency(0.5), s.Latency(0.99), s.Refused, s.RefusedAfter(0.5), s.RefusedAfter(0.99))
				if got := s.Goodput() / capacity; got < row.least {
					t.Errorf("goodput is %.1f%% of capacity, want at least %.0f%%", 100*got, 100*row.least)
				}
				if after := s.RefusedAfter(0.99); after > 0 {
					t.Errorf("refusals take up to %v, want them at once", after)
				}
			})
		}
	}
}

// TestManyCallersUnderOverload: callers told apart, each with so few calls that none
// of them alone puts the queue under pressure.
func TestManyCallersUnderOverload(t *testing.T) {
	const workers = 10
	const capacity = workers / 0.1
	for _, callers := range []int{30, 300, 3000} {
		for _, row := range []struct{ times, least float64 }{{2, 0.95}, {5, 0.92}, {10, 0.90}} {
			if raced && (callers > 30 || row.times > 2) {
				continue
			}
			t.Run(fmt.Sprintf("%d/%g times", callers, row.times), func(t *testing.T) {
				t.Parallel()
				r := bubble(t, func() *Scenario {
					p := waiting(workers)
					p.Callers = &limits.Callers{Remembered: 10_000}
					s := &Scenario{
						Seed: 1, For: 40 * time.Second, Function: Function{Service: Exponential(100 * time.Millisecond), Workers: workers},
						Gate: gate(t, p),
					}
					for i := range callers {
						s.Streams = append(s.Streams, Stream{
							Call: limits.Call{Caller: fmt.Sprint("caller ", i)}, Rate: Steady(row.times * capacity / float64(callers)), Patience: time.Second,
						})
					}
					return s
				})
				s := r.Between(10*time.Second, 40*time.Second)
				t.Logf("goodput %.1f%% of capacity, p50 %v p99 %v, refused %v, after p50 %v p99 %v", 100*s.Goodput()/capacity,
					s.Latency(0.5), s.Latency(0.99), s.Refused, s.RefusedAfter(0.5), s.RefusedAfter(0.99))
				if got := s.Goodput() / capacity; got < row.least {
					t.Errorf("goodput is %.1f%% of capacity, want at least %.0f%%", 100*got, 100*row.least)
				}
				if after := s.RefusedAfter(0.99); after > 0 {
					t.Errorf("refusals take up to %v, want them at once", after)
				}
			})
		}
	}
}

// TestABurstThatFitsIsServed: half a second of more than the capacity, again and
// again, beside little: a queue that drains refuses nobody.
func TestABurstThatFitsIsServed(t *testing.T) {
	const workers = 10
	for name, f := range map[string]Function{
		"exponential": services["exponential"], "lognormal": services["lognormal"],
		"bimodal": {Service: Bimodal(time.Millisecond, 500*time.Millisecond, 0.2)},
	} {
		f.Workers = workers
		r := bubble(t, func() *Scenario {
			return &Scenario{
				Seed: 2, For: 63 * time.Second, Function: f,
				Streams: []Stream{{Rate: func(at time.Duration) float64 {
					if at%(3*time.Second) < 500*time.Millisecond {
						return 160
					}
					return 20
				}}},
				Gate: gate(t, waiting(workers)),
			}
		})
		s := r.Between(0, 63*time.Second)
		t.Logf("%s: %d served, refused %v, p99 %v", name, s.Served, s.Refused, s.Latency(0.99))
		if s.Refusals() > 0 {
			t.Errorf("%s: %d refused of bursts that fit", name, s.Refusals())
		}
	}
}

// TestLatencyUnderOverload: those admitted at twice the capacity take at most half
// as long again as those of an idle function, and their time in the queue.
func TestLatencyUnderOverload(t *testing.T) {
	const workers = 10
	for name, f := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.Workers = workers
			p99 := func(load float64) time.Duration {
				p := waiting(workers)
				p.QueueTimeout = 500 * time.Millisecond
				return bubble(t, func() *Scenario {
					return &Scenario{
						Seed: 2, For: 60 * time.Second, Function: f,
						Streams: []Stream{{Rate: Steady(load * workers / 0.1)}},
						Gate:    gate(t, p),
					}
				}).Between(5*time.Second, 60*time.Second).Latency(0.99)
			}
			unloaded, loaded := p99(0.1), p99(2)
			t.Logf("p99 %v unloaded, %v at twice the capacity", unloaded, loaded)
			if bound := unloaded*3/2 + 500*time.Millisecond; loaded > bound {
				t.Errorf("p99 is %v at twice the capacity, want at most %v", loaded, bound)
			}
		})
	}
}

// TestRetryStorm: thirty seconds of twice the capacity, each refusal retried three
// times after about a second. Ten seconds later everything is as it was before.
func TestRetryStorm(t *testing.T) {
	const workers, base = 10, 70.0
	for name, p := range map[string]limits.Policy{"reject": {MaxInflight: workers}, "wait": waiting(workers)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 2, For: 90 * time.Second, Function: Function{Service: Exponential(100 * time.Millisecond), Workers: workers},
					Streams: []Stream{{Rate: Burst(base, 200, 20*time.Second, 50*time.Second), Patience: 10 * time.Second, Retries: 3, Backoff: Promptly}},
					Gate:    gate(t, p),
				}
			})
			before, storm, after := r.Between(10*time.Second, 20*time.Second), r.Between(25*time.Second, 50*time.Second), r.Between(60*time.Second, 90*time.Second)
			t.Logf("goodput %.0f, %.0f and %.0f a second; p99 %v, %v and %v; lost %d, %d and %d", before.Goodput(), storm.Goodput(), after.Goodput(),
				before.Latency(0.99), storm.Latency(0.99), after.Latency(0.99), before.Lost, storm.Lost, after.Lost)
			if storm.Goodput() < 90 {
				t.Errorf("goodput in the storm is %.0f a second, of 100", storm.Goodput())
			}
			if after.Goodput() < 0.95*base || float64(after.Lost) > 0.002*30*base || after.Latency(0.99) > 3*before.Latency(0.99)/2 {
				t.Error("not recovered ten seconds after its end")
			}
		})
	}
}

// TestRetryAfterIsWorthHonouring: of the clients that come back when they are told
// to, nine in ten are served then. The load comes and goes, as it would have to
// for a second attempt to be of use.
func TestRetryAfterIsWorthHonouring(t *testing.T) {
	const workers = 20
	for name, service := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 2, For: 60 * time.Second, Function: Function{Service: service.Service, Workers: workers},
					Streams: []Stream{{Rate: func(at time.Duration) float64 {
						if at%(10*time.Second) < time.Second {
							return 300
						}
						return 80
					}, Retries: 1}},
					Gate: gate(t, limits.Policy{MaxInflight: workers}),
				}
			})
			second := r.Attempt(1, 0, 60*time.Second)
			served := float64(second.Served) / float64(second.Served+second.Refusals())
			t.Logf("%d second attempts, %.1f%% of them served", second.Served+second.Refusals(), 100*served)
			if served < 0.9 || second.Served < 100 {
				t.Errorf("%.1f%% of second attempts were served, want 90%%", 100*served)
			}
		})
	}
}

// TestTheTopLevelIsServed: ten times the capacity in all, of which the top level
// takes half of the capacity: next to all of it is served, and nothing is wasted
// for its sake.
func TestTheTopLevelIsServed(t *testing.T) {
	const workers = 10
	for name, f := range services {
		if raced && name != "exponential" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.Workers = workers
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 2, For: 60 * time.Second, Function: f,
					Streams: []Stream{
						{Name: "top", Call: limits.Call{Priority: limits.CriticalPlus}, Rate: Steady(50)},
						{Name: "critical", Rate: Steady(150)},
						{Name: "sheddable", Call: limits.Call{Priority: limits.Sheddable}, Rate: Steady(800)},
					},
					Gate: gate(t, waiting(workers)),
				}
			})
			of := func(name string) Summary { return r.Of(name, 5*time.Second, 60*time.Second) }
			top, critical, low := of("top"), of("critical"), of("sheddable")
			share := float64(top.Served) / float64(top.Served+top.Refusals())
			all := float64(top.Served+critical.Served+low.Served) / 55
			t.Logf("top %.2f%% served, p99 %v, refused %v; critical %d served, sheddable %d; in all %.0f a second of 100", 100*share, top.Latency(0.99), top.Refused, critical.Served, low.Served, all)
			if share < 0.995 {
				t.Errorf("%.2f%% of the top level was served, want 99.5%%", 100*share)
			}
			if all < 92 {
				t.Errorf("%.0f a second served of 100", all)
			}
			if low.Served == 0 || low.Served > critical.Served {
				t.Errorf("%d sheddable calls served, %d critical", low.Served, critical.Served)
			}
		})
	}
}

// TestAsyncTakesWhatIsLeft: asynchronous calls without end fill what synchronous
// ones leave, at next to no cost for these although they cannot wait.
func TestAsyncTakesWhatIsLeft(t *testing.T) {
	const workers = 20
	run := func(backlog float64) *Result {
		return bubble(t, func() *Scenario {
			return &Scenario{
				Seed: 2, For: 60 * time.Second, Function: Function{Service: Exponential(100 * time.Millisecond), Workers: workers},
				Streams: []Stream{
					{Name: "sync", Rate: Steady(100)},
					{Name: "async", Call: limits.Call{Priority: limits.Async}, Rate: Steady(backlog)},
				},
				Gate: gate(t, limits.Policy{MaxInflight: workers, AsyncMaxShare: 0.5}),
			}
		})
	}
	part := func(r *Result, name string) Summary { return r.Of(name, 5*time.Second, 60*time.Second) }
	alone, beside := part(run(0.01), "sync"), run(300)
	sync, async := part(beside, "sync"), part(beside, "async")
	t.Logf("refused alone %d, beside %d of %d; asynchronous %.0f a second", alone.Refusals(), sync.Refusals(), sync.Served, float64(async.Served)/55)
	if float64(sync.Refusals()) > 0.04*float64(sync.Served) {
		t.Errorf("%d of %d synchronous calls refused for the sake of asynchronous ones", sync.Refusals(), sync.Served+sync.Refusals())
	}
	if async.Served < 55*25 {
		t.Errorf("%d asynchronous calls in 55s: some dozens a second have room", async.Served)
	}
}

// TestRefusalsAreImmediate: with overflow reject nothing holds a refusal up. (How
// fast it is on a wire is measured over loopback.)
func TestRefusalsAreImmediate(t *testing.T) {
	r := bubble(t, func() *Scenario {
		return &Scenario{
			Seed: 2, For: 10 * time.Second, Function: Function{Service: Exponential(100 * time.Millisecond), Workers: 10},
			Streams: []Stream{{Rate: Steady(1000)}},
			Gate:    gate(t, limits.Policy{MaxInflight: 10}),
		}
	})
	s := r.Between(0, 10*time.Second)
	if s.Refusals() < 5000 || s.RefusedAfter(1) > 0 {
		t.Errorf("%d refusals, the slowest after %v of virtual time", s.Refusals(), s.RefusedAfter(1))
	}
	if g := s.Goodput(); g < 90 {
		t.Errorf("goodput %.0f a second of 100", g)
	}
}

// TestAQueueThatDrainsRefusesNextToNobody: at nine tenths of the capacity the line
// is long at times, but it is no pressure.
func TestAQueueThatDrainsRefusesNextToNobody(t *testing.T) {
	const workers = 10
	for name, f := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.Workers = workers
			r := bubble(t, func() *Scenario {
				return &Scenario{
					Seed: 2, For: 120 * time.Second, Function: f,
					Streams: []Stream{{Rate: Steady(0.9 * workers / 0.1)}},
					Gate:    gate(t, waiting(workers)),
				}
			})
			s := r.Between(0, 120*time.Second)
			t.Logf("%d served, refused %v, p99 %v", s.Served, s.Refused, s.Latency(0.99))
			if float64(s.Refusals()-s.Refused[limits.ReasonQueueFull]) > 0.02*float64(s.Served) {
				t.Errorf("%d refused of %d", s.Refusals(), s.Refusals()+s.Served)
			}
		})
	}
}
