package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) callsCommand() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "calls",
		Short: "Look at asynchronous calls, and take them back",
	}, t.callsListCommand(), t.callsGetCommand(), t.callsCancelCommand())
}

func (t *tool) callsListCommand() *cobra.Command {
	q, limit := api.CallsQuery{}, api.DefaultCalls
	c := &cobra.Command{
		Use:   "ls",
		Short: "List calls, all or those of one state, the oldest first",
		Long: `Lists calls of one state in the order in which they came into it, or into the queue.
Where all are listed, those that wait for their first attempt come before the others.
What changes meanwhile may be listed again, as it is then.`,
		Example: `  weirctl calls ls --state running
  weirctl calls ls --state retrying --limit 1000 -o json | jq -r .calls[].id`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError("--limit %d is less than 1", limit)
			}
			if q.State != "" && !slices.Contains(api.States(), q.State) {
				return usageError("--state %q is none of %s", q.State, strings.Join(api.States(), ", "))
			}
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := listCalls(c.Context(), client, q, limit)
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), list, func(w io.Writer) error {
				var rows [][]string
				for i := range list.Calls {
					rows = append(rows, callRow(&list.Calls[i]))
				}
				if err := table(w, []string{"ID", "STATE", "ATTEMPTS", "ENQUEUED", "REQUEST", "NEXT", "STATUS", "ERROR"}, rows); err != nil || list.Next == "" {
					return err
				}
				_, err := fmt.Fprintf(w, "and more; --limit shows them, or --cursor %s\n", list.Next)
				return err
			})
		},
	}
	c.Flags().StringVar(&q.State, "state", "", "only calls in this state: "+strings.Join(api.States(), ", "))
	c.Flags().StringVar(&q.Cursor, "cursor", "", "go on where the list before has ended")
	c.Flags().IntVar(&limit, "limit", limit, "calls to list at most")
	return c
}

// listCalls asks until there are as many as are wanted, or no more.
func listCalls(ctx context.Context, client *api.Client, q api.CallsQuery, limit int) (*api.Calls, error) {
	all := &api.Calls{Calls: []api.Call{}}
	for {
		q.Limit = min(limit-len(all.Calls), api.MaxCalls)
		list, err := client.Calls(ctx, q)
		if err != nil {
			return nil, err
		}
		all.Calls, all.Next = append(all.Calls, list.Calls...), list.Next
		if q.Cursor = list.Next; q.Cursor == "" || len(all.Calls) >= limit {
			return all, nil
		}
	}
}

// callRow shows a call in one line.
func callRow(c *api.Call) []string {
	next, status := "-", "-"
	if !c.NextAttemptAt.IsZero() {
		next = moment(c.NextAttemptAt)
	}
	if c.StatusCode != 0 {
		status = strconv.Itoa(c.StatusCode)
	}
	return []string{c.ID, c.State, strconv.Itoa(c.Attempts), moment(c.EnqueuedAt), request(c), next, status, c.Error}
}

// request names what a call asks for, in a width that leaves room for the rest.
func request(c *api.Call) string {
	const most = 40
	text := []rune(strings.TrimSpace(c.Method + " " + c.Target))
	if len(text) > most {
		return string(text[:most-3]) + "..."
	}
	if len(text) == 0 {
		return "-"
	}
	return string(text)
}

func (t *tool) callsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Show how a call stands; ID is what its 202 had in X-Call-Id",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			call, err := client.Call(c.Context(), api.CallQuery{ID: args[0]})
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), call, func(w io.Writer) error { return table(w, nil, callRows(call)) })
		},
	}
}

func (t *tool) callsCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "Take a call back that has not ended; an attempt under way is cut off",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			call, err := client.CancelCall(c.Context(), api.CallQuery{ID: args[0]})
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), call, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is %s\n", call.ID, call.State)
				return err
			})
		},
	}
}

// callRows shows a call, a line for each thing that is known.
func callRows(c *api.Call) [][]string {
	rows := [][]string{{"id", c.ID}, {"state", c.State}, {"attempts", strconv.Itoa(c.Attempts)}}
	if c.Target != "" {
		rows = append(rows, []string{"request", c.Method + " " + c.Target})
	}
	for _, at := range []struct {
		name string
		time time.Time
	}{{"enqueued", c.EnqueuedAt}, {"started", c.StartedAt}, {"next attempt", c.NextAttemptAt}, {"finished", c.FinishedAt}} {
		if !at.time.IsZero() {
			rows = append(rows, []string{at.name, moment(at.time)})
		}
	}
	if c.StatusCode != 0 {
		rows = append(rows, []string{"status", strconv.Itoa(c.StatusCode)})
	}
	if c.Error != "" {
		rows = append(rows, []string{"error", c.Error})
	}
	if b := c.Callback; b != nil {
		rows = append(rows, []string{"callback", fmt.Sprintf("%s, attempts %d", b.State, b.Attempts)})
		if !b.NextAttemptAt.IsZero() {
			rows = append(rows, []string{"callback next", moment(b.NextAttemptAt)})
		}
		if b.LastError != "" {
			rows = append(rows, []string{"callback error", b.LastError})
		}
	}
	return rows
}

// moment shows a time as this machine's clock has it.
func moment(t time.Time) string { return t.Local().Format(time.DateTime) }
