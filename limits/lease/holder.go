package lease

import (
	"time"

	"weir/limits"
)

// Part is a holder's side of the shared limit, as limits.Shared is: what the calls need,
// and what bounds them.
type Part interface {
	Demand() limits.Demand
	// Bind returns how many calls run. Once it has returned no more than those, or than
	// the bound allows, ever will.
	Bind(limits.Bound) int
}

// OnOutage says what a holder whose lease has ended may run while the ledger cannot be
// reached.
type OnOutage string

const (
	OutageShare  OnOutage = "share"  // an equal share, by the members last known
	OutageOpen   OnOutage = "open"   // as many as its own limit allows
	OutageClosed OnOutage = "closed" // none
)

// Config is what can be changed while a lease is held.
type Config struct {
	Limit    int // of all together, at least 1
	OnOutage OnOutage
	// Time is that of a lease, at least LeastTime: what a dead member held is given to
	// others after it. It need not be the same for all.
	Time time.Duration
}

// holder decides what one member takes and gives back. It does no input or output and
// has no clock: whoever drives it reads the ledger, calls observe, writes what that
// returns and says how it went.
//
// What must hold: at every moment, what the holders let run adds up to no more than the
// limit. It does, because
//
//   - a holder's bound is never above its slots in the record, which are never above
//     what the others leave of the limit. It is lowered before the record is written,
//     and raised after;
//   - it is raised by a write that has succeeded, and by nothing else. A write of which
//     nobody knows whether it succeeded was made for a revision that is gone with the
//     next one, and cannot come into force after it;
//   - it ends ownPart of the lease time after the write was sent, while the others let
//     an entry stand for othersPart of it after they first saw it, both by the clock of
//     whoever counts. Clocks may differ in what they show, and by a fifth in how fast
//     they go;
//   - what runs on when a bound shrinks or ends stays in the record until it has ended.
type holder struct {
	id     string
	part   Part
	config Config
	// time is that of the lease in force: Config.Time, but no longer than what stands in
	// the record, and than what all others who count on it have read there.
	time time.Duration

	// The record as last read or written, and when the beat of each other member was
	// first seen.
	known    bool
	record   Record
	revision uint64
	seen     map[string]sighting

	bound     limits.Bound
	wrote     time.Time // the last write that succeeded was sent
	planned   int       // bound of the write under way
	needed    int       // what it could use, at the last observation
	starved   uint64
	starvedAt time.Time
	scarce    bool // somebody wanted more than there is, at the last observation
	awaiting  bool // somebody had not been heard of since an outage, at the last observation
	// newcomer: it has come, and what the others may run is not known yet, or the record is
	// young.
	newcomer  bool
	came      time.Time // the first record was read
	youngFrom time.Time

	// Since the ledger could not be reached.
	failing    bool
	failedFrom time.Time // the end of the first attempt that failed since it was read
	tried      time.Time // the end of the last one
	read       time.Time // when it last was
	// confirmed: a write has succeeded since the ledger can be read again. What another
	// sent before that, and came late, is refused from then on.
	confirmed bool
	// stale: this holder did not look for so long that others may have given it up.
	stale   bool
	joining bool // the write under way puts it into the record, for others too
	longer  bool // the write under way says that it may hold its lease for longer than before

	lost   bool // the record was lost, and this holder is about to restore it
	outage bool // what bounds the part is no lease
}

// Parts of the lease time: how long a holder counts on its own lease, and how long the
// others let it stand. Between the two lies what clocks may differ by, and after the
// second there is time to take over what a dead one held within the lease time.
const (
	ownPart    = 0.7
	othersPart = 0.85
	renewPart  = 0.25
	// noticedPart is how long an outage lasts that nobody can have missed who looks.
	noticedPart = 0.4
)

const (
	hungryFor = time.Second // after a call has found no slot
	// youngFor is longer than any holder takes to look at the ledger again.
	youngFor = 3 * idlePoll
)

func newHolder(id string, part Part, c Config) *holder {
	h := &holder{id: id, time: c.Time, part: part, config: c, seen: map[string]sighting{}}
	h.bind(0, time.Time{}, c.Limit)
	return h
}

func (h *holder) portion(p float64) time.Duration { return portion(p, h.time) }

func portion(p float64, of time.Duration) time.Duration { return time.Duration(p * float64(of)) }

// allowed is what the holder may run at a moment.
func (h *holder) allowed(at time.Time) int {
	if at.Before(h.bound.Until) {
		return h.bound.Slots
	}
	return 0
}

// bind bounds the part, and returns what runs.
func (h *holder) bind(slots int, until time.Time, limit int) int {
	h.bound = limits.Bound{Slots: slots, Until: until, Limit: limit}
	return h.part.Bind(h.bound)
}

