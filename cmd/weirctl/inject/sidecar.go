package inject

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	containerName = "weir"
	metricsPort   = "weir-metrics"
	dataPort      = "weir-http"
	program       = "/weir" // in weir's image

	queueName = "weir-queue"
	queueDir  = "/var/lib/weir"
)

// container is weir's, without its ports and what depends on the kind of workload.
func (o Options) container(environ []string) corev1.Container {
	c := corev1.Container{
		Name: containerName, Image: o.Image, ImagePullPolicy: corev1.PullPolicy(o.ImagePullPolicy), Args: []string{"run"},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	if user, err := strconv.ParseInt(o.RunAsUser, 10, 64); err == nil {
		c.SecurityContext.RunAsUser, c.SecurityContext.RunAsGroup = &user, &user
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
	}
	if _, embedded := lookup(environ, "WEIR_ASYNC_DIR"); embedded {
		// Bodies are held while they are written, and the store has caches.
		if plain := Defaults(""); o.MemoryRequest == plain.MemoryRequest && o.MemoryLimit == plain.MemoryLimit {
			o.MemoryRequest, o.MemoryLimit = "64Mi", "256Mi"
		}
	}
	amount := func(list *corev1.ResourceList, name corev1.ResourceName, value string) {
		if value == "" {
			return
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = resource.MustParse(value) // set has read it
	}
	amount(&c.Resources.Requests, corev1.ResourceCPU, o.CPURequest)
	amount(&c.Resources.Requests, corev1.ResourceMemory, o.MemoryRequest)
	amount(&c.Resources.Limits, corev1.ResourceCPU, o.CPULimit)
	amount(&c.Resources.Limits, corev1.ResourceMemory, o.MemoryLimit)
	// The collector works harder before the limit is reached.
	if limit := c.Resources.Limits.Memory().Value(); limit > 0 {
		c.Env = append(c.Env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: fmt.Sprintf("%dMiB", max(1, limit/10*9>>20))})
	}
	return c
}

func lookup(environ []string, name string) (value string, ok bool) {
	for _, pair := range environ {
		if value, ok = strings.CutPrefix(pair, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func probe(path string, port intstr.IntOrString, period, timeout, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: port}},
		PeriodSeconds: period, TimeoutSeconds: timeout, FailureThreshold: failures,
	}
}

// probes asks weir and not the function whether weir lives, and both whether the
// pod should get traffic.
func probes(c *corev1.Container, port intstr.IntOrString) {
	c.ReadinessProbe = probe("/readyz", port, 2, 2, 2)
	c.LivenessProbe = probe("/healthz", port, 10, 3, 3)
}

// ending is the times of a pod's end, in seconds.
type ending struct {
	hold  int64 // how long the function may have to be held back
	grace int64 // the pod's whole time
}

// endingOf leaves the function, once it gets SIGTERM, the time that it had.
func endingOf(spec *corev1.PodSpec, delay, drain time.Duration) ending {
	const (
		margin  = 5 // hooks have to be started, ports closed
		usually = 30
	)
	e := ending{hold: int64(math.Ceil((delay + drain).Seconds())) + margin}
	own := int64(usually)
	if spec.TerminationGracePeriodSeconds != nil {
		own = *spec.TerminationGracePeriodSeconds
	}
	e.grace = e.hold + own
	return e
}

// hold makes the hook that keeps the function until weir has drained.
func (e ending) hook(kind string, metrics int32) *corev1.LifecycleHandler {
	switch kind {
	case hookSleep:
		return &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: e.hold}}
	case hookExec:
		return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", strconv.FormatInt(e.hold, 10)}}}
	}
	return &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/wait-for-drain", Port: intstr.FromInt32(metrics)}}
}

// sleeps reports whether a hook does nothing but wait, and how long.
func sleeps(h *corev1.LifecycleHandler) (seconds int64, ok bool) {
	if h.Sleep != nil {
		return h.Sleep.Seconds, true
	}
	if h.Exec == nil {
		return 0, false
	}
	words := h.Exec.Command
	if n := len(words); n == 3 && words[1] == "-c" && strings.HasSuffix(words[0], "sh") {
		words = strings.Fields(words[2])
	}
	if len(words) != 2 || (words[0] != "sleep" && words[0] != "/bin/sleep" && words[0] != "/usr/bin/sleep") {
		return 0, false
	}
	seconds, err := strconv.ParseInt(strings.TrimSuffix(words[1], "s"), 10, 64)
	return seconds, err == nil
}
