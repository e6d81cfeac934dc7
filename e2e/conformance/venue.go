package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// venue is a weir and the function behind it, on which cases with the same settings
// play one after the other: to start a weir and to end it costs more than most cases
// do. None that fails leaves its venue to the next.
type venue struct {
	key      string
	weir     *Instance
	function *Function
	ends     *tenure
}

// end ends weir and the function; t is that of who still can say that it went wrong.
func (at *venue) end(t testing.TB) {
	if at.weir != nil {
		at.weir.shared = false
	}
	at.ends.TB = t
	at.ends.end()
}

// venues keeps those that nobody plays on. It is safe for concurrent use.
type venues struct {
	mu   sync.Mutex
	free map[string][]*venue
	left map[string]int // plays that have not begun, by key
}

// newVenues makes one for the plays with these keys.
func newVenues(keys []string) *venues {
	v := &venues{free: map[string][]*venue{}, left: map[string]int{}}
	for _, key := range keys {
		v.left[key]++
	}
	return v
}

// shares says whether the case can play where others have played before.
func (c *Case) shares() bool {
	return !c.Alone && slices.Contains([]Behind{FunctionHTTP, FunctionH2C, FunctionUnix, FunctionUnspecified}, c.Behind)
}

// venueKey is equal for plays that can follow each other on one venue.
func (c *Case) venueKey(carrier Carrier) string {
	key, err := json.Marshal(struct {
		With     Settings
		Behind   Behind
		TLS      bool
		ClientCA bool
	}{c.With, c.Behind, carrier.TLS, carrier.TLS && c.ClientCA})
	if err != nil {
		panic(fmt.Sprintf("conformance: the settings of %q: %v", c.Name, err))
	}
	return string(key)
}

// take gives a venue to a case until it is over, its clean-ups included.
func (v *venues) take(t testing.TB, c *Case, launcher Launcher, certs *certificates, carrier Carrier) *Stage {
	t.Helper()
	key := c.venueKey(carrier)
	v.mu.Lock()
	v.left[key]--
	var at *venue
	if free := v.free[key]; len(free) > 0 {
		at, v.free[key] = free[len(free)-1], free[:len(free)-1]
	}
	v.mu.Unlock()

	if at == nil {
		at = &venue{key: key, ends: &tenure{TB: t}}
		t.Cleanup(func() { v.leave(t, at) })
		s := newStage(at.ends, c, launcher, certs, carrier)
		at.weir, at.function = s.Weir, s.Function
		at.weir.shared = true
		return s
	}
	at.ends.TB = t
	t.Cleanup(func() { v.leave(t, at) })
	at.function.forget()
	at.weir.log.turnPage()
	s := &Stage{Carrier: carrier, Weir: at.weir, Function: at.function, certs: certs, limit: c.limit(t)}
	s.before = s.Samples(t)
	return s
}

// leave is called when all that the case has opened is closed.
func (v *venues) leave(t testing.TB, at *venue) {
	if at.weir != nil && !t.Failed() {
		at.weir.wantNoFault(t)
	}
	v.mu.Lock()
	keep := at.weir != nil && !t.Failed() && len(v.free[at.key]) < v.left[at.key]
	if keep {
		v.free[at.key] = append(v.free[at.key], at)
	}
	// What is free and has nobody to come ends with the last that plays.
	var over []*venue
	for len(v.free[at.key]) > v.left[at.key] {
		over = append(over, v.free[at.key][0])
		v.free[at.key] = v.free[at.key][1:]
	}
	v.mu.Unlock()
	if !keep {
		over = append(over, at)
	}
	for _, at := range over {
		at.end(t)
	}
}

// close ends those that are left: some plays were not asked for.
func (v *venues) close(t testing.TB) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, free := range v.free {
		for _, at := range free {
			at.end(t)
		}
	}
	v.free = nil
}

// tenure stands in for the t of a case where something is started that outlives it.
// TB is that of the case that plays, or that ends it.
type tenure struct {
	testing.TB
	ends []func()
}

func (e *tenure) Cleanup(fn func()) { e.ends = append(e.ends, fn) }

func (e *tenure) TempDir() string {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		e.Fatalf("a directory for weir: %v", err)
	}
	e.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			e.Errorf("removing weir's directory: %v", err)
		}
	})
	return dir
}

func (e *tenure) end() {
	for _, fn := range slices.Backward(e.ends) {
		fn()
	}
	e.ends = nil
}

// counted is a series that only grows.
func counted(name string) bool {
	for _, suffix := range []string{"_total", "_count", "_sum", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// since takes from the samples what was counted before the case began.
func since(samples, before []Sample) []Sample {
	for i, s := range samples {
		if !counted(s.Name) {
			continue
		}
		for _, b := range before {
			if b.Name == s.Name && maps.Equal(b.Labels, s.Labels) {
				samples[i].Value -= b.Value
				break
			}
		}
	}
	return samples
}
