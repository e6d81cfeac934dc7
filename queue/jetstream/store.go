package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"weir/queue"
)

// Store is a queue.Store in a JetStream stream. Make one with Open.
type Store struct {
	o         Options
	names     names
	directory *directory // nil for an external server
	session   atomic.Pointer[session]

	calls, changes line          // what is to be written: new calls alone, and all else
	committed      chan struct{} // closed when nothing is written any more
	// life ends when Close is called.
	life      context.Context
	end       context.CancelFunc
	closeOnce sync.Once
	workers   sync.WaitGroup

	down atomic.Pointer[error]
	away outage
	room room
	// looked is when entries of unknown state were last looked for.
	looked atomic.Int64
	// searches bounds how many look for a waiting call at once.
	searches chan struct{}
}

var _ queue.Store = (*Store)(nil)

// Open opens the store, and with it the server where that is within this process.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Store{
		o: o, names: namesOf(o.Function),
		calls:     line{make(chan *write, maxBundle), maxBundle, maxBundleBytes},
		changes:   line{make(chan *write, maxBatch), maxBatch, maxBatchBytes},
		committed: make(chan struct{}),
		searches:  make(chan struct{}, 4),
		away:      outage{log: o.Log, external: o.URL != ""},
	}
	s.life, s.end = context.WithCancel(context.Background())
	if o.URL == "" {
		var err error
		if s.directory, err = openDirectory(o.Dir, o.AnyFilesystem); err != nil {
			return nil, err
		}
	}
	opened, err := openSession(ctx, &s.o, s.names, s.directory, &s.away)
	if err == nil {
		s.session.Store(opened)
		err = errors.Join(s.there(), s.measure(ctx))
	}
	if err != nil {
		if opened != nil {
			opened.close()
		}
		return nil, errors.Join(err, s.unlock())
	}
	var writers sync.WaitGroup
	writers.Go(func() { s.drive(&s.calls, s.commitCalls) })
	writers.Go(func() { s.drive(&s.changes, s.commitChanges) })
	go func() {
		writers.Wait()
		close(s.committed)
	}()
	s.workers.Go(s.keepMeasure)
	s.workers.Go(s.sweep)
	if s.directory != nil {
		s.workers.Go(s.keepBundles)
	}
	return s, nil
}

// there is nil while what is written is found again by who opens the store next.
func (s *Store) there() error {
	if s.directory == nil {
		return nil
	}
	return s.directory.there()
}

func (s *Store) unlock() error {
	if s.directory == nil {
		return nil
	}
	return s.directory.unlock()
}

// HoldTime implements queue.Store.
func (s *Store) HoldTime() time.Duration { return s.o.HoldTime }

// Commit implements queue.Store.
func (s *Store) Commit(ctx context.Context, c *queue.Change) error {
	if err := s.Up(); err != nil {
		return err
	}
	newcomer := c.Entry != nil && c.Ticket == 1
	if newcomer && s.room.full() {
		return fmt.Errorf("%w: it holds %d bytes", queue.ErrFull, s.o.MaxBytes/2)
	}
	if newcomer {
		w := spareWrites.Get().(*write)
		if s.bundled(c, w) {
			_, err := s.submit(ctx, &s.calls, w)
			return err
		}
		w.spare()
		if err := s.putBody(ctx, c); err != nil {
			return err
		}
	}
	msgs, err := s.messages(c)
	if err != nil {
		return err
	}
	last, err := s.write(ctx, msgs)
	if err == nil && c.Record != nil {
		c.Record.Revision = last
	}
	return err
}

// write puts messages on disk, all or none, and returns the place of the last.
func (s *Store) write(ctx context.Context, msgs []*nats.Msg) (last uint64, err error) {
	size := 0
	limit := s.session.Load().nc.MaxPayload()
	for _, m := range msgs {
		n := m.Size()
		if int64(n) > limit-headerRoom {
			return 0, fmt.Errorf("%w: %d bytes, at most %d", queue.ErrTooLarge, n, limit-headerRoom)
		}
		size += n
	}
	w := spareWrites.Get().(*write)
	w.msgs, w.size = msgs, size
	return s.submit(ctx, &s.changes, w)
}

