package limits

// waiter is a call in the queue. It is granted at most once, under the Gate's
// lock; whoever removes it from the queue decides its fate.
type waiter struct {
	prev, next *waiter
	queued     bool
	ready      chan struct{} // receives once when granted; capacity 1
}

func newWaiter() *waiter { return &waiter{ready: make(chan struct{}, 1)} }

// fifo is a doubly linked queue. The zero value is empty.
type fifo struct {
	head, tail *waiter
	length     int
}

func (q *fifo) push(w *waiter) {
	w.prev, w.next, w.queued = q.tail, nil, true
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.length++
}

// pop removes the waiter that came first, nil if there is none.
func (q *fifo) pop() *waiter {
	w := q.head
	if w != nil {
		q.remove(w)
	}
	return w
}

// remove takes w out and reports whether it was still in.
func (q *fifo) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.length--
	return true
}
