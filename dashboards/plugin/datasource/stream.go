package datasource

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/live"

	"weir/admin/api"
)

// channel is a channel of Grafana Live: state/NAME/GROUPS, the groups in their order,
// with dots in between.
type channel struct {
	sidecar *sidecar
	groups  []string
}

const stateChannel = "state"

// path is the channel's path below the data source's own.
func (c channel) path() string {
	return stateChannel + "/" + c.sidecar.name + "/" + strings.Join(c.groups, ".")
}

// address is the whole of it, as a frame names it.
func (c channel) address(uid string) string {
	return live.Channel{Scope: live.ScopeDatasource, Namespace: uid, Path: c.path()}.String()
}

// channelOf reads a path; ok is false where there is no such channel.
func (d *Datasource) channelOf(path string) (c channel, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 3 || parts[0] != stateChannel {
		return channel{}, false
	}
	c.sidecar, c.groups = d.sidecar(parts[1]), strings.Split(parts[2], ".")
	groups, err := orderGroups(c.groups)
	return c, c.sidecar != nil && err == nil && slices.Equal(groups, c.groups)
}

// SubscribeStream lets everyone watch who may ask the data source.
func (d *Datasource) SubscribeStream(_ context.Context, r *backend.SubscribeStreamRequest) (*backend.SubscribeStreamResponse, error) {
	if _, ok := d.channelOf(r.Path); !ok {
		return &backend.SubscribeStreamResponse{Status: backend.SubscribeStreamStatusNotFound}, nil
	}
	return &backend.SubscribeStreamResponse{Status: backend.SubscribeStreamStatusOK}, nil
}

// PublishStream lets nobody publish.
func (d *Datasource) PublishStream(context.Context, *backend.PublishStreamRequest) (*backend.PublishStreamResponse, error) {
	return &backend.PublishStreamResponse{Status: backend.PublishStreamStatusPermissionDenied}, nil
}

// RunStream sends a frame a second. Grafana runs one for all who watch a channel, and
// ends it when the last of them has gone.
func (d *Datasource) RunStream(ctx context.Context, r *backend.RunStreamRequest, sender *backend.StreamSender) error {
	c, ok := d.channelOf(r.Path)
	if !ok {
		return fmt.Errorf("there is no channel %q", r.Path)
	}
	updates, leave := c.sidecar.feed.watch()
	defer leave()
	var last uint64
	var reasons []string // of refusals, as the sidecar counts them
	var function string
	lost := true
	for {
		var u update
		select {
		case <-ctx.Done():
			return nil
		case <-d.ended:
			return errors.New("the settings of the data source have changed")
		case u = <-updates:
		}
		var frame *data.Frame
		switch {
		case u.err != nil && lost:
			continue // told already, or nothing to break off
		case u.err != nil:
			lost = true
			frame = gap(d.about(c, function, reasons), time.Now())
		case u.state.Second.Sequence == 0, u.state.Second.Sequence == last:
			continue // of its first second nothing is known yet
		default:
			lost, last, function = false, u.state.Second.Sequence, u.state.Function.Name
			reasons = slices.Sorted(maps.Keys(u.state.Throttles))
			frame = stateFrame(api.NewHistory([]api.Sample{u.state.Second}), d.about(c, function, reasons))
		}
		// With its schema each time: who joins later has not seen the first.
		if err := sender.SendFrame(frame, data.IncludeAll); err != nil {
			return err
		}
	}
}

// about is what the query and the stream of a channel have in common: a frame of another
// form would throw away what a graph shows already.
func (d *Datasource) about(c channel, function string, reasons []string) about {
	return about{sidecar: c.sidecar.name, function: function, groups: c.groups, reasons: reasons, several: len(d.sidecars) > 1}
}

// gap is a frame without a value, so that a line breaks where nothing is known.
func gap(a about, at time.Time) *data.Frame {
	frame := stateFrame(api.NewHistory([]api.Sample{{Time: at}}), a)
	for _, field := range frame.Fields[1:] {
		field.Set(0, (*float64)(nil))
	}
	return frame
}
