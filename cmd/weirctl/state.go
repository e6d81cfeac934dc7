package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) stateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "state",
		Short: "Show what the sidecar does now",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.State(c.Context())
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), s, func(w io.Writer) error { return table(w, nil, stateRows(s)) })
		},
	}
}

// stateRows shows a state, a line for each thing.
func stateRows(s *api.State) [][]string {
	function := s.Function.Name
	if s.Function.Version != "" {
		function += " " + s.Function.Version
	}
	upstream := s.Upstream.URL + ", up"
	if !s.Upstream.Up {
		upstream = s.Upstream.URL + ", down: " + s.Upstream.Failure
	}
	rows := [][]string{
		{"function", function},
		{"upstream", upstream},
		{"status", status(s)},
		{"running", of(s.Inflight, s.Limit, "no limit") + fmt.Sprintf(", %d at most in the last minute", s.HighWater)},
		{"waiting", of(s.Waiting, s.QueueDepth, "nobody may")},
		{"last second", lastSecond(&s.Second)},
		{"latency", latency(&s.Second)},
		{"requests", fmt.Sprintf("%d ended, %d of them with 5xx", s.Requests.Total, s.Requests.ByCodeClass["5xx"])},
		{"refused", reasons(s.Throttles)},
	}
	for _, l := range s.SharedLimits {
		rows = append(rows, []string{l.Scope + " limit", sharedLimit(&l)})
	}
	if len(s.TopCallers) > 0 {
		rows = append(rows, []string{"top callers", topCallers(s.TopCallers)})
	}
	if s.Async != nil {
		rows = append(rows, []string{"async", async(s.Async)})
	}
	return append(rows, []string{"weir", fmt.Sprintf("%s, up %s", s.Version, s.Time.Sub(s.StartedAt).Round(time.Second))})
}

// sharedLimit shows a limit that sidecars share: this one's part, and what is in force. What
// is configured here follows where it is another.
func sharedLimit(l *api.SharedLimit) string {
	text := fmt.Sprintf("%d of %d held here, %d held by nobody, %d sidecars", l.Held, l.Limit, l.Free, l.Members)
	if l.Configured != l.Limit {
		text += fmt.Sprintf("; %d are configured here", l.Configured)
	}
	text += "; lease of " + short(l.LeaseSeconds)
	if l.LeaseConfiguredSeconds != l.LeaseSeconds {
		text += fmt.Sprintf(", %s is configured here", short(l.LeaseConfiguredSeconds))
	}
	switch {
	case l.Outage != "":
		text += "; NATS is away and the lease has ended: " + l.Outage
	case !l.StoreUp:
		text += fmt.Sprintf("; NATS is away, %s once the lease ends", l.OnOutage)
	}
	return text
}

// topCallers shows who has used most.
func topCallers(top []api.Caller) string {
	var shown []string
	for _, c := range top[:min(len(top), 5)] {
		name := strconv.Quote(c.Caller) // whatever a client has sent
		if c.Caller == "" {
			name = "without a caller"
		}
		shown = append(shown, fmt.Sprintf("%s %.1f slot-seconds, %d inside, %d refused", name, float64(c.SlotSeconds), c.Admitted, c.Refused))
	}
	return strings.Join(shown, "; ")
}

// async shows the queue of asynchronous calls.
func async(a *api.Async) string {
	text := fmt.Sprintf("%d waiting, %d scheduled, %d running, %d dead letters", a.Waiting, a.Scheduled, a.Running, a.DeadLetters)
	if a.Waiting > 0 {
		text += ", the oldest waits for " + short(a.OldestAgeSeconds)
	}
	if !a.Up {
		text = "down: no call is accepted; " + text
	}
	return text
}

// status says whether the sidecar takes requests.
func status(s *api.State) string {
	switch {
	case s.Draining:
		return fmt.Sprintf("draining, %d still inside", s.Inflight+s.Waiting)
	case s.Ready:
		return "ready"
	}
	return "not ready: " + s.NotReadyReason
}

func lastSecond(s *api.Sample) string {
	text := fmt.Sprintf("%d ended, %d with 5xx, %d refused", s.Ended, s.Failed, s.Refused())
	if s.Refused() > 0 {
		text += " (" + reasons(s.Throttled) + ")"
	}
	return text
}

func latency(s *api.Sample) string {
	return fmt.Sprintf("p50 %s  p95 %s  p99 %s", durationOf(s.P50), durationOf(s.P95), durationOf(s.P99))
}

// reasons shows refused requests, the most frequent reason first.
func reasons(throttles map[string]uint64) string {
	names := slices.Collect(maps.Keys(throttles))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(throttles[b], throttles[a]), cmp.Compare(a, b))
	})
	var shown []string
	for _, name := range names {
		if throttles[name] > 0 {
			shown = append(shown, fmt.Sprintf("%s %d", name, throttles[name]))
		}
	}
	if len(shown) == 0 {
		return "none"
	}
	return strings.Join(shown, ", ")
}
