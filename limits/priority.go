package limits

import "fmt"

// Priority orders calls that wait: a freed slot goes to the highest level that has
// somebody waiting. It says nothing while slots are free. The zero value is
// Critical, as in the Google SRE book's levels, which these are ("Handling
// Overload", 2016).
type Priority int8

const (
	CriticalPlus  Priority = 1  // what must work for users to notice nothing
	Critical      Priority = 0  // what users notice; the default
	SheddablePlus Priority = -1 // what can be made up for within minutes
	Sheddable     Priority = -2 // what may fail for hours, such as batch jobs
	// Async is below all synchronous traffic: it takes slots that nobody else wants.
	// A call of this level waits for its slot for as long as its context and deadline
	// let it, whatever the policy's overflow, queue depth and queue timeout.
	Async Priority = -3
)

// levels is the number of priorities, of which Async is the last.
const (
	levels     = 5
	asyncLevel = levels - 1
)

// level is the place of a priority in order of service, from 0.
func (p Priority) level() int { return int(CriticalPlus - min(max(p, Async), CriticalPlus)) }

var priorityNames = [levels]string{"critical-plus", "critical", "sheddable-plus", "sheddable", "async"}

func (p Priority) String() string { return priorityNames[p.level()] }

// ParsePriority reads the name of a level of synchronous calls.
func ParsePriority(name string) (Priority, error) {
	for i, n := range priorityNames[:asyncLevel] {
		if n == name {
			return CriticalPlus - Priority(i), nil
		}
	}
	return Critical, fmt.Errorf("limits: %q is not a priority: critical-plus, critical, sheddable-plus or sheddable", name)
}
