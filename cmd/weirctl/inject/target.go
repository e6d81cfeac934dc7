package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A pathError is a mistake at a path of the pod template.
type pathError struct {
	path pointer
	text string
}

func (e *pathError) Error() string { return e.text }

func wrong(path pointer, format string, args ...any) error {
	return &pathError{path, fmt.Sprintf(format, args...)}
}

// A target is the function in its pod.
type target struct {
	container int   // index in spec.containers
	port      int32 // that the function listens on
	declared  int   // index in the container's ports, -1 if it is not there
	name      string
	scheme    string
}

func (t target) path(elements ...any) pointer {
	return at("spec", "containers", t.container).then(elements...)
}

// errNoPort says that nothing here listens.
type errNoPort struct{ *pathError }

// findTarget finds the function's container and its port.
func findTarget(template *corev1.PodTemplateSpec, o Options) (target, error) {
	containers := template.Spec.Containers
	i, err := findContainer(template, o.Container)
	if err != nil {
		return target{}, err
	}
	t := target{container: i, declared: -1}
	var tcp []int
	for j, p := range containers[i].Ports {
		if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			tcp = append(tcp, j)
		}
	}
	number, numberErr := strconv.ParseUint(o.FunctionPort, 10, 16)
	switch {
	case o.FunctionPort != "":
		for _, j := range tcp {
			if p := containers[i].Ports[j]; p.Name == o.FunctionPort || numberErr == nil && p.ContainerPort == int32(number) {
				t.declared = j
			}
		}
		if t.declared < 0 && (numberErr != nil || number == 0) {
			return t, wrong(t.path("ports"), "container %s has no TCP port called %q (function-port)", containers[i].Name, o.FunctionPort)
		}
	case len(tcp) == 0:
		return t, errNoPort{&pathError{t.path(), fmt.Sprintf("container %s declares no TCP port: say what the function listens on with %sfunction-port or --function-port, or leave this out with %sinject: \"false\"", containers[i].Name, prefix, prefix)}}
	case len(tcp) == 1:
		t.declared = tcp[0]
	default:
		var names []string
		for _, j := range tcp {
			p := containers[i].Ports[j]
			names = append(names, strings.TrimPrefix(p.Name+" ", " ")+fmt.Sprint(p.ContainerPort))
			if slices.Contains([]string{"http", "http1", "http2", "h2c", "web", "http-web"}, p.Name) {
				if t.declared >= 0 {
					t.declared = -1
					break
				}
				t.declared = j
			}
		}
		if t.declared < 0 {
			return t, wrong(t.path("ports"), "container %s has several ports (%s): say which is the function's with %sfunction-port or --function-port", containers[i].Name, strings.Join(names, ", "), prefix)
		}
	}
	t.port, t.scheme = int32(number), "http"
	if t.declared >= 0 {
		p := containers[i].Ports[t.declared]
		t.port, t.name = p.ContainerPort, p.Name
		if p.Name == "h2c" || p.Name == "grpc" || strings.HasPrefix(p.Name, "grpc-") {
			t.scheme = "h2c"
		}
	}
	if o.UpstreamScheme != "" {
		t.scheme = o.UpstreamScheme
	}
	return t, nil
}

func findContainer(template *corev1.PodTemplateSpec, name string) (int, error) {
	containers := template.Spec.Containers
	named := func(name string) int {
		return slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	}
	if len(containers) == 0 {
		return 0, wrong(at("spec"), "there are no containers")
	}
	if name != "" {
		if i := named(name); i >= 0 {
			return i, nil
		}
		return 0, wrong(at("spec", "containers"), "there is no container %q", name)
	}
	if len(containers) == 1 {
		return 0, nil
	}
	if i := named(template.Annotations["kubectl.kubernetes.io/default-container"]); i >= 0 {
		return i, nil
	}
	found := -1
	var names []string
	for i, c := range containers {
		names = append(names, c.Name)
		if len(c.Ports) == 0 {
			continue
		}
		if found >= 0 {
			found = -1
			names = nil
			for _, c := range containers {
				names = append(names, c.Name)
			}
			break
		}
		found = i
	}
	if found < 0 {
		return 0, wrong(at("spec", "containers"), "several containers (%s): say which is the function's with %scontainer or --container", strings.Join(names, ", "), prefix)
	}
	return found, nil
}

const adminPort = 9465

// taken are the ports and their names that the pod's containers declare.
type taken struct {
	numbers []int32
	names   []string
}

// takenPorts also takes numbers that look like ports for taken, where they stand in
// a container's command line or environment: another process of the function's may
// listen there. So is the port of weir's own management API.
func takenPorts(spec *corev1.PodSpec) taken {
	t := taken{numbers: []int32{adminPort}}
	told := func(text string) {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
			if n, err := strconv.ParseUint(word, 10, 16); err == nil && len(word) >= 4 {
				t.numbers = append(t.numbers, int32(n))
			}
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, text := range slices.Concat(c.Command, c.Args) {
			told(text)
		}
		for _, v := range c.Env {
			told(v.Value)
		}
		for _, p := range c.Ports {
			t.numbers = append(t.numbers, p.ContainerPort)
			if p.Name != "" {
				t.names = append(t.names, p.Name)
			}
		}
	}
	return t
}

// free is the port that was asked for, or the first one from a number on that
// nobody declares.
func (t *taken) free(asked, from int32) int32 {
	if asked == 0 {
		for asked = from; slices.Contains(t.numbers, asked); asked++ {
		}
	}
	t.numbers = append(t.numbers, asked)
	return asked
}

// name makes a port's name of at most 15 characters that nobody uses.
func (t *taken) name(base, suffix string) string {
	for i := 1; ; i++ {
		end := suffix
		if i > 1 {
			end += strconv.Itoa(i)
		}
		name := strings.TrimRight(base[:min(len(base), 15-len(end))], "-") + end
		if !slices.Contains(t.names, name) {
			t.names = append(t.names, name)
			return name
		}
	}
}

// portUses calls f with every place of a container that names one of its ports.
func portUses(c *corev1.Container, f func(path pointer, port intstr.IntOrString)) {
	handler := func(path pointer, get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction) {
		if get != nil {
			f(path.then("httpGet", "port"), get.Port)
		}
		if tcp != nil {
			f(path.then("tcpSocket", "port"), tcp.Port)
		}
	}
	for _, p := range []struct {
		name  string
		probe *corev1.Probe
	}{{"startupProbe", c.StartupProbe}, {"readinessProbe", c.ReadinessProbe}, {"livenessProbe", c.LivenessProbe}} {
		if p.probe == nil {
			continue
		}
		handler(at(p.name), p.probe.HTTPGet, p.probe.TCPSocket)
		if p.probe.GRPC != nil {
			f(at(p.name, "grpc", "port"), intstr.FromInt32(p.probe.GRPC.Port))
		}
	}
	if c.Lifecycle == nil {
		return
	}
	for _, h := range []struct {
		name string
		hook *corev1.LifecycleHandler
	}{{"postStart", c.Lifecycle.PostStart}, {"preStop", c.Lifecycle.PreStop}} {
		if h.hook != nil {
			handler(at("lifecycle", h.name), h.hook.HTTPGet, h.hook.TCPSocket)
		}
	}
}
