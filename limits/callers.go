package limits

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"weir/limits/rate"
)

// Callers tells callers apart by Call.Caller. Those that wait share the slots by
// what they have used of them; each may have limits of its own. Calls without a
// caller share one.
type Callers struct {
	// MaxInflight is how many calls of one caller may run or wait at once; 0 is no
	// limit.
	MaxInflight int
	// Rate bounds the calls of one caller over time.
	Rate rate.Limit
	// Remembered is how many callers are told apart at most. The one heard of least
	// recently is forgotten for a new one, but never one with calls that run or wait; a
	// new one for which there is no room counts as none.
	Remembered int
	// DryRun counts what the two limits would refuse, and refuses nothing.
	DryRun bool
}

func (p *Callers) validate() error {
	switch {
	case p.MaxInflight < 0 || p.MaxInflight > MaxSlots:
		return fmt.Errorf("limits: max in-flight %d of a caller is not between 0 and %d", p.MaxInflight, MaxSlots)
	case p.Remembered < callerShards || p.Remembered > MaxSlots:
		return fmt.Errorf("limits: %d callers remembered is not between %d and %d", p.Remembered, callerShards, MaxSlots)
	}
	return nil
}

// callerTable finds callers by key. Each shard has a lock of its own, held for a
// look into its table.
type callerTable struct {
	seed   maphash.Seed
	policy atomic.Pointer[Callers]
	shards [callerShards]callerShard
}

const callerShards = 64

type callerShard struct {
	mu  sync.Mutex
	lru *simplelru.LRU[string, *caller]
	_   [64]byte
}

func newCallerTable(p *Callers) *callerTable {
	t := &callerTable{seed: maphash.MakeSeed()}
	t.policy.Store(p)
	for i := range t.shards {
		// Bounded by find: it knows who must not be forgotten.
		lru, err := simplelru.NewLRU[string, *caller](math.MaxInt32, nil)
		if err != nil {
			panic(err) // of a size below 1
		}
		t.shards[i].lru = lru
	}
	return t
}

func shardOf(t *callerTable, key string) uint64 { return maphash.String(t.seed, key) % callerShards }

// enter finds the caller of a key, makes it known if it is new, and counts one more
// call of its.
func (t *callerTable) enter(g *Gate, now time.Duration, key string) (*caller, *rate.Limit, *Throttle) {
	p := t.policy.Load()
	if key == "" {
		return g.admitCaller(&g.everyone, now, p)
	}
	s := &t.shards[shardOf(t, key)]
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.lru.Get(key)
	if !ok {
		if !s.makeRoom(p.Remembered / callerShards) {
			return g.admitCaller(&g.everyone, now, p)
		}
		c = &caller{key: strings.Clone(key)} // the key may share a buffer's bytes
		s.lru.Add(c.key, c)
	}
	// Under the lock: else it could be forgotten before it counts.
	return g.admitCaller(c, now, p)
}

func (g *Gate) admitCaller(c *caller, now time.Duration, p *Callers) (*caller, *rate.Limit, *Throttle) {
	used, refused := c.enter(now, p)
	if refused != nil && p.DryRun {
		g.wouldRefuse(refused.Reason)
		c.admitted.Add(1)
		return c, nil, nil
	}
	return c, used, refused
}

// makeRoom forgets callers until one more fits, and reports whether it does. Those
// with calls count as just heard of. It needs mu.
func (s *callerShard) makeRoom(most int) bool {
	for busy := 0; s.lru.Len() >= most; {
		key, oldest, _ := s.lru.GetOldest()
		if oldest.admitted.Load() == 0 {
			s.lru.Remove(key)
			continue
		}
		if busy++; busy > s.lru.Len() {
			return false
		}
		s.lru.Get(key)
	}
	return true
}

// CallerUse is what one caller uses.
type CallerUse struct {
	// Caller is the key; "" stands for all calls without one.
	Caller string
	// Admitted is how many of its calls run or wait.
	Admitted int
	// SlotSeconds sums the durations of its calls that ended since it was last
	// forgotten, Refused its calls that its own limits refused.
	SlotSeconds float64
	Refused     uint64
}

// TopCallers returns those of at most n callers that have used most, most first. It
// is empty where callers are not told apart.
func (g *Gate) TopCallers(n int) []CallerUse {
	t := g.callers.Load()
	if t == nil {
		return nil
	}
	use := func(c *caller) CallerUse {
		return CallerUse{c.key, int(c.admitted.Load()), time.Duration(c.nanos.Load()).Seconds(), uint64(c.refused.Load())}
	}
	top := []CallerUse{use(&g.everyone)}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, c := range s.lru.Values() {
			top = append(top, use(c))
		}
		s.mu.Unlock()
	}
	slices.SortFunc(top, func(a, b CallerUse) int {
		return cmp.Or(cmp.Compare(b.SlotSeconds, a.SlotSeconds), cmp.Compare(b.Admitted, a.Admitted), strings.Compare(a.Caller, b.Caller))
	})
	return top[:min(n, len(top))]
}
