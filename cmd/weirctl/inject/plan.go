package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A subject is what weir is put into.
type subject struct {
	name     string // of the function, in metrics
	template *corev1.PodTemplateSpec
	job      bool // ends by itself
	knative  bool
}

// A plan is what to change, and what to tell whoever asked for it.
type plan struct {
	ops   []op // on the pod template
	notes []note

	target target
	listen int32 // weir's port
}

type note struct {
	path pointer
	text string
}

func (p *plan) note(path pointer, format string, args ...any) {
	p.notes = append(p.notes, note{path, fmt.Sprintf(format, args...)})
}

func (p *plan) add(path pointer, value any) { p.ops = append(p.ops, op{"add", path, value}) }

func (p *plan) replace(path pointer, value any) {
	p.ops = append(p.ops, op{"replace", path, value})
}

func (p *plan) remove(path pointer) { p.ops = append(p.ops, op{Op: "remove", Path: path}) }

// present reports whether a pod has a container of weir's.
func present(spec *corev1.PodSpec) bool {
	is := func(c corev1.Container) bool { return c.Name == containerName }
	return slices.ContainsFunc(spec.Containers, is) || slices.ContainsFunc(spec.InitContainers, is)
}

// newPlan decides what to change so that weir stands in front of the function.
func newPlan(s subject, o Options) (*plan, error) {
	o, key, err := o.annotated(s.template.Annotations)
	if err != nil {
		return nil, wrong(at("metadata", "annotations", key), "%v", err)
	}
	spec := &s.template.Spec
	switch {
	case spec.OS != nil && spec.OS.Name == corev1.Windows, spec.NodeSelector["kubernetes.io/os"] == "windows":
		return nil, wrong(at("spec"), "a pod for Windows: weir runs on Linux")
	case o.Classic && s.job:
		return nil, wrong(at("spec"), "with a classic sidecar the job would never be done: use a native one (Kubernetes 1.29)")
	case spec.HostNetwork && (o.ListenPort == 0 || o.MetricsPort == 0):
		return nil, wrong(at("spec", "hostNetwork"), "weir's ports would be the node's: say which are free there, with listen-port and metrics-port")
	case s.knative:
		return planKnative(s, o)
	}
	t, err := findTarget(s.template, o)
	if err != nil {
		return nil, err
	}
	p := &plan{target: t}
	ports := takenPorts(spec)
	function := &spec.Containers[t.container]

	weirPort := corev1.ContainerPort{Name: dataPort}
	upstream := t.port
	if o.Ports == byMoving {
		weirPort.ContainerPort, weirPort.Name = t.port, t.name
		upstream = ports.free(o.FunctionMovesTo, 3000)
		if o.ListenPort != 0 && o.ListenPort != t.port {
			return nil, wrong(t.path("ports"), "with ports=move weir listens on the function's port %d, not on listen-port %d", t.port, o.ListenPort)
		}
		if err := p.move(s, o, function, upstream); err != nil {
			return nil, err
		}
	} else {
		weirPort.ContainerPort = ports.free(o.ListenPort, 8080)
	}
	p.listen = weirPort.ContainerPort
	metrics := ports.free(o.MetricsPort, 9464)
	if t.declared >= 0 {
		if err := p.takeOver(o, function, &ports, &weirPort, upstream); err != nil {
			return nil, err
		}
	}
	o.placeAdmin(spec, &ports)
	environ, c, err := o.environ(s.name, fmt.Sprintf("%s://127.0.0.1:%d", t.scheme, upstream), p.listen, metrics)
	if err != nil {
		return nil, wrong(at("metadata", "annotations"), "%s", oneLine(err.Error()))
	}
	weir := o.container(environ)
	weir.Ports = []corev1.ContainerPort{weirPort, {Name: ports.name(metricsPort, ""), ContainerPort: metrics}}
	named := intstr.FromString(weir.Ports[1].Name)
	probes(&weir, named)
	end := endingOf(spec, c.Drain.Delay, c.Drain.Timeout)
	if err := p.holdFunction(o, function, end, metrics); err != nil {
		return nil, err
	}
	if c.Async.Enabled && c.Async.NATSURL == "" {
		p.keepQueue(o, spec, &weir)
	}
	p.place(o, spec, weir, named)
	p.add(at("spec", "terminationGracePeriodSeconds"), end.grace)
	p.tell(o, s, end)
	return p, nil
}

// move makes the function listen elsewhere.
func (p *plan) move(s subject, o Options, function *corev1.Container, to int32) error {
	t := p.target
	name := o.PortVariable
	if name == "" {
		name = "PORT"
		if _, ok := s.template.Labels["faas_function"]; ok {
			name = "port"
		}
	}
	value := fmt.Sprint(to)
	switch i := slices.IndexFunc(function.Env, func(v corev1.EnvVar) bool { return v.Name == name }); {
	case i >= 0 && function.Env[i].ValueFrom != nil:
		return wrong(t.path("env", i), "%s has its value from elsewhere: weir cannot move the function; give another port-variable, or use ports=name", name)
	case i >= 0:
		p.add(t.path("env", i, "value"), value)
	case len(function.Env) == 0:
		p.add(t.path("env"), []corev1.EnvVar{{Name: name, Value: value}})
	default:
		p.add(t.path("env", "-"), corev1.EnvVar{Name: name, Value: value})
	}
	p.note(t.path(), "the function has to listen on port %d now: it is told by the variable %s", to, name)
	return nil
}

