package deploy

import (
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"weir/config"
)

const sidecarFile = "kubernetes/sidecar.yaml"

// The margins that the times of a pod's end keep from each other.
const (
	// A hook has to be started, and weir closes its ports after the drain.
	drainMargin = 3 * time.Second
	// What the function gets from its SIGTERM to SIGKILL, at least.
	functionEnd = 10 * time.Second
)

// pod is the Deployment's pod, with its two containers.
func pod(t *testing.T) (spec corev1.PodSpec, weir, function corev1.Container) {
	t.Helper()
	spec = only[*appsv1.Deployment](t, manifests(t)).Spec.Template.Spec
	if len(spec.InitContainers) != 1 || len(spec.Containers) != 1 {
		t.Fatalf("%d init containers and %d containers, want one of each", len(spec.InitContainers), len(spec.Containers))
	}
	return spec, spec.InitContainers[0], spec.Containers[0]
}

// environ is what a container's process gets; only literal values are used here.
func environ(t *testing.T, container corev1.Container) []string {
	t.Helper()
	var environ []string
	for _, variable := range container.Env {
		if variable.ValueFrom != nil {
			t.Fatalf("%s: %s is no literal value", container.Name, variable.Name)
		}
		environ = append(environ, variable.Name+"="+variable.Value)
	}
	return environ
}

// settings is the configuration that weir makes of its container.
func settings(t *testing.T, weir corev1.Container) *config.Config {
	t.Helper()
	loaded, err := load(weir.Args, environ(t, weir))
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func load(args, environ []string) (*config.Config, error) {
	if len(args) == 0 || args[0] != "run" {
		return nil, fmt.Errorf("args are %q, want run", args)
	}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.Flags(flags)
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	loaded, err := config.Load(config.Source{Flags: flags, Environ: environ})
	if err != nil {
		return nil, err
	}
	return loaded.Config, nil
}

func TestWeirIsANativeSidecar(t *testing.T) {
	_, weir, _ := pod(t)
	if weir.RestartPolicy == nil || *weir.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the init container has no restartPolicy Always: the pod would wait for weir to end")
	}
	if weir.StartupProbe == nil {
		t.Error("without a startup probe the function starts before weir listens")
	}
}

