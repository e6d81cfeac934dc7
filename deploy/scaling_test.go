package deploy

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"
)

// The limit that the examples are made for, and how much of it is meant to be used.
const (
	exampleLimit = 10
	used         = 0.7
)

// scaledObject is the part of KEDA's type that is used here.
type scaledObject struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   any    `json:"metadata"`
	Spec       struct {
		ScaleTargetRef  struct{ Name string } `json:"scaleTargetRef"`
		MinReplicaCount int32                 `json:"minReplicaCount"`
		MaxReplicaCount int32                 `json:"maxReplicaCount"`
		CooldownPeriod  int32                 `json:"cooldownPeriod"`
		Advanced        struct {
			Config struct {
				Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Fallback struct {
			FailureThreshold int32  `json:"failureThreshold"`
			Replicas         int32  `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Triggers []struct {
			Type       string            `json:"type"`
			MetricType string            `json:"metricType"`
			Metadata   map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

func readStrict(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestThresholds(t *testing.T) {
	var keda scaledObject
	readStrict(t, "scaling/keda.yaml", &keda)
	threshold, err := strconv.ParseFloat(keda.Spec.Triggers[0].Metadata["threshold"], 64)
	if err != nil || threshold != used*exampleLimit || keda.Spec.Triggers[0].MetricType != "AverageValue" {
		t.Errorf("threshold %v (%v), want %v of %d", threshold, err, used, exampleLimit)
	}
	var hpa autoscalingv2.HorizontalPodAutoscaler
	readStrict(t, "scaling/hpa.yaml", &hpa)
	target := hpa.Spec.Metrics[0].Pods.Target
	if got := target.AverageValue.AsApproximateFloat64(); got != used*exampleLimit || target.Type != autoscalingv2.AverageValueMetricType {
		t.Errorf("averageValue %v, want %v of %d", got, used, exampleLimit)
	}
}

// adapterQuery is the query that prometheus-adapter makes of its rule for one pod.
func adapterQuery(t *testing.T) string {
	t.Helper()
	var adapter struct {
		Rules []struct {
			SeriesQuery  string         `json:"seriesQuery"`
			Resources    map[string]any `json:"resources"`
			Name         struct{ As string }
			MetricsQuery string `json:"metricsQuery"`
		} `json:"rules"`
	}
	readStrict(t, "scaling/adapter.yaml", &adapter)
	rule := adapter.Rules[0]
	series, _, _ := strings.Cut(rule.SeriesQuery, "{")
	return strings.NewReplacer("<<.Series>>", series, "<<.LabelMatchers>>", `namespace="shop",pod=~"a|b|c"`, "<<.GroupBy>>", "pod").Replace(rule.MetricsQuery)
}

// The queries give what the arithmetic says, by Prometheus' own evaluation.
func TestScalingQueries(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("promtool is not installed: %v", err)
	}
	var keda scaledObject
	readStrict(t, "scaling/keda.yaml", &keda)
	query := keda.Spec.Triggers[0].Metadata["query"]

	const interval = 15 // seconds between scrapes
	type pod struct{ concurrency, requests, throttles float64 }
	for _, c := range []struct {
		name      string
		pods      map[string]pod
		instances int // that KEDA asks for
	}{
		{"idle", map[string]pod{"a": {}, "b": {}}, 0},
		{"at the target", map[string]pod{"a": {7, 70, 0}, "b": {7, 70, 0}, "c": {7, 70, 0}}, 3},
		{"uneven", map[string]pod{"a": {1, 10, 0}, "b": {2, 20, 0}, "c": {10, 100, 0}}, 2},
		{"saturated", map[string]pod{"a": {10, 100, 0}, "b": {10, 100, 0}}, 3},
		// Twice as many are refused as run: 20 run, 60 would, 60/7 is 9.
		{"far behind", map[string]pod{"a": {10, 100, 200}, "b": {10, 100, 200}}, 9},
		{"refuses everything", map[string]pod{"a": {0, 0, 50}}, 0},
	} {
		var input, perPod strings.Builder
		sum := pod{}
		for _, name := range []string{"a", "b", "c"} {
			p, ok := c.pods[name]
			if !ok {
				continue
			}
			for series, rate := range map[string]float64{
				`weir_concurrency_seconds_total{namespace="shop",function="cart",pod="%s"}`:              p.concurrency,
				`weir_requests_total{namespace="shop",function="cart",origin="function",pod="%s"}`:       p.requests,
				`weir_throttles_total{namespace="shop",function="cart",reason="max_inflight",pod="%s"}`:  p.throttles,
				`weir_throttles_total{namespace="shop",function="cart",reason="draining",pod="%s"}`:      3, // say nothing of demand
				`weir_concurrency_seconds_total{namespace="shop",function="another",pod="other-%s"}`:     5,
				`weir_concurrency_seconds_total{namespace="elsewhere",function="cart",pod="another-%s"}`: 5,
			} {
				fmt.Fprintf(&input, "      - series: '%s'\n        values: '0+%gx40'\n", fmt.Sprintf(series, name), rate*interval)
			}
			sum.concurrency, sum.requests, sum.throttles = sum.concurrency+p.concurrency, sum.requests+p.requests, sum.throttles+p.throttles
			fmt.Fprintf(&perPod, "          - labels: '{pod=\"%s\"}'\n            value: %g\n", name, p.concurrency)
		}
		want := sum.concurrency
		if sum.requests > 0 {
			want *= 1 + sum.throttles/sum.requests
		}
		if got := int(math.Ceil(want / (used * exampleLimit))); got != c.instances {
			t.Errorf("%s: %d instances, want %d", c.name, got, c.instances)
		}
		test := fmt.Sprintf(`rule_files: []
evaluation_interval: 15s
tests:
  - interval: %ds
    input_series:
%s    promql_expr_test:
      - expr: %q
        eval_time: 9m
        exp_samples:
          - labels: '{}'
            value: %g
      - expr: %q
        eval_time: 9m
        exp_samples:
%s`, interval, input.String(), query, want, adapterQuery(t), perPod.String())
		name := filepath.Join(t.TempDir(), "queries.yaml")
		if err := os.WriteFile(name, []byte(test), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(promtool, "test", "rules", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}

// The calls that wait, in slots that work them off within a minute.
func TestQueueScalingQuery(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("promtool is not installed: %v", err)
	}
	var keda scaledObject
	readStrict(t, "scaling/keda-queue.yaml", &keda)
	trigger := keda.Spec.Triggers[0].Metadata
	threshold, err := strconv.ParseFloat(trigger["threshold"], 64)
	if err != nil || threshold != used*exampleLimit {
		t.Errorf("threshold %v (%v)", threshold, err)
	}
	for _, c := range []struct {
		name                string
		depth, age, seconds float64 // seconds is the mean duration, 0 for no calls yet
		want                float64
		instances           int
	}{
		{"empty", 0, 0, 0.5, 0, 0},
		{"a thousand that wait, half a second each", 1000, 30, 0.5, 1000 * 0.5 / 60, 2},
		{"put off until later", 1000, 0, 0.5, 0, 0},
		{"none has run yet: a second each", 1200, 30, 0, 20, 3},
	} {
		rate := 0.0
		if c.seconds > 0 {
			rate = 10
		}
		var input strings.Builder
		for _, pod := range []string{"a", "b", "c"} { // each tells of the whole queue
			for series, values := range map[string]string{
				"weir_async_depth":                     fmt.Sprintf("%gx40", c.depth),
				"weir_async_oldest_age_seconds":        fmt.Sprintf("%gx40", c.age),
				"weir_upstream_duration_seconds_sum":   fmt.Sprintf("0+%gx40", rate*c.seconds*15),
				"weir_upstream_duration_seconds_count": fmt.Sprintf("0+%gx40", rate*15),
			} {
				fmt.Fprintf(&input, "      - series: '%s{namespace=\"shop\",function=\"mailer\",pod=\"%s\"}'\n        values: '%s'\n", series, pod, values)
			}
		}
		if got := int(math.Ceil(c.want / threshold)); got != c.instances {
			t.Errorf("%s: %d instances, want %d", c.name, got, c.instances)
		}
		test := fmt.Sprintf("rule_files: []\ntests:\n  - interval: 15s\n    input_series:\n%s    promql_expr_test:\n      - expr: %q\n        eval_time: 9m\n        exp_samples:\n          - labels: '{}'\n            value: %v\n",
			input.String(), trigger["query"], c.want)
		name := filepath.Join(t.TempDir(), "queries.yaml")
		if err := os.WriteFile(name, []byte(test), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(promtool, "test", "rules", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}
