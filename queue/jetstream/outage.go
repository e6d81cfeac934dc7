package jetstream

import (
	"log/slog"
	"sync"
	"time"
)

// sayAgain is how often it is said of an outage that it goes on.
const sayAgain = time.Minute

// outage tells the log of a server that does not answer as that begins and ends, and once
// a minute meanwhile, however many notice. It is safe for concurrent use.
type outage struct {
	log         *slog.Logger
	external    bool
	mu          sync.Mutex
	since, said time.Time // zero while there is none
}

// noticed tells of err, where that has not been told lately.
func (o *outage) noticed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	switch {
	case !o.since.IsZero() && now.Sub(o.said) < sayAgain:
		return
	case !o.since.IsZero():
		o.log.Warn("NATS still does not answer", "for", now.Sub(o.since).Round(time.Second), "err", err)
	case o.external:
		o.since = now
		o.log.Warn("NATS does not answer: asynchronous calls wait until it does, and new ones are refused; does it run, and may it be reached from here?", "err", err)
	default:
		o.since = now
		o.log.Warn("the queue's own NATS server does not answer; is its disk slow, or has it failed?", "err", err)
	}
	o.said = now
}

// over tells that the server answers, where it did not.
func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.log.Info("NATS answers again", "after", time.Since(o.since).Round(time.Millisecond))
	o.since, o.said = time.Time{}, time.Time{}
}
