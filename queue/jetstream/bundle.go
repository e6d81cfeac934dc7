package jetstream

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/queue"
)

// A bundle is one message with several calls that were accepted together: they share
// the cost of a message, which is far above that of the bytes of one. Only a store whose
// server is its own makes them, for who fetches a bundle holds all of it.
//
// Its entries are fetched and ended one by one; the message goes when the last of them
// has ended. Which of them have is kept here, and written once in a while, so that a
// process that comes after this one does not take them for unfinished: by then their
// records may be gone.

// Bounds of a bundle. A larger call goes by itself.
const (
	maxBundle      = 256
	maxBundleBytes = 256 << 10
	maxBundled     = 32 << 10
)

// callsField is the field with the number of calls in a bundle.
const callsField = "Weir-Calls"

// appendBundled appends a call to a bundle's data.
func appendBundled(data, entry []byte) []byte {
	data = binary.AppendUvarint(data, uint64(len(entry)))
	return append(data, entry...)
}

// splitBundle parts what appendBundled wrote.
func splitBundle(h nats.Header, data []byte) ([][]byte, error) {
	n, err := strconv.Atoi(h.Get(callsField))
	if err != nil || n < 1 || n > len(data) {
		return nil, fmt.Errorf("a bundle of %q calls", h.Get(callsField))
	}
	entries := make([][]byte, 0, min(n, 2*maxBundle))
	for range n {
		length, size := binary.Uvarint(data)
		if size <= 0 || length > uint64(len(data)-size) {
			return nil, errors.New("a bundle that ends too early")
		}
		data = data[size:]
		entries = append(entries, data[:length:length])
		data = data[length:]
	}
	if len(data) > 0 {
		return nil, errors.New("a bundle with bytes behind its last call")
	}
	return entries, nil
}

// readBundled reads one call of a bundle.
func readBundled(entry []byte) (*queue.Call, error) {
	c := &queue.Call{}
	body, err := c.DecodeHead(entry)
	c.Body = body
	return c, err
}

// bundles are those of which entries are in this process's hands.
type bundles struct {
	holdTime time.Duration

	mu   sync.Mutex
	open []*bundle // by their places
	// progress is what an earlier process has written of theirs, by their places,
	// until they are fetched.
	progress map[uint64]progress
	// more tells whether messages waited behind the last that was fetched.
	more bool
}

func (b *bundles) init(holdTime time.Duration) {
	b.holdTime, b.progress = holdTime, map[uint64]progress{}
}

// progress tells which calls of a bundle have ended, one bit each.
type progress struct {
	ended []byte
	seq   uint64 // of its message; 0 while there is none
	// of is when the bundle was stored, zero where that is not known. Another one has the
	// same place in a stream that begins anew, or that an older copy took the place of.
	of time.Time
}

// isOf reports whether it may be that of a bundle which was stored then.
func (p *progress) isOf(stored time.Time) bool { return p.of.IsZero() || p.of.Equal(stored) }

func (p *progress) has(i int) bool { return p.ended[i/8]&(1<<(i%8)) != 0 }
func (p *progress) set(i int)      { p.ended[i/8] |= 1 << (i % 8) }

type bundle struct {
	of      *bundles
	session *session
	place   uint64
	stored  time.Time
	reply   string // where it is acknowledged
	entries [][]byte

	// What follows is guarded by of.mu.
	waiting []int         // entries that nobody has, in order
	held    map[int]*hold // entries that somebody has
	left    int           // entries that have not ended
	now     progress
	changed bool // since it was written
}

// hold is one entry in somebody's hands.
type hold struct{ until time.Time }

// adopt takes a fetched bundle in, or, where it is in hand already, only how it is to be
// acknowledged from now on. One whose calls have all ended it ends.
func (b *bundles) adopt(s *session, m *nats.Msg, meta *nats.MsgMetadata) error {
	entries, err := splitBundle(m.Header, m.Data)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.more = meta.NumPending > 0
	at, found := b.find(meta.Sequence.Stream)
	if found {
		b.open[at].reply = m.Reply
		return nil
	}
	o := &bundle{
		of: b, session: s, place: meta.Sequence.Stream, stored: meta.Timestamp, reply: m.Reply, entries: entries,
		held: map[int]*hold{}, now: progress{ended: make([]byte, (len(entries)+7)/8)},
	}
	if p, ok := b.progress[o.place]; ok {
		delete(b.progress, o.place)
		if len(p.ended) == len(o.now.ended) && p.isOf(o.stored) {
			o.now = p
		}
	}
	for i := range entries {
		if !o.now.has(i) {
			o.waiting = append(o.waiting, i)
		}
	}
	if o.left = len(o.waiting); o.left == 0 {
		return o.remove()
	}
	b.open = slices.Insert(b.open, at, o)
	s.held.Add(1)
	return nil
}

