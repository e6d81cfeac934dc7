package limits

import "time"

// waiter is a call in line. Whoever takes it out of the line, under the Gate's
// lock, decides its fate and sends it.
type waiter struct {
	prev, next *waiter
	flow       *flow // nil once it is out of the line
	since      time.Duration
	level      int
	jitter     jitter // for its refusal, drawn in order of arrival
	// fate receives once: "" is a slot, anything else the reason of a refusal.
	// Capacity 1.
	fate chan Reason
	// charged is what the caller was charged for the slot, in which period; set before
	// the fate is sent.
	charged time.Duration
	period  uint64
}

func newWaiter(level int, now time.Duration) *waiter {
	return &waiter{level: level, since: now, fate: make(chan Reason, 1)}
}

// flow is the line of one caller on one level, oldest first. The zero value is
// empty.
type flow struct {
	head, tail *waiter
	length     int
	caller     *caller
	// since is when it last began to have somebody in it.
	since time.Duration
	// Whether it is under pressure, since when, and when a slot was last given to
	// somebody in it and a newcomer last refused for it.
	pressed                    bool
	pressedAt, emptied, turned time.Duration
	place                      int // in the lane's heap
}

func (f *flow) push(w *waiter) {
	if f.length == 0 {
		f.since = w.since
	}
	w.prev, w.next, w.flow = f.tail, nil, f
	if f.tail == nil {
		f.head = w
	} else {
		f.tail.next = w
	}
	f.tail = w
	f.length++
}

func (f *flow) remove(w *waiter) {
	if w.prev == nil {
		f.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		f.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.flow = nil, nil, nil
	f.length--
}
