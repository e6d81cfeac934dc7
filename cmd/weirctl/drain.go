package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) drainCommand() *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "drain",
		Short: "Let the sidecar refuse newcomers and stay; there is no way back",
		Long: `The sidecar is not ready from now on; after its drain.delay it answers newcomers
with 503, and those inside finish. It stays until somebody ends it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			d, err := client.Drain(c.Context())
			if err != nil {
				return asked(err)
			}
			if wait {
				ctx, stop := interruptible(c)
				defer stop()
				if d, err = drained(ctx, client, timeout); err != nil {
					return err
				}
			}
			return t.output.print(c.OutOrStdout(), d, func(w io.Writer) error {
				if d.Inflight+d.Waiting == 0 {
					_, err := fmt.Fprintln(w, "draining; nobody is inside")
					return err
				}
				_, err := fmt.Fprintf(w, "draining; %d still run, %d wait\n", d.Inflight, d.Waiting)
				return err
			})
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "return once nobody is inside")
	c.Flags().DurationVar(&timeout, "timeout", 0, "with --wait, give up after this time; 0 never does")
	return c
}

// drained waits until nobody is inside any more.
func drained(ctx context.Context, client *api.Client, timeout time.Duration) (*api.Draining, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	inside := 0
	for s, err := range client.Events(ctx) {
		switch {
		case errors.Is(err, io.EOF):
			return nil, errors.New("the sidecar ended before everybody was out")
		case err != nil && ctx.Err() == nil:
			return nil, asked(err)
		case err != nil:
			continue
		}
		if inside = s.Inflight + s.Waiting; s.Draining && inside == 0 {
			return &api.Draining{Draining: true}, nil
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("after %v, %d are still inside; the sidecar goes on draining", timeout, inside)
	}
	return nil, errors.New("interrupted; the sidecar goes on draining")
}
