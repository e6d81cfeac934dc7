package limits

import "time"

// lane holds the callers that wait on one level: a heap by what they have used,
// the one that has used least on top. Among equals the one waiting longest comes
// first.
type lane struct {
	flows  []*flow
	length int // waiters in all of them
	// spared is when a slot last went to a lower level because nobody was here.
	spared time.Duration
	// short is when the line was last short enough to be served in half an interval,
	// crowded whether it has been too long for one, and crowdedAt since when.
	short, crowdedAt time.Duration
	crowded          bool
	looked           int // the place in flows that overtaken looked at last
}

func before(a, b *flow) bool {
	if x, y := a.caller.turn(), b.caller.turn(); x != y {
		return x < y
	}
	return a.head.since < b.head.since
}

func (l *lane) push(w *waiter, f *flow) {
	f.push(w)
	l.length++
	if f.length == 1 {
		f.place = len(l.flows)
		l.flows = append(l.flows, f)
		l.up(f.place)
	}
}

func (l *lane) remove(w *waiter) {
	f := w.flow
	f.remove(w)
	l.length--
	if f.length > 0 {
		l.fix(f)
		return
	}
	last := len(l.flows) - 1
	i := f.place
	l.swap(i, last)
	l.flows[last] = nil
	l.flows = l.flows[:last]
	if i < last {
		l.fix(l.flows[i])
	}
}

// fix moves f to where it belongs.
func (l *lane) fix(f *flow) {
	l.down(f.place)
	l.up(f.place)
}

func (l *lane) swap(i, j int) {
	l.flows[i], l.flows[j] = l.flows[j], l.flows[i]
	l.flows[i].place, l.flows[j].place = i, j
}

func (l *lane) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !before(l.flows[i], l.flows[parent]) {
			return
		}
		l.swap(i, parent)
		i = parent
	}
}

func (l *lane) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(l.flows); child++ {
			if before(l.flows[child], l.flows[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		l.swap(i, least)
		i = least
	}
}

// longest is the flow with the most waiters, nil where there is none.
func (l *lane) longest() *flow {
	var longest *flow
	for _, f := range l.flows {
		if longest == nil || f.length > longest.length {
			longest = f
		}
	}
	return longest
}
