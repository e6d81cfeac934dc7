package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) callsCommand() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "calls",
		Short: "Look at asynchronous calls, and take them back",
	}, t.callsGetCommand(), t.callsCancelCommand())
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
	return rows
}

// moment shows a time as this machine's clock has it.
func moment(t time.Time) string { return t.Local().Format(time.DateTime) }
