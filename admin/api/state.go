package api

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// State is what a sidecar does at one moment.
type State struct {
	Time      time.Time `json:"time"`
	StartedAt time.Time `json:"started_at"`
	Version   string    `json:"weir_version"`
	Function  Function  `json:"function"`
	Upstream  Upstream  `json:"upstream"`

	Ready          bool   `json:"ready"`
	NotReadyReason string `json:"not_ready_reason,omitempty"`
	Draining       bool   `json:"draining"`

	Inflight int `json:"inflight"`
	Limit    int `json:"limit"` // of Inflight; 0 is none
	// HighWater is the greatest Inflight of the last minute.
	HighWater  int `json:"high_water"`
	Waiting    int `json:"waiting"`
	QueueDepth int `json:"queue_depth"` // of Waiting

	// ConcurrencySeconds is the integral of Inflight over time since the start.
	ConcurrencySeconds  float64 `json:"concurrency_seconds_total"`
	MeanDurationSeconds float64 `json:"mean_duration_seconds"`

	Requests  Requests          `json:"requests"`
	Throttles map[string]uint64 `json:"throttles"` // since the start, by reason
	Limits    Limits            `json:"limits"`
	// SharedLimits are those that this sidecar shares with others.
	SharedLimits []SharedLimit `json:"shared_limits,omitempty"`
	// TopCallers are those that have used most, most first; empty where callers are not
	// told apart.
	TopCallers []Caller `json:"top_callers,omitempty"`
	// Async is nil where asynchronous calls are switched off.
	Async *Async `json:"async,omitempty"`
	// Second is the last whole second.
	Second Sample `json:"second"`
}

// Function is what a sidecar stands in front of.
type Function struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Upstream is how the function is reached.
type Upstream struct {
	URL     string `json:"url"`
	Up      bool   `json:"up"`                // as the last probe found it
	Failure string `json:"failure,omitempty"` // of that probe
}

// Caller is what one caller uses.
type Caller struct {
	// Caller is its key, "" for all requests without one; what may be a secret is hidden
	// behind a hash.
	Caller      string     `json:"caller"`
	Admitted    int        `json:"admitted"` // requests that run or wait
	SlotSeconds Thousandth `json:"slot_seconds"`
	Refused     uint64     `json:"refused"` // by limits of its own
}

// SharedLimit is a limit that sidecars share, and this one's part of it.
type SharedLimit struct {
	Scope string `json:"scope"` // function, account
	Held  int    `json:"held"`  // slots that this sidecar may use
	// Limit is the one in force, the lowest that a member is configured with;
	// Configured this sidecar's.
	Limit      int  `json:"limit"`
	Configured int  `json:"configured"`
	Free       int  `json:"free"`    // slots that nobody held, as last known
	Members    int  `json:"members"` // this one included, as last known
	StoreUp    bool `json:"store_up"`
	// LeaseSeconds is the limits.lease_time in force, LeaseConfiguredSeconds this sidecar's: a
	// longer one waits until the others know of it.
	LeaseSeconds           float64 `json:"lease_seconds"`
	LeaseConfiguredSeconds float64 `json:"lease_configured_seconds"`
	OnOutage               string  `json:"on_outage"` // limits.on_outage
	// Outage is limits.on_outage while that decides, empty while a lease does.
	Outage string `json:"outage,omitempty"`
}

// Requests counts since the start, as weir_requests_total does: without those
// that were refused.
type Requests struct {
	Total       uint64            `json:"total"`
	ByCodeClass map[string]uint64 `json:"by_code_class"`
	ByOrigin    map[string]uint64 `json:"by_origin"`
}

// Sample is what a sidecar did within one second.
type Sample struct {
	// Sequence counts the samples since the start, from 1.
	Sequence uint64     `json:"sequence"`
	Time     time.Time  `json:"time"`    // of its end
	Seconds  Thousandth `json:"seconds"` // its length, more than 1 where the machine was late

	Inflight int `json:"inflight"` // at its end
	Waiting  int `json:"waiting"`  // at its end
	Limit    int `json:"limit"`    // at its end
	// Concurrency is the exact mean of Inflight over the second.
	Concurrency Thousandth `json:"concurrency"`
	// Ended counts requests that ended; Failed those of them with a 5xx.
	Ended  uint64 `json:"ended"`
	Failed uint64 `json:"failed"`
	// Throttled counts refused requests by reason; reasons without any are left out.
	Throttled map[string]uint64 `json:"throttled"`
	// Durations of those that ended, null where none did.
	P50 Seconds `json:"p50_seconds"`
	P95 Seconds `json:"p95_seconds"`
	P99 Seconds `json:"p99_seconds"`
}

// Refused is the number of refused requests.
func (s *Sample) Refused() uint64 {
	var sum uint64
	for _, n := range s.Throttled {
		sum += n
	}
	return sum
}

