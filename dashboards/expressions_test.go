package dashboards

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// expression is one that Prometheus is asked for, or evaluates.
type expression struct {
	where string // the file and the place in it
	text  string // in PromQL
}

// board is the part of a dashboard that is tested here.
type board struct {
	UID         string
	Panels      []boardPanel
	Templating  struct{ List []boardVariable }
	Annotations struct {
		List []struct {
			Name   string
			Expr   string
			Target struct{ Expr string }
		}
	}
}

type boardPanel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

type boardVariable struct {
	Name, Type, Query, AllValue string
	IncludeAll                  bool
}

// boards reads the committed dashboards.
func boards(t *testing.T) map[string]board {
	t.Helper()
	paths, err := fs.Glob(Files(), "grafana/dashboards/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := map[string]board{}
	for _, path := range paths {
		text, err := fs.ReadFile(Files(), path)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[path] = b
	}
	return all
}

// ruleFile is what Prometheus reads of the rules.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct{ Record, Alert, Expr string }
	}
}

func rules(t *testing.T) ruleFile {
	t.Helper()
	text, err := fs.ReadFile(Files(), "prometheus/weir.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	if err := yaml.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// grafanaVariable is $name, ${name} or ${name:format}.
var grafanaVariable = regexp.MustCompile(`\$\{?\w+(:\w+)?\}?`)

// plain puts something in the place of Grafana's variables, so that PromQL is left.
func plain(text string) string {
	text = strings.ReplaceAll(text, "$__rate_interval", "1m")
	return grafanaVariable.ReplaceAllString(text, "x")
}

// expressions gives every expression of the dashboards and of the rules.
func expressions(t *testing.T) []expression {
	t.Helper()
	var all []expression
	for path, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				all = append(all, expression{fmt.Sprintf("%s, panel %q, %s", path, p.Title, target.RefID), plain(target.Expr)})
			}
		}
		for _, v := range b.Templating.List {
			if v.Type != "query" {
				continue
			}
			selector, ok := strings.CutPrefix(v.Query, "label_values(")
			end := strings.LastIndex(selector, ",")
			if !ok || end < 0 {
				t.Errorf("%s, variable %s: %q is not label_values(series, label)", path, v.Name, v.Query)
				continue
			}
			all = append(all, expression{fmt.Sprintf("%s, variable %s", path, v.Name), plain(selector[:end])})
		}
		for _, a := range b.Annotations.List {
			if a.Expr != a.Target.Expr || a.Expr == "" {
				t.Errorf("%s, annotation %s: two expressions: %q and %q", path, a.Name, a.Expr, a.Target.Expr)
			}
			all = append(all, expression{fmt.Sprintf("%s, annotation %s", path, a.Name), plain(a.Expr)})
		}
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			all = append(all, expression{fmt.Sprintf("rule %s%s", r.Record, r.Alert), r.Expr})
		}
	}
	return all
}

// selectors gives the series that an expression selects, as metric and labels.
func selectors(t *testing.T, e expression) []*parser.VectorSelector {
	t.Helper()
	parsed, err := parser.ParseExpr(e.text)
	if err != nil {
		t.Errorf("%s: %v\n%s", e.where, err, e.text)
		return nil
	}
	var found []*parser.VectorSelector
	parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			found = append(found, s)
		}
		return nil
	})
	return found
}

// matched gives the names of the labels that a selector asks for.
func matched(s *parser.VectorSelector) []string {
	var names []string
	for _, m := range s.LabelMatchers {
		if m.Name != labels.MetricName {
			names = append(names, m.Name)
		}
	}
	return names
}
