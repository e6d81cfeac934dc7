package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) inflightCommand() *cobra.Command {
	var q api.InflightQuery
	c := &cobra.Command{
		Use:   "inflight",
		Short: "List the running requests, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if q.Limit < 1 || q.Limit > api.MaxInflightRows {
				return usageError("--limit %d is not from 1 to %d", q.Limit, api.MaxInflightRows)
			}
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			running, err := client.Inflight(c.Context(), q)
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), running, func(w io.Writer) error {
				if err := table(w, inflightHeader, inflightRows(running.Requests)); err != nil {
					return err
				}
				if left := running.Total - len(running.Requests); left > 0 {
					_, err = fmt.Fprintf(w, "and %d more; --limit shows up to %d\n", left, api.MaxInflightRows)
				}
				return err
			})
		},
	}
	c.Flags().IntVar(&q.Limit, "limit", api.DefaultInflightRows, "requests to list at most")
	return c
}

var inflightHeader = []string{"AGE", "WAITED", "METHOD", "PROTOCOL", "CLIENT", "PATH"}

func inflightRows(requests []api.Request) [][]string {
	var rows [][]string
	for _, r := range requests {
		rows = append(rows, []string{short(r.AgeSeconds), short(r.WaitedSeconds), r.Method, r.Protocol, r.Client, r.Path})
	}
	return rows
}
