package proxy

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"weir/limits"
)

// Settings is what may change while requests run. Those already admitted keep
// the settings they began with.
type Settings struct {
	// Routes override for the requests they match. The first match in the given
	// order decides, so the longest paths come first.
	Routes []Route

	RequestTimeout       time.Duration // of a whole admitted request; 0 is off
	ResponseStartTimeout time.Duration // until the final response head; 0 is off
	IdleTimeout          time.Duration // without a byte moving in either direction; 0 is off

	ClientReadTimeout  time.Duration // without progress of the request body; 0 is off
	ClientWriteTimeout time.Duration // without progress of the response; 0 is off
	MaxBodyBytes       int64         // of a request; 0 is unbounded

	// Async says which requests are run later; nil is none. It needs an Enqueuer.
	Async *AsyncSettings

	// FinishAborted keeps a request and its slot until the function has answered
	// although its client left, for functions that go on running.
	FinishAborted bool

	// TrustedProxies are the peers whose Forwarded and X-Forwarded-* fields are
	// believed.
	TrustedProxies []netip.Prefix

	// Caller tells callers apart.
	Caller CallerKey
	// PriorityField names the field that a trusted peer gives a call's priority in, ""
	// for none; DeadlineField the field that says how long a client waits.
	PriorityField, DeadlineField string

	// LoopName is the entry that a pass leaves, LoopName of the function or "" for
	// that of no function, and MaxLoop how many a request may bring before it is refused;
	// 0 is without bound.
	LoopName string
	MaxLoop  int

	AccessLog AccessLog
	// AccessEvery is one in how many requests is logged with AccessSampled.
	AccessEvery int
}

// logs decides whether a request that ended with status is logged.
func (s *Settings) logs(status int) bool {
	switch s.AccessLog {
	case AccessErrors:
		return status >= 400
	case AccessSampled:
		return s.AccessEvery <= 1 || rand.IntN(s.AccessEvery) == 0
	case AccessAll:
		return true
	}
	return false
}

// AccessLog says which requests are logged.
type AccessLog uint8

const (
	AccessOff     AccessLog = iota
	AccessErrors            // status 400 and above, and refusals
	AccessSampled           // one in Settings.AccessEvery, at random, whatever became of it
	AccessAll
)

// Route overrides settings for some requests. Nil and zero fields leave the
// general setting in force.
type Route struct {
	// Path matches itself and everything below it by whole segments, compared
	// byte for byte with the request's raw path.
	Path    string
	Methods []string // empty for all

	Overflow             limits.Overflow
	Priority             limits.Priority // the zero value is the general one
	Rate                 *limits.Rate    // shared by the route's requests; nil is none
	Spill                bool            // where every slot is taken; instead of Overflow
	Async                bool            // always run later
	RequestTimeout       *time.Duration
	ResponseStartTimeout *time.Duration
	FinishAborted        *bool
	// FullDuplex lets HTTP/1.1 response bytes flow before the request's body has
	// been read. HTTP/2 always does.
	FullDuplex bool
}
