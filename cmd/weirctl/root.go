package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"weir/cmd/weirctl/inject"
)

// tool is what the commands share: the values of the global flags.
type tool struct {
	output     output
	connection connection
}

// newRoot makes the whole of the command line. Each noun is a file here, or a
// package below whose Command is added here.
func newRoot(getenv func(string) string) *cobra.Command {
	t := &tool{output: outputTable, connection: connection{getenv: getenv}}
	root := &cobra.Command{
		Use:   "weirctl",
		Short: "The operator's tool for weir",
		Long: `Asks a running sidecar over its management API, changes what it does, and prepares
what sidecars are deployed with.

Exit codes: 0 done; 1 understood, and it did not succeed; 2 wrong command, flags or
arguments; 3 no sidecar answers.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().VarP(&t.output, "output", "o", "table for people, json for scripts")
	t.connection.flags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%w\nSee '%s --help'", err, c.CommandPath())
	})
	root.AddCommand(
		t.callsCommand(),
		t.dashboardsCommand(),
		t.deadLettersCommand(),
		t.drainCommand(),
		t.inflightCommand(),
		inject.Command("weir:"+version),
		inject.WebhookCommand("weir:"+version),
		t.limitsCommand(),
		t.stateCommand(),
		t.topCommand(),
		t.versionCommand(),
	)
	codeFailures(root)
	return root
}

// codeFailures gives the errors of all commands below c that bring no exit code
// exitFailed: what is left without one is cobra's own, a mistake in what was
// typed.
func codeFailures(c *cobra.Command) {
	for _, sub := range c.Commands() {
		codeFailures(sub)
	}
	runE := c.RunE
	if runE == nil {
		return
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		err := runE(c, args)
		var coded interface{ ExitCode() int }
		if err == nil || errors.As(err, &coded) {
			return err
		}
		return &exitError{exitFailed, err}
	}
}

// noun makes a command that only holds others. Without one of them it prints
// what there is, and fails: a script that forgot the verb must not go on.
func noun(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError("unknown command %q for %q\nSee '%s --help'", args[0], c.CommandPath(), c.CommandPath())
		}
		_, _ = fmt.Fprint(c.ErrOrStderr(), c.UsageString())
		return usageError("%s needs one of its commands", c.CommandPath())
	}
	c.AddCommand(verbs...)
	return c
}
