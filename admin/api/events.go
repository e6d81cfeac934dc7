package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
)

// maxEvent bounds one event.
const maxEvent = 1 << 20

// Events follows a sidecar: its state once a second. It ends with ctx, or with an
// error; io.EOF where the sidecar ended the stream, as it does when it stops.
func (c *Client) Events(ctx context.Context) iter.Seq2[*State, error] {
	return func(yield func(*State, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, getEvents.Method, c.base.JoinPath(getEvents.Path).String(), nil)
		if err != nil {
			yield(nil, err)
			return
		}
		r.Header.Set("Accept", "text/event-stream")
		res, err := c.http.Do(r)
		if err != nil {
			yield(nil, unwrapURL(err))
			return
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			yield(nil, readProblem(res))
			return
		}
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(make([]byte, 0, 16<<10), maxEvent)
		for lines.Scan() {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
			if !ok {
				continue // the event's name, its id, or the empty line behind it
			}
			s := &State{}
			if err := json.Unmarshal(data, s); err != nil {
				yield(nil, fmt.Errorf("an event of %s is not what a weir of this version sends: %w", r.URL, err))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case ctx.Err() != nil:
		case err == nil:
			yield(nil, io.EOF)
		default:
			yield(nil, fmt.Errorf("the events of %s were cut short: %w", r.URL, err))
		}
	}
}

// WriteEvent writes a state as the server sends it.
func WriteEvent(w io.Writer, sequence uint64, state []byte) error {
	_, err := fmt.Fprintf(w, "event: state\nid: %d\ndata: %s\n\n", sequence, state)
	return err
}
