package metrics

import "strconv"

// StatusClientClosedRequest stands for the status of a request whose client
// left before there was one (nginx's 499).
const StatusClientClosedRequest = 499

// Mode says how a request was invoked.
type Mode uint8

const (
	Sync Mode = iota
	Async
	modes
)

func (m Mode) String() string { return [modes]string{"sync", "async"}[m] }

// Origin says who made the outcome of a request.
type Origin uint8

const (
	OriginFunction Origin = iota // its answer, whatever the status
	OriginWeir                   // weir could not get an answer, or refused the message itself
	OriginClient                 // left before the end
	origins
)

func (o Origin) String() string { return [origins]string{"function", "weir", "client"}[o] }

// class is the class of a status code, 1xx to 5xx, from 0.
type class uint8

const classes class = 5

// classOf puts codes beyond the registered classes into the nearest one: a
// function may send 600 and more, which clients treat as 5xx (RFC 9110, 15).
func classOf(status int) class { return class(min(max(status/100, 1), 5) - 1) }

func (c class) String() string { return strconv.Itoa(int(c)+1) + "xx" }
