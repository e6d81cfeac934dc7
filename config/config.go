// Package config turns a file, the environment and flags into one validated
// Config, says where each value came from, and watches the file for changes.
//
// It decides nothing about requests; it only promises that a Config handed out
// is complete, consistent and was validated whole.
package config

import (
	"net/netip"
	"time"
)

// Config is the effective configuration of one sidecar. It is immutable once
// loaded: a reload yields a new one.
type Config struct {
	Listen   string   // data port, host:port
	Upstream Upstream // the function
	Function Function
	Limits   Limits
	Callers  Callers
	Routes   []Route // longest path first
	Timeouts Timeouts
	Client   Client
	Async    Async
	TLS      TLS
	Metrics  Metrics
	Tracing  Tracing
	Admin    Admin
	Ready    Ready
	Drain    Drain
	Log      Log

	// TrustedProxies are the peers whose Forwarded and X-Forwarded-* fields are
	// believed and appended to; everybody else's are replaced.
	TrustedProxies []netip.Prefix
	// OnClientAbort says what becomes of a running request whose client left.
	OnClientAbort OnClientAbort
	// OpenFaaS is true where weir stands in for of-watchdog: it then answers
	// /_/health and /_/ready on the data port.
	OpenFaaS bool
	// Command is the function to start, empty for a plain sidecar.
	Command []string
	// StartupTimeout bounds the wait for a started Command to accept connections.
	StartupTimeout time.Duration
}

// Upstream says how to reach the function.
type Upstream struct {
	// Scheme is "http", "https", "h2c" or "unix".
	Scheme string
	// Address is host:port, or the socket's path for unix.
	Address        string
	ConnectTimeout time.Duration
	// IdleTimeout closes idle connections to the function; keep it below the
	// function's own keep-alive time.
	IdleTimeout time.Duration
	// MaxIdle bounds the idle connections kept; 0 keeps none.
	MaxIdle int
	// CA is a PEM file of authorities for https, empty for the system's.
	CA string
}

// Function names what weir stands in front of.
type Function struct {
	Name    string
	Version string
}

// Limits bounds what runs at once.
type Limits struct {
	// MaxInflight is the number of requests running at once; 0 only meters, and
	// MaxInflightAuto finds it between the next two.
	MaxInflight        int
	MinInflight        int // at least 1
	MaxInflightCeiling int
	Overflow           Overflow
	QueueDepth         int // waiting requests at most, for OverflowWait; at least 1 where anything waits
	QueueTimeout       time.Duration
	QueueOrder         QueueOrder

	// FunctionMaxInflight is of all sidecars of the function together; 0 is none.
	FunctionMaxInflight int
	// Account names what the function's account shares AccountMaxInflight with; empty for
	// none.
	Account            string
	AccountMaxInflight int
	// OnOutage says what of both may be used while NATS cannot be reached, LeaseTime how
	// long what a dead sidecar held is kept for it.
	OnOutage  OnOutage
	LeaseTime time.Duration
	// NATSURL is where sidecars share limits, empty for nowhere; the next are as Async's.
	NATSURL, NATSCredentials, NATSCA string
	NATSReplicas                     int

	Rate          Rate // of all requests; the zero value is none
	Ramp          int  // requests at once more than of late that may come each minute; 0 is off
	RampRetention time.Duration
	// MaxLoop is how often a request may have passed the function before; 0 is without
	// bound.
	MaxLoop int
	// DryRun lets max_inflight, rate and ramp only count what they would refuse.
	DryRun bool
	// PriorityHeader and DeadlineHeader name request fields, in canonical form; empty
	// is none.
	PriorityHeader, DeadlineHeader string
}

// Callers tells callers apart.
type Callers struct {
	// Kind is "" (not told apart), header, certificate, jwt or address; Name the
	// header or the claim.
	Kind, Name  string
	MaxInflight int // of one caller, running and waiting; 0 is no limit
	Rate        Rate
	Remembered  int
	DryRun      bool // of the two above
}

// leastShared is the lower of the function's and the account's limit, 0 for none.
func (l *Limits) leastShared() int {
	n := l.FunctionMaxInflight
	if l.Account != "" && (n == 0 || l.AccountMaxInflight < n) {
		n = l.AccountMaxInflight
	}
	return n
}

// OnOutage says what a sidecar may run of a shared limit that it cannot settle with the
// others.
type OnOutage string

const (
	OutageShare  OnOutage = "share"  // an equal share
	OutageOpen   OnOutage = "open"   // as much as its own limit allows
	OutageClosed OnOutage = "closed" // nothing
)

// MaxInflightAuto stands for a limit that is found.
const MaxInflightAuto = -1

// QueueOrder says who of those waiting is served first.
type QueueOrder string

const (
	QueueAdaptive QueueOrder = "adaptive" // the oldest, under pressure the newest
	QueueFIFO     QueueOrder = "fifo"     // the oldest, always
)

// Overflow says what a request over the limit gets.
type Overflow string

const (
	OverflowReject Overflow = "reject" // a refusal at once
	OverflowWait   Overflow = "wait"   // a place in a bounded queue
	OverflowAsync  Overflow = "async"  // run later
)

// OnClientAbort says what becomes of a running request whose client left.
type OnClientAbort string

const (
	AbortCancel OnClientAbort = "cancel" // cancel it upstream, free its slot
	AbortFinish OnClientAbort = "finish" // keep the slot until the function has answered
)

// Invoke says when a route's requests are run.
type Invoke string

const (
	InvokeSync  Invoke = "sync"  // while their clients wait
	InvokeAsync Invoke = "async" // later
)

