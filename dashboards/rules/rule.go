package rules

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// group is a list of rules that are evaluated one after the other, as often as
// Prometheus is told to evaluate rules.
type group struct {
	Name  string `yaml:"name"`
	Rules []any  `yaml:"rules"` // recording or alert
}

// recording is an expression that is kept under a name: level:metric:operation.
type recording struct {
	Record string `yaml:"record"`
	Expr   string `yaml:"expr"`
}

// alert is a condition that somebody should hear of.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         duration          `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// duration is written as Prometheus writes one: 10m, 1h.
type duration time.Duration

func (d duration) MarshalYAML() (any, error) { return d.String(), nil }

func (d duration) String() string {
	switch v := time.Duration(d); {
	case v%time.Hour == 0:
		return fmt.Sprintf("%dh", v/time.Hour)
	case v%time.Minute == 0:
		return fmt.Sprintf("%dm", v/time.Minute)
	default:
		return fmt.Sprintf("%ds", v/time.Second)
	}
}

// Severities, as Alertmanager routes by them.
const (
	critical = "critical" // wakes somebody
	warning  = "warning"  // is looked at in working hours
)

// newAlert makes an alert that leads to its section of the runbook. summary says
// what is wrong in a line, description gives the figures.
func newAlert(name, severity string, hold time.Duration, expr, summary, description string) alert {
	return alert{
		Alert:  name,
		Expr:   expr,
		For:    duration(hold),
		Labels: map[string]string{"severity": severity},
		Annotations: map[string]string{
			"summary":     summary,
			"description": description,
			"runbook_url": Runbook + "#" + anchor(name),
		},
	}
}

// Runbook is where the runbook is, in the files as they are committed; an export
// puts the address in its place under which its readers find it.
const Runbook = "docs/runbook.md"

// anchor is what Markdown makes of a heading of one word.
func anchor(heading string) string {
	b := []byte(heading)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// groups is all of it.
func groups() []group { return slices.Concat(recordings(), alerts()) }

const header = "# Generated from dashboards/rules: go test ./dashboards/{grafana,rules} -update\n"

// File renders the rules as Prometheus loads them by rule_files.
func File() ([]byte, error) {
	return render(struct {
		Groups []group `yaml:"groups"`
	}{groups()})
}

// PrometheusRule renders them as the object that the Prometheus operator loads.
func PrometheusRule() ([]byte, error) {
	type metadata struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	}
	return render(struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Metadata   metadata `yaml:"metadata"`
		Spec       any      `yaml:"spec"`
	}{
		"monitoring.coreos.com/v1", "PrometheusRule",
		metadata{"weir", map[string]string{"app.kubernetes.io/name": "weir"}},
		struct {
			Groups []group `yaml:"groups"`
		}{groups()},
	})
}

func render(v any) ([]byte, error) {
	text := bytes.NewBufferString(header)
	encoder := yaml.NewEncoder(text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(v), encoder.Close()); err != nil {
		return nil, fmt.Errorf("dashboards/rules: %w", err)
	}
	return text.Bytes(), nil
}
