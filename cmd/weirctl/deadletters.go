package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) deadLettersCommand() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "dead-letters",
		Short: "Asynchronous calls that failed or expired: look, try again, forget",
	}, t.deadLettersListCommand(), t.deadLettersGetCommand(), t.deadLettersRedriveCommand(), t.deadLettersPurgeCommand())
}

func (t *tool) deadLettersListCommand() *cobra.Command {
	limit := api.DefaultDeadLetters
	c := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError("--limit %d is less than 1", limit)
			}
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			calls, more, err := deadLetters(c.Context(), client, limit)
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), api.DeadLetters{Calls: calls}, func(w io.Writer) error {
				var rows [][]string
				for _, d := range calls {
					status := ""
					if d.StatusCode != 0 {
						status = strconv.Itoa(d.StatusCode)
					}
					rows = append(rows, []string{d.ID, d.State, strconv.Itoa(d.Attempts), moment(d.FinishedAt), request(&d), status, d.Error})
				}
				if err := table(w, []string{"ID", "STATE", "ATTEMPTS", "SINCE", "REQUEST", "STATUS", "ERROR"}, rows); err != nil || !more {
					return err
				}
				_, err := fmt.Fprintln(w, "and more; --limit shows them")
				return err
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", limit, "calls to list at most")
	return c
}

func (t *tool) deadLettersGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Show a dead letter: the reason, and the function's last response",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			d, err := client.DeadLetter(c.Context(), api.CallQuery{ID: args[0]})
			if err != nil {
				return asked(err)
			}
			return t.output.print(c.OutOrStdout(), d, func(w io.Writer) error {
				rows := append(callRows(&d.Call), []string{"host", d.Host}, []string{"body", fmt.Sprintf("%d bytes", d.BodySize)})
				if err := table(w, nil, rows); err != nil {
					return err
				}
				return printResponse(w, d.Response)
			})
		},
	}
}

