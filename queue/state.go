package queue

import "fmt"

// State is where a call stands. The strings are part of the task API.
type State string

const (
	Enqueued  State = "enqueued"  // waits for its turn
	Scheduled State = "scheduled" // waits for a time that its caller named
	Running   State = "running"   // an attempt is under way
	Retrying  State = "retrying"  // waits for the time of its next attempt
	Succeeded State = "succeeded" // the function answered, and no answer that asks for another attempt
	Failed    State = "failed"    // no attempt is left
	Expired   State = "expired"   // became too old before it ended
	Cancelled State = "cancelled" // its caller or an operator took it back
)

// States lists every State, those that are final last.
func States() []State {
	return []State{Enqueued, Scheduled, Running, Retrying, Succeeded, Failed, Expired, Cancelled}
}

// Final reports whether nothing more happens to a call by itself.
func (s State) Final() bool {
	return s == Succeeded || s == Failed || s == Expired || s == Cancelled
}

// Event is what moves a call from one state to another.
type Event uint8

const (
	Start   Event = iota // an attempt begins
	Succeed              // the function has answered for good
	Retry                // the attempt failed, another one will follow
	Fail                 // the attempt failed, and was the last
	Expire               // the call is too old for an attempt
	Cancel               // somebody takes it back
	Redrive              // an operator gives a dead letter another chance
	events
)

func (e Event) String() string {
	return [events]string{"start", "succeed", "retry", "fail", "expire", "cancel", "redrive"}[e]
}

// moves says where each event leads from each state; what is not in it does not
// happen. docs/async.md draws it.
var moves = map[State]map[Event]State{
	Enqueued:  {Start: Running, Expire: Expired, Cancel: Cancelled},
	Scheduled: {Start: Running, Expire: Expired, Cancel: Cancelled},
	// A running call starts again where the attempt was lost with its weir, and
	// fails or expires unheard of where that was its last.
	Running:   {Start: Running, Succeed: Succeeded, Retry: Retrying, Fail: Failed, Expire: Expired, Cancel: Cancelled},
	Retrying:  {Start: Running, Expire: Expired, Cancel: Cancelled},
	Succeeded: {},
	Failed:    {Redrive: Enqueued},
	Expired:   {Redrive: Enqueued},
	Cancelled: {},
}

// MoveError says that an event cannot happen to a call in its state.
type MoveError struct {
	State State
	Event Event
}

func (e *MoveError) Error() string {
	return fmt.Sprintf("queue: a call that is %s cannot %s", e.State, e.Event)
}

// Move gives the state that e leads to from s, or a *MoveError.
func (s State) Move(e Event) (State, error) {
	if to, ok := moves[s][e]; ok {
		return to, nil
	}
	return s, &MoveError{s, e}
}
