package conformance

import (
	"sync"
	"time"
)

// Meter counts what runs at once, exactly. The zero value is ready; it is safe
// for concurrent use.
type Meter struct {
	mu       sync.Mutex
	current  int
	highest  int
	begun    int
	ended    int
	integral time.Duration // of current over time, up to last
	last     time.Time     // of the latest change of current
}

// Count is a reading of a Meter.
type Count struct {
	Current, Highest int // running now, and the most that ever ran at once
	Begun, Ended     int
	// Integral is the sum over all requests of the time each has run so far.
	Integral time.Duration
}

func (m *Meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	m.current++
	m.begun++
	m.highest = max(m.highest, m.current)
}

func (m *Meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	m.current--
	m.ended++
}

// advance accounts for the time since the latest change; mu is held.
func (m *Meter) advance() {
	now := time.Now()
	m.integral += time.Duration(m.current) * now.Sub(m.last)
	m.last = now
}

// Count reads the meter.
func (m *Meter) Count() Count {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	return Count{Current: m.current, Highest: m.highest, Begun: m.begun, Ended: m.ended, Integral: m.integral}
}

// reset begins anew, while nothing runs.
func (m *Meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.highest, m.begun, m.ended, m.integral = 0, 0, 0, 0
}
