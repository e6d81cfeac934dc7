package lease

import (
	"math"
	"time"

	"weir/limits"
)

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
