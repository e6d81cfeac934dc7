package limits

import (
	"fmt"
	"time"
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
	// Overflow applies to calls that do not bring their own.
	Overflow Overflow
	// QueueDepth is the number of calls that may wait at once. A call that would
	// wait while it is 0 is refused with ReasonMaxInflight.
	QueueDepth int
	// QueueTimeout bounds each wait; 0 is unbounded but for the call's own
	// deadline and its client's patience.
	QueueTimeout time.Duration
}

func (p Policy) validate() error {
	switch {
	case p.MaxInflight < 0 || p.MaxInflight > MaxSlots:
		return fmt.Errorf("limits: max in-flight %d is not between 0 and %d", p.MaxInflight, MaxSlots)
	case p.QueueDepth < 0 || p.QueueDepth > MaxSlots:
		return fmt.Errorf("limits: queue depth %d is not between 0 and %d", p.QueueDepth, MaxSlots)
	case p.QueueTimeout < 0:
		return fmt.Errorf("limits: queue timeout %v is negative", p.QueueTimeout)
	case p.Overflow > OverflowWait:
		return fmt.Errorf("limits: unknown overflow %d", p.Overflow)
	}
	return nil
}
