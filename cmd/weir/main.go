// Command weir stands in front of a function and lets at most so many requests
// in at once.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"weir/config"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	runtime.MemProfileRate = 0 // weir serves no profiles; keeping one costs an idle sidecar memory
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// Exit codes of weir's own. With a COMMAND, weir otherwise exits as it did.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong flags or configuration: nothing was started
)

// exitError carries a code through cobra.
type exitError struct {
	code int
	err  error // nil where everything has been said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// newRoot makes the whole of the command line.
func newRoot(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "A sidecar that holds a function's load to what it can run",
		Long: `weir is a reverse proxy in front of one function. It lets at most max-inflight
requests in, tells everyone else when to come back (429), measures concurrency
exactly, and exports all of it to Prometheus.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(environ), demoCommand(), checkCommand(), healthCommand(environ), drainCommand(), versionCommand())
	return root
}

// run executes one command line and returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer) int {
	root := newRoot(environ)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{exitUsage, err} // cobra's own: unknown command, too many arguments
	}
	if exit.err != nil {
		say(stderr, exit.err)
	}
	return exit.code
}

// say prints an error. Of the mistakes in a configuration, one a line, each says
// who found it.
func say(w io.Writer, err error) {
	text := err.Error()
	if errors.As(err, new(config.Errors)) {
		text = strings.ReplaceAll(text, "\n", "\nweir: ")
	}
	_, _ = fmt.Fprintf(w, "weir: %s\n", text)
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Validate a configuration file; print every error with its line",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := config.CheckFile(args[0]); err != nil {
				return &exitError{exitUsage, err}
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s is valid\n", args[0])
			return err
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print weir's version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "weir %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// buildVersion is what the build set, or the module's version for a weir that
// was installed by go install.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}
