package datasource

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"weir/admin/api"
)

// Bounds of the wait before a sidecar is asked again.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// update is a state, or why there is none for now.
type update struct {
	state *api.State
	err   error
}

// feed follows one sidecar for as long as anybody watches: one subscription to its
// events, however many watch. It is safe for concurrent use.
type feed struct {
	name   string
	events func(context.Context) iter.Seq2[*api.State, error]

	mu       sync.Mutex
	watchers map[chan update]struct{}
	stop     context.CancelFunc // of the subscription; nil while nobody watches
}

func newFeed(name string, events func(context.Context) iter.Seq2[*api.State, error]) *feed {
	return &feed{name: name, events: events, watchers: map[chan update]struct{}{}}
}

// watch gives what comes until leave is called. Who does not keep up misses the
// oldest updates.
func (f *feed) watch() (updates <-chan update, leave func()) {
	c := make(chan update, 8)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[c] = struct{}{}
	if f.stop == nil {
		var ctx context.Context
		ctx, f.stop = context.WithCancel(context.Background())
		go f.follow(ctx)
	}
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, c)
		if len(f.watchers) == 0 && f.stop != nil {
			f.stop()
			f.stop = nil
		}
	}
}

// follow subscribes again and again, until ctx ends.
func (f *feed) follow(ctx context.Context) {
	wait := firstRetry
	lost := false
	for {
		for state, err := range f.events(ctx) {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				f.lose(ctx, err, !lost)
				lost = true
				break
			}
			if lost {
				backend.Logger.Info("the sidecar's events are back", "sidecar", f.name)
			}
			lost, wait = false, firstRetry
			f.tell(ctx, update{state: state})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		}
		wait = min(2*wait, lastRetry)
	}
}

// lose tells that the events have ended; only the first time in a row is logged.
func (f *feed) lose(ctx context.Context, err error, first bool) {
	if errors.Is(err, io.EOF) {
		err = errors.New("the sidecar ended its events, as it does when it stops")
	}
	if first {
		backend.Logger.Warn("a sidecar's events are lost; trying again", "sidecar", f.name, "error", explain(err))
	}
	f.tell(ctx, update{err: err})
}

func (f *feed) tell(ctx context.Context, u update) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return // another subscription serves those who watch now
	}
	for c := range f.watchers {
		for {
			select {
			case c <- u:
			default:
				select {
				case <-c: // the oldest
				default:
				}
				continue
			}
			break
		}
	}
}