// find looks for an open bundle. It needs the lock.
func (b *bundles) find(place uint64) (at int, found bool) {
	return slices.BinarySearchFunc(b.open, place, func(o *bundle, place uint64) int { return cmp.Compare(o.place, place) })
}

// hasEnded reports whether a call of a bundle is known to have ended.
func (b *bundles) hasEnded(place uint64, stored time.Time, i int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, found := b.find(place); found {
		return b.open[at].now.has(i)
	}
	p := b.progress[place]
	return p.isOf(stored) && i < 8*len(p.ended) && p.has(i)
}

// ready reports whether there is an entry that nobody has.
func (b *bundles) ready() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.open, func(o *bundle) bool { return len(o.waiting) > 0 })
}

// next takes the first entry that nobody has, nil where there is none.
func (b *bundles) next() (*queue.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for at, o := range b.open {
		if len(o.waiting) == 0 {
			continue
		}
		i := o.waiting[0]
		h := &hold{until: time.Now().Add(b.holdTime)}
		o.waiting, o.held[i] = o.waiting[1:], h
		c, err := readBundled(o.entries[i])
		if err != nil {
			return nil, fmt.Errorf("jetstream: entry %d of the bundle at %d: %w", i, o.place, err)
		}
		more := b.more || len(o.waiting) > 0
		for _, other := range b.open[at+1:] {
			more = more || len(other.waiting) > 0
		}
		return &queue.Entry{Call: c, Ticket: 1, Place: o.place, More: more, Handle: &bundled{o, i, h}}, nil
	}
	return nil, nil
}

// lapse takes back the entries whose holds are over.
func (b *bundles) lapse(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.open {
		for i, h := range o.held {
			if now.After(h.until) {
				o.takeBack(i)
			}
		}
	}
}

// takeBack puts an entry among those that nobody has. It needs the lock.
func (o *bundle) takeBack(i int) {
	delete(o.held, i)
	at, _ := slices.BinarySearch(o.waiting, i)
	o.waiting = slices.Insert(o.waiting, at, i)
}

// remove ends a bundle whose calls have all ended: its progress is of no use any more.
// It needs the lock.
func (o *bundle) remove() error {
	err := o.session.nc.Publish(o.reply, []byte("+ACK"))
	if o.now.seq != 0 {
		go o.session.forgetProgress(o.now.seq)
	}
	return err
}

// holdAll tells the server that the bundles are still at work.
func (b *bundles) holdAll() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var failed []error
	for _, o := range b.open {
		failed = append(failed, o.session.nc.Publish(o.reply, []byte("+WPI")))
	}
	return errors.Join(failed...)
}

// census counts what is in hand: entries that nobody has, entries that somebody has, the
// bundles, and how many calls they were stored with.
func (b *bundles) census() (waiting, held, open, calls int, oldest time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.open {
		if len(o.waiting) > 0 && oldest.IsZero() {
			oldest = o.stored
		}
		waiting, held, calls = waiting+len(o.waiting), held+len(o.held), calls+len(o.entries)
	}
	return waiting, held, len(b.open), calls, oldest
}

// bundled is a queue.Handle of one entry of a bundle.
type bundled struct {
	*bundle
	i    int
	hold *hold
}

func (h *bundled) Hold() error {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.hold.until = time.Now().Add(h.of.holdTime)
	return nil
}

func (h *bundled) Done() error {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.now.has(h.i) {
		return nil
	}
	delete(h.held, h.i)
	if at, found := slices.BinarySearch(h.waiting, h.i); found { // its hold had lapsed
		h.waiting = slices.Delete(h.waiting, at, at+1)
	}
	h.now.set(h.i)
	h.changed = true
	if h.left--; h.left > 0 {
		return nil
	}
	h.of.open = slices.DeleteFunc(h.of.open, func(o *bundle) bool { return o == h.bundle })
	h.session.held.Add(-1)
	return h.remove()
}

func (h *bundled) Return() error {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.held[h.i] == h.hold {
		h.takeBack(h.i)
	}
	return nil
}

func (h *bundled) Leave() {}

// keepProgress is how long the progress of a bundle is kept that nobody fetches.
const keepProgress = 30 * 24 * time.Hour

