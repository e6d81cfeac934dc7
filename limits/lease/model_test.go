package lease

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/limits"
)

// ledger is a Store in memory.
type ledger struct {
	record   *Record
	revision uint64
	writes   int
}

func (l *ledger) Get(context.Context) (*Record, uint64, error) {
	return clone(l.record), l.revision, nil
}

func (l *ledger) Put(_ context.Context, r *Record, revision uint64) (uint64, error) {
	if have := l.revision; revision != have {
		return 0, ErrConflict
	}
	decoded, err := Decode(r.Encode())
	if err != nil {
		panic(err)
	}
	l.record, l.revision = decoded, l.revision+1
	l.writes++
	return l.revision, nil
}

func clone(r *Record) *Record {
	if r == nil {
		return nil
	}
	c := *r
	c.Members = slices.Clone(r.Members)
	return &c
}

// part is a Part on a clock of its own.
type part struct {
	now      func() time.Time
	bound    limits.Bound
	inflight int
	// stray are those of inflight that were let in under a lease, or a share, that has
	// ended or become smaller without the ledger: they run on, and nobody can help it.
	stray   int
	starved uint64
	peak    int
}

func (p *part) Demand() limits.Demand {
	return limits.Demand{Inflight: p.inflight, Peak: max(p.peak, p.inflight), Starved: p.starved}
}

func (p *part) Bind(b limits.Bound) int { p.bound = b; return p.inflight }

func (p *part) allowed() int {
	if p.bound.Until.IsZero() || p.now().Before(p.bound.Until) {
		return p.bound.Slots
	}
	return 0
}

// lapse counts what runs on once what it was let in under has ended.
func (p *part) lapse(outage bool) {
	over := !p.bound.Until.IsZero() && !p.now().Before(p.bound.Until)
	switch {
	case over:
		p.stray = p.inflight
	case outage:
		p.stray = max(p.stray, p.inflight-p.bound.Slots)
	}
}

// claim is what the part may come to run, or runs, strays apart.
func (p *part) claim() int { return max(p.allowed(), p.inflight-p.stray) }

// choose says what happens, of what may: a number between two, both included.
type choose func(least, most int, name string) int

func drawn(t *rapid.T) choose {
	return func(least, most int, name string) int { return rapid.IntRange(least, most).Draw(t, name) }
}

func (c choose) yes(name string) bool { return c(0, 1, name) == 1 }

// world is some holders, a ledger that fails, and time.
type world struct {
	choose
	limit   int
	now     time.Duration
	ledger  ledger
	delayed []write // that nobody knows the outcome of, and that may arrive yet
	down    bool
	up      time.Duration // since when it is not
	setBack int           // how often the ledger was
	members []*member
	made    int
	outage  OnOutage
}

type write struct {
	record   *Record
	revision uint64
}

// member is a holder at some point of its way: what it has read or sent is on its way.
type member struct {
	*holder
	part    *part
	drift   float64
	offset  time.Duration
	paused  bool
	cut     bool
	wants   int
	got     *Record
	rev     uint64
	setBack int // how often the ledger was, when it was read
	next    *Record
	sent    time.Time
	phase   phase
	written uint64
	looked  time.Duration
	guested time.Time // the end of what it was bound to as a guest, zero if it was none
}

type phase int

const (
	idle phase = iota
	reading
	writing
	answered
)

const (
	modelLease = 5 * time.Second
	// maxDrift of one clock forward and of another backward is a fifth between them.
	maxDrift = 0.09
)

func (w *world) clock(m *member) func() time.Time {
	return func() time.Time {
		return time.Unix(1_700_000_000, 0).Add(m.offset + time.Duration(float64(w.now)*(1+m.drift)))
	}
}

// time is that of some lease.
func (w *world) time() time.Duration {
	return []time.Duration{modelLease, 2 * time.Second, 10 * time.Second}[w.choose(0, 2, "lease")]
}

func (w *world) join() {
	w.made++
	m := &member{
		drift:  maxDrift * float64(w.choose(-1, 1, "drift")),
		offset: time.Duration(w.choose(0, 3600, "offset")) * time.Second,
		wants:  w.choose(0, 2*w.limit, "wants"),
	}
	m.part = &part{now: w.clock(m)}
	m.holder = newHolder(fmt.Sprint("m", w.made), m.part, Config{Limit: w.limit, OnOutage: w.outage, Time: w.time()})
	w.members = append(w.members, m)
}