// submit hands a write to its writer and waits for its outcome. The write is the
// writer's from then on, or nobody's.
func (s *Store) submit(ctx context.Context, l *line, w *write) (last uint64, err error) {
	select {
	case l.writes <- w:
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", queue.ErrUnavailable, context.Cause(ctx))
	case <-s.life.Done():
		return 0, fmt.Errorf("%w: it is closing", queue.ErrUnavailable)
	}
	select {
	case <-w.done:
	case <-s.committed: // a write may have been put in line as the line closed
		select {
		case <-w.done:
		default:
			return 0, fmt.Errorf("%w: it is closing", queue.ErrUnavailable)
		}
	case <-ctx.Done():
		// It may still be written.
		return 0, fmt.Errorf("%w: %w", queue.ErrUnknown, context.Cause(ctx))
	}
	defer w.spare()
	if w.err != nil {
		return 0, w.err
	}
	s.room.add(w.size)
	return w.last, nil
}

// headerRoom is what the fields of a batch, of a schedule and of the server itself
// add to a message.
const headerRoom = 2 << 10

// Up implements queue.Store.
func (s *Store) Up() error {
	if err := s.down.Load(); err != nil {
		return *err
	}
	return nil
}

// markDown refuses changes until a probe has been written. A server whose disk has
// failed does not answer any more, also when the disk has recovered: only a new one
// does.
func (s *Store) markDown(cause error) {
	err := fmt.Errorf("%w: %w", queue.ErrUnavailable, cause)
	if !s.down.CompareAndSwap(nil, &err) {
		return
	}
	s.o.Log.Error("the store of asynchronous calls is down; new ones are answered with 503", "err", cause)
	s.workers.Go(s.recover)
}

const (
	probeEvery   = time.Second
	probeTimeout = 2 * time.Second
)

// recover probes until a write succeeds, with a new server each time where it is
// ours.
func (s *Store) recover() {
	since := time.Now()
	var said time.Time
	for {
		err := s.there()
		if err == nil {
			err = s.probe()
		}
		if err != nil && s.directory != nil {
			if err = s.reopen(); err == nil {
				err = s.probe()
			}
		}
		if err == nil {
			s.down.Store(nil)
			s.o.Log.Info("the store of asynchronous calls is up again", "after", time.Since(since).Round(time.Millisecond))
			return
		}
		if time.Since(said) >= sayAgain { // its causes take turns
			said = time.Now()
			s.o.Log.Warn("the store of asynchronous calls is still down", "err", err)
		}
		timer := time.NewTimer(probeEvery)
		select {
		case <-timer.C:
		case <-s.life.Done():
			timer.Stop()
			return
		}
	}
}

// probe writes something.
func (s *Store) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	session := s.session.Load()
	_, err := session.js.PublishMsg(ctx, replace(s.names.probe(), nil, time.Minute))
	return err
}

// reopen replaces a server that has lost its disk, or its place.
func (s *Store) reopen() error {
	old := s.session.Load()
	old.close()
	if err := s.directory.renew(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.life, startTimeout)
	defer cancel()
	opened, err := openSession(ctx, &s.o, s.names, s.directory, &s.away)
	if err != nil {
		return err
	}
	if err := s.there(); err != nil { // there is another one meanwhile
		opened.close()
		return err
	}
	opened.bundles.inherit(&old.bundles)
	s.session.Store(opened)
	return s.measure(ctx)
}

// Close lets what is being written end, then closes the server where it is ours.
func (s *Store) Close() error {
	var err error
	s.closeOnce.Do(func() {
		s.end()
		<-s.committed
		s.workers.Wait()
		if s.Up() == nil {
			ctx, cancel := context.WithTimeout(context.Background(), s.o.WriteTimeout)
			err = s.session.Load().bundles.writeProgress(ctx, s.names)
			cancel()
			s.session.Load().early.returnAll()
		}
		s.session.Load().close()
		err = errors.Join(err, s.unlock())
	})
	return err
}

// handle is a queue.Handle: the acknowledgement of a delivered message.
type handle struct {
	session *session
	reply   string
	held    *atomic.Int64 // counts those of its kind
	ended   atomic.Bool
}

func (h *handle) Hold() error { return h.session.nc.Publish(h.reply, []byte("+WPI")) }

func (h *handle) Done() error {
	h.Leave()
	return h.session.nc.Publish(h.reply, []byte("+ACK"))
}

// Return waits for the server, so that whoever fetches next finds the entry.
func (h *handle) Return() error {
	h.Leave()
	_, err := h.session.nc.Request(h.reply, []byte("-NAK"), returnTimeout)
	if err == nil {
		h.session.returned.Store(true)
	}
	return err
}

func (h *handle) Leave() {
	if h.ended.CompareAndSwap(false, true) {
		h.held.Add(-1)
	}
}

const returnTimeout = 5 * time.Second