// Seconds is a duration that may be unknown: NaN, in JSON null. It is written
// with microseconds.
type Seconds float64

// Known reports whether there is a duration.
func (s Seconds) Known() bool { return !math.IsNaN(float64(s)) }

// MarshalJSON writes a number or null.
func (s Seconds) MarshalJSON() ([]byte, error) {
	if !s.Known() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(s)*1e6)/1e6, 'f', -1, 64), nil
}

// UnmarshalJSON reads a number or null.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*s = Seconds(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(s))
}

// HistoryLength is how many samples a History holds at most: ten minutes.
const HistoryLength = 600

// History holds the samples of the last ten minutes, the oldest first: a list for
// each field of Sample, all of one length.
type History struct {
	Sequence    uint64       `json:"sequence"` // of the last sample; 0 where there is none yet
	Time        []int64      `json:"time_ms"`  // milliseconds since the epoch
	Seconds     []Thousandth `json:"seconds"`
	Inflight    []int        `json:"inflight"`
	Waiting     []int        `json:"waiting"`
	Limit       []int        `json:"limit"`
	Concurrency []Thousandth `json:"concurrency"`
	Ended       []uint64     `json:"ended"`
	Failed      []uint64     `json:"failed"`
	// Throttled has a list for each reason that refused anybody.
	Throttled map[string][]uint64 `json:"throttled"`
	P50       []Seconds           `json:"p50_seconds"`
	P95       []Seconds           `json:"p95_seconds"`
	P99       []Seconds           `json:"p99_seconds"`
}

// NewHistory turns samples, the oldest first, into a History.
func NewHistory(samples []Sample) *History {
	n := len(samples)
	h := &History{
		Time: make([]int64, n), Seconds: make([]Thousandth, n),
		Inflight: make([]int, n), Waiting: make([]int, n), Limit: make([]int, n), Concurrency: make([]Thousandth, n),
		Ended: make([]uint64, n), Failed: make([]uint64, n), Throttled: map[string][]uint64{},
		P50: make([]Seconds, n), P95: make([]Seconds, n), P99: make([]Seconds, n),
	}
	for i := range samples {
		s := &samples[i]
		h.Sequence = s.Sequence
		h.Time[i], h.Seconds[i] = s.Time.UnixMilli(), s.Seconds
		h.Inflight[i], h.Waiting[i], h.Limit[i], h.Concurrency[i] = s.Inflight, s.Waiting, s.Limit, s.Concurrency
		h.Ended[i], h.Failed[i] = s.Ended, s.Failed
		h.P50[i], h.P95[i], h.P99[i] = s.P50, s.P95, s.P99
		for reason, refused := range s.Throttled {
			if h.Throttled[reason] == nil {
				h.Throttled[reason] = make([]uint64, n)
			}
			h.Throttled[reason][i] = refused
		}
	}
	return h
}

// Thousandth is a number that is written with three decimals at most.
type Thousandth float64

// MarshalJSON writes the rounded number.
func (t Thousandth) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, math.Round(float64(t)*1e3)/1e3, 'f', -1, 64), nil
}

// InflightQuery says how much of the table of running requests to show.
type InflightQuery struct {
	Limit int // requests at most, 1 to MaxInflightRows; 0 is DefaultInflightRows
}

// Bounds of InflightQuery.Limit.
const (
	DefaultInflightRows = 100
	MaxInflightRows     = 10_000
)

// Inflight is the table of running requests.
type Inflight struct {
	Time     time.Time `json:"time"`
	Total    int       `json:"total"` // of the requests that run, in Requests or not
	Requests []Request `json:"requests"`
}

// Request is one running request.
type Request struct {
	ID            string    `json:"id"`
	Method        string    `json:"method"`
	Path          string    `json:"path"`     // without its query
	Protocol      string    `json:"protocol"` // "HTTP/1.1"; "async" for an attempt of an asynchronous call
	Client        string    `json:"client"`   // address of the peer; the id of an asynchronous call
	StartedAt     time.Time `json:"started_at"`
	AgeSeconds    float64   `json:"age_seconds"`
	WaitedSeconds float64   `json:"waited_seconds"` // for its slot, of its age
}

// Limits are the settings of the section limits in the configuration, by their
// names there, and those of the section callers by their keys: callers.rate. Values
// are numbers, booleans, texts and lists, as in the file.
type Limits struct {
	InForce map[string]any `json:"in_force"`
	// Configured is what holds without the changes that were made through this API.
	Configured map[string]any `json:"configured"`
	// NeedsRestart names those that no change is taken of while weir runs, sorted.
	NeedsRestart []string `json:"needs_restart"`
}

// LimitsChange holds new values of some settings by name: a number, a boolean, a
// text or a list. Nil puts back what is configured.
type LimitsChange map[string]any

// Draining is how far a drain has come.
type Draining struct {
	Draining bool `json:"draining"`
	Inflight int  `json:"inflight"`
	Waiting  int  `json:"waiting"`
}
