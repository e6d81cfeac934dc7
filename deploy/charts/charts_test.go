// Package charts holds the Helm chart. Its tests, and those of the kustomize
// components beside it, render with Helm's and kustomize's own libraries, which
// are too much for weir's module.
package charts

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func load(t *testing.T, dir string) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(c *chart.Chart, values string) ([]any, error) {
	var given map[string]any
	if err := yaml.UnmarshalStrict([]byte(values), &given); err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, given, common.ReleaseOptions{Name: "release", Namespace: "weir-system", Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := (engine.Engine{Strict: true}).Render(c, all)
	if err != nil {
		return nil, err
	}
	var objects []any
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq("\n"+text, "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			object, err := decode([]byte(document))
			if err != nil {
				return nil, err
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// other is an object of a kind whose types are not linked here.
type other map[string]any

func (o other) kind() string { k, _ := o["kind"].(string); return k }

func decode(document []byte) (any, error) {
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(document, &meta); err != nil {
		return nil, err
	}
	var object any
	switch meta.APIVersion + " " + meta.Kind {
	case "apps/v1 Deployment":
		object = new(appsv1.Deployment)
	case "v1 Service":
		object = new(corev1.Service)
	case "v1 Secret":
		object = new(corev1.Secret)
	case "v1 ConfigMap":
		object = new(corev1.ConfigMap)
	case "policy/v1 PodDisruptionBudget":
		object = new(policyv1.PodDisruptionBudget)
	case "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration":
		object = new(admissionv1.MutatingWebhookConfiguration)
	default:
		o := other{}
		return o, yaml.UnmarshalStrict(document, &o)
	}
	return object, yaml.UnmarshalStrict(document, object)
}

func only[T any](t *testing.T, objects []any) T {
	t.Helper()
	var found []T
	for _, o := range objects {
		if typed, ok := o.(T); ok {
			found = append(found, typed)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T among %d, want 1", len(found), *new(T), len(objects))
	}
	return found[0]
}

func ofKind(objects []any, kind string) []other {
	var found []other
	for _, o := range objects {
		if typed, ok := o.(other); ok && typed.kind() == kind {
			found = append(found, typed)
		}
	}
	return found
}

func TestWebhook(t *testing.T) {
	objects, err := render(load(t, "weir"), "webhook: {args: [--max-inflight=7]}\n")
	if err != nil {
		t.Fatal(err)
	}
	deployment, service, secret := only[*appsv1.Deployment](t, objects), only[*corev1.Service](t, objects), only[*corev1.Secret](t, objects)
	config := only[*admissionv1.MutatingWebhookConfiguration](t, objects)
	pod := deployment.Spec.Template
	if len(pod.Spec.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Spec.Containers))
	}
	c := pod.Spec.Containers[0]
	want := []string{"webhook", "--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key", "--image=weir:0.1.0", "--image-pull-policy=IfNotPresent", "--max-inflight=7"}
	if !slices.Equal(c.Args, want) {
		t.Errorf("args %q, want %q", c.Args, want)
	}
	for key, value := range service.Spec.Selector {
		if pod.Labels[key] != value || deployment.Spec.Selector.MatchLabels[key] != value {
			t.Errorf("the Service asks for %s=%s", key, value)
		}
	}
	if len(config.Webhooks) != 1 {
		t.Fatalf("%d webhooks", len(config.Webhooks))
	}
	w := config.Webhooks[0]
	switch s := w.ClientConfig.Service; {
	case s == nil || s.Name != service.Name || s.Namespace != service.Namespace || s.Path == nil || *s.Path != "/mutate" || *s.Port != service.Spec.Ports[0].Port:
		t.Errorf("the webhook leads to %+v", s)
	case !bytes.Equal(w.ClientConfig.CABundle, secret.Data["ca.crt"]) || len(w.ClientConfig.CABundle) == 0:
		t.Error("the webhook trusts another authority")
	case *w.FailurePolicy != admissionv1.Ignore || *w.SideEffects != admissionv1.SideEffectClassNone:
		t.Errorf("policy %s, side effects %s", *w.FailurePolicy, *w.SideEffects)
	case w.NamespaceSelector == nil || w.NamespaceSelector.MatchLabels["weir.sidecar/injection"] != "enabled":
		t.Errorf("namespaces %+v", w.NamespaceSelector)
	}
	if pod.Spec.Volumes[0].Secret.SecretName != secret.Name || secret.Type != corev1.SecretTypeTLS || len(secret.Data["tls.crt"]) == 0 || len(secret.Data["tls.key"]) == 0 {
		t.Errorf("the certificate is not %s", secret.Name)
	}
	if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem || *pod.Spec.SecurityContext.RunAsUser == 0 || *pod.Spec.AutomountServiceAccountToken {
		t.Error("the webhook is not confined")
	}
	if b := only[*policyv1.PodDisruptionBudget](t, objects); b.Spec.Selector.MatchLabels["app.kubernetes.io/component"] != "webhook" {
		t.Errorf("%+v", b.Spec)
	}
}

func TestCertManager(t *testing.T) {
	objects, err := render(load(t, "weir"), "webhook: {certManager: true}\n")
	if err != nil {
		t.Fatal(err)
	}
	config := only[*admissionv1.MutatingWebhookConfiguration](t, objects)
	if config.Annotations["cert-manager.io/inject-ca-from"] != "weir-system/release-webhook" || len(config.Webhooks[0].ClientConfig.CABundle) != 0 {
		t.Errorf("%+v", config)
	}
	if len(ofKind(objects, "Certificate")) != 1 || len(ofKind(objects, "Issuer")) != 1 {
		t.Error("no Certificate, or no Issuer")
	}
}

func TestMonitoring(t *testing.T) {
	objects, err := render(load(t, "weir"), `
webhook: {enabled: false}
podMonitor: {enabled: true, labels: {prometheus: main}, namespaces: [functions]}
prometheusRule: {enabled: true, labels: {prometheus: main}}
dashboards: {enabled: true, annotations: {grafana_folder: weir}}
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"PodMonitor", "PrometheusRule"} {
		found := ofKind(objects, kind)
		if len(found) != 1 {
			t.Fatalf("%d of kind %s", len(found), kind)
		}
		labels, _ := found[0]["metadata"].(map[string]any)["labels"].(map[string]any)
		if labels["prometheus"] != "main" || labels["app.kubernetes.io/instance"] != "release" {
			t.Errorf("%s: labels %v", kind, labels)
		}
	}
	// As they are exported, with Prometheus' templates untouched.
	text, err := os.ReadFile("../../dashboards/files/kubernetes/weir-prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var exported other
	if err := yaml.Unmarshal(text, &exported); err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(ofKind(objects, "PrometheusRule")[0]["spec"])
	want, _ := json.Marshal(exported["spec"])
	if !bytes.Equal(got, want) || !bytes.Contains(got, []byte("{{ ")) {
		t.Error("the rules differ from those that are exported")
	}
	dashboards, err := filepath.Glob("../../dashboards/files/grafana/dashboards/*.json")
	if err != nil || len(dashboards) == 0 {
		t.Fatalf("%v, %d dashboards", err, len(dashboards))
	}
	found := 0
	for _, o := range objects {
		c, ok := o.(*corev1.ConfigMap)
		if !ok {
			continue
		}
		found++
		if c.Labels["grafana_dashboard"] != "1" || c.Annotations["grafana_folder"] != "weir" || len(c.Data) != 1 {
			t.Errorf("%s: %v %v", c.Name, c.Labels, c.Annotations)
		}
		for name, text := range c.Data {
			want, err := os.ReadFile("../../dashboards/files/grafana/dashboards/" + name)
			if err != nil || strings.TrimSpace(text) != strings.TrimSpace(string(want)) {
				t.Errorf("%s: %v, or another text", name, err)
			}
		}
	}
	if found != len(dashboards) {
		t.Errorf("%d dashboards, want %d", found, len(dashboards))
	}
}

// Nothing is on that was not asked for.
func TestDefaults(t *testing.T) {
	objects, err := render(load(t, "weir"), "webhook: {enabled: false}\n")
	if err != nil || len(objects) != 0 {
		t.Errorf("%v: %d objects", err, len(objects))
	}
}

func TestSchemaRefusesMistakes(t *testing.T) {
	for values, want := range map[string]string{
		"webhok: {enabled: true}\n":                  "webhok",
		"webhook: {replicas: 0}\n":                   "replicas",
		"webhook: {failurePolicy: ignore}\n":         "failurePolicy",
		"webhook: {args: [max-inflight=1]}\n":        "args",
		"podMonitor: {enabled: yes, interval: 15}\n": "interval",
		"image: {tag: 1}\n":                          "tag",
	} {
		if _, err := render(load(t, "weir"), values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error about %s", strings.TrimSpace(values), err, want)
		}
	}
}

// Every value has a comment or a name that is one, and the schema knows each.
func TestValuesAreInTheSchema(t *testing.T) {
	c := load(t, "weir")
	var schema map[string]any
	if err := json.Unmarshal(c.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	properties := schema["properties"].(map[string]any)
	for name, value := range c.Values {
		known, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("%s is not in the schema", name)
			continue
		}
		inner, ok := known["properties"].(map[string]any)
		fields, isMap := value.(map[string]any)
		if !ok || !isMap {
			continue
		}
		for field := range fields {
			if _, ok := inner[field]; !ok {
				t.Errorf("%s.%s is not in the schema", name, field)
			}
		}
	}
	text, err := os.ReadFile("weir/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.Values {
		if !regexp.MustCompile(`(?m)^#.*\n` + name + `:`).Match(text) {
			t.Errorf("%s has no comment in values.yaml", name)
		}
	}
}

// sidecar checks weir in a pod, however it came there.
func sidecar(t *testing.T, d *appsv1.Deployment, grace int64, env map[string]string) {
	t.Helper()
	spec := d.Spec.Template.Spec
	if len(spec.InitContainers) != 1 || spec.InitContainers[0].Name != "weir" || spec.InitContainers[0].RestartPolicy == nil || *spec.InitContainers[0].RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Fatalf("%+v", spec.InitContainers)
	}
	weir, function := spec.InitContainers[0], spec.Containers[0]
	for _, v := range weir.Env {
		if want, ok := env[v.Name]; ok && v.Value != want {
			t.Errorf("%s=%s, want %s", v.Name, v.Value, want)
		}
		delete(env, v.Name)
	}
	if len(env) > 0 {
		t.Errorf("not set: %v", env)
	}
	if *spec.TerminationGracePeriodSeconds != grace {
		t.Errorf("grace period %d, want %d", *spec.TerminationGracePeriodSeconds, grace)
	}
	if function.Lifecycle == nil || function.Lifecycle.PreStop == nil || function.Lifecycle.PreStop.HTTPGet == nil || function.Lifecycle.PreStop.HTTPGet.Path != "/wait-for-drain" ||
		function.Lifecycle.PreStop.HTTPGet.Port.IntVal != weir.Ports[1].ContainerPort {
		t.Errorf("the function's hook %+v", function.Lifecycle)
	}
	if weir.StartupProbe == nil || weir.ReadinessProbe == nil || weir.LivenessProbe == nil || !slices.Equal(weir.Lifecycle.PreStop.Exec.Command, []string{"/weir", "drain"}) {
		t.Errorf("%+v", weir)
	}
	if c := weir.SecurityContext; c == nil || !*c.RunAsNonRoot || !*c.ReadOnlyRootFilesystem || *c.AllowPrivilegeEscalation {
		t.Errorf("%+v", c)
	}
}

// A chart of somebody's own, with this one as a library.
func TestSidecarInAChartOfOnesOwn(t *testing.T) {
	shop := load(t, "testdata/shop")
	shop.AddDependency(load(t, "weir"))
	objects, err := render(shop, "{}")
	if err != nil {
		t.Fatal(err)
	}
	sidecar(t, only[*appsv1.Deployment](t, objects), 10+20+5+30, map[string]string{
		"WEIR_FUNCTION": "cart", "WEIR_UPSTREAM": "http://127.0.0.1:3000", "WEIR_MAX_INFLIGHT": "8", "WEIR_ACCESS_LOG": "errors",
		"WEIR_LISTEN": ":8080", "WEIR_TIMEOUT": "20s", "WEIR_DRAIN_TIMEOUT": "20s", "WEIR_DRAIN_DELAY": "10s",
	})
}

func TestKustomizeComponent(t *testing.T) {
	dir := t.TempDir()
	component, err := filepath.Abs("../kustomize/sidecar")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "component"), os.DirFS(component)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [app.yaml]\ncomponents: [component]\nimages: [{name: weir, newName: registry.example/weir, newTag: '7'}]\n",
		"app.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, labels: {weir.sidecar/component: "true"}}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: cart}}
  template:
    metadata: {labels: {app.kubernetes.io/name: cart}}
    spec: {containers: [{name: function, image: "example/cart:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain}}
    spec: {containers: [{name: function, image: "example/plain:1"}]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, err := decode(text)
		if err != nil {
			t.Fatal(err)
		}
		d := object.(*appsv1.Deployment)
		seen++
		if d.Name == "plain" {
			if len(d.Spec.Template.Spec.InitContainers) != 0 {
				t.Error("a Deployment that did not ask for it has weir")
			}
			continue
		}
		if image := d.Spec.Template.Spec.InitContainers[0].Image; image != "registry.example/weir:7" {
			t.Errorf("image %s", image)
		}
		sidecar(t, d, 105, map[string]string{"WEIR_UPSTREAM": "http://127.0.0.1:3000", "WEIR_DRAIN_TIMEOUT": "60s", "WEIR_DRAIN_DELAY": "10s", "WEIR_TIMEOUT": "60s"})
	}
	if seen != 2 {
		t.Errorf("%d objects", seen)
	}
}