// writeProgress puts on disk what has changed since it was written last.
func (b *bundles) writeProgress(ctx context.Context, n names) error {
	type change struct {
		o     *bundle
		ended []byte
	}
	var changes []change
	b.mu.Lock()
	for _, o := range b.open {
		if o.changed {
			o.changed = false
			changes = append(changes, change{o, slices.Clone(o.now.ended)})
		}
	}
	b.mu.Unlock()
	for i, c := range changes {
		ack, err := c.o.session.js.PublishMsg(ctx, replace(n.ended(c.o.place), c.ended, keepProgress))
		b.mu.Lock()
		if err != nil {
			for _, c := range changes[i:] {
				c.o.changed = true
			}
			b.mu.Unlock()
			return fmt.Errorf("jetstream: writing which calls of a bundle have ended: %w", err)
		}
		c.o.now.seq = ack.Sequence
		late := c.o.left == 0 // removed meanwhile
		b.mu.Unlock()
		if late {
			c.o.session.forgetProgress(ack.Sequence)
		}
	}
	return nil
}

// forgetProgress removes a bundle's progress; what is left behind goes after a time.
func (s *session) forgetProgress(seq uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), returnTimeout)
	defer cancel()
	_ = s.stream.DeleteMsg(ctx, seq)
}

// readProgress reads what an earlier process has written.
func (s *session) readProgress(ctx context.Context, n names) error {
	for request := (getRequest{Seq: 1, NextFor: n.every("ended"), Batch: 256}); ; {
		seen := 0
		err := scan(ctx, s.nc, n, &request, func(m *stored) error {
			place, err := strconv.ParseUint(strings.TrimPrefix(m.subject, n.prefix+"ended."), 10, 64)
			if err != nil {
				return fmt.Errorf("jetstream: progress of a bundle under %s", m.subject)
			}
			seen++
			s.bundles.progress[place] = progress{ended: slices.Clone(m.data), seq: m.seq}
			request.Seq = m.seq + 1
			return nil
		})
		if err != nil || seen == 0 {
			return err
		}
	}
}

// inherit takes over what is known of bundles from a session that is closed.
func (b *bundles) inherit(from *bundles) {
	from.mu.Lock()
	defer from.mu.Unlock()
	for _, o := range from.open {
		// A copy: attempts at what was fetched from the other session may still end.
		b.progress[o.place] = progress{slices.Clone(o.now.ended), o.now.seq, o.stored}
	}
}

// keepBundles holds on to the bundles in hand, takes back entries whose holds have lapsed
// and writes down what has ended.
func (s *Store) keepBundles() {
	tick := time.NewTicker(s.o.HoldTime / 6)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			b := &s.session.Load().bundles
			b.lapse(now)
			if s.Up() != nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), s.o.WriteTimeout)
			if err := errors.Join(b.holdAll(), b.writeProgress(ctx, s.names)); err != nil {
				s.o.Log.Debug("bundles of calls could not be held on to", "err", err)
			}
			cancel()
		case <-s.life.Done():
			return
		}
	}
}

// bundledCalls asks how many more calls than messages there are, those that were fetched
// included.
func (s *session) bundledCalls(ctx context.Context, n names) (beyond int, err error) {
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(n.bundles()))
	if err != nil {
		return 0, fmt.Errorf("jetstream: asking for the stream: %w", err)
	}
	for subject, messages := range info.State.Subjects {
		beyond += (n.bundleSize(subject) - 1) * int(messages)
	}
	return beyond, nil
}

// inBundle looks for a waiting call among the bundles. They were written in the order in
// which their calls came, by the clock that made its id.
func (s *Store) inBundle(ctx context.Context, id queue.ID) (*queue.Record, error) {
	from := id.Time().Add(-time.Second)
	request := getRequest{NextFor: s.names.bundles(), StartTime: &from, Batch: 16, MaxBytes: 4 << 20}
	for {
		var found *queue.Record
		seq, past := uint64(0), false
		err := s.scan(ctx, &request, func(m *stored) error {
			seq = m.seq
			if past || found != nil {
				return nil
			}
			entries, err := splitBundle(m.header, m.data)
			if err != nil {
				return fmt.Errorf("jetstream: the bundle at %d: %w", m.seq, err)
			}
			past = true
			for i, e := range entries {
				is, err := queue.HeadID(e)
				if err != nil {
					return fmt.Errorf("jetstream: the bundle at %d: %w", m.seq, err)
				}
				past = past && is.Time().After(id.Time().Add(time.Second))
				if is == id && !s.session.Load().bundles.hasEnded(m.seq, m.time, i) {
					c, err := readBundled(e)
					if err != nil {
						return fmt.Errorf("jetstream: the bundle at %d: %w", m.seq, err)
					}
					found = queue.NewRecord(c, queue.Enqueued, 1)
				}
			}
			return nil
		})
		if err != nil || found != nil || seq == 0 || past {
			return found, err
		}
		request.StartTime, request.Seq = nil, seq+1
	}
}
