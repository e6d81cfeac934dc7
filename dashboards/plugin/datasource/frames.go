package datasource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"

	"weir/admin/api"
)

// Groups of series of the state, in the order in which they stand in a frame. Each has
// one unit, so that a panel can show one or several.
var groups = []string{"concurrency", "requests", "throttles", "latency"}

// orderGroups checks groups, and puts them in their order; none are the first.
func orderGroups(chosen []string) ([]string, error) {
	if len(chosen) == 0 {
		return groups[:1], nil
	}
	for _, g := range chosen {
		if !slices.Contains(groups, g) {
			return nil, backend.DownstreamErrorf("there is no group of series %q: there are %s", g, strings.Join(groups, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return !slices.Contains(chosen, g) }), nil
}

// about says what a frame of the state is about, and what is to be in it.
type about struct {
	sidecar, function string
	groups            []string
	reasons           []string // of refusals, in order: a series each
	several           bool     // whether the sidecar's name is to be seen on each series
}

// Units as Grafana names them.
const (
	unitCount   = "short"
	unitRate    = "reqps"
	unitSeconds = "s"
)

// stateFrame makes a wide time series of samples.
func stateFrame(h *api.History, a about) *data.Frame {
	n := len(h.Time)
	times := make([]time.Time, n)
	for i, ms := range h.Time {
		times[i] = time.UnixMilli(ms).UTC()
	}
	// Without an interval: Grafana would break lines where a second took a little longer.
	frame := data.NewFrame(a.sidecar, data.NewField("time", nil, times))
	frame.Meta = &data.FrameMeta{Type: data.FrameTypeTimeSeriesWide, TypeVersion: data.FrameTypeVersion{0, 1}}
	add := func(name, unit, description, reason string, value func(i int) *float64) {
		values := make([]*float64, n)
		for i := range values {
			values[i] = value(i)
		}
		labels := data.Labels{"sidecar": a.sidecar, "function": a.function}
		shown := name
		if reason != "" {
			labels["reason"] = reason
			shown += ": " + reason
		}
		if a.several {
			shown = a.sidecar + " " + shown
		}
		field := data.NewField(name, labels, values)
		field.Config = &data.FieldConfig{DisplayNameFromDS: shown, Unit: unit, Description: description}
		frame.Fields = append(frame.Fields, field)
	}
	count := func(list []int) func(int) *float64 {
		return func(i int) *float64 { return new(float64(list[i])) }
	}
	rate := func(list []uint64) func(int) *float64 {
		return func(i int) *float64 {
			if list == nil {
				return new(0.0)
			}
			return new(float64(list[i]) / max(float64(h.Seconds[i]), 1e-3))
		}
	}
	duration := func(list []api.Seconds) func(int) *float64 {
		return func(i int) *float64 {
			if !list[i].Known() {
				return nil
			}
			return new(float64(list[i]))
		}
	}
	for _, group := range a.groups {
		switch group {
		case "concurrency":
			add("limit", unitCount, "how many may run at once; nothing where there is no limit", "", func(i int) *float64 {
				if h.Limit[i] == 0 {
					return nil
				}
				return new(float64(h.Limit[i]))
			})
			add("running", unitCount, "requests that ran at the end of the second", "", count(h.Inflight))
			add("concurrency", unitCount, "exact mean of the requests that ran in the second", "", func(i int) *float64 { return new(float64(h.Concurrency[i])) })
			add("waiting", unitCount, "requests that waited for a slot at the end of the second", "", count(h.Waiting))
		case "requests":
			add("ended", unitRate, "requests that ended, those refused not counted", "", rate(h.Ended))
			add("failed", unitRate, "of these, answered with a 5xx", "", rate(h.Failed))
		case "throttles":
			for _, reason := range a.reasons {
				add("throttled", unitRate, "requests that were refused", reason, rate(h.Throttled[reason]))
			}
		case "latency":
			add("p50", unitSeconds, "median duration of those that ended", "", duration(h.P50))
			add("p95", unitSeconds, "95 of 100 took no longer", "", duration(h.P95))
			add("p99", unitSeconds, "99 of 100 took no longer", "", duration(h.P99))
		}
	}
	return frame
}

// cut leaves what lies within a time range.
func cut(h *api.History, r backend.TimeRange) *api.History {
	from, _ := slices.BinarySearch(h.Time, r.From.UnixMilli())
	to, _ := slices.BinarySearch(h.Time, r.To.UnixMilli()+1)
	to = max(from, to)
	part := *h
	part.Time, part.Seconds, part.Concurrency = h.Time[from:to], h.Seconds[from:to], h.Concurrency[from:to]
	part.Inflight, part.Waiting, part.Limit = h.Inflight[from:to], h.Waiting[from:to], h.Limit[from:to]
	part.Ended, part.Failed = h.Ended[from:to], h.Failed[from:to]
	part.P50, part.P95, part.P99 = h.P50[from:to], h.P95[from:to], h.P99[from:to]
	part.Throttled = map[string][]uint64{}
	for reason, list := range h.Throttled {
		part.Throttled[reason] = list[from:to]
	}
	return &part
}

// newTable makes an empty table.
func newTable(name string, fields ...*data.Field) *data.Frame {
	frame := data.NewFrame(name, fields...)
	frame.Meta = &data.FrameMeta{Type: data.FrameTypeTable, TypeVersion: data.FrameTypeVersion{0, 1}, PreferredVisualization: data.VisTypeTable}
	return frame
}

// column makes an empty column of a table.
func column[T any](name, unit, description string) *data.Field {
	field := data.NewField(name, nil, []T{})
	field.Config = &data.FieldConfig{Unit: unit, Description: description}
	return field
}

// known gives nil for a time that is unknown.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

func inflightTable(ctx context.Context, s *sidecar, q query) (rows, error) {
	running, err := s.client.Inflight(ctx, api.InflightQuery{Limit: q.Limit})
	if err != nil {
		return rows{}, err
	}
	frame := newTable("inflight",
		column[string]("sidecar", "", ""),
		column[string]("id", "", "of the request"),
		column[string]("method", "", ""),
		column[string]("path", "", "without its query"),
		column[string]("protocol", "", "async for an attempt of an asynchronous call"),
		column[string]("client", "", "address of the peer; the id of an asynchronous call"),
		column[time.Time]("started", "", "when it arrived"),
		column[float64]("age", unitSeconds, "since it arrived"),
		column[float64]("waited", unitSeconds, "for its slot, of its age"),
	)
	for _, r := range running.Requests {
		frame.AppendRow(s.name, r.ID, r.Method, r.Path, r.Protocol, r.Client, r.StartedAt.UTC(), r.AgeSeconds, r.WaitedSeconds)
	}
	part := rows{frame: frame}
	if running.Total > len(running.Requests) {
		part.more = fmt.Sprintf("%d requests run, and the oldest %d are shown", running.Total, len(running.Requests))
	}
	return part, nil
}

// callersTable has as many callers as weir names, whatever the query's limit.
func callersTable(ctx context.Context, s *sidecar, _ query) (rows, error) {
	state, err := s.client.State(ctx)
	if err != nil {
		return rows{}, err
	}
	frame := newTable("top callers",
		column[string]("sidecar", "", ""),
		column[string]("caller", "", "what --caller-key tells apart; one that may be a secret is hidden behind a hash"),
		column[float64]("slot-seconds", unitSeconds, "durations of its calls that ended, summed up"),
		column[int64]("inside", unitCount, "of its requests, those that run or wait"),
		column[int64]("refused", unitCount, "of its requests, by a limit of its own"),
	)
	frame.Fields[1].Config.Mappings = data.ValueMappings{
		data.SpecialValueMapper{Match: data.SpecialValueEmpty, Result: data.ValueMappingResult{Text: "without a caller"}},
	}
	for _, c := range state.TopCallers {
		frame.AppendRow(s.name, c.Caller, float64(c.SlotSeconds), int64(c.Admitted), int64(c.Refused))
	}
	part := rows{frame: frame}
	if len(state.TopCallers) == 0 {
		part.more = "callers are not told apart: set --caller-key"
	}
	return part, nil
}

func callTable(name, sidecar string, calls []api.Call) *data.Frame {
	frame := newTable(name,
		column[string]("sidecar", "", ""),
		column[string]("id", "", "of the call"),
		column[string]("state", "", ""),
		column[string]("method", "", ""),
		column[string]("path", "", "without its query"),
		column[int64]("attempts", unitCount, "begun so far"),
		column[*int64]("status", "", "of the latest answer"),
		column[string]("error", "", "why the latest attempt, or the call, failed"),
		column[time.Time]("enqueued", "", ""),
		column[*time.Time]("started", "", "the latest attempt"),
		column[*time.Time]("finished", "", ""),
		column[*time.Time]("next attempt", "", ""),
	)
	for _, c := range calls {
		var status *int64
		if c.StatusCode != 0 {
			status = new(int64(c.StatusCode))
		}
		path, _, _ := strings.Cut(c.Target, "?") // a query may hold what is not everybody's
		frame.AppendRow(sidecar, c.ID, c.State, c.Method, path, int64(c.Attempts), status, c.Error,
			c.EnqueuedAt.UTC(), known(c.StartedAt), known(c.FinishedAt), known(c.NextAttemptAt))
	}
	return frame
}

// maxPages bounds what one query reads of a list of calls: a page may be empty, and go on.
const maxPages = 20

func callsTable(ctx context.Context, s *sidecar, q query) (rows, error) {
	var calls []api.Call
	next := ""
	for range maxPages {
		page, err := s.client.Calls(ctx, api.CallsQuery{State: q.State, Cursor: next, Limit: q.Limit - len(calls)})
		if err != nil {
			return rows{}, err
		}
		calls, next = append(calls, page.Calls...), page.Next
		if next == "" || len(calls) >= q.Limit {
			break
		}
	}
	part := rows{frame: callTable("calls", s.name, calls)}
	if next != "" {
		part.more = fmt.Sprintf("%d calls are shown; there may be more", len(calls))
	}
	return part, nil
}

func deadLettersTable(ctx context.Context, s *sidecar, q query) (rows, error) {
	dead, err := s.client.DeadLetters(ctx, api.DeadLettersQuery{Limit: q.Limit})
	if err != nil {
		return rows{}, err
	}
	part := rows{frame: callTable("dead letters", s.name, dead.Calls)}
	if dead.Next != "" {
		part.more = fmt.Sprintf("the oldest %d dead letters are shown", len(dead.Calls))
	}
	return part, nil
}
