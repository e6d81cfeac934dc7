package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report is a section of the results.
type report struct {
	section string
	text    strings.Builder
	failed  []string
}

func (r *report) line(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }

// judge notes whether what must hold does.
func (r *report) judge(holds bool, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	verdict := "holds"
	if !holds {
		verdict = "**does not hold**"
		r.failed = append(r.failed, what)
	}
	r.line("- %s: %s", what, verdict)
}

func (r *report) verdict() error {
	if len(r.failed) == 0 {
		return nil
	}
	return errors.New("does not hold: " + strings.Join(r.failed, "; "))
}

func (r *report) String() string {
	if r.section == "" {
		return ""
	}
	return fmt.Sprintf("## %s\n\n%s, %d cores, %s, Go %s.\n\n%s", r.section, time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), cpuName(), strings.TrimPrefix(runtime.Version(), "go"), r.text.String())
}

func cpuName() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(b), "model name")
	name, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimLeft(name, " \t:"))
}

// replace puts the section in the place of the one of its name in a file of sections.
func (r *report) replace(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parts := strings.Split(string(b), "\n## ")
	fresh := strings.TrimSpace(strings.TrimPrefix(r.String(), "## "))
	found := false
	for i, p := range parts {
		if strings.HasPrefix(p, r.section+"\n") {
			parts[i], found = fresh+"\n", true
		}
	}
	if !found {
		parts = append(parts, fresh+"\n")
	}
	return os.WriteFile(file, []byte(strings.TrimSpace(strings.Join(parts, "\n## "))+"\n"), 0o644)
}