func TestSettingsAreWeirs(t *testing.T) {
	_, weir, function := pod(t)
	c := settings(t, weir)
	if c.Limits.MaxInflight <= 0 {
		t.Errorf("max_inflight is %d: the example limits nothing", c.Limits.MaxInflight)
	}
	if len(c.Command) != 0 {
		t.Errorf("a sidecar with a command: %q", c.Command)
	}
	if name := only[*appsv1.Deployment](t, manifests(t)).Name; c.Function.Name != name {
		t.Errorf("the function is called %s in metrics and %s in Kubernetes", c.Function.Name, name)
	}
	// The function listens where weir looks for it, and nowhere else.
	vars := environ(t, function)
	host, port, err := net.SplitHostPort(c.Upstream.Address)
	if err != nil {
		t.Fatal(err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		t.Errorf("upstream %s is not on the pod's loopback", c.Upstream.Address)
	}
	for _, want := range []string{"HOST=" + host, "PORT=" + port} {
		if !slices.Contains(vars, want) {
			t.Errorf("the function's environment %q lacks %s", vars, want)
		}
	}
	if len(function.Ports) != 0 {
		t.Errorf("the function offers ports to walk around weir: %v", function.Ports)
	}

	// That an unknown or unreadable setting would have been noticed.
	for _, wrong := range []string{"WEIR_MAX_INFLIHGT=10", "WEIR_IDLE_TIMEOUT=10"} {
		if _, err := load(weir.Args, append(environ(t, weir), wrong)); err == nil {
			t.Errorf("%s is taken without an error", wrong)
		}
	}
}

func TestPortsAreServed(t *testing.T) {
	_, weir, _ := pod(t)
	c := settings(t, weir)
	want := map[string]string{"http": c.Listen, "metrics": c.Metrics.Listen}
	got := map[string]string{}
	for _, port := range weir.Ports {
		got[port.Name] = ":" + strconv.Itoa(int(port.ContainerPort))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the container's ports are %v, weir listens on %v", got, want)
	}
}

func TestProbes(t *testing.T) {
	_, weir, function := pod(t)
	for _, test := range []struct {
		name  string
		probe *corev1.Probe
		path  string
	}{
		// The function is started once the startup probe succeeds: it must not ask
		// for the function. Nor must liveness: a restart of weir would mend nothing.
		{"startup", weir.StartupProbe, "/healthz"},
		{"readiness", weir.ReadinessProbe, "/readyz"},
		{"liveness", weir.LivenessProbe, "/healthz"},
	} {
		if test.probe == nil || test.probe.HTTPGet == nil {
			t.Errorf("%s: no HTTP probe", test.name)
			continue
		}
		if got := test.probe.HTTPGet.Path; got != test.path {
			t.Errorf("%s: path %s, want %s", test.name, got, test.path)
		}
		if got := test.probe.HTTPGet.Port; got != intstr.FromString("metrics") {
			t.Errorf("%s: port %s, want metrics", test.name, got.String())
		}
	}
	// On the pod's loopback the kubelet cannot reach it.
	if function.StartupProbe != nil || function.ReadinessProbe != nil || function.LivenessProbe != nil {
		t.Error("the function has a probe, which cannot reach it")
	}
}

func TestServiceLeadsToWeir(t *testing.T) {
	_, weir, _ := pod(t)
	all := manifests(t)
	service, deployment := only[*corev1.Service](t, all), only[*appsv1.Deployment](t, all)
	if !reflect.DeepEqual(service.Spec.Selector, deployment.Spec.Template.Labels) {
		t.Errorf("the Service selects %v, the pods have %v", service.Spec.Selector, deployment.Spec.Template.Labels)
	}
	if !reflect.DeepEqual(deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Labels) {
		t.Errorf("the Deployment selects %v, its pods have %v", deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Labels)
	}
	if len(service.Spec.Ports) != 1 {
		t.Fatalf("%d ports, want 1", len(service.Spec.Ports))
	}
	target := service.Spec.Ports[0].TargetPort
	if target.Type != intstr.Int {
		t.Errorf("target port %q is a name, which a Service before Kubernetes 1.32 does not find in a native sidecar", target.StrVal)
	}
	if want := settings(t, weir).Listen; ":"+target.String() != want {
		t.Errorf("target port %s, weir listens on %s", target.String(), want)
	}
}

func TestPodMonitorLeadsToTheMetrics(t *testing.T) {
	_, weir, _ := pod(t)
	all := manifests(t)
	monitor, deployment := only[*monitoringv1.PodMonitor](t, all), only[*appsv1.Deployment](t, all)
	if want := (metav1.LabelSelector{MatchLabels: deployment.Spec.Template.Labels}); !reflect.DeepEqual(monitor.Spec.Selector, want) {
		t.Errorf("the PodMonitor selects %v, the pods have %v", monitor.Spec.Selector, want)
	}
	if len(monitor.Spec.PodMetricsEndpoints) != 1 {
		t.Fatalf("%d endpoints, want 1", len(monitor.Spec.PodMetricsEndpoints))
	}
	endpoint := monitor.Spec.PodMetricsEndpoints[0]
	if endpoint.Path != "/metrics" {
		t.Errorf("path %s, want /metrics", endpoint.Path)
	}
	if endpoint.Port == nil || !slices.ContainsFunc(weir.Ports, func(p corev1.ContainerPort) bool { return p.Name == *endpoint.Port }) {
		t.Errorf("port %v is none of weir's", endpoint.Port)
	}
}

func TestPodEndsInOrder(t *testing.T) {
	spec, weir, function := pod(t)
	c := settings(t, weir)
	if weir.Lifecycle == nil || weir.Lifecycle.PreStop == nil || weir.Lifecycle.PreStop.Exec == nil ||
		!slices.Equal(weir.Lifecycle.PreStop.Exec.Command, []string{"/weir", "drain"}) {
		t.Error("weir has no hook that begins the drain: it would hear of the end once the function is gone")
	}
	if function.Lifecycle == nil || function.Lifecycle.PreStop == nil || function.Lifecycle.PreStop.HTTPGet == nil {
		t.Fatal("the function has no hook that waits for the drain: it would end under the requests in flight")
	}
	if get := function.Lifecycle.PreStop.HTTPGet; get.Path != "/wait-for-drain" || ":"+get.Port.String() != c.Metrics.Listen || get.Host != "" {
		t.Errorf("the function's hook asks %s%s, weir answers at %s", get.Port.String(), get.Path, c.Metrics.Listen)
	}
	if spec.TerminationGracePeriodSeconds == nil {
		t.Fatal("no terminationGracePeriodSeconds")
	}
	grace := time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second
	drained := c.Drain.Delay + c.Drain.Timeout

	if c.Drain.Delay < 5*time.Second {
		t.Errorf("drain delay %s: not all nodes and load balancers know by then", c.Drain.Delay)
	}
	if c.Timeouts.Request == 0 || c.Timeouts.Request > c.Drain.Timeout {
		t.Errorf("requests may take %s, the drain ends after %s and would cut them off", c.Timeouts.Request, c.Drain.Timeout)
	}
	if grace < drained+drainMargin+functionEnd {
		t.Errorf("SIGKILL after %s leaves the function %s", grace, grace-drained)
	}

	// The comment tells these times.
	content, err := os.ReadFile(sidecarFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Duration{0, c.Drain.Delay, drained, grace} {
		if want := fmt.Sprintf("#   t=%-3d ", int(at.Seconds())); !strings.Contains(string(content), want) {
			t.Errorf("the account of a pod's end says nothing of t=%d", int(at.Seconds()))
		}
	}
	for _, told := range []string{
		fmt.Sprintf("(WEIR_DRAIN_DELAY, %s)", c.Drain.Delay),
		fmt.Sprintf("(WEIR_DRAIN_TIMEOUT, %s)", c.Drain.Timeout),
		fmt.Sprintf("WEIR_TIMEOUT, %s,", c.Timeouts.Request),
		"GET /wait-for-drain",
		fmt.Sprintf("it has until t=%d", int(grace.Seconds())),
	} {
		if !strings.Contains(string(content), told) {
			t.Errorf("the account of a pod's end does not say %q", told)
		}
	}
}

func TestContainersAreConfined(t *testing.T) {
	spec, weir, function := pod(t)
	isTrue := func(b *bool) bool { return b != nil && *b }
	isFalse := func(b *bool) bool { return b != nil && !*b }

	p := spec.SecurityContext
	if p == nil || !isTrue(p.RunAsNonRoot) || p.RunAsUser == nil || *p.RunAsUser == 0 {
		t.Error("the pod may run as root")
	}
	if p == nil || p.SeccompProfile == nil || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("the pod has not the seccomp profile RuntimeDefault")
	}
	if !isFalse(spec.AutomountServiceAccountToken) {
		t.Error("the pod is given a token for the API server")
	}
	if !isFalse(spec.EnableServiceLinks) {
		t.Error("the pod is given variables of Services, among them such as begin with WEIR_")
	}
	for _, container := range []corev1.Container{weir, function} {
		c := container.SecurityContext
		switch {
		case c == nil:
			t.Errorf("%s has no security context", container.Name)
			continue
		case !isFalse(c.AllowPrivilegeEscalation):
			t.Errorf("%s may gain privileges", container.Name)
		case !isTrue(c.ReadOnlyRootFilesystem):
			t.Errorf("%s may write to its root file system", container.Name)
		case c.Capabilities == nil || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(c.Capabilities.Add) > 0:
			t.Errorf("%s keeps capabilities", container.Name)
		}
		if container.Resources.Requests.Cpu().IsZero() || container.Resources.Requests.Memory().IsZero() || container.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s has no requests, or no limit on memory", container.Name)
		}
		if _, tag, _ := strings.Cut(container.Image, ":"); tag == "" || tag == "latest" {
			t.Errorf("%s: image %s has no version", container.Name, container.Image)
		}
	}
}

// Once the limit on memory is near, the collector works harder before the kernel
// kills weir; it cannot if it does not know the limit, or is told a higher one.
func TestMemoryLimitIsKnownToTheRuntime(t *testing.T) {
	_, weir, _ := pod(t)
	limit := weir.Resources.Limits.Memory().Value()
	for _, variable := range weir.Env {
		if variable.Name != "GOMEMLIMIT" {
			continue
		}
		mebibytes, err := strconv.ParseInt(strings.TrimSuffix(variable.Value, "MiB"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if soft := mebibytes << 20; soft < limit*8/10 || soft > limit*95/100 {
			t.Errorf("GOMEMLIMIT %d is not a little below the limit of %d bytes", soft, limit)
		}
		return
	}
	t.Error("GOMEMLIMIT is not set")
}
