package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is one line of `go test -json`, see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string // empty for what concerns the package
	Output      string
	FailedBuild string
}

type test struct{ pkg, name string }

// summary collects events until they can be judged.
type summary struct {
	out      io.Writer
	err      error               // of writing to out, the first
	running  map[test]bool       // begun and not ended
	output   map[test][]string   // of tests that have not ended, by line
	packages map[string][]string // what packages printed outside their tests
	skips    []string
	failures []string
	passed   int
	failed   int
	skipped  int
}

// newSummary makes one that writes to w what failed as it fails and a line a
// package, and when it is concluded what was skipped, what failed, and the counts.
func newSummary(w io.Writer) *summary {
	return &summary{
		out:      w,
		running:  make(map[test]bool),
		output:   make(map[test][]string),
		packages: make(map[string][]string),
	}
}

// read takes the events of one `go test -json`. Lines that are no event are
// passed on.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				s.printf("%s", line)
			} else {
				s.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(s.out, format, args...); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *summary) take(e event) {
	t := test{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		s.printf("%s", e.Output)
	case e.Test == "":
		s.takePackage(e)
	case e.Action == "run":
		s.running[t] = true
	case e.Action == "output":
		s.output[t] = append(s.output[t], e.Output)
	case e.Action == "pass":
		s.passed++
		s.end(t)
	case e.Action == "skip":
		s.skipped++
		s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", t.pkg, t.name, reason(s.output[t])))
		s.end(t)
	case e.Action == "fail":
		s.fail(t, "")
	}
}

func (s *summary) takePackage(e event) {
	switch e.Action {
	case "output":
		// The package's verdict, in the form of go test without -json.
		if strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "FAIL\t") || strings.HasPrefix(e.Output, "?   \t") {
			s.printf("%s", e.Output)
			return
		}
		s.packages[e.Package] = append(s.packages[e.Package], e.Output)
	case "pass", "skip":
		delete(s.packages, e.Package)
	case "fail":
		failedBefore := s.failed
		for _, t := range s.unfinished(e.Package) {
			s.fail(t, " (did not end)")
		}
		printed := s.packages[e.Package]
		delete(s.packages, e.Package)
		for _, line := range printed {
			if line != "FAIL\n" && line != "PASS\n" {
				s.printf("%s", line)
			}
		}
		switch {
		case e.FailedBuild != "":
			s.failed++
			s.failures = append(s.failures, e.Package+" (does not build)")
		case failedBefore == s.failed && !slices.ContainsFunc(s.failures, func(f string) bool { return strings.HasPrefix(f, e.Package+" ") }):
			// No test to blame: TestMain, or what ran after the tests.
			s.failed++
			s.failures = append(s.failures, e.Package+" (outside its tests)")
		}
	}
}

// unfinished lists the tests of a package that have begun and not ended: it
// panicked, ran out of time or exited.
func (s *summary) unfinished(pkg string) []test {
	var left []test
	for t := range s.running {
		if t.pkg == pkg {
			left = append(left, t)
		}
	}
	slices.SortFunc(left, func(a, b test) int { return cmp.Compare(a.name, b.name) })
	return left
}

func (s *summary) fail(t test, how string) {
	s.failed++
	s.failures = append(s.failures, t.pkg+" "+t.name+how)
	s.printf("\n--- failed: %s %s%s\n", t.pkg, t.name, how)
	for _, line := range s.output[t] {
		if !strings.HasPrefix(line, "=== ") {
			s.printf("%s", line)
		}
	}
	s.end(t)
}

func (s *summary) end(t test) {
	delete(s.running, t)
	delete(s.output, t)
}

func (s *summary) conclude() {
	if len(s.skips) > 0 {
		s.printf("\nSkipped, and why:\n")
		for _, skip := range s.skips {
			s.printf("  %s\n", skip)
		}
	}
	if len(s.failures) > 0 {
		s.printf("\nFailed:\n")
		for _, failure := range s.failures {
			s.printf("  %s\n", failure)
		}
	}
	s.printf("\n%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
}

// logged is the start of what t.Log and t.Skip print.
var logged = regexp.MustCompile(`^\s*\S+\.go:\d+: (.*)`)

// reason finds in a test's output what it last logged before it was skipped.
func reason(output []string) string {
	var text []string
	for _, line := range output {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "=== ") || strings.HasPrefix(strings.TrimSpace(line), "--- SKIP") {
			continue
		}
		if match := logged.FindStringSubmatch(line); match != nil {
			text = text[:0]
			line = match[1]
		}
		if line = strings.TrimSpace(line); line != "" {
			text = append(text, line)
		}
	}
	if len(text) == 0 {
		return "no reason given"
	}
	return strings.Join(text, " ")
}
