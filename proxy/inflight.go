package proxy

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"
)

// Running is one request that holds a slot, as the table of running requests
// shows it.
type Running struct {
	ID       string // of this request, for as long as the process lives
	Method   string
	Path     string // raw, without its query; cut after longestPath bytes
	Protocol string // "HTTP/1.1"; "async" for an attempt of an asynchronous call
	Client   string // address of the peer, without its port; the id of an asynchronous call
	Began    time.Time
	Waited   time.Duration // for its slot, of the time since it began
}

// asyncProtocol is the Protocol of what nobody is connected for.
const asyncProtocol = "async"

// longestPath bounds what the table holds of a path.
const longestPath = 256

// seat is where a request sits in the table while it runs. Each stream and each
// exchange has one, and uses it for one request after the other.
//
// Its lock is held while nobody sits in it: taking the seat is an unlock, leaving
// it a lock, some nanoseconds each, without a word of the request copied. Whoever
// reads the table looks into the seats that it can lock, and holds up only a
// request that ends in that very moment.
//
// Plain version:
//
//	mu.Lock(); table[id] = request; mu.Unlock()
//	...
//	mu.Lock(); delete(table, id); mu.Unlock()
type seat struct {
	mu     sync.Mutex // held while the seat is empty
	number uint64
	taken  bool // of whoever uses the seat: is it taken

	// Of the request in it; written only while mu is held.

	proxy                         *Proxy // nil where it is empty
	times                         uint64 // that the seat was taken
	method, target, proto, client string
	began, waited                 time.Duration
}

// seats are all that there are. A seat lives as long as what uses it.
var seats struct {
	mu   sync.Mutex
	all  []weak.Pointer[seat]
	made uint64
	most int // length of all at which those that are gone are swept out
}

// spareSeats are for exchanges, which do not last.
var spareSeats = sync.Pool{New: func() any { return newSeat() }}

func newSeat() *seat {
	s := &seat{}
	s.mu.Lock() // empty
	seats.mu.Lock()
	defer seats.mu.Unlock()
	if len(seats.all) >= seats.most {
		seats.all = slices.DeleteFunc(seats.all, func(p weak.Pointer[seat]) bool { return p.Value() == nil })
		seats.most = 2*len(seats.all) + 64
	}
	seats.made++
	s.number = seats.made
	seats.all = append(seats.all, weak.Make(s))
	return s
}

// take shows the request in the table until leave. Nothing of a is changed
// meanwhile, and what its strings are made of stays.
func (s *seat) take(p *Proxy, a *account, waited time.Duration) {
	s.proxy, s.taken = p, true
	s.times++
	s.method, s.target, s.proto, s.client = a.method, a.target, a.proto, a.client
	s.began, s.waited = a.began, waited
	s.mu.Unlock()
}

// leave takes the request out of the table, where it is in it.
func (s *seat) leave() {
	if !s.taken {
		return
	}
	s.mu.Lock()
	s.proxy, s.taken = nil, false
	s.method, s.target, s.proto, s.client = "", "", "", ""
}

// read copies what the seat holds of a request of p.
func (s *seat) read(p *Proxy) (Running, bool) {
	if !s.mu.TryLock() {
		return Running{}, false
	}
	defer s.mu.Unlock()
	if s.proxy != p {
		return Running{}, false
	}
	path := rawPath(s.target)
	if len(path) > longestPath {
		path = path[:longestPath] + "..."
	}
	client := s.client
	if host, _, err := net.SplitHostPort(client); err == nil {
		client = host
	}
	return Running{
		ID:     strconv.FormatUint(s.number, 10) + "." + strconv.FormatUint(s.times, 10),
		Method: strings.Clone(s.method), Path: strings.Clone(path), Protocol: strings.Clone(s.proto), Client: strings.Clone(client),
		Began: clockBase.Add(s.began), Waited: s.waited,
	}, true
}

// Running gives the requests that run now, the oldest first. One that begins or
// ends meanwhile may be missing.
func (p *Proxy) Running() []Running {
	seats.mu.Lock()
	all := slices.Clone(seats.all)
	seats.mu.Unlock()
	var running []Running
	for _, pointer := range all {
		s := pointer.Value()
		if s == nil {
			continue
		}
		if r, ok := s.read(p); ok {
			running = append(running, r)
		}
	}
	slices.SortFunc(running, func(a, b Running) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.ID, b.ID)) })
	return running
}
