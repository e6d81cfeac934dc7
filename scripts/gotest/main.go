// Command gotest runs `go test` with the given arguments and says at the end,
// by name, what was skipped and why: a test that did not run proves nothing, and
// a long log must not hide that. Of the tests it shows only those that failed,
// with all they printed.
//
// With -alone=PATTERNS before the arguments, packages that one of these patterns
// (separated by commas) names run last and one at a time, so that what they
// measure is not what others cost; patterns of packages are then those trailing
// arguments that begin with a dot.
//
// It exits as go test does.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
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

	courses := [][]string{args}
	if len(args) > 0 && strings.HasPrefix(args[0], aloneFlag) {
		var err error
		if courses, err = split(args[1:], strings.Split(args[0][len(aloneFlag):], ",")); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "gotest:", err)
			return 1
		}
	}
	s := newSummary(os.Stdout)
	code := 0
	for _, course := range courses {
		code = max(code, goTest(s, course))
		if s.err != nil {
			_, _ = fmt.Fprintln(os.Stderr, "gotest: write what go test says:", s.err)
			return 1
		}
	}
	if s.conclude(); s.err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gotest: write what go test says:", s.err)
		return 1
	}
	if code == 0 && s.failed > 0 {
		_, _ = fmt.Fprintln(os.Stderr, "gotest: go test exited with 0 although tests failed")
		return 1
	}
	return code
}

// goTest runs go test once, and gives its exit code.
func goTest(s *summary, args []string) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "gotest: start go test:", err)
		return 1
	}
	readErr := s.read(events)
	err = cmd.Wait()
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
	}
	return 0
}

const aloneFlag = "-alone="

// split makes of the arguments of one go test those of two: without the packages
// that are to run alone, and with these only, one at a time.
func split(args, alone []string) ([][]string, error) {
	flags := len(args)
	for flags > 0 && strings.HasPrefix(args[flags-1], ".") {
		flags--
	}
	if flags == len(args) {
		return nil, errors.New("-alone: no packages: the arguments have to end with patterns that begin with a dot")
	}
	all, err := list(args[flags:])
	if err != nil {
		return nil, err
	}
	last, err := list(alone)
	if err != nil {
		return nil, err
	}
	flagsOnly := slices.Clip(args[:flags])
	var courses [][]string
	if rest := slices.DeleteFunc(slices.Clone(all), func(pkg string) bool { return slices.Contains(last, pkg) }); len(rest) > 0 {
		courses = append(courses, slices.Concat(flagsOnly, rest))
	}
	if last = slices.DeleteFunc(last, func(pkg string) bool { return !slices.Contains(all, pkg) }); len(last) > 0 {
		// The last -p counts.
		courses = append(courses, slices.Concat(flagsOnly, []string{"-p=1"}, last))
	}
	return courses, nil
}

// list resolves patterns to import paths.
func list(patterns []string) ([]string, error) {
	cmd := exec.Command("go", append([]string{"list"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
	}
	return strings.Fields(string(out)), nil
}
