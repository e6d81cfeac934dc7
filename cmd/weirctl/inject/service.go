package inject

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A served is a Service of the input, and where it stands.
type served struct {
	file, document int
	object         object
}

// selects reports whether a Service is in front of a workload's pods.
func (s served) selects(workload object) bool {
	labels := workload.template.Labels
	selector := s.object.service.Spec.Selector
	if len(selector) == 0 || s.object.meta.Namespace != workload.meta.Namespace {
		return false
	}
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// byNumber finds the ports of a Service that lead to a port of the pods by its
// number, which nobody can take over.
func (s served) byNumber(port int32) []int {
	var found []int
	for i, p := range s.object.service.Spec.Ports {
		target := p.TargetPort
		if target.Type == intstr.Int && (target.IntVal == port || target.IntVal == 0 && p.Port == port) {
			found = append(found, i)
		}
	}
	return found
}

// byName finds the ports of a Service that lead to a port of the pods by name.
func (s served) byName(name string) []int {
	var found []int
	for i, p := range s.object.service.Spec.Ports {
		if name != "" && p.TargetPort.Type == intstr.String && p.TargetPort.StrVal == name {
			found = append(found, i)
		}
	}
	return found
}

func (s served) headless() bool { return s.object.service.Spec.ClusterIP == corev1.ClusterIPNone }
