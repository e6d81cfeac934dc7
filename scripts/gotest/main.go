// Command gotest runs `go test` with the given arguments and says at the end,
// by name, what was skipped and why: a test that did not run proves nothing, and
// a long log must not hide that. Of the tests it shows only those that failed,
// with all they printed.
//
// It exits as go test does.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	// A terminal sends Ctrl-C to go test as well; what it says then is still read.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT)
	defer signal.Stop(signals)

	goTest := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	goTest.Stderr = os.Stderr
	events, err := goTest.StdoutPipe()
	if err == nil {
		err = goTest.Start()
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gotest: start go test:", err)
		return 1
	}
	result, readErr := summarise(events, os.Stdout)
	err = goTest.Wait()
	if readErr != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gotest: read what go test says:", readErr)
		return 1
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1) // -1 if a signal ended it
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "gotest: wait for go test:", err)
		return 1
	case result.failed > 0:
		_, _ = fmt.Fprintln(os.Stderr, "gotest: go test exited with 0 although tests failed")
		return 1
	}
	return 0
}