// printResponse shows a response as it would be on the wire, made fit for a terminal.
func printResponse(w io.Writer, r *api.Response) error {
	var b strings.Builder
	switch {
	case r == nil:
		b.WriteString("\nno attempt was answered\n")
	default:
		fmt.Fprintf(&b, "\nlast response: %d %s\n", r.StatusCode, http.StatusText(r.StatusCode))
		for _, f := range r.Fields {
			fmt.Fprintf(&b, "%s: %s\n", plain(f.Name), plain(f.Value))
		}
		b.WriteByte('\n')
		for line := range strings.Lines(r.Body) {
			b.WriteString(plain(strings.TrimRight(line, "\r\n")))
			b.WriteByte('\n')
		}
		switch {
		case r.Dropped:
			b.WriteString("(the body was too large to be kept)\n")
		case len(r.BodyBase64) > 0:
			fmt.Fprintf(&b, "(%d bytes that are no text; -o json has them)\n", len(r.BodyBase64))
		}
		if r.Truncated {
			b.WriteString("(cut short)\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// deadLetters gives up to limit of them, and whether there are more.
func deadLetters(ctx context.Context, client *api.Client, limit int) (calls []api.Call, more bool, err error) {
	calls = []api.Call{}
	for q := (api.DeadLettersQuery{}); ; {
		q.Limit = min(limit-len(calls), api.MaxDeadLetters)
		list, err := client.DeadLetters(ctx, q)
		if err != nil {
			return nil, false, err
		}
		calls = append(calls, list.Calls...)
		if list.Next == "" || len(calls) >= limit {
			return calls, list.Next != "", nil
		}
		q.Cursor = list.Next
	}
}

// some checks that IDs or --all are given, and not both.
func some(args []string, all bool) error {
	switch {
	case all && len(args) > 0:
		return usageError("--all and ids exclude each other")
	case !all && len(args) == 0:
		return usageError("name the ids of dead letters, or --all")
	}
	return nil
}

func (t *tool) deadLettersRedriveCommand() *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:   "redrive [ID...]",
		Short: "Give dead letters another chance, with as many attempts as a new call",
		Long: `Puts calls back into the queue; --all those that are dead now, the oldest first.
Standard error shows how far it has come: a bar on a terminal, else a line every few
seconds.`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := some(args, all); err != nil {
				return err
			}
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, stop := interruptible(c)
			defer stop()
			var done api.Redriven
			if all {
				err = redriveAll(ctx, client, &done, t.progress(c))
			} else {
				err = redrive(ctx, client, args, &done)
			}
			// What was done is told even where it did not come to its end.
			return errors.Join(t.printRedriven(c, &done), err)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all that are dead now")
	return c
}

func (t *tool) printRedriven(c *cobra.Command, done *api.Redriven) error {
	err := t.output.print(c.OutOrStdout(), done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d redriven\n", done.Redriven)
		return err
	})
	if err == nil && len(done.Failed) > 0 {
		texts := make([]string, len(done.Failed))
		for i, f := range done.Failed {
			texts[i] = f.ID + ": " + f.Detail
		}
		err = fmt.Errorf("%d stay dead letters:\n%s", len(texts), strings.Join(texts, "\n"))
	}
	return err
}

// redrive gives those that are named another chance. One that cannot be redriven
// does not keep the others.
func redrive(ctx context.Context, client *api.Client, ids []string, done *api.Redriven) error {
	for _, id := range ids {
		r, err := client.Redrive(ctx, api.CallQuery{ID: id})
		var p *api.Problem
		switch {
		case err == nil:
			done.Redriven += r.Redriven
		case errors.As(err, &p) && (p.Status == 404 || p.Status == 409):
			done.Failed = append(done.Failed, api.FailedCall{ID: id, Detail: p.Detail})
		default:
			return asked(err)
		}
	}
	return nil
}

func redriveAll(ctx context.Context, client *api.Client, done *api.Redriven, progress func(n, total int)) error {
	total := 0
	if s, err := client.State(ctx); err != nil {
		return asked(err)
	} else if s.Async != nil {
		total = s.Async.DeadLetters
	}
	for q := (api.RedriveQuery{}); ; {
		r, err := client.RedriveAll(ctx, q)
		if err != nil {
			return asked(err)
		}
		done.Redriven += r.Redriven
		done.Failed = append(done.Failed, r.Failed...)
		progress(done.Redriven+len(done.Failed), total)
		if q.Cursor = r.Next; q.Cursor == "" {
			return nil
		}
	}
}

// progressEvery is how often something long is told of where there is no terminal.
const progressEvery = 5 * time.Second

// progress shows how far something long has come: a bar on a terminal, else lines.
func (t *tool) progress(c *cobra.Command) func(n, total int) {
	s := terminalOf(c.ErrOrStderr(), t.connection.getenv)
	if s == nil {
		return progressLines(c.ErrOrStderr(), time.Now)
	}
	return func(n, total int) {
		_, _ = fmt.Fprintf(s.out, "\r%s%d of %d%s", bar(n, max(total, n)), n, max(total, n), clearLine)
		if n >= total {
			_, _ = fmt.Fprintln(s.out)
		}
	}
}

func progressLines(w io.Writer, now func() time.Time) func(n, total int) {
	told := now()
	return func(n, total int) {
		if now().Sub(told) >= progressEvery && n < total {
			told = now()
			_, _ = fmt.Fprintf(w, "%d of %d\n", n, total)
		}
	}
}

func (t *tool) deadLettersPurgeCommand() *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:   "purge [ID...]",
		Short: "Forget dead letters for good",
		RunE: func(c *cobra.Command, args []string) error {
			if err := some(args, all); err != nil {
				return err
			}
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, stop := interruptible(c)
			defer stop()
			if all {
				if args, err = allIDs(ctx, client); err != nil {
					return asked(err)
				}
			}
			removed, progress := 0, t.progress(c)
			for _, id := range args {
				if _, err = client.RemoveDeadLetter(ctx, api.CallQuery{ID: id}); err != nil {
					break
				}
				removed++
				progress(removed, len(args))
			}
			v := struct {
				Removed int `json:"removed"`
			}{removed}
			return errors.Join(t.output.print(c.OutOrStdout(), v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d removed\n", removed)
				return err
			}), asked(err))
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all that are dead now")
	return c
}

// allIDs gives the ids of all dead letters as they are now: what dies meanwhile has
// been seen by nobody.
func allIDs(ctx context.Context, client *api.Client) ([]string, error) {
	const everything = 1 << 30
	calls, _, err := deadLetters(ctx, client, everything)
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.ID
	}
	return ids, err
}
