package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// settle writes what became of an attempt, then removes its entry: never the other
// way round. While the store is down it keeps trying, for all that is known of the
// outcome is here.
func (q *Queue) settle(ctx context.Context, p *Policy, e *Entry, r *Record, res *Response, failure error) {
	change := q.outcome(p, e.Call, r, res, failure, time.Now())
	for first := true; ; first = false {
		err := q.store.Commit(ctx, change)
		if err == nil {
			break
		}
		if first {
			q.log.Warn("the outcome of a call could not be written; trying on", "call", r.ID, "state", change.Record.State, "err", err)
		}
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknown) {
			now, err := q.store.Record(ctx, r.ID)
			switch {
			case err == nil && sameChange(now, change.Record):
				*change.Record = *now
			case err == nil && now.State.Final():
				q.done(e) // it was cancelled
				return
			case err == nil && now.Revision != r.Revision, errors.Is(err, ErrNotFound):
				// It is somebody else's by now, or its store is damaged: not to be
				// removed.
				e.Leave()
				return
			default:
				err = errors.New("not written") // as far as it is known
			}
			if err == nil {
				break
			}
		}
		if errors.Is(err, ErrTooLarge) {
			q.shrink(change)
		}
		if !sleep(ctx, settleAgain) {
			// Handed back: it comes again, and the attempt counts as cut off.
			q.giveBack(e)
			return
		}
	}
	q.count(change.Record, change.Dead != nil)
	q.ended(change.Record)
	q.done(e)
}

// settleAgain is the pause before an outcome is written once more.
const settleAgain = 200 * time.Millisecond

// sameChange reports whether a record is what an unanswered commit was to write.
func sameChange(now, change *Record) bool {
	return now.State == change.State && now.Attempts == change.Attempts && now.Ticket == change.Ticket && now.Place == change.Place
}

// shrink leaves out what a store may do without.
func (q *Queue) shrink(c *Change) {
	responses := []*Response{c.Response, deadResponse(c)}
	for _, d := range c.Deliveries {
		responses = append(responses, d.Response)
	}
	for _, r := range responses {
		if r != nil && r.Body != nil {
			r.Body, r.Dropped = nil, true
		}
	}
}

func deadResponse(c *Change) *Response {
	if c.Dead == nil {
		return nil
	}
	return c.Dead.Response
}

// outcome makes the change that an attempt ends with.
func (q *Queue) outcome(p *Policy, c *Call, r *Record, res *Response, failure error, now time.Time) *Change {
	event, why := Retry, ""
	switch {
	case errors.Is(failure, ErrNotFound):
		event, why = Fail, "its body is gone from the store"
	case failure != nil:
		why = text(failure)
	default:
		if event = p.verdict(res); event != Succeed {
			why = fmt.Sprintf("the function answered %d", res.Status)
		}
	}
	var at time.Time
	if event == Retry {
		at = now.Add(p.delay(r.Attempts, retryAfter(res, now)))
		switch {
		case p.exhausted(r.Attempts):
			event, why = Fail, fmt.Sprintf("%s, in attempt %d of %d", why, r.Attempts, p.MaxAttempts)
		case !at.Before(c.ExpiresAt):
			event, why = Expire, why+", and there is no time left for another attempt"
		}
	}
	next, err := r.move(event, now)
	if err != nil {
		panic(err) // a running call can end in each of these ways
	}
	next.Error = why
	if res != nil {
		next.StatusCode = res.Status
	}
	change := &Change{Record: &next, Keep: p.Retention}
	switch event {
	case Succeed:
		change.Response = res
		q.owe(change, p, c, res)
	case Retry:
		next.Ticket++
		next.NextAttemptAt, next.Place = at, 0
		change.Entry, change.At, change.Ticket = c, at, next.Ticket
	default:
		change.Response = res
		q.bury(change, p, c, res)
	}
	return change
}

// text is an error's text for a record: one line, of a bounded length.
func text(err error) string {
	s := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\n", "; "), "?")
	const most = 500
	if len(s) > most {
		s = s[:most] + "..."
	}
	return s
}

// count counts where a record has moved to.
func (q *Queue) count(r *Record, dead bool) {
	switch r.State {
	case Succeeded:
		q.counts.succeeded.Add(1)
	case Retrying:
		q.counts.retried.Add(1)
	case Failed:
		q.counts.failed.Add(1)
	case Expired:
		q.counts.expired.Add(1)
	}
	if dead {
		q.counts.deadLettered.Add(1)
		q.log.Warn("a call is given up; it is among the dead letters", "call", r.ID, "state", r.State, "attempts", r.Attempts, "err", r.Error)
	}
}
