package limits

import (
	"errors"
	"fmt"
	"time"

	"weir/limits/ramp"
	"weir/limits/rate"
)

// Overflow says what becomes of a call that finds every slot taken.
type Overflow uint8

const (
	// OverflowDefault in a Call means: as the Gate's policy says. In a Policy it
	// is OverflowReject.
	OverflowDefault Overflow = iota
	// OverflowReject refuses at once.
	OverflowReject
	// OverflowWait takes a place in the bounded queue.
	OverflowWait
)

// MaxSlots bounds every limit and queue depth, so that counts fit the Gate's
// state word with room to spare.
const MaxSlots = 1_000_000

// Policy is what an operator sets. The zero value only meters: no limit, hence
// no refusal and no queue.
type Policy struct {
	// MaxInflight is the number of calls running at once; 0 is no limit.
	MaxInflight int
	// Auto lets the Gate find the number by itself, in place of MaxInflight; nil does
	// not. QueueDepth stays as it is.
	Auto *Auto
	// Overflow applies to calls that do not bring their own.
	Overflow Overflow
	// QueueDepth is the number of calls that may wait at once. A call that would
	// wait while it is 0 is refused with ReasonMaxInflight.
	QueueDepth int
	// QueueTimeout bounds each wait; 0 is unbounded but for the call's own
	// deadline and its client's patience.
	QueueTimeout time.Duration
	// StrictQueue serves those waiting first come, first served, also while the queue
	// is under pressure.
	StrictQueue bool
	// AsyncMinShare is the part of the slots that calls of priority Async get before
	// anybody else while they have fewer; 0 is none.
	AsyncMinShare float64
	// AsyncMaxShare is the part of the slots that they may have at once; 0 is all. At
	// least one slot may always be theirs.
	AsyncMaxShare float64
	// Callers tells callers apart; nil does not.
	Callers *Callers
	// Rate bounds all calls over time.
	Rate rate.Limit
	// Ramp bounds how fast the number of calls in flight may grow; PerMinute 0 does
	// not.
	Ramp ramp.Policy
	// DryRun counts what MaxInflight, Rate and Ramp would refuse, and refuses nothing;
	// nor does anything wait then.
	DryRun bool
}

func (p Policy) validate() error {
	switch {
	case p.MaxInflight < 0 || p.MaxInflight > MaxSlots:
		return fmt.Errorf("limits: max in-flight %d is not between 0 and %d", p.MaxInflight, MaxSlots)
	case p.Auto != nil && p.MaxInflight != 0:
		return fmt.Errorf("limits: max in-flight %d is set beside auto", p.MaxInflight)
	case p.Auto != nil && (p.Auto.Min < 1 || p.Auto.Ceiling < p.Auto.Min || p.Auto.Ceiling > MaxSlots):
		return fmt.Errorf("limits: bounds %d to %d of an automatic limit are not in order between 1 and %d", p.Auto.Min, p.Auto.Ceiling, MaxSlots)
	case p.Auto != nil && p.DryRun:
		return errors.New("limits: an automatic limit in dry run would find nothing: it learns from what it limits")
	case p.Ramp.PerMinute < 0 || p.Ramp.PerMinute > MaxSlots || p.Ramp.PerMinute > 0 && p.Ramp.Retention <= 0:
		return fmt.Errorf("limits: a ramp of %d a minute, kept for %v", p.Ramp.PerMinute, p.Ramp.Retention)
	case p.QueueDepth < 0 || p.QueueDepth > MaxSlots:
		return fmt.Errorf("limits: queue depth %d is not between 0 and %d", p.QueueDepth, MaxSlots)
	case p.QueueTimeout < 0:
		return fmt.Errorf("limits: queue timeout %v is negative", p.QueueTimeout)
	case p.Overflow > OverflowWait:
		return fmt.Errorf("limits: unknown overflow %d", p.Overflow)
	case !(0 <= p.AsyncMinShare && p.AsyncMinShare <= 1) || !(0 <= p.AsyncMaxShare && p.AsyncMaxShare <= 1):
		return fmt.Errorf("limits: asynchronous calls' share of the slots, %g to %g, is not between 0 and 1", p.AsyncMinShare, p.AsyncMaxShare)
	case p.AsyncMaxShare > 0 && p.AsyncMinShare > p.AsyncMaxShare:
		return fmt.Errorf("limits: asynchronous calls' least share of the slots, %g, is more than the greatest, %g", p.AsyncMinShare, p.AsyncMaxShare)
	}
	if p.Callers != nil {
		return p.Callers.validate()
	}
	return nil
}
