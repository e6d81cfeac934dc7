package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"weir/admin/api"
)

// eventWrite bounds the writing of one event: a client that does not read is not
// kept for longer.
const eventWrite = 10 * time.Second

// events sends the state now and once a second until the client leaves or the
// sidecar stops.
func (a *Admin) events(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		api.WriteProblem(r.Context(), &api.InvalidError{Syntax: true, Fields: []api.FieldError{{Detail: "the events have no parameters"}}}, w)
		return
	}
	if err := a.watch.join(); err != nil {
		api.WriteProblem(r.Context(), err, w)
		return
	}
	defer a.watch.leave()
	rc := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	// The server's own bounds are for requests that end.
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		a.o.Log.Error("events: the connection's deadline cannot be lifted", "err", err)
		return
	}
	if _, err := io.WriteString(w, "retry: 2000\n\n"); err != nil {
		return
	}
	for {
		changed, ended := a.watch.next()
		if ended {
			return
		}
		e, err := a.event(r.Context())
		if err != nil {
			a.failed(err)
			return
		}
		if rc.SetWriteDeadline(time.Now().Add(eventWrite)) != nil || api.WriteEvent(w, e.sequence, e.state) != nil || rc.Flush() != nil {
			return // the client has left
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// event is a state as it is sent: made once a second, for all who follow.
type event struct {
	sequence uint64 // of its last second
	state    []byte // JSON
}

// event gives that of the last second.
func (a *Admin) event(ctx context.Context) (*event, error) {
	a.eventMu.Lock()
	defer a.eventMu.Unlock()
	if a.lastEvent != nil && a.lastEvent.sequence == a.watch.latest().Sequence {
		return a.lastEvent, nil
	}
	state, err := a.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("events: the state cannot be told: %w", err)
	}
	body, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("events: the state cannot be written: %w", err)
	}
	a.lastEvent = &event{state.Second.Sequence, body}
	return a.lastEvent, nil
}
