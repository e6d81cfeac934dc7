package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir/cmd/weir/child/sibling"
)

// drainCommand is for a preStop hook, where there is no shell and no kill.
func drainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drain",
		Short: "Tell the weir that runs in this container to drain and end (SIGTERM)",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			pid, err := sibling.Drain()
			if err != nil {
				return &exitError{exitFailed, err}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "told process %d to drain\n", pid)
			return err
		},
	}
}
