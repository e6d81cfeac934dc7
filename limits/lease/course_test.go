package lease

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var courses = flag.Int("courses", 8, "courses that are run for each kind of trouble")

// tick is how far time goes at once in a course.
const tick = 20 * time.Millisecond

// course is a minute or two of a world in which everybody looks at the ledger as often as
// a Lease does, and trouble comes now and then.
type course struct {
	*world
	t       failer
	trouble trouble
	at      map[*member]*schedule
	until   time.Duration // the outage lasts
	lost    time.Duration // when the ledger was lost; not again before all have seen it
	older   ledger
}

// trouble is how rare each kind of it is: one in so many ticks, 0 for never.
type trouble struct {
	outage, cut, pause, kill, join, lose, setBack int
}

// schedule is when a member does what it does next.
type schedule struct {
	next, resume time.Duration
	short        bool // its calls are
	starved      uint64
}

func (c *course) one(in int, name string) bool { return in > 0 && c.choose(1, in, name) == 1 }

func (c *course) run(length time.Duration) {
	for end := c.now + length; c.now < end; c.now += tick {
		c.world.check(c.t)
		c.strike()
		if c.one(10, "late") {
			c.arrive()
		}
		for _, m := range slices.Clone(c.members) {
			c.act(m)
			c.world.check(c.t)
		}
	}
}

// strike brings trouble, and ends it.
func (c *course) strike() {
	noticed := !slices.ContainsFunc(c.members, func(m *member) bool { return !m.paused && m.looked < c.up })
	switch {
	case c.down && c.now >= c.until:
		c.down, c.up = false, c.now
	case !c.down && noticed && c.now-c.up > 1500*time.Millisecond && c.one(c.trouble.outage, "outage"):
		c.down, c.until = true, c.now+time.Duration(c.choose(100, 15_000, "ms"))*time.Millisecond
	}
	if c.one(c.trouble.join, "join") && len(c.members) < 8 {
		c.join()
	}
	if c.one(c.trouble.kill, "kill") && len(c.members) > 1 {
		i := c.choose(0, len(c.members)-1, "who")
		c.members = slices.Delete(c.members, i, i+1)
	}
	if restored := c.now-c.lost > modelLease; restored && c.one(c.trouble.lose, "lose") {
		c.ledger, c.lost = ledger{}, c.now
	} else if restored && c.one(c.trouble.setBack, "set back") {
		// Who has seen nothing later cannot tell an older record from the present one.
		if !slices.ContainsFunc(c.members, func(m *member) bool { return !m.known || m.revision <= c.older.revision }) {
			c.goBack(c.older)
			c.lost = c.now
		}
		c.older = ledger{record: clone(c.ledger.record), revision: c.ledger.revision}
	}
}

// act is what a member does in a tick.
func (c *course) act(m *member) {
	s := c.at[m]
	if s == nil {
		s = &schedule{short: c.yes("short")}
		c.at[m] = s
	}
	switch {
	case m.paused:
		m.paused = c.now < s.resume
	case c.one(c.trouble.pause, "pause"):
		m.paused, s.resume = true, c.now+time.Duration(c.choose(100, 12_000, "ms"))*time.Millisecond
	}
	if c.one(2000, "another lease time") {
		m.config.Time = c.time()
	}
	if c.one(c.trouble.cut, "cut") {
		m.cut = !m.cut
	}
	c.traffic(m, s)
	if m.paused || c.now < s.next {
		return
	}
	phase := m.phase
	held := m.part.bound.Slots
	c.step(m)
	wait, shortest := 0, int(m.shortest(&m.record).Milliseconds())
	least, most := shortest*3/40, shortest/8 // a tenth, give or take a quarter
	switch {
	case phase == idle && m.phase == idle: // it has failed
		wait = c.choose(100, min(900, shortest/5), "again")
	case m.phase == idle && m.part.starved > s.starved && m.part.bound.Slots > held:
		wait = 20
	case m.phase == idle && (m.part.starved > s.starved || m.scarce || m.awaiting || m.newcomer):
		wait = c.choose(min(150, least), min(250, most), "hungry")
	case m.phase == idle:
		wait = c.choose(min(375, least), min(625, most), "idle")
	default:
		wait = c.choose(0, 40, "on its way")
	}
	if m.phase == idle {
		s.starved = m.part.starved
	}
	s.next = c.now + time.Duration(wait)*time.Millisecond
	if now := m.part.now(); m.phase == idle {
		if end := m.nextEnd(now); !end.IsZero() {
			s.next = min(s.next, c.now+time.Duration(float64(end.Sub(now))/(1+m.drift)))
		}
	}
}

// traffic ends calls of a member and begins some.
func (c *course) traffic(m *member, s *schedule) {
	p := m.part
	p.lapse(m.holder.outage)
	lasts := 400 // ticks
	if s.short {
		lasts = 5
	}
	for range p.inflight {
		if c.choose(1, lasts, "ends") == 1 {
			if c.choose(1, p.inflight, "which") <= p.stray {
				p.stray--
			}
			p.inflight--
		}
	}
	if m.paused {
		return
	}
	if c.one(200, "another load") {
		m.wants = []int{0, 1, c.limit / 2, 2 * c.limit}[c.choose(0, 3, "wants")]
	}
	for p.inflight < m.wants && p.inflight < p.allowed() {
		p.inflight++
	}
	if p.inflight < m.wants {
		p.starved++
	}
	p.peak = max(p.inflight, p.peak*9/10)
}

// Long courses of each kind of trouble, the same ones each time.
func TestCourses(t *testing.T) {
	for _, kind := range []struct {
		name    string
		outage  OnOutage
		trouble trouble
	}{
		{"members come, stop, die and are cut off", OutageClosed, trouble{outage: 300, cut: 1500, pause: 800, kill: 1000, join: 400}},
		{"all lose the ledger", OutageShare, trouble{outage: 200}},
		{"all lose the ledger, and some are stopped", OutageShare, trouble{outage: 200, pause: 600}},
		{"all lose the ledger, and some come and end", OutageShare, trouble{outage: 200, join: 300, kill: 400}},
		{"the ledger is lost", OutageClosed, trouble{lose: 400, setBack: 200, join: 400}},
		{"nothing", OutageShare, trouble{join: 500}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for seed := range uint64(*courses) {
				r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a course, not a secret
				c := &course{
					t: seeded{t, seed}, trouble: kind.trouble, at: map[*member]*schedule{},
					world: newWorld(func(least, most int, _ string) int { return least + r.IntN(most-least+1) }, kind.outage),
				}
				if kind.outage == OutageShare || kind.trouble.lose > 0 {
					c.settle()
				}
				c.run(time.Minute)
			}
		})
	}
}

// seeded says which course failed.
type seeded struct {
	*testing.T
	seed uint64
}

func (s seeded) Fatalf(format string, args ...any) {
	s.T.Helper()
	s.T.Fatalf("course %d: %s", s.seed, fmt.Sprintf(format, args...))
}