// Route overrides settings for the requests it matches: those whose path is
// Path or lies below it by whole segments and whose method is listed (all, if
// none is). The longest matching Path decides; among equal ones, the first.
type Route struct {
	Path    string
	Methods []string
	// The zero value of each of these means: as configured globally.
	Overflow             Overflow
	Priority             string // critical-plus, critical, sheddable-plus or sheddable
	Rate                 Rate
	Timeout              *time.Duration
	ResponseStartTimeout *time.Duration
	OnClientAbort        OnClientAbort
	Invoke               Invoke
	// FullDuplex lets HTTP/1.1 response bytes flow before the request body is read.
	FullDuplex bool
	Async      RouteAsync // of its calls that are run later
}

// RouteAsync is what of Async may be another for the calls of a route. Nil means: as
// configured globally.
type RouteAsync struct {
	Attempts                 *int
	Backoff, BackoffMax      *time.Duration
	RetryStatuses            *[]int
	Timeout, MaxAge          *time.Duration
	Retention, DeadRetention *time.Duration
}

// Timeouts bound a request once it is admitted. 0 is off.
type Timeouts struct {
	Request       time.Duration // the whole of it
	ResponseStart time.Duration // until the response's final head
	Idle          time.Duration // without a byte moving in either direction
}

// Async configures calls that are run later.
type Async struct {
	Enabled bool
	Dir     string // of the queue within this process; not used with NATSURL
	// AnyFilesystem allows Dir on file systems where calls are not safe.
	AnyFilesystem bool
	// NATSURL is that of an external server or cluster, several separated by commas;
	// NATSCredentials a file with a user's JWT and key, NATSCA one with authorities.
	NATSURL, NATSCredentials, NATSCA string
	NATSReplicas                     int
	MaxBody                          int64 // bytes of a request's body, 413 above
	MaxStore                         int64 // bytes of all that is kept; 429 near it
	MaxResponse                      int64 // bytes of a response's body that are kept
	Attempts                         int   // at most; 0 is until it succeeds or expires
	Backoff, BackoffMax              time.Duration
	RetryStatuses                    []int         // answers after which a call is tried again
	Timeout                          time.Duration // of an attempt; 0 is off
	MaxAge                           time.Duration // within which an attempt begins
	Retention                        time.Duration // of what has ended
	KeyRetention                     time.Duration // of idempotency keys
	DeadRetention                    time.Duration // of dead letters
	MinShare, MaxShare               int           // per cent of the slots

	// CallbacksAllow says where callers may have the outcome sent.
	CallbacksAllow []HostRule
	// OnSuccess and OnFailure are told of calls that ended so: a URL, or a NATS subject
	// that Subject gives; "" for none.
	OnSuccess, OnFailure string
	DestinationBody      string        // "record" or "response": what they get
	Events               string        // "plain" or "cloudevents"
	WebhookSecrets       string        // file that ParseSecrets reads, "" for none
	WebhookTimeout       time.Duration // of an attempt to tell a receiver
	WebhookMaxAge        time.Duration // from a call's end, within which attempts are made
	WebhookBackoffMax    time.Duration // between them
}

// Client bounds what a client may cost.
type Client struct {
	HeaderTimeout  time.Duration // to send a complete head; never 0
	IdleTimeout    time.Duration // between requests on one connection; never 0
	ReadTimeout    time.Duration // without progress of the request body; 0 is off
	WriteTimeout   time.Duration // without progress of the response; 0 is off
	MaxHeaderBytes int           // bytes of a request's head, 431 above
	HTTPEngine     string        // "own" or "nethttp": what carries HTTP/1.x
	MaxBodyBytes   int64         // bytes of a request's body, 413 above; 0 is unbounded
}

// TLS turns the data port to TLS where Cert is set.
type TLS struct {
	Cert, Key string // PEM files, read again when they change
	ClientCA  string // PEM file; where set, clients must present a certificate signed by it
}

// Metrics is the port of /metrics, /healthz and /readyz.
type Metrics struct {
	Listen string
	// Compat is "" or "openfaas": of-watchdog's metric names beside weir's own.
	Compat string
}

// Tracing says where spans of requests are sent.
type Tracing struct {
	Endpoint string // URL that they are posted to, whole; empty keeps no traces
	// Sample is the share of the traces that begin here which are recorded, 0 to 1.
	// Others are as their callers say.
	Sample      float64
	HeadersFile string // file that ParseHeaders reads, empty for none
	CA          string // PEM file of authorities for https, empty for the system's
	Service     string // what traces show weir by
	Attributes  []Attribute
}

// Admin is the port of the management API and the status page. What is not on a
// loopback address has a TokenFile or a TLSClientCA.
type Admin struct {
	Listen          string // host:port, empty for none
	TokenFile       string // empty for none
	TLSCert, TLSKey string // PEM files, read again when they change; TLS where TLSCert is set
	TLSClientCA     string // PEM file; where set, operators must present a certificate signed by it
}

// Ready says how the function's readiness is probed.
type Ready struct {
	Path           string // HTTP path on the upstream; empty probes by TCP connect
	Interval       time.Duration
	Timeout        time.Duration
	FailOnOverload bool // also not ready while every slot is taken
}

// Drain bounds an orderly stop.
type Drain struct {
	Timeout time.Duration // from the first refusal to the last request's end
	Delay   time.Duration // not ready, yet still admitting, before refusals begin
}

// Log configures what is logged, and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // text, json
	Access string // off, errors, sampled, all
	// AccessEvery is one in how many requests is logged where Access is sampled.
	AccessEvery int
}
