// Package api is the management API as both ends see it: what is sent, which
// endpoints there are, and what their errors mean. Server and client are made
// from one definition of each endpoint, so that they cannot drift apart.
package api

import "context"

// Service is what the endpoints do. The sidecar has one; Client is another, at
// the other end of the wire. It is safe for concurrent use.
type Service interface {
	// State is what the sidecar does now.
	State(context.Context) (*State, error)
	// History holds a Sample for each second of the last ten minutes.
	History(context.Context) (*History, error)
	// Inflight is the table of running requests, the oldest first.
	Inflight(context.Context, InflightQuery) (*Inflight, error)
	// Limits are the settings that bound what runs.
	Limits(context.Context) (*Limits, error)
	// ChangeLimits changes some of them, all or none, until the configuration file
	// changes or weir ends. It returns all as they are then.
	ChangeLimits(context.Context, LimitsChange) (*Limits, error)
	// Calls lists asynchronous calls, all or those of one state.
	Calls(context.Context, CallsQuery) (*Calls, error)
	// Call is how an asynchronous call stands.
	Call(context.Context, CallQuery) (*Call, error)
	// CancelCall takes a call back that has not ended.
	CancelCall(context.Context, CallQuery) (*Call, error)
	// DeadLetters lists calls that failed or expired, the oldest first.
	DeadLetters(context.Context, DeadLettersQuery) (*DeadLetters, error)
	// DeadLetter is one of them, with its last response.
	DeadLetter(context.Context, CallQuery) (*DeadLetter, error)
	// RemoveDeadLetter forgets one for good.
	RemoveDeadLetter(context.Context, CallQuery) (*Removed, error)
	// Redrive gives one another chance, with as many attempts as a new call.
	Redrive(context.Context, CallQuery) (*Redriven, error)
	// RedriveAll does so for those after a cursor, as many as fit into some seconds;
	// Redriven.Next goes on.
	RedriveAll(context.Context, RedriveQuery) (*Redriven, error)
	// Drain makes the sidecar not ready and lets it refuse newcomers. It returns at
	// once, and the sidecar stays until it is told to end. There is no way back.
	Drain(context.Context) (*Draining, error)
}