// observe looks at the record, read by the time at, nil for none. It returns the
// record that is to be written in its place, nil where nothing has to be.
func (h *holder) observe(at time.Time, read *Record, revision uint64) *Record {
	h.look(at)
	unread := at.Sub(h.read)
	h.read, h.failing = at, false
	r := h.reconcile(at, read, revision)
	h.sight(at, unread, &r)
	if h.newcomer && h.tried.IsZero() && at.Sub(h.came) >= youngFor {
		h.believe() // whoever is there would have come by now
	}
	own := r.member(h.id)
	h.joining = own == nil || h.stale
	h.retime(at, &r, own)
	var held, recorded int
	if own != nil {
		held, recorded = own.Slots, own.Wanted
	}
	d := h.part.Demand()
	limit := h.config.Limit
	others := make([]Member, 0, len(r.Members))
	taken, wanting, silent := 0, 1, false
	for _, m := range r.Members {
		if m.ID == h.id || !h.alive(at, &m) {
			continue
		}
		others = append(others, m)
		limit = min(limit, m.Limit)
		taken += m.Slots
		if m.Wanted > 0 {
			wanting++
		}
		silent = silent || h.seen[m.ID].silent
	}
	h.needed = h.need(at, d, limit, wanting)
	next := Record{Epoch: r.Epoch, Young: r.Young, Members: others}
	next.put(Member{ID: h.id, Beat: h.beat(own), Slots: held, Wanted: h.needed, Limit: h.config.Limit, Lease: h.config.Time})

	target := min(h.goal(&next, limit, d), max(limit-taken, 0))
	h.scarce, h.awaiting = wantMore(&next), silent
	switch {
	case h.lost, silent && h.unknown(): // others may have more than this holder remembers, or count on what it had
		target = min(target, h.allowed(at))
	case silent: // after an outage: those not heard of yet may run what they held, or their share
		target = min(target, max(h.allowed(at), min(held, h.share(&next, limit))))
	}
	if next.Young && at.Sub(h.youngFrom) >= youngFor {
		next.Young = false
	}
	h.newcomer = h.newcomer && (next.Young || silent)
	if h.newcomer && next.Young {
		target = 0
	}
	entry := next.member(h.id)
	entry.Sure = h.known && !h.stale && !h.lost && !h.newcomer && !silent

	h.record, h.revision = next, revision
	changed := abs(h.needed-recorded) > max(1, recorded/8)
	switch {
	case own == nil || h.lost || next.Young != r.Young || own.Lease != h.config.Time: // has to be written
	case entry.Sure && h.awaited(&next): // tells who has come
	case silent && !h.confirmed: // an outage is over: asks who is there still
	case h.asked(at, &next): // tells who asks that
	case at.Sub(h.wrote) >= h.portion(renewPart), h.bound.Until.Before(at.Add(h.portion(ownPart - renewPart))): // renews
	case target > held && (h.needed > held || held == 0): // takes
	case h.scarce && max(target, d.Inflight) < held: // gives
	case (h.scarce || h.needed > held) && changed: // asks
	default:
		return nil
	}
	running := d.Inflight
	if h.allowed(at) > target {
		running = h.bind(target, h.bound.Until, limit)
	}
	entry.Slots = max(target, running)
	h.planned = target
	return &next
}

// retime decides for how long the lease is held. It is shorter before the record says so,
// and longer when everybody has read there that it is: who loses the ledger waits for the
// end of the longest lease that he knows of.
func (h *holder) retime(at time.Time, r *Record, own *Member) {
	t := h.config.Time
	h.longer = own != nil && own.Lease < t
	if h.joining {
		t = min(t, h.time)
	} else {
		t = min(t, own.Lease)
	}
	for _, m := range r.Members {
		switch {
		case m.ID == h.id || !h.alive(at, &m):
		case h.joining:
			t = min(t, m.Lease)
		case h.seen[m.ID].untold:
			t = min(t, h.time)
		}
	}
	h.time = t
	if until := at.Add(h.portion(ownPart)); until.Before(h.bound.Until) {
		h.bind(h.bound.Slots, until, h.bound.Limit)
	}
}

// succeeded says that what observe returned has been written, sent at a moment.
func (h *holder) succeeded(sent time.Time, revision uint64) {
	h.known, h.revision, h.wrote = true, revision, sent
	h.lost, h.outage, h.stale, h.confirmed = false, false, false, true
	sure := h.record.member(h.id).Sure
	for id, s := range h.seen {
		s.unaware = s.unaware || h.joining
		s.untold = s.untold || h.joining || h.longer
		s.told = s.told || sure
		if m := h.record.member(id); m != nil && !m.Sure {
			s.answered = sent
		}
		h.seen[id] = s
	}
	h.bind(h.planned, sent.Add(h.portion(ownPart)), h.limit())
}

// failed says that the ledger could not be read or not be written, at a moment; again
// is when it will be tried again at the latest.
func (h *holder) failed(at time.Time, again time.Duration) {
	h.look(at)
	// Between attempts that are far apart the ledger may have been there for others.
	if !h.failing || at.Sub(h.tried) > h.portion(renewPart) {
		h.failing, h.failedFrom = true, at
	}
	h.tried = at
	if !h.outage && at.Add(again).Before(h.bound.Until) {
		return // the lease goes on
	}
	h.outage = true
	slots := 0
	switch h.config.OnOutage {
	case OutageOpen:
		slots = limits.Unbound
	case OutageShare:
		// Who is unknown to others stands in for one that ended, if any.
		slots = 1
		if !h.unknown() {
			slots = h.share(&h.record, h.limit())
			// Others count on what they held until their leases have ended too.
			if at.Sub(h.failedFrom) < portion(othersPart, h.longest(&h.record)) {
				slots = min(slots, h.allowed(at))
			}
		}
	}
	// Evidence of an outage lasts no longer than a lease: a process that was stopped
	// meanwhile knows of none.
	h.bind(slots, at.Add(h.portion(ownPart)), h.limit())
}

// longest is the longest lease that anybody in the record may hold, shortest the shortest.
func (h *holder) longest(r *Record) time.Duration {
	t := h.time
	for _, m := range r.Members {
		t = max(t, m.Lease)
	}
	return t
}

func (h *holder) shortest(r *Record) time.Duration {
	t := h.time
	for _, m := range r.Members {
		t = min(t, m.Lease)
	}
	return t
}

// without is the record without this holder, nil where it is not in it.
func (h *holder) without(read *Record) *Record {
	if read == nil || read.member(h.id) == nil {
		return nil
	}
	r := *read
	r.Members = nil
	for _, m := range read.Members {
		if m.ID != h.id {
			r.Members = append(r.Members, m)
		}
	}
	return &r
}
