package rules

import (
	"os"
	"strings"
	"testing"
)

// sections gives the runbook's, by anchor.
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for i, s := range strings.Split("\n"+string(text), "\n## ") {
		if i == 0 {
			continue // what comes before the first
		}
		heading, body, _ := strings.Cut(s, "\n")
		all[anchor(heading)] = body
	}
	return all
}

// Each alert leads to a section that says what it means, how to confirm it and what
// to do, or that refers to one that does; and no section is about an alert that is
// gone.
func TestEachAlertHasItsSection(t *testing.T) {
	left := sections(t)
	all := sections(t)
	for _, g := range alerts() {
		for _, r := range g.Rules {
			a, ok := r.(alert)
			if !ok {
				t.Fatalf("%s holds a rule that is no alert: %+v", g.Name, r)
			}
			for _, key := range []string{"summary", "description", "runbook_url"} {
				if a.Annotations[key] == "" {
					t.Errorf("%s has no %s", a.Alert, key)
				}
			}
			if a.Labels["severity"] == "" {
				t.Errorf("%s has no severity", a.Alert)
			}
			page, section, _ := strings.Cut(a.Annotations["runbook_url"], "#")
			if page != Runbook {
				t.Errorf("%s leads to %s", a.Alert, page)
			}
			body, ok := all[section]
			if !ok {
				t.Errorf("docs/runbook.md has no section ## %s", a.Alert)
				continue
			}
			delete(left, section)
			if strings.HasPrefix(strings.TrimSpace(body), "See [") {
				continue
			}
			text := strings.ToLower(body)
			for _, part := range []string{"**means", "**confirm", "**do"} {
				if !strings.Contains(text, part) {
					t.Errorf("docs/runbook.md, %s: nothing under %s", a.Alert, part)
				}
			}
		}
	}
	for section := range left {
		t.Errorf("docs/runbook.md: #%s is about no alert", section)
	}
}

// What refers to a section refers to one that is there.
func TestReferencesWithinTheRunbook(t *testing.T) {
	all := sections(t)
	for from, body := range all {
		for _, part := range strings.Split(body, "](#")[1:] {
			to, _, _ := strings.Cut(part, ")")
			if _, ok := all[to]; !ok {
				t.Errorf("%s refers to #%s, which is not there", from, to)
			}
		}
	}
}
