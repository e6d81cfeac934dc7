package limits

import "time"

// Call is what the Gate needs to know of a request. The zero value is a call
// without wishes: it takes the Gate's policy as it stands.
type Call struct {
	// Overflow replaces the policy's where it is not OverflowDefault.
	Overflow Overflow
	// Deadline bounds the wait for a slot, beside the policy's queue timeout; a call
	// that would have to wait past it is refused at once. Zero is none. Source:
	// grpc-timeout and the like.
	Deadline time.Time
	// Priority orders the call among those that wait; the zero value is Critical.
	Priority Priority
	// Caller is who calls, "" for nobody known. The Gate keeps a copy of its own.
	Caller string
	// Rate is shared with other calls, such as those of one route; nil is none.
	Rate *Rate
}

// Outcome says how an admitted call ended. Limiters that learn from outcomes
// read it; the fixed limit does not.
type Outcome uint8

const (
	// Succeeded is an answer of the function below 500 other than 429.
	Succeeded Outcome = iota
	// Failed is a 5xx, a broken or missing answer, or a timeout.
	Failed
	// Full is a 429 of the function itself.
	Full
	// Aborted is a call whose client left before its end.
	Aborted
	// Refused undoes an Enter of one Limiter because a later one refused the
	// call: it never ran.
	Refused
)
