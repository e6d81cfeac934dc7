package inject

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// notInjected is the annotation that says why a pod that asked for weir has none.
const notInjected = prefix + "not-injected"

// outcome is what became of a pod, for the log.
type outcome struct {
	pod    string // namespace/name
	action string // injected, failed or skipped
	why    string
}

// Review answers an AdmissionReview of a pod: with a JSON patch (RFC 6902) that
// puts weir in, if the pod asks for it by an annotation or label
// weir.sidecar/inject: "true" and has none yet. A pod is never refused. One that
// asks and cannot have weir gets an annotation weir.sidecar/not-injected with the
// reason, and a warning.
//
// An error is about a request that is no AdmissionReview of version v1.
func Review(body []byte, o Options) (*admissionv1.AdmissionReview, error) {
	review, _, err := answer(body, o)
	return review, err
}

func answer(body []byte, o Options) (*admissionv1.AdmissionReview, outcome, error) {
	var in admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, outcome{}, fmt.Errorf("no AdmissionReview: %w", err)
	}
	if in.APIVersion != "admission.k8s.io/v1" || in.Kind != "AdmissionReview" || in.Request == nil || in.Request.UID == "" {
		return nil, outcome{}, fmt.Errorf("no AdmissionReview of admission.k8s.io/v1 with a request, but %q %q", in.APIVersion, in.Kind)
	}
	response := &admissionv1.AdmissionResponse{UID: in.Request.UID, Allowed: true}
	out := &admissionv1.AdmissionReview{TypeMeta: in.TypeMeta, Response: response}
	done := outcome{in.Request.Namespace + "/" + in.Request.Name, "skipped", ""}
	if r := in.Request.Resource; r != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) || in.Request.SubResource != "" || in.Request.Operation != admissionv1.Create {
		done.why = "no creation of a pod"
		return out, done, nil
	}
	// Not strictly: a newer cluster's pods have fields that are not known here, and
	// the patch leaves them alone.
	var pod corev1.Pod
	if err := json.Unmarshal(in.Request.Object.Raw, &pod); err != nil {
		return nil, done, fmt.Errorf("the pod of the AdmissionReview: %w", err)
	}
	done.pod = in.Request.Namespace + "/" + cmp.Or(pod.Name, pod.GenerateName)
	switch asked := cmp.Or(pod.Annotations[prefix+"inject"], pod.Labels[prefix+"inject"]); {
	case asked != "true":
		done.why = "does not ask for weir"
		return out, done, nil
	case present(&pod.Spec):
		done.why = "has weir"
		return out, done, nil
	}
	ops, notes, err := podPatch(&pod, o)
	done.action = "injected"
	if err != nil {
		done.action, done.why = "failed", err.Error()
		notes = []string{"weir was not injected: " + err.Error()}
		ops = []op{{"add", at("metadata", "annotations"), map[string]string{notInjected: err.Error()}}}
		if pod.Annotations != nil {
			ops = []op{{"add", at("metadata", "annotations", notInjected), err.Error()}}
		}
	}
	if response.Patch, err = json.Marshal(ops); err != nil {
		return nil, done, err
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.PatchType, response.Warnings = &kind, warnings(notes)
	return out, done, nil
}

// warnings cuts what API servers would: 120 characters are safe for clients, 4096
// the most in all.
func warnings(notes []string) []string {
	const longest, most = 512, 6
	var out []string
	for _, text := range notes {
		if len(text) > longest {
			text = strings.ToValidUTF8(text[:longest-3], "") + "..."
		}
		if out = append(out, text); len(out) == most {
			break
		}
	}
	return out
}

func podPatch(pod *corev1.Pod, o Options) (ops []op, notes []string, err error) {
	template := &corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
	name, job := owner(pod)
	effective, _, err := o.annotated(pod.Annotations)
	if err != nil {
		return nil, nil, err
	}
	if effective.Ports == byService {
		return nil, nil, fmt.Errorf("ports=service changes Services, which a pod's admission cannot: use ports=name or ports=move")
	}
	p, err := newPlan(subject{name: functionName(name), template: template, job: job}, o)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range p.notes {
		notes = append(notes, n.text)
	}
	return p.ops, notes, nil
}

// owner is what a pod's function is called: after the Deployment or another owner,
// not after the one pod.
func owner(pod *corev1.Pod) (name string, job bool) {
	name = cmp.Or(strings.TrimSuffix(pod.GenerateName, "-"), pod.Name)
	for _, o := range pod.OwnerReferences {
		if o.Controller == nil || !*o.Controller {
			continue
		}
		name, job = o.Name, o.Kind == "Job"
		if hash := pod.Labels["pod-template-hash"]; o.Kind == "ReplicaSet" && hash != "" {
			name = strings.TrimSuffix(name, "-"+hash)
		}
	}
	return name, job
}
