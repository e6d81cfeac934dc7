package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dashboardFiles is where what is exported is committed.
const dashboardFiles = "../dashboards/files"

// board is a Grafana dashboard, as far as queries go.
type board struct {
	UID        string `json:"uid"`
	Title      string
	Panels     []boardPanel
	Templating struct{ List []boardVariable }

	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

type boardPanel struct {
	ID      int
	Type    string
	Title   string
	Targets []boardTarget
}

type boardTarget struct {
	RefID        string `json:"refId"`
	Expr         string
	LegendFormat string
	Format       string
	Instant      bool
	Exemplar     bool
}

type boardVariable struct{ Name, Type, Query, AllValue string }

func readBoard(t testing.TB, name string) board {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dashboardFiles, "grafana", "dashboards", name))
	if err != nil {
		t.Fatal(err)
	}
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(b.Panels) == 0 {
		t.Fatalf("%s has no panels", name)
	}
	return b
}

// panel gives the one with a title.
func (b board) panel(t testing.TB, title string) boardPanel {
	t.Helper()
	for _, p := range b.Panels {
		if p.Title == title && p.Type != "row" {
			return p
		}
	}
	t.Fatalf("%s has no panel %q", b.Title, title)
	return boardPanel{}
}

// choice is what a reader has chosen for each variable, and the window of rates.
type choice map[string]string

// all is the choice before anybody chose.
func all() choice {
	return choice{"job": ".+", "namespace": ".*", "function": ".+", "version": ".*", "instance": ".+", "__rate_interval": rateWindow.String()}
}

// with gives the choice with one variable changed.
func (c choice) with(name, value string) choice {
	next := choice{name: value}
	for n, v := range c {
		if n != name {
			next[n] = v
		}
	}
	return next
}

// in puts the choice into an expression. A variable that nobody chose is an error of
// the test.
func (c choice) in(t testing.TB, expr string) string {
	t.Helper()
	return variableName.ReplaceAllStringFunc(expr, func(name string) string {
		value, ok := c[strings.TrimPrefix(name, "$")]
		if !ok {
			t.Errorf("%s asks for %s, which is no variable of the dashboard", expr, name)
		}
		return value
	})
}

var variableName = regexp.MustCompile(`\$\w+`)

// series is one of a query's results.
type series struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values,omitempty"` // of a range
	Value  *[2]any           `json:"value,omitempty"`  // of a moment
}

// numbers gives its values.
func (s series) numbers(t testing.TB) []float64 {
	t.Helper()
	pairs := s.Values
	if s.Value != nil {
		pairs = append(pairs, *s.Value)
	}
	var all []float64
	for _, p := range pairs {
		text, ok := p[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			t.Fatalf("Prometheus gives %v for a number: %v", p[1], err)
		}
		all = append(all, v)
	}
	return all
}

// ask gets a path of Prometheus' API and decodes what it answers.
func (p *prometheus) ask(path string, form url.Values, into any) error {
	res, err := metricsClient.Get("http://" + p.addr + path + "?" + form.Encode())
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || answer.Status != "success" {
		return fmt.Errorf("%s %s: %s", path, form.Encode(), answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// run executes a target as Grafana does: at the end of the time for a table, over
// it, a step a second, for everything else.
func (p *prometheus) run(t testing.TB, target boardTarget, expr string, from, to time.Time) []series {
	t.Helper()
	form := url.Values{"query": {expr}}
	path := "/api/v1/query_range"
	if target.Instant {
		path = "/api/v1/query"
		form.Set("time", seconds(to))
	} else {
		form.Set("start", seconds(from))
		form.Set("end", seconds(to))
		form.Set("step", "1")
	}
	var data struct{ Result []series }
	if err := p.ask(path, form, &data); err != nil {
		t.Fatalf("Prometheus: %v", err)
	}
	return data.Result
}

// labelValues takes a variable's query apart: label_values(selector, label).
func labelValues(t testing.TB, query string) (selector, label string) {
	t.Helper()
	inner, ok := strings.CutPrefix(strings.TrimSuffix(query, ")"), "label_values(")
	end := strings.LastIndex(inner, ", ")
	if !ok || end < 0 {
		t.Fatalf("%s is not label_values(series, label)", query)
	}
	return inner[:end], inner[end+2:]
}

// values gives the values of a label that series have, over a time.
func (p *prometheus) values(t testing.TB, selector, label string, from, to time.Time) []string {
	t.Helper()
	var found []string
	if err := p.ask("/api/v1/label/"+label+"/values", url.Values{"match[]": {selector}, "start": {seconds(from)}, "end": {seconds(to)}}, &found); err != nil {
		t.Fatalf("Prometheus: %v", err)
	}
	return found
}

// exemplars gives the values of a label of the exemplars that an expression's series
// have.
func (p *prometheus) exemplars(t testing.TB, expr, label string, from, to time.Time) []string {
	t.Helper()
	var data []struct {
		Exemplars []struct{ Labels map[string]string }
	}
	if err := p.ask("/api/v1/query_exemplars", url.Values{"query": {expr}, "start": {seconds(from)}, "end": {seconds(to)}}, &data); err != nil {
		t.Fatalf("Prometheus: %v", err)
	}
	var found []string
	for _, s := range data {
		for _, e := range s.Exemplars {
			found = append(found, e.Labels[label])
		}
	}
	return found
}
