package lease

import (
	"crypto/rand"
	"math"
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
	time   time.Duration // of a lease
	part   Part
	config Config

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
	newcomer  bool // it came to a young record
	youngFrom time.Time

	// Since the ledger could not be reached.
	failing    bool
	failedFrom time.Time // the end of the first attempt that failed since it was read
	tried      time.Time // the end of the last one
	blind      bool      // it was not read for so long that there may have been an outage
	read       time.Time // when it last was
	// confirmed: a write has succeeded since the ledger can be read again. What another
	// sent before that, and came late, is refused from then on.
	confirmed bool
	// stale: this holder did not look for so long that others may have given it up.
	stale   bool
	joining bool // the write under way puts it into the record, for others too

	lost   bool // the record was lost, and this holder is about to restore it
	outage bool // what bounds the part is no lease
}

// sighting is when a beat was first seen.
type sighting struct {
	beat uint64
	at   time.Time
	// silent: not heard of since the ledger can be reached again.
	silent bool
	// unaware: not heard of since this holder is in the record.
	unaware bool
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

func newHolder(id string, leaseTime time.Duration, part Part, c Config) *holder {
	h := &holder{id: id, time: leaseTime, part: part, config: c, seen: map[string]sighting{}}
	h.bind(0, time.Time{}, c.Limit)
	return h
}

func (h *holder) portion(p float64) time.Duration { return time.Duration(p * float64(h.time)) }

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
	// Who has not looked for long may have missed an outage.
	h.blind = h.blind || at.Sub(h.read) > h.portion(renewPart)
	h.read, h.failing = at, false
	r := h.reconcile(at, read, revision)
	h.sight(at, &r)
	own := r.member(h.id)
	var held, recorded int
	if own != nil {
		held, recorded = own.Slots, own.Wanted
	}
	d := h.part.Demand()
	limit := h.config.Limit
	others := make([]Member, 0, len(r.Members))
	taken, wanting, silent := 0, 1, false
	for _, m := range r.Members {
		if m.ID == h.id || !h.alive(at, m.ID) {
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
	next.put(Member{ID: h.id, Beat: h.beat(own), Slots: held, Wanted: h.needed, Limit: h.config.Limit})

	target := min(h.goal(&next, limit, d), max(limit-taken, 0))
	h.scarce = wantMore(&next)
	switch {
	case h.lost, silent && h.unknown(): // others may have more than this holder remembers, or count on what it had
		target = min(target, h.allowed(at))
	case silent: // after an outage: those not heard of yet may run what they held, or their share
		target = min(target, max(h.allowed(at), min(held, h.share(&next, limit))))
	}
	if !next.Young {
		h.newcomer = false
	} else if at.Sub(h.youngFrom) >= youngFor {
		next.Young = false
		h.newcomer = false
	}
	if h.newcomer {
		target = 0
	}

	h.record, h.revision, h.joining = next, revision, own == nil || h.stale
	changed := abs(h.needed-recorded) > max(1, recorded/8)
	switch {
	case own == nil || h.lost || next.Young != r.Young: // has to be written
	case at.Sub(h.wrote) >= h.portion(renewPart):
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
	next.member(h.id).Slots = max(target, running)
	h.planned = target
	return &next
}

// succeeded says that what observe returned has been written, sent at a moment.
func (h *holder) succeeded(sent time.Time, revision uint64) {
	h.known, h.revision, h.wrote = true, revision, sent
	h.lost, h.outage, h.stale, h.confirmed = false, false, false, true
	if h.joining {
		for id, s := range h.seen {
			s.unaware = true
			h.seen[id] = s
		}
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
			if at.Sub(h.failedFrom) < h.portion(othersPart) {
				slots = min(slots, h.allowed(at))
			}
		}
	}
	// Evidence of an outage lasts no longer than a lease: a process that was stopped
	// meanwhile knows of none.
	h.bind(slots, at.Add(h.portion(ownPart)), h.limit())
}

// look notes that the ledger is looked at, whether it can be reached or not.
func (h *holder) look(at time.Time) {
	last := h.read
	if h.failing {
		last = h.tried
	}
	gap := at.Sub(last)
	switch {
	case !h.known || gap <= h.portion(renewPart):
	case h.failing && last.Sub(h.failedFrom) >= h.portion(noticedPart):
		// The others have lost the ledger too, and wait for whom they knew when it is back.
		h.stale = h.stale || gap > h.portion(ownPart)
	default:
		h.stale = h.stale || at.Sub(h.wrote) > h.portion(ownPart)
	}
}

// unknown reports whether others may not count on this holder having a share: it has never
// been in the record, it was given up, or they have not looked since it came.
func (h *holder) unknown() bool {
	if !h.known || h.stale {
		return true
	}
	for _, m := range h.record.Members {
		if h.seen[m.ID].unaware {
			return true
		}
	}
	return false
}

// reconcile makes of the record that was read the one to go on from. A record that this
// holder knew, and that is gone or was set back, is restored from memory: what others
// held then, they may still count on.
func (h *holder) reconcile(at time.Time, read *Record, revision uint64) Record {
	r := Record{}
	if read != nil {
		r = *read
		r.Members = append([]Member(nil), read.Members...)
	}
	if !h.known {
		if read == nil {
			r.Epoch, r.Young = rand.Text(), true
		}
		if r.Young && h.youngFrom.IsZero() {
			h.newcomer, h.youngFrom = true, at
		}
		return r
	}
	if read != nil && r.Epoch == h.record.Epoch && revision >= h.revision {
		switch {
		case !r.Young:
			h.youngFrom = time.Time{}
		case h.youngFrom.IsZero():
			h.youngFrom = at
		}
		return r
	}
	// Others may have had more than this holder knows of, and restore it in a moment: as
	// long as that takes, who comes new has to wait.
	h.lost, r.Young, h.youngFrom = true, true, at
	if read == nil || r.Epoch == h.record.Epoch { // else somebody has begun to restore it
		r.Epoch = rand.Text()
	}
	for _, m := range h.record.Members {
		if r.member(m.ID) == nil {
			r.put(m)
		}
		if m.ID != h.id {
			h.seen[m.ID] = sighting{beat: r.member(m.ID).Beat, at: at, silent: true}
		}
	}
	h.confirmed = false
	return r
}

// sight notes when each beat was first seen.
func (h *holder) sight(at time.Time, r *Record) {
	if h.blind {
		h.confirmed = false
	}
	for _, m := range r.Members {
		s, ok := h.seen[m.ID]
		switch {
		case !ok:
			// Who has only just begun to look knows of no outage; who has tried before does.
			s = sighting{beat: m.Beat, at: at, silent: h.blind && !h.tried.IsZero()}
		case s.beat != m.Beat:
			// Unless this holder has written since, that may have been sent long before it
			// arrived, by one who goes by its share meanwhile.
			s = sighting{beat: m.Beat, at: at, silent: (s.silent || h.blind) && !h.confirmed}
		case h.blind:
			// It could not renew its lease either, and may go on at its share.
			s.at, s.silent = at, true
		}
		h.seen[m.ID] = s
	}
	for id := range h.seen {
		if r.member(id) == nil {
			delete(h.seen, id)
		}
	}
	h.blind = false
}

func (h *holder) alive(at time.Time, id string) bool {
	return at.Sub(h.seen[id].at) < h.portion(othersPart)
}

func (h *holder) beat(own *Member) uint64 {
	if own != nil {
		return own.Beat + 1
	}
	if m := h.record.member(h.id); m != nil {
		return m.Beat + 1
	}
	return 1
}

// need is how many slots the part could use: what ran at once of late, and while calls
// find no slot, twice that, or as many as there were. Where others want some too, it asks
// for an equal part at once: to double up to it takes many looks, and others take in
// between what it has not asked for.
func (h *holder) need(at time.Time, d limits.Demand, limit, wanting int) int {
	refused := d.Starved - h.starved
	h.starved = d.Starved
	if refused > 0 {
		h.starvedAt = at
	}
	n := max(d.Peak, d.Inflight+d.Waiting)
	if h.hungry(at) {
		has := max(h.allowed(at), d.Inflight)
		if has == limits.Unbound {
			has = d.Inflight
		}
		more := max(has, 1)
		if refused < math.MaxInt32 {
			more = max(more, int(refused))
		}
		n = max(n, has+more)
		if wanting > 1 {
			n = max(n, (limit+wanting-1)/wanting)
		}
	}
	if d.Own > 0 {
		n = min(n, d.Own)
	}
	return min(n, h.config.Limit)
}

// owes reports whether more stands in the record for it than it may let run: calls of
// which it has to give the slots back once they have ended.
func (h *holder) owes() bool {
	own := h.record.member(h.id)
	return own != nil && !h.outage && own.Slots > h.bound.Slots
}

func (h *holder) hungry(at time.Time) bool {
	return !h.starvedAt.IsZero() && at.Sub(h.starvedAt) < hungryFor
}

// goal is what the holder should have: its fair share of what all want, and an equal
// part of half of what nobody wants, so that a burst finds slots here.
func (h *holder) goal(r *Record, limit int, d limits.Demand) int {
	wanted := make([]int, len(r.Members))
	place := 0
	for i, m := range r.Members {
		wanted[i] = m.Wanted
		if m.ID == h.id {
			place = i
		}
	}
	shares := fairShares(limit, wanted)
	left := limit
	for _, s := range shares {
		left -= s
	}
	goal := shares[place] + (left+1)/2/len(shares)
	if d.Own > 0 {
		goal = min(goal, d.Own)
	}
	return goal
}

// share is the holder's equal share of the limit.
func (h *holder) share(r *Record, limit int) int {
	for i, m := range r.Members {
		if m.ID == h.id {
			return equalShares(limit, len(r.Members))[i]
		}
	}
	return 0
}

// limit is the one in force: the lowest that a member is configured with.
func (h *holder) limit() int {
	limit := h.config.Limit
	for _, m := range h.record.Members {
		if m.ID != h.id {
			limit = min(limit, m.Limit)
		}
	}
	return limit
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

// wantMore reports whether somebody wants more than he has.
func wantMore(r *Record) bool {
	for _, m := range r.Members {
		if m.Wanted > m.Slots {
			return true
		}
	}
	return false
}

func abs(n int) int { return max(n, -n) }
