package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// knativeService is the part of serving.knative.dev/v1 that concerns pods; the
// module that defines the whole of it would be a large dependency.
type knativeService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Template struct {
			metav1.ObjectMeta `json:"metadata,omitempty"`
			Spec              struct {
				corev1.PodSpec              `json:",inline"`
				ContainerConcurrency        *int64 `json:"containerConcurrency,omitempty"`
				TimeoutSeconds              *int64 `json:"timeoutSeconds,omitempty"`
				ResponseStartTimeoutSeconds *int64 `json:"responseStartTimeoutSeconds,omitempty"`
				IdleTimeoutSeconds          *int64 `json:"idleTimeoutSeconds,omitempty"`
			} `json:"spec,omitempty"`
		} `json:"template"`
		Traffic []map[string]any `json:"traffic,omitempty"`
	} `json:"spec,omitempty"`
	Status map[string]any `json:"status,omitempty"`
}

// Ports of Knative's queue-proxy, which containers may not declare.
var knativePorts = []int32{8008, 8012, 8013, 8022, 8112, 9090, 9091}

// planKnative makes weir the container that Knative leads requests to. Knative
// gives all containers its own preStop hook, which waits for its queue-proxy, and
// allows neither hooks nor probes of containers without a port.
func planKnative(s subject, o Options) (*plan, error) {
	spec := &s.template.Spec
	if o.Hook != "" || o.Ports != byName || o.Classic {
		return nil, wrong(at("spec"), "Knative has its own hooks and leads requests to the container with the port: hook, ports and classic do not apply")
	}
	i, err := findContainer(s.template, o.Container)
	if err != nil {
		return nil, err
	}
	t := target{container: i, port: 8080, declared: -1, scheme: "http"}
	function := &spec.Containers[i]
	name := "http1"
	switch len(function.Ports) {
	case 0:
	case 1:
		t.port, t.declared = function.Ports[0].ContainerPort, 0
		if function.Ports[0].Name == "h2c" {
			t.scheme, name = "h2c", "h2c"
		}
	default:
		return nil, wrong(t.path("ports"), "Knative allows one port")
	}
	p := &plan{target: t}
	ports := taken{numbers: append(slices.Clone(knativePorts), t.port)}
	p.listen = ports.free(o.ListenPort, 8080)
	metrics := ports.free(o.MetricsPort, 9464)
	if t.declared >= 0 {
		p.remove(t.path("ports"))
	}
	switch i := slices.IndexFunc(function.Env, func(v corev1.EnvVar) bool { return v.Name == "PORT" }); {
	case i >= 0:
	case len(function.Env) == 0:
		p.add(t.path("env"), []corev1.EnvVar{{Name: "PORT", Value: fmt.Sprint(t.port)}})
	default:
		p.add(t.path("env", "-"), corev1.EnvVar{Name: "PORT", Value: fmt.Sprint(t.port)})
	}
	if function.LivenessProbe != nil || function.StartupProbe != nil {
		return nil, wrong(t.path(), "Knative allows probes only of the container with the port, which weir becomes: remove the function's liveness and startup probes; its readiness is probed by weir")
	}
	if r := function.ReadinessProbe; r != nil {
		switch {
		case r.HTTPGet != nil:
			if _, ok := o.Settings["ready-path"]; !ok {
				o.Settings["ready-path"] = r.HTTPGet.Path
			}
		case r.TCPSocket == nil:
			return nil, wrong(t.path("readinessProbe"), "Knative allows probes only of the container with the port, which weir becomes, and weir probes by HTTP or by connecting: use httpGet or tcpSocket")
		}
		p.remove(t.path("readinessProbe"))
	}
	if _, ok := o.Settings["drain-delay"]; !ok {
		o.Settings["drain-delay"] = "0s" // the queue-proxy has waited already
	}
	environ, c, err := o.environ(s.name, fmt.Sprintf("%s://127.0.0.1:%d", t.scheme, t.port), p.listen, metrics)
	if err != nil {
		return nil, wrong(at("metadata", "annotations"), "%s", oneLine(err.Error()))
	}
	if c.Async.Enabled && c.Async.NATSURL == "" {
		return nil, wrong(at("metadata", "annotations"), "instances of Knative's come and go, and would take their queue with them: give nats-url too")
	}
	weir := o.container(environ)
	weir.Ports = []corev1.ContainerPort{{Name: name, ContainerPort: p.listen}}
	probes(&weir, intstr.FromInt32(metrics))
	weir.ReadinessProbe.SuccessThreshold = 1
	p.add(at("spec", "containers", "-"), weir)
	p.note(at("spec"), "Knative's queue-proxy stays in front of weir; if containerConcurrency is set, it refuses before weir does")
	return p, nil
}
