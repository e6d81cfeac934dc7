package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/queue"
)

// A body that does not fit into a message beside the call's head is kept in an
// object store, under the call's id. It is there before the entry that refers to it
// is written; if that fails, it is an orphan, which sweep removes.

// putBody moves a large body of a new call there.
func (s *Store) putBody(ctx context.Context, c *queue.Change) error {
	call := c.Entry
	head := len(call.AppendHead(nil))
	limit := int(s.session.Load().nc.MaxPayload()) - headerRoom
	if head > limit/2 {
		return fmt.Errorf("%w: the call's head has %d bytes, at most %d", queue.ErrTooLarge, head, limit/2)
	}
	// Room for the dead letter, which holds the call and a response's head.
	if head+len(call.Body) <= limit/2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	meta := jetstream.ObjectMeta{Name: string(call.ID)}
	if _, err := s.session.Load().objects.Put(ctx, meta, bytes.NewReader(call.Body)); err != nil {
		var refused *jetstream.APIError
		if errors.As(err, &refused) {
			return refusal(refused)
		}
		return fmt.Errorf("%w: storing the body: %w", queue.ErrUnavailable, err)
	}
	apart := *call
	apart.Body, apart.BodySize = nil, int64(len(call.Body))
	c.Entry = &apart
	return nil
}

// bodyTimeout bounds the transfer of a large body.
const bodyTimeout = 30 * time.Second

// LoadBody implements queue.Store.
func (s *Store) LoadBody(ctx context.Context, c *queue.Call) error {
	if c.BodySize == 0 || c.Body != nil {
		return nil
	}
	if err := s.Up(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bodyTimeout)
	defer cancel()
	body, err := s.session.Load().objects.GetBytes(ctx, string(c.ID))
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return fmt.Errorf("%w: the body of %s", queue.ErrNotFound, c.ID)
	case err != nil:
		return fmt.Errorf("jetstream: reading the body of %s: %w", c.ID, err)
	case int64(len(body)) != c.BodySize:
		return fmt.Errorf("jetstream: the body of %s has %d bytes, not %d", c.ID, len(body), c.BodySize)
	}
	c.Body = body
	return nil
}

// Bodies are swept once in a while; one that is younger than orphanAge may be of a
// call that is just being accepted.
const (
	sweepEvery = 10 * time.Minute
	orphanAge  = 10 * time.Minute
)

func (s *Store) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			removed, err := s.sweepBodies(s.life, orphanAge)
			if err != nil && s.Up() == nil && s.life.Err() == nil {
				s.o.Log.Warn("bodies without a call were not all removed", "removed", removed, "err", err)
			} else if removed > 0 {
				s.o.Log.Info("bodies without a call removed", "removed", removed)
			}
		case <-s.life.Done():
			return
		}
	}
}

// sweepBodies removes bodies older than age whose call has ended for good, or was
// never accepted, also those of which there is only a part.
func (s *Store) sweepBodies(ctx context.Context, age time.Duration) (removed int, err error) {
	objects := s.session.Load().objects
	stream, err := s.session.Load().js.Stream(ctx, "OBJ_"+s.names.objects)
	if err != nil {
		return 0, fmt.Errorf("jetstream: looking for bodies: %w", err)
	}
	list, err := objects.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, fmt.Errorf("jetstream: listing bodies: %w", err)
	}
	whole := map[string]bool{}
	for _, o := range list {
		whole[o.NUID] = true
		id, ok := queue.ParseID(o.Name)
		if !ok || time.Since(o.ModTime) < age {
			continue
		}
		needed, err := s.needsBody(ctx, id)
		if err != nil {
			return 0, err
		}
		if needed {
			continue
		}
		// Not by deleting the object, which leaves a mark behind for ever. Its parts are
		// swept below, also where weir dies here.
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(s.names.object(o.Name))); err != nil {
			return 0, fmt.Errorf("jetstream: removing the body of %s: %w", id, err)
		}
		delete(whole, o.NUID)
	}
	return s.sweepParts(ctx, stream, age, whole)
}

// sweepParts removes the parts that no object refers to any more, or ever did: an object
// store writes the object behind its parts, and a weir may die in between.
func (s *Store) sweepParts(ctx context.Context, stream jetstream.Stream, age time.Duration, whole map[string]bool) (removed int, err error) {
	prefix := "$O." + s.names.objects + ".C."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return 0, fmt.Errorf("jetstream: looking for parts of bodies: %w", err)
	}
	for subject := range info.State.Subjects {
		if whole[strings.TrimPrefix(subject, prefix)] {
			continue
		}
		// One that is being written is younger than age.
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if notFound(err) || err == nil && time.Since(last.Time) < age {
			continue
		}
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return removed, fmt.Errorf("jetstream: removing parts of a body: %w", err)
		}
		removed++
	}
	return removed, nil
}

// needsBody reports whether an attempt at the call may still come.
func (s *Store) needsBody(ctx context.Context, id queue.ID) (bool, error) {
	r, err := s.Record(ctx, id)
	if err == nil && !r.State.Final() {
		return true, nil
	}
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return false, err
	}
	_, err = s.last(ctx, s.names.dead(id))
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return true, err
}
