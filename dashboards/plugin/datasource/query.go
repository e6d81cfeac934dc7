package datasource

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"weir/admin/api"
)

// What can be asked for.
const (
	queryState       = "state"        // what was measured, second by second
	queryInflight    = "inflight"     // the requests that run
	queryCallers     = "callers"      // who uses most
	queryCalls       = "calls"        // asynchronous calls
	queryDeadLetters = "dead_letters" // calls that failed or expired
)

// query is one query as a panel holds it.
type query struct {
	// Sidecars are names with commas in between, empty for all.
	Sidecars string `json:"sidecars"`
	// Groups say which series of the state are wanted; none are the usual ones.
	Groups []string `json:"groups"`
	// Live goes on once a second after the answer.
	Live bool `json:"live"`
	// State is one of api.States, of calls; empty for all.
	State string `json:"state"`
	// Limit bounds the rows of a table for each sidecar; 0 is defaultRows.
	Limit int `json:"limit"`

	timeRange backend.TimeRange
	sidecars  []*sidecar
}

// Bounds of query.Limit.
const (
	defaultRows = 100
	maxRows     = 1000
)

// QueryData answers every query by itself: one that fails does not fail the others.
func (d *Datasource) QueryData(ctx context.Context, r *backend.QueryDataRequest) (*backend.QueryDataResponse, error) {
	response := backend.NewQueryDataResponse()
	for _, asked := range r.Queries {
		frames, err := d.answer(ctx, asked)
		if err != nil {
			response.Responses[asked.RefID] = backend.ErrorResponseWithErrorSource(err)
			continue
		}
		response.Responses[asked.RefID] = backend.DataResponse{Frames: frames, Status: backend.StatusOK}
	}
	return response, nil
}

func (d *Datasource) answer(ctx context.Context, asked backend.DataQuery) (data.Frames, error) {
	q := query{timeRange: asked.TimeRange}
	if err := json.Unmarshal(asked.JSON, &q); err != nil {
		return nil, backend.DownstreamErrorf("the query cannot be read: %w", err)
	}
	if q.Limit == 0 {
		q.Limit = defaultRows
	}
	if q.Limit < 1 || q.Limit > maxRows {
		return nil, backend.DownstreamErrorf("the limit is %d: it must be from 1 to %d rows", q.Limit, maxRows)
	}
	var err error
	if q.sidecars, err = d.named(q.Sidecars); err != nil {
		return nil, err
	}
	switch asked.QueryType {
	case queryState, "":
		return d.state(ctx, q)
	case queryInflight:
		return table(ctx, q, inflightTable)
	case queryCallers:
		return table(ctx, q, callersTable)
	case queryCalls:
		if q.State != "" && !slices.Contains(api.States(), q.State) {
			return nil, backend.DownstreamErrorf("no call is in a state %q: there are %s", q.State, strings.Join(api.States(), ", "))
		}
		return table(ctx, q, callsTable)
	case queryDeadLetters:
		return table(ctx, q, deadLettersTable)
	}
	return nil, backend.DownstreamErrorf("the query type %q is unknown: there are %s", asked.QueryType, strings.Join([]string{queryState, queryInflight, queryCallers, queryCalls, queryDeadLetters}, ", "))
}

// outcomes are what came of asking some sidecars.
type outcomes struct {
	asked  []*sidecar
	errors []error // of each, nil where it answered
}

// err is an error where no sidecar answered.
func (o outcomes) err() error {
	var texts []string
	for i, err := range o.errors {
		if err == nil {
			return nil
		}
		texts = append(texts, o.asked[i].name+": "+explain(err))
	}
	return backend.DownstreamErrorf("%s", strings.Join(texts, "; "))
}

// notices tell of those that did not answer, where others did.
func (o outcomes) notices() []data.Notice {
	var notices []data.Notice
	for i, err := range o.errors {
		if err != nil {
			notices = append(notices, data.Notice{Severity: data.NoticeSeverityError, Text: o.asked[i].name + ": " + explain(err)})
		}
	}
	return notices
}

// state gives a frame for each sidecar.
func (d *Datasource) state(ctx context.Context, q query) (data.Frames, error) {
	groups, err := orderGroups(q.Groups)
	if err != nil {
		return nil, err
	}
	frames := make(data.Frames, len(q.sidecars))
	outcome := outcomes{q.sidecars, make([]error, len(q.sidecars))}
	each(q.sidecars, func(i int, s *sidecar) {
		ctx, cancel := s.within(ctx)
		defer cancel()
		frames[i], outcome.errors[i] = d.stateOf(ctx, s, q, groups)
	})
	if err := outcome.err(); err != nil {
		return nil, err
	}
	frames = slices.DeleteFunc(frames, func(f *data.Frame) bool { return f == nil })
	frames[0].AppendNotices(outcome.notices()...)
	return frames, nil
}

func (d *Datasource) stateOf(ctx context.Context, s *sidecar, q query, groups []string) (*data.Frame, error) {
	// The history has neither the function's name nor the reasons that refused nobody.
	state, err := s.client.State(ctx)
	if err != nil {
		return nil, err
	}
	history, err := s.client.History(ctx)
	if err != nil {
		return nil, err
	}
	reasons := slices.Sorted(maps.Keys(history.Throttled))
	if q.Live {
		reasons = slices.Sorted(maps.Keys(state.Throttles))
	}
	oldest := time.Now()
	if len(history.Time) > 0 {
		oldest = time.UnixMilli(history.Time[0])
	}
	c := channel{s, groups}
	frame := stateFrame(cut(history, q.timeRange), d.about(c, state.Function.Name, reasons))
	if q.timeRange.From.Before(oldest.Add(-2*time.Second)) && len(history.Time) == api.HistoryLength {
		frame.AppendNotices(data.Notice{Severity: data.NoticeSeverityInfo, Text: "weir keeps ten minutes; what is older is in Prometheus"})
	}
	if q.Live {
		frame.Meta.Channel = c.address(d.uid)
	}
	return frame, nil
}

// rows are a part of a table, of one sidecar.
type rows struct {
	frame *data.Frame
	more  string // what to say where there is more than was asked for
}

// table gives one frame with the rows of all sidecars.
func table(ctx context.Context, q query, ask func(context.Context, *sidecar, query) (rows, error)) (data.Frames, error) {
	parts := make([]rows, len(q.sidecars))
	outcome := outcomes{q.sidecars, make([]error, len(q.sidecars))}
	each(q.sidecars, func(i int, s *sidecar) {
		ctx, cancel := s.within(ctx)
		defer cancel()
		parts[i], outcome.errors[i] = ask(ctx, s, q)
	})
	if err := outcome.err(); err != nil {
		return nil, err
	}
	notices := outcome.notices()
	var whole *data.Frame
	for i, part := range parts {
		switch {
		case outcome.errors[i] != nil:
			continue
		case whole == nil:
			whole = part.frame
		default:
			for row := range part.frame.Rows() {
				whole.AppendRow(part.frame.RowCopy(row)...)
			}
		}
		if part.more != "" {
			notices = append(notices, data.Notice{Severity: data.NoticeSeverityInfo, Text: fmt.Sprintf("%s: %s", q.sidecars[i].name, part.more)})
		}
	}
	whole.AppendNotices(notices...)
	return data.Frames{whole}, nil
}