// pick is some member that runs, nil for none.
func (w *world) pick(name string) *member {
	var can []*member
	for _, m := range w.members {
		if !m.paused {
			can = append(can, m)
		}
	}
	if len(can) == 0 {
		return nil
	}
	return can[w.choose(0, len(can)-1, name)]
}

// step takes a member one step further.
func (w *world) step(m *member) {
	now := m.part.now
	reach := !w.down && !m.cut
	switch m.phase {
	case idle:
		if !reach {
			m.failed(now(), 600*time.Millisecond)
			return
		}
		m.got, m.rev, _ = w.ledger.Get(context.Background())
		m.phase, m.looked, m.setBack = reading, w.now, w.setBack
	case reading:
		m.next = m.observe(now(), clone(m.got), m.rev)
		if m.next == nil {
			m.phase = idle
			return
		}
		m.sent, m.phase = now(), writing
	case writing:
		if !reach {
			if w.yes("late") {
				w.delayed = append(w.delayed, write{clone(m.next), m.rev})
			}
			m.failed(now(), 600*time.Millisecond)
			m.phase = idle
			return
		}
		var err error
		if m.setBack == w.setBack {
			m.written, err = w.ledger.Put(context.Background(), m.next, m.rev)
		} else {
			err = ErrConflict
		}
		if err != nil {
			m.phase = idle
			return
		}
		m.phase = answered
	case answered:
		if !reach && w.yes("answer lost") {
			m.failed(now(), 600*time.Millisecond)
		} else {
			m.succeeded(m.sent, m.written)
		}
		m.phase = idle
	}
}

// arrive lets a delayed write reach the ledger.
func (w *world) arrive() {
	if w.down || len(w.delayed) == 0 {
		return
	}
	d := w.delayed[0]
	w.delayed = w.delayed[1:]
	_, _ = w.ledger.Put(context.Background(), d.record, d.revision)
}

// goBack sets the ledger back. What was on its way to it ends with the connections.
func (w *world) goBack(to ledger) {
	w.ledger, w.delayed = ledger{record: clone(to.record), revision: to.revision}, nil
	w.setBack++
}

// calls begins and ends some at a member.
func (w *world) calls(m *member) {
	p := m.part
	end := w.choose(0, p.inflight, "end")
	p.stray -= w.choose(max(0, end-(p.inflight-p.stray)), min(end, p.stray), "of these strays")
	p.inflight -= end
	p.peak = p.inflight
	for p.inflight < m.wants && p.inflight < w.limit*2 {
		if p.inflight >= p.allowed() {
			p.starved++
			break
		}
		p.inflight++
	}
	p.peak = max(p.peak, p.inflight)
}

// guest reports whether a member may have one slot above the limit, as documented: others
// did not know of it as the outage began. It keeps that until it has heard of all.
func (m *member) guest() bool {
	switch until := m.part.bound.Until; {
	case m.holder.outage && m.unknown():
		m.guested = until
	case m.holder.outage && !until.Equal(m.guested): // it goes by its share since
		m.guested = time.Time{}
	case !m.holder.outage && m.known && !slices.ContainsFunc(m.record.Members, func(o Member) bool { return m.seen[o.ID].silent }):
		m.guested = time.Time{}
	}
	return !m.guested.IsZero() && m.part.claim() > 0
}

// failer is a test, of either kind.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check looks whether all together are within the limit: with what they may run, and
// with what they do.
func (w *world) check(t failer) {
	sum, limit := 0, w.limit
	for _, m := range w.members {
		m.part.lapse(m.holder.outage)
		sum += m.part.claim()
		if m.guest() {
			limit++
		}
	}
	if sum <= limit {
		return
	}
	var all []string
	for _, m := range w.members {
		all = append(all, fmt.Sprintf("%s %d (runs %d, %d of them strays; outage %v, unknown %v)", m.id, m.part.allowed(), m.part.inflight, m.part.stray, m.holder.outage, m.unknown()))
	}
	t.Fatalf("at %v the members may run %d together, the limit is %d: %v\nrecord %+v", w.now, sum, limit, all, w.ledger.record)
}

// expire goes to when one member holds another for dead, and lets it take what it can.
func (w *world) expire(t failer) {
	m := w.pick("who")
	if m == nil {
		return
	}
	var when []time.Duration
	for _, o := range m.record.Members {
		if left := portion(othersPart, o.Lease) - m.part.now().Sub(m.seen[o.ID].at); o.ID != m.id && left >= 0 {
			when = append(when, time.Duration(float64(left)/(1+m.drift))+time.Millisecond)
		}
	}
	if len(when) == 0 {
		return
	}
	slices.Sort(when)
	w.now += when[w.choose(0, len(when)-1, "when")]
	w.check(t)
	m.wants = 2 * w.limit
	for range 2 {
		w.calls(m)
		w.whole(t, m)
	}
}

