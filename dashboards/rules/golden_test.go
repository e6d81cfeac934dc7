package rules

import (
	"bytes"
	"flag"
	"os"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/model/rulefmt"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the committed rules")

const (
	plainFile    = "../files/prometheus/weir.rules.yaml"
	operatorFile = "../files/kubernetes/weir-prometheusrule.yaml"
	// The same again, since kustomize takes no file from beside its own directory.
	componentFile = "../../deploy/kubernetes/prometheusrule/prometheusrule.yaml"
)

func TestRulesAreAsCommitted(t *testing.T) {
	for path, render := range map[string]func() ([]byte, error){plainFile: File, operatorFile: PrometheusRule, componentFile: PrometheusRule} {
		want, err := render()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(committed, want) {
			t.Errorf("%s is not what the definitions say: go test ./dashboards/{grafana,rules} -update", path)
		}
	}
}

// Both files hold the same rules, by the types of those who read them.
func TestBothFilesAreRead(t *testing.T) {
	plain, err := File()
	if err != nil {
		t.Fatal(err)
	}
	parsed, faults := rulefmt.Parse(plain)
	for _, fault := range faults {
		t.Error(fault)
	}
	object, err := PrometheusRule()
	if err != nil {
		t.Fatal(err)
	}
	var rule monitoringv1.PrometheusRule
	if err := yaml.UnmarshalStrict(object, &rule); err != nil {
		t.Fatal(err)
	}
	if rule.Kind != "PrometheusRule" || rule.APIVersion != monitoringv1.SchemeGroupVersion.String() || rule.Name != "weir" {
		t.Errorf("the object is %s %s %q", rule.APIVersion, rule.Kind, rule.Name)
	}
	if len(parsed.Groups) != len(groups()) || len(rule.Spec.Groups) != len(groups()) {
		t.Fatalf("%d groups are defined, the files have %d and %d", len(groups()), len(parsed.Groups), len(rule.Spec.Groups))
	}
	for i, g := range rule.Spec.Groups {
		if len(g.Rules) != len(parsed.Groups[i].Rules) || len(g.Rules) == 0 {
			t.Errorf("%s: %d rules and %d", g.Name, len(g.Rules), len(parsed.Groups[i].Rules))
			continue
		}
		for j, r := range g.Rules {
			p := parsed.Groups[i].Rules[j]
			if r.Record != p.Record.Value || r.Alert != p.Alert.Value || r.Expr.String() != p.Expr.Value {
				t.Errorf("%s: rule %d is %s%s and %s%s", g.Name, j, r.Record, r.Alert, p.Record.Value, p.Alert.Value)
			}
		}
	}
}
