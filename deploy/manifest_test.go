package deploy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// kustomization is the part of kustomize's format that is used here; the module
// that defines the whole of it would be a large dependency for a dozen lines.
type kustomization struct {
	metav1.TypeMeta `json:",inline"`
	Resources       []string `json:"resources,omitempty"`
	Components      []string `json:"components,omitempty"`
}

// decode turns one document into the API's own type for its kind. A field that
// the type does not have, a duplicate key or an unknown kind is an error.
func decode(document []byte) (any, error) {
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(document, &meta); err != nil {
		return nil, err
	}
	var object any
	switch kind := meta.APIVersion + " " + meta.Kind; kind {
	case "apps/v1 Deployment":
		object = new(appsv1.Deployment)
	case "v1 Service":
		object = new(corev1.Service)
	case "monitoring.coreos.com/v1 PodMonitor":
		object = new(monitoringv1.PodMonitor)
	case "monitoring.coreos.com/v1 PrometheusRule":
		object = new(monitoringv1.PrometheusRule)
	case "kustomize.config.k8s.io/v1beta1 Kustomization", "kustomize.config.k8s.io/v1alpha1 Component":
		object = new(kustomization)
	default:
		return nil, fmt.Errorf("no type is known here for %q", kind)
	}
	return object, yaml.UnmarshalStrict(document, object)
}

// manifests decodes every YAML file below kubernetes, by path.
func manifests(t *testing.T) map[string][]any {
	t.Helper()
	found := make(map[string][]any)
	err := filepath.WalkDir("kubernetes", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
			object, err := decode(document)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			found[filepath.ToSlash(path)] = append(found[filepath.ToSlash(path)], object)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// only returns the single object of type T.
func only[T any](t *testing.T, all map[string][]any) T {
	t.Helper()
	var found []T
	for _, objects := range all {
		for _, object := range objects {
			if typed, ok := object.(T); ok {
				found = append(found, typed)
			}
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want 1", len(found), *new(T))
	}
	return found[0]
}

func TestDecodingIsStrict(t *testing.T) {
	for _, test := range []struct{ name, document, want string }{
		{"unknown field", "apiVersion: v1\nkind: Service\nspec: {selectors: {}}\n", "selectors"},
		{"wrong place", "apiVersion: apps/v1\nkind: Deployment\nspec: {terminationGracePeriodSeconds: 1}\n", "terminationGracePeriodSeconds"},
		{"duplicate key", "apiVersion: v1\nkind: Service\nspec: {type: a, type: b}\n", "type"},
		{"wrong type", "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: two}\n", "replicas"},
		{"unknown kind", "apiVersion: v1\nkind: Servce\n", "Servce"},
		{"of the monitor", "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nspec: {podMetricsEndpoints: [{interval: 1s, ports: x}]}\n", "ports"},
	} {
		if _, err := decode([]byte(test.document)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error about %s", test.name, err, test.want)
		}
	}
}

// Each kustomization names the files beside it, all of them, and nothing else.
func TestKustomizationsAreComplete(t *testing.T) {
	all := manifests(t)
	for path, objects := range all {
		k, ok := objects[0].(*kustomization)
		if !ok {
			continue
		}
		listed := make(map[string]bool)
		for _, name := range k.Resources {
			listed[filepath.ToSlash(filepath.Join(filepath.Dir(path), name))] = true
		}
		for name := range listed {
			if _, ok := all[name]; !ok {
				t.Errorf("%s lists %s, which is not there", path, name)
			}
		}
		for other := range all {
			if other != path && filepath.Dir(other) == filepath.Dir(path) && !listed[other] {
				t.Errorf("%s does not list %s", path, other)
			}
		}
	}
}