// whole takes a member to the end of what it does, and once around.
func (w *world) whole(t failer, m *member) {
	for m.phase != idle {
		w.step(m)
		w.check(t)
	}
	for range 4 {
		w.step(m)
		w.check(t)
	}
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": func(t *rapid.T) { w.check(t) },
		"round": func(t *rapid.T) { // everybody who can looks at the ledger
			for _, m := range w.members {
				if m.paused {
					continue
				}
				w.calls(m)
				for range w.choose(1, 8, "steps") {
					w.step(m)
					w.check(t)
				}
			}
			w.now += time.Duration(w.choose(1, 500, "ms")) * time.Millisecond
		},
		"step": func(t *rapid.T) {
			if m := w.pick("who"); m != nil {
				w.step(m)
			}
		},
		"calls": func(t *rapid.T) {
			if m := w.pick("who"); m != nil {
				m.wants = w.choose(0, 2*w.limit, "wants")
				w.calls(m)
			}
		},
		"time": func(t *rapid.T) {
			w.now += time.Duration(w.choose(1, 3000, "ms")) * time.Millisecond
		},
		"expire": func(t *rapid.T) { w.expire(t) },
		"whole": func(t *rapid.T) {
			if m := w.pick("who"); m != nil {
				w.whole(t, m)
			}
		},
		// An outage ends for long enough that whoever is not stopped notices.
		"outage": func(t *rapid.T) {
			noticed := !slices.ContainsFunc(w.members, func(m *member) bool { return !m.paused && m.looked < w.up })
			switch {
			case w.down:
				w.down, w.up = false, w.now
			case noticed && w.now-w.up > 1500*time.Millisecond:
				w.down = true
			}
		},
		"late": func(t *rapid.T) { w.arrive() },
		"lease": func(t *rapid.T) {
			if m := w.pick("who"); m != nil {
				m.config.Time = w.time()
			}
		},
	}
}

func newWorld(c choose, o OnOutage) *world {
	w := &world{choose: c, limit: c(1, 40, "limit"), outage: o}
	for range w.choose(1, 6, "members") {
		w.join()
	}
	return w
}

// Whatever happens to members, network and server: closed is never above the limit.
func TestClosedIsNeverAboveTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawn(t), OutageClosed)
		a := w.actions()
		a["cut"] = func(t *rapid.T) {
			if m := w.pick("who"); m != nil {
				m.cut = !m.cut
			}
		}
		a["pause"] = func(t *rapid.T) {
			m := w.members[w.choose(0, len(w.members)-1, "who")]
			m.paused = !m.paused
		}
		a["kill"] = func(t *rapid.T) {
			if len(w.members) > 1 {
				i := w.choose(0, len(w.members)-1, "who")
				w.members = slices.Delete(w.members, i, i+1)
			}
		}
		a["join"] = func(t *rapid.T) {
			if len(w.members) < 8 {
				w.join()
			}
		}
		t.Repeat(a)
	})
}

// Who loses the ledger together with all others does not exceed the limit with them,
// nor when it comes back, whoever was stopped meanwhile.
func TestSharesOfAnOutageAddUpToTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawn(t), OutageShare)
		w.settle()
		a := w.actions()
		a["pause"] = func(t *rapid.T) {
			m := w.members[w.choose(0, len(w.members)-1, "who")]
			m.paused = !m.paused
		}
		t.Repeat(a)
	})
}

// settle lets all get to know each other.
func (w *world) settle() {
	for range 30 {
		for _, m := range w.members {
			for range 4 {
				w.step(m)
			}
		}
		w.now += 200 * time.Millisecond
	}
	for _, m := range w.members {
		for m.phase != idle {
			w.step(m)
		}
	}
}

// A ledger that is lost is restored before anybody takes what others held.
func TestALostLedgerIsRestored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawn(t), OutageClosed)
		w.settle()
		a := w.actions()
		delete(a, "time")
		older := w.ledger
		a["lose"] = func(t *rapid.T) { w.ledger = ledger{} }
		a["keep"] = func(t *rapid.T) { older = ledger{record: clone(w.ledger.record), revision: w.ledger.revision} }
		// Who has seen nothing later cannot tell an older record from the present one.
		a["set back"] = func(t *rapid.T) {
			if slices.ContainsFunc(w.members, func(m *member) bool { return m.revision <= older.revision }) {
				return
			}
			w.goBack(older)
		}
		t.Repeat(a)
	})
}