// takeOver gives weir what leads to the function's port: its name, its port on the
// node. Probes of the function's go on asking the function.
func (p *plan) takeOver(o Options, function *corev1.Container, ports *taken, weirPort *corev1.ContainerPort, upstream int32) error {
	t := p.target
	declared := function.Ports[t.declared]
	place := t.path("ports", t.declared)
	if o.Ports == byName {
		if t.name == "" {
			return wrong(place, "port %d has no name that weir could take: name it and let the Service ask for that name as targetPort; or use --ports=service, which leads the Services of the input to weir, or --ports=move, where weir takes port %d and the function another", t.port, t.port)
		}
		weirPort.Name = t.name
	}
	if o.Ports != byService && t.name != "" {
		renamed := ports.name(t.name, "-fn")
		p.replace(place.then("name"), renamed)
		portUses(function, func(path pointer, port intstr.IntOrString) {
			if port.Type == intstr.String && port.StrVal == t.name {
				p.replace(t.path().then(anys(path)...), renamed)
			}
		})
	}
	if o.Ports == byMoving {
		p.replace(place.then("containerPort"), upstream)
		portUses(function, func(path pointer, port intstr.IntOrString) {
			if port.Type == intstr.Int && port.IntVal == t.port {
				p.replace(t.path().then(anys(path)...), upstream)
			}
		})
	}
	if declared.HostPort != 0 {
		weirPort.HostPort, weirPort.HostIP = declared.HostPort, declared.HostIP
		p.remove(place.then("hostPort"))
		if declared.HostIP != "" {
			p.remove(place.then("hostIP"))
		}
	}
	return nil
}

func anys(p pointer) []any {
	out := make([]any, len(p))
	for i, e := range p {
		out[i] = e
	}
	return out
}

// holdFunction gives the function a preStop hook.
func (p *plan) holdFunction(o Options, function *corev1.Container, end ending, metrics int32) error {
	t := p.target
	place := t.path("lifecycle", "preStop")
	if o.Hook == hookKeep || o.Hook == hookNone {
		return nil
	}
	hook := end.hook(o.Hook, metrics)
	if function.Lifecycle == nil {
		p.add(t.path("lifecycle"), corev1.Lifecycle{PreStop: hook})
		return nil
	}
	if own := function.Lifecycle.PreStop; own != nil && o.Hook == "" {
		if _, ok := sleeps(own); !ok {
			return wrong(place, "the function has a preStop hook of its own, which runs as the pod's end begins, while weir still lets requests in: --hook=keep keeps it (it waits long enough, or does not stop the function), --hook=%s puts weir's in its place", hookDrained)
		}
	}
	p.add(place, hook)
	return nil
}

// place puts weir among the pod's containers.
func (p *plan) place(o Options, spec *corev1.PodSpec, weir corev1.Container, metrics intstr.IntOrString) {
	list, empty := at("spec", "containers"), len(spec.Containers) == 0
	if !o.Classic {
		always := corev1.ContainerRestartPolicyAlways
		weir.RestartPolicy = &always
		// The function is started once this succeeds: it must not depend on it.
		weir.StartupProbe = probe("/healthz", metrics, 1, 0, 60)
		// A native sidecar gets SIGTERM when all others are gone: too late to drain.
		weir.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{program, "drain"}}}}
		list, empty = at("spec", "initContainers"), len(spec.InitContainers) == 0
	}
	if empty {
		p.add(list, []corev1.Container{weir})
	} else {
		p.add(list.then("-"), weir)
	}
}

// tell notes what weir cannot see to, and what changes beside.
func (p *plan) tell(o Options, s subject, end ending) {
	spec := &s.template.Spec
	if o.Ports == byName {
		native := ""
		if !o.Classic {
			native = "; before Kubernetes 1.32 that finds no native sidecar: use --ports=service, --ports=move or --classic there"
		}
		name := p.target.name
		if p.target.declared < 0 {
			name = dataPort
		}
		p.note(p.target.path(), "weir listens on %d and the function on %d; a Service leads to weir if its targetPort is %q%s", p.listen, p.target.port, name, native)
	}
	if o.Hook == hookNone {
		p.note(p.target.path(), "without a hook the function gets SIGTERM while weir still lets requests in")
	}
	for i, c := range spec.Containers {
		if i != p.target.container && (c.Lifecycle == nil || c.Lifecycle.PreStop == nil) {
			p.note(at("spec", "containers", i), "container %s gets SIGTERM as the pod's end begins, up to %ds before the function: if requests need it, make it a native sidecar, or give it the function's preStop hook", c.Name, end.hold)
		}
	}
	if guaranteed(spec) && !guaranteed(&corev1.PodSpec{Containers: []corev1.Container{o.container(nil)}}) {
		p.note(at("spec"), "the pod's quality of service was Guaranteed and becomes Burstable: if that matters (CPU pinning, eviction), give weir equal requests and limits")
	}
}

// guaranteed reports whether a pod's quality of service is Guaranteed.
func guaranteed(spec *corev1.PodSpec) bool {
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, ok := c.Resources.Limits[name]
			request, asked := c.Resources.Requests[name]
			if !ok || asked && !equal(limit, request) {
				return false
			}
		}
	}
	return true
}

func equal(a, b resource.Quantity) bool { return a.Cmp(b) == 0 }

// functionName is a name that weir takes for a function.
func functionName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, name)
	if name = strings.TrimLeft(name, "._-"); name == "" {
		return "function"
	}
	return name[:min(len(name), 128)]
}
