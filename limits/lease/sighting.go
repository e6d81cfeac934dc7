package lease

import (
	"crypto/rand"
	"time"
)

// sighting is when a beat was first seen.
type sighting struct {
	beat uint64
	at   time.Time
	// silent: not heard of since the ledger can be reached again.
	silent bool
	// unaware: not heard of since this holder is in the record.
	unaware bool
	// untold: not heard of since this holder is in the record, or said there that it may hold
	// its lease for longer.
	untold bool
	// told: it can read here that there is no outage.
	told bool
	// answered: this holder last wrote while that one was not sure, zero for never.
	answered time.Time
}

// look notes that the ledger is looked at, whether it can be reached or not.
func (h *holder) look(at time.Time) {
	last := h.read
	if h.failing {
		last = h.tried
	}
	switch gap := at.Sub(last); {
	case !h.known:
	case h.failing && gap <= h.portion(renewPart):
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
		if h.came.IsZero() {
			h.newcomer, h.came = true, at
		}
		if r.Young && h.youngFrom.IsZero() {
			h.youngFrom = at
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
	// Others may have had more than this holder knows of, and restore it in a moment.
	h.lost = true
	if read == nil || r.Epoch == h.record.Epoch { // else somebody has begun to restore it
		r.Epoch = rand.Text()
	}
	for _, m := range h.record.Members {
		have := r.member(m.ID)
		if have == nil {
			r.put(m)
			have = r.member(m.ID)
		}
		have.Lease = max(have.Lease, m.Lease)
		if m.ID != h.id {
			s := h.seen[m.ID]
			s.beat, s.at, s.silent = have.Beat, at, true
			h.seen[m.ID] = s
		}
	}
	h.confirmed = false
	return r
}

// sight notes when each beat was first seen. The record was not read for so long before.
func (h *holder) sight(at time.Time, unread time.Duration, r *Record) {
	blind := unread > h.blindAfter(r)
	if blind {
		h.confirmed = false
	}
	sure := false
	for _, m := range r.Members {
		s, ok := h.seen[m.ID]
		switch {
		case !ok:
			// Who begins to look knows of no outage, but there may just have been one.
			s = sighting{beat: m.Beat, at: at, silent: blind || h.newcomer}
		case s.beat != m.Beat:
			// Unless this holder has written since, that may have been sent long before it
			// arrived, by one who goes by its share meanwhile.
			s = sighting{beat: m.Beat, at: at, silent: (s.silent || blind) && !h.confirmed, answered: s.answered}
			sure = sure || m.Sure && h.confirmed && m.ID != h.id
		case blind:
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
	if h.newcomer && sure {
		h.believe()
	}
}

// blindAfter is for how long who has not read the record may have missed an outage in which
// somebody's lease has ended.
func (h *holder) blindAfter(r *Record) time.Duration { return portion(renewPart, h.shortest(r)) }

// believe takes what the record says of each for what it may run.
func (h *holder) believe() {
	for id, s := range h.seen {
		s.silent = false
		h.seen[id] = s
	}
}

// awaited reports whether somebody has just come who has not been told whether there was an
// outage. The first entry is written before anything is held.
func (h *holder) awaited(r *Record) bool {
	for _, m := range r.Members {
		if m.ID != h.id && m.Beat == 1 && !h.seen[m.ID].told {
			return true
		}
	}
	return false
}

// asked reports whether somebody waits to hear of this holder since an outage: what it wrote
// before that one did says nothing. It is answered once in each outage that it can have
// noticed, since who waits for a third to come or to end goes on asking.
func (h *holder) asked(at time.Time, r *Record) bool {
	for _, m := range r.Members {
		if m.ID != h.id && m.Beat > 1 && !m.Sure && at.Sub(h.seen[m.ID].answered) >= h.blindAfter(r) {
			return true
		}
	}
	return false
}

// nextEnd is when the first of the others' entries ends after a moment, zero for none.
func (h *holder) nextEnd(at time.Time) time.Time {
	var next time.Time
	for _, m := range h.record.Members {
		end := h.end(&m)
		if m.ID != h.id && end.After(at) && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return next
}

func (h *holder) alive(at time.Time, m *Member) bool {
	return at.Before(h.end(m))
}

// end is until when an entry stands, as far as this holder has seen.
func (h *holder) end(m *Member) time.Time {
	return h.seen[m.ID].at.Add(portion(othersPart, m.Lease))
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
