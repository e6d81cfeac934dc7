package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"weir/queue"
)

// room knows how full the stream is, by what the server said last and what was
// written since.
type room struct {
	most   int64 // bytes at which new calls are refused
	stored atomic.Int64
}

func (r *room) full() bool { return r.most > 0 && r.stored.Load() >= r.most }
func (r *room) add(n int)  { r.stored.Add(int64(n)) }

// measureEvery is how often the server is asked.
const measureEvery = time.Second

func (s *Store) keepMeasure() {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.remeasure()
		case <-s.life.Done():
			return
		}
	}
}

// remeasure asks once, and tells of a server that does not answer. What is known to be
// down has been told already. It also sees whether the directory is in its place still.
func (s *Store) remeasure() {
	if err := s.there(); err != nil {
		s.markDown(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.WriteTimeout)
	defer cancel()
	if err := s.measure(ctx); err == nil {
		s.away.over()
	} else if s.Up() == nil {
		s.away.noticed(err)
	}
}

func (s *Store) measure(ctx context.Context) error {
	info, err := s.session.Load().stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("jetstream: asking for the stream: %w", err)
	}
	if s.room.most == 0 {
		s.room.most = s.o.MaxBytes / 2
	}
	s.room.stored.Store(int64(info.State.Bytes))
	return nil
}

// Pending implements queue.Store.
func (s *Store) Pending(ctx context.Context) (bool, error) {
	if err := s.Up(); err != nil {
		return false, err
	}
	session := s.session.Load()
	if session.bundles.ready() || session.early.ready(time.Now()) {
		return true, nil
	}
	held := session.held.Load()
	c, err := session.stream.Consumer(ctx, dispatchConsumer)
	if err != nil {
		return false, fmt.Errorf("jetstream: asking for the consumer %s: %w", dispatchConsumer, err)
	}
	info := c.CachedInfo()
	if info.NumPending > 0 {
		return true, nil
	}
	if int64(info.NumAckPending) <= held {
		return false, nil
	}
	// Some were returned, or their holds have lapsed, or they are other weirs'. Only a
	// fetch can tell; where there are others it is not tried all the time.
	if s.directory != nil || session.returned.Swap(false) {
		return true, nil
	}
	last, now := s.looked.Load(), time.Now().UnixNano()
	return now-last > int64(s.o.HoldTime)/3 && s.looked.CompareAndSwap(last, now), nil
}

// consumers asks for all of the consumers that count something at once: an external
// server's answers come one way later, and not one after the other.
func (s *session) consumers(ctx context.Context) (map[string]*jetstream.ConsumerInfo, error) {
	type answer struct {
		name string
		info *jetstream.ConsumerInfo
		err  error
	}
	answers := make(chan answer, len(s.counts))
	for name := range s.counts {
		go func() {
			// Not the cached consumer's Info: that changes what is cached, unguarded.
			c, err := s.stream.Consumer(ctx, name)
			if err != nil {
				answers <- answer{err: fmt.Errorf("jetstream: asking for the consumer %s: %w", name, err)}
				return
			}
			answers <- answer{name, c.CachedInfo(), nil}
		}()
	}
	info := map[string]*jetstream.ConsumerInfo{}
	var err error
	for range s.counts {
		a := <-answers
		info[a.name], err = a.info, errors.Join(err, a.err)
	}
	return info, err
}

// Stats implements queue.Store.
func (s *Store) Stats(ctx context.Context) (queue.Stats, error) {
	session := s.session.Load()
	info, err := session.consumers(ctx)
	if err != nil {
		return queue.Stats{}, err
	}
	st := queue.Stats{
		Waiting:     int(info[dispatchConsumer].NumPending),
		Held:        info[dispatchConsumer].NumAckPending,
		Scheduled:   int(info[scheduledConsumer].NumPending),
		DeadLetters: int(info[deadConsumer].NumPending),
		Deliveries:  int(info[deliverConsumer].NumPending+info[laterConsumer].NumPending) + info[deliverConsumer].NumAckPending,
	}
	if s.directory != nil {
		beyond, err := session.bundledCalls(ctx, s.names)
		if err != nil {
			return st, err
		}
		waiting, held, open, calls, oldest := session.bundles.census()
		st.Waiting = max(st.Waiting+beyond-(calls-open)+waiting, 0)
		st.Held = max(st.Held-open+held, 0)
		if st.Oldest = oldest; !oldest.IsZero() {
			return st, nil
		}
	}
	if info[dispatchConsumer].NumPending > 0 {
		m, err := session.stream.GetMsg(ctx, info[dispatchConsumer].Delivered.Stream+1, jetstream.WithGetMsgSubject(s.names.waiting()))
		switch {
		case err == nil:
			st.Oldest = m.Time
		case notFound(err): // taken meanwhile
		default:
			return st, fmt.Errorf("jetstream: asking for the oldest entry: %w", err)
		}
	}
	return st, nil
}
