package dashboards

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// runbookSection is how a panel refers to the runbook.
var runbookSection = regexp.MustCompile(`\(runbook: (\w+)\)`)

func TestPanelsSayWhatToDo(t *testing.T) {
	alerts := map[string]bool{}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			alerts[r.Alert] = true
		}
	}
	for path, b := range boards(t) {
		ids, titles := map[int]bool{}, map[string]bool{}
		for _, p := range b.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: panel %q has no id of its own: %d", path, p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.Type == "row" {
				continue
			}
			if titles[p.Title] || p.Title == "" {
				t.Errorf("%s: two panels are titled %q", path, p.Title)
			}
			titles[p.Title] = true
			if len(strings.Fields(p.Description)) < 6 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: panel %q says too little about itself: %q", path, p.Title, p.Description)
			}
			for _, m := range runbookSection.FindAllStringSubmatch(p.Description, -1) {
				if !alerts[m[1]] {
					t.Errorf("%s: panel %q refers to the runbook's %s, which no alert is named", path, p.Title, m[1])
				}
			}
		}
	}
}

func TestVariables(t *testing.T) {
	want := []string{"datasource", "job", "namespace", "function", "version", "instance"}
	for path, b := range boards(t) {
		var names []string
		for _, v := range b.Templating.List {
			names = append(names, v.Name)
			// Series need not have these: "All" must match those without, too.
			if slices.Contains([]string{"namespace", "version"}, v.Name) && (v.AllValue != ".*" || !v.IncludeAll) {
				t.Errorf("%s: all of %s is %q, which series without that label do not match", path, v.Name, v.AllValue)
			}
		}
		if b.UID == "weir-runbook" {
			continue
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s has the variables %v, want %v", path, names, want)
		}
		if len(b.Annotations.List) < 2 {
			t.Errorf("%s marks only %d kinds of events", path, len(b.Annotations.List))
		}
	}
}
