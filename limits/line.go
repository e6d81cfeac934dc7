package limits

import "time"

// line is everybody who waits for a slot. The Gate's lock guards it.
//
// Who is next: the highest level that has somebody; on it the caller who has used
// least; of that one's calls the oldest, or the newest while that caller's line is
// under pressure and too long. One slot of ageing goes to a lower level that waits, so that
// none starves.
type line struct {
	lanes [levels]lane
	// length counts the synchronous waiters: all but those of the level Async.
	length int
	grants uint64 // to synchronous waiters
	turned uint64 // newcomers refused because of pressure
	aged   int    // the level that the last slot out of turn went to
	shares shares
}

// ageing: of so many slots one goes to a lower level.
const ageing = 32

// push puts w at the end of the caller's line.
func (l *line) push(w *waiter, c *caller) {
	if w.level != asyncLevel {
		l.length++
	}
	l.lanes[w.level].push(w, c.flow(w.level))
}

// admit puts a newcomer in line, unless there is no place for it, or its turn would
// not come in time: before its deadline as far as can be told, or within the time
// that it has left, 0 being without bound, by all likelihood.
func (l *line) admit(level int, c *caller, depth int, deadline bool, left time.Duration, p pace) (*waiter, Reason) {
	if left > 0 && p.drain > 0 {
		n := l.ahead(level, c, &p) + 1
		if deadline && p.takes(n) > left || p.takesLeast(n) > left {
			return nil, ReasonQueueTimeout
		}
	}
	if f := c.flows[level]; f != nil {
		if f.length == 0 && p.now-f.emptied > p.sojourn(1) && p.now-f.turned > p.interval() {
			f.pressed = false
		}
		if l.pressed(f, level, &p) {
			l.expire(f, level, &p)
			if f.length >= p.places() {
				l.turned++
				f.turned = p.now
				return nil, ReasonQueueTimeout
			}
		}
	}
	if l.crowded(level, &p) && l.excess(level, c, &p) {
		l.turned++
		return nil, ReasonQueueTimeout
	}
	if l.length >= depth && !l.makeRoom(level, c, &p) {
		return nil, ReasonQueueFull
	}
	if l.length == 0 {
		l.shares.contend(&p)
	}
	l.shares.join(c, &p)
	w := newWaiter(level, p.now)
	l.push(w, c)
	l.fix(c)
	return w, ""
}

// remove takes w out.
func (l *line) remove(w *waiter) {
	c := w.flow.caller
	l.lanes[w.level].remove(w)
	if w.level == asyncLevel {
		return
	}
	l.shares.quit(c)
	l.length--
}

// refuse takes w out for a reason.
func (l *line) refuse(w *waiter, why Reason) {
	l.remove(w)
	w.fate <- why
}

// leave is told that a call of the caller's has ended.
func (l *line) leave(c *caller, s *Slot, now time.Duration) {
	if l.length > 0 {
		l.shares.settle(c, s, now)
		l.fix(c)
	}
}

// fix puts the caller where it belongs, given what it has used.
func (l *line) fix(c *caller) {
	for i, f := range c.flows {
		if f != nil && f.length > 0 {
			l.lanes[i].fix(f)
		}
	}
}

// grant gives a slot to the synchronous waiter whose turn it is; false where there
// is none.
func (l *line) grant(p *pace) bool {
	level, inTurn := l.next()
	if level < 0 {
		return false
	}
	l.grants++
	if inTurn {
		for i := range level {
			l.lanes[i].spared = p.now
		}
	}
	lane := &l.lanes[level]
	f := lane.flows[0]
	if l.crowded(level, p) {
		if late := l.overtaken(level, p); late != nil {
			f = late
		}
	}
	w := f.head
	pressed := l.pressed(f, level, p)
	if pressed && f.length > p.places() {
		w = f.tail
	}
	c := f.caller
	w.charged, w.period = l.shares.serve(c, p), l.shares.period
	l.remove(w)
	w.fate <- ""
	l.fix(c)
	if pressed {
		l.expire(f, level, p)
		f.emptied = p.now
	}
	return true
}

// next is the level whose turn it is, -1 for none, and whether it is the highest
// that waits.
func (l *line) next() (level int, inTurn bool) {
	top := -1
	for i := range asyncLevel {
		if l.lanes[i].length > 0 {
			top = i
			break
		}
	}
	if top < 0 || l.grants%ageing != ageing-1 {
		return top, true
	}
	// Out of turn: the lower levels one after the other.
	for range asyncLevel {
		l.aged = (l.aged + 1) % asyncLevel
		if l.aged > top && l.lanes[l.aged].length > 0 {
			return l.aged, false
		}
	}
	return top, true
}

// expire refuses those in a flow under pressure that have waited too long.
func (l *line) expire(f *flow, level int, p *pace) {
	bound := p.stale(len(l.lanes[level].flows))
	for f.length > 0 && p.now-f.head.since > bound {
		l.refuse(f.head, ReasonQueueTimeout)
	}
}

// makeRoom is asked when every place is taken and another call of the level and the
// caller comes. It refuses somebody who has less of a right to a place: of the
// lowest level that waits, if that is lower; else of the caller with the longest
// line, if that would still be longer than the newcomer's (RFC 8290, 4.1.3, takes
// from the fattest flow as well). It reports whether there is room now.
func (l *line) makeRoom(level int, c *caller, p *pace) bool {
	for i := asyncLevel - 1; i > level; i-- {
		if longest := l.lanes[i].longest(); longest != nil {
			l.refuse(l.last(longest, i, p), ReasonPriority)
			return true
		}
	}
	lane, own := &l.lanes[level], 0
	if f := c.flows[level]; f != nil {
		own = f.length
	}
	if lane.length-len(lane.flows) <= own { // nobody can have more than own+1
		return false
	}
	longest := lane.longest()
	if longest.caller == c || longest.length <= own+1 {
		return false
	}
	l.refuse(l.last(longest, level, p), ReasonCaller)
	return true
}

// last is the one in a flow whose turn is furthest away.
func (l *line) last(f *flow, level int, p *pace) *waiter {
	if l.pressed(f, level, p) && f.length > p.places() {
		return f.head
	}
	return f.tail
}

// ahead is how many at least are served before a newcomer.
func (l *line) ahead(level int, c *caller, p *pace) int {
	n := 0
	for i := range level {
		n += l.lanes[i].length
	}
	own, length := c.flows[level], 0
	if own != nil {
		if length = own.length; l.pressed(own, level, p) && length > p.places() {
			return n
		}
	}
	return n + min(l.lanes[level].length, length*max(len(l.lanes[level].flows), 1))
}
