package limits

import "time"

// shares is what callers have used of the slots while somebody waited: who has used
// least is served first. The Gate's lock guards it.
//
// It is start-time fair queueing (Goyal, Vin, Cheng, 1996), with as many servers as
// there are slots (SFQ(D): Jin, Chase, Kaur, 2004), and with savings. Without, a caller
// that does not ask for the whole of its share at a moment has lost the rest. But demand
// is random: who asks for its share on average asks for more half of the time, and would
// be refused then what it left to others before, so that those who ask for far more get
// the difference. Hence who uses less than others saves the difference, within bounds.
type shares struct {
	// virtual is the start of service in slot-time of the call served last: what somebody
	// has used who is neither ahead nor behind.
	virtual time.Duration
	// period numbers the stretches of contention: what callers have used counts within
	// one. It ends once nobody has waited for an interval, so that idle capacity that
	// somebody used is held against nobody. begun is when it began, last when somebody
	// came to wait or was served.
	period      uint64
	begun, last time.Duration
	callers     int // that wait
}

// What a caller can save: so many residuals of a call, and no more than lets all that
// wait use up their savings within some seconds. So long at most does one who had the
// slots alone wait, if others come who have saved all that they can.
//
// Of a demand that is a caller's share on average the part is refused that a random
// walk between two bounds loses at one of them: its variance, per mean, over twice what
// lies between. For calls that come at random, of durations with mean m and second
// moment m2, that is m2/2m of what can be saved, m2/2m being the residual: one in 64, and
// one in 128 where durations are so even that nobody has to wait long for it.
const (
	savingsResiduals = 64
	savingsMeans     = 128              // where that is more
	savingsLast      = 30 * time.Second // or an interval, where that is longer
)

// contend is told that somebody is about to wait beside whom nobody does.
func (s *shares) contend(p *pace) {
	if p.now-s.last > p.interval() {
		s.period++
		s.begun = p.now
	}
}

// usedBy is what a caller has used, at least as much as leaves it what it can save.
// Nobody has savings for being new.
func (s *shares) usedBy(c *caller, p *pace) time.Duration {
	if c.period != s.period {
		return s.virtual
	}
	savings := min(max(savingsResiduals*p.residual, savingsMeans*p.mean), max(savingsLast, p.interval())/time.Duration(max(s.callers, 1))*time.Duration(p.limit))
	return max(c.used, s.virtual-savings)
}

// start is the start of service in slot-time that one more call of the caller's would
// have.
func (s *shares) start(c *caller, p *pace) time.Duration {
	return s.usedBy(c, p) + p.mean*time.Duration(c.waiting)
}

// join is told that a call of the caller's is about to wait, quit that one no longer
// does.
func (s *shares) join(c *caller, p *pace) {
	if c.waiting++; c.waiting == 1 {
		s.callers++
	}
	c.used, c.period = s.usedBy(c, p), s.period
	if c.waiting == 1 {
		c.floor = s.virtual
	}
	s.last = p.now
}

func (s *shares) quit(c *caller) {
	if c.waiting--; c.waiting == 0 {
		s.callers--
	}
}

// serve is told that a call of the caller's is granted a slot, and returns what it is
// charged until its duration is known.
func (s *shares) serve(c *caller, p *pace) time.Duration {
	s.last, s.virtual = p.now, max(s.virtual, c.used)
	charged := max(p.mean, 1)
	c.used += charged
	c.floor = s.virtual
	return charged
}

// settle charges the caller for a call that has ended at a moment what it used of its
// slot in this period, less what was charged for it before.
func (s *shares) settle(c *caller, slot *Slot, now time.Duration) {
	if c.period != s.period {
		c.used, c.period = s.virtual, s.period
	}
	c.used += now - max(slot.start, s.begun)
	if slot.charged > 0 && slot.period == s.period {
		c.used -= slot.charged
	}
}
