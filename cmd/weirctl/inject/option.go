package inject

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"weir/config"
)

// How requests come to weir instead of the function.
const (
	byName    = "name"    // weir takes the port's name
	byService = "service" // the Services of the input are led to weir's port
	byMoving  = "move"    // weir takes the port, the function listens on another
)

// What holds the function's end back until weir has drained.
const (
	hookDrained = "drained" // a request to weir that is answered then
	hookSleep   = "sleep"   // the kubelet sleeps (Kubernetes 1.30)
	hookExec    = "exec"    // the function's image has a sleep
	hookKeep    = "keep"    // the function's own hook
	hookNone    = "none"
)

// Options are how weir is put beside a function. Annotations weir.sidecar/NAME
// of a pod template, named as the flags are, go before them.
type Options struct {
	Image           string
	ImagePullPolicy string
	Classic         bool   // a container like others, not a native sidecar
	Container       string // the function's, "" to find it
	FunctionPort    string // a number or a name, "" to find it
	UpstreamScheme  string // http or h2c, "" to go by the port's name
	Ports           string // name, service or move
	PortVariable    string // tells the function its port when it moves, "" to guess
	FunctionMovesTo int32  // 0 for a free one
	ListenPort      int32  // weir's, 0 for a free one
	MetricsPort     int32
	Hook            string // "" for drained, unless the function has one of its own
	CPURequest      string
	CPULimit        string
	MemoryRequest   string
	MemoryLimit     string
	RunAsUser       string // "" leaves it to the cluster
	QueueVolume     string // where asynchronous calls are kept: emptyDir, pvc:NAME or mount:VOLUME
	// Settings are weir's own, by the name of their flag.
	Settings map[string]string
}

// Defaults are the options that nobody has changed.
func Defaults(image string) Options {
	return Options{
		Image: image, Ports: byName, CPURequest: "50m", MemoryRequest: "32Mi", MemoryLimit: "128Mi", RunAsUser: "65532",
		QueueVolume: emptyDir, Settings: map[string]string{},
	}
}

// An option is one of Options by name.
type option struct {
	name, usage, def string
	kind             string // of value, for help
	set              func(o *Options, value string) error
}

func text(field func(*Options) *string, check func(string) error) func(*Options, string) error {
	return func(o *Options, value string) error {
		if check != nil {
			if err := check(value); err != nil {
				return err
			}
		}
		*field(o) = value
		return nil
	}
}

func port(field func(*Options) *int32) func(*Options, string) error {
	return func(o *Options, value string) error {
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port: a number from 1 to 65535", value)
		}
		*field(o) = int32(n)
		return nil
	}
}

func oneOf(words ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(words, value) {
			return nil
		}
		return fmt.Errorf("%q is not %s", value, strings.Join(words, ", "))
	}
}

func quantity(value string) error {
	if value == "" {
		return nil
	}
	if q, err := resource.ParseQuantity(value); err != nil || q.Sign() <= 0 {
		return fmt.Errorf("%q is no quantity: 50m, 64Mi, or nothing for none", value)
	}
	return nil
}

func notEmpty(value string) error {
	if value == "" || strings.ContainsAny(value, " \t\r\n") {
		return fmt.Errorf("%q: one word is needed", value)
	}
	return nil
}

var options = []option{
	{"image", "image of weir", "", "image", text(func(o *Options) *string { return &o.Image }, notEmpty)},
	{"image-pull-policy", "when the image is pulled: Always, IfNotPresent or Never; Kubernetes decides if empty", "", "policy", text(func(o *Options) *string { return &o.ImagePullPolicy }, oneOf("", "Always", "IfNotPresent", "Never"))},
	{"container", "name of the function's container, where there are several", "", "name", text(func(o *Options) *string { return &o.Container }, notEmpty)},
	{"function-port", "port that the function listens on, by number or name, where there are several or none is declared", "", "port", text(func(o *Options) *string { return &o.FunctionPort }, notEmpty)},
	{"upstream-scheme", "how weir speaks to the function: http or h2c; goes by the port's name if empty", "", "scheme", text(func(o *Options) *string { return &o.UpstreamScheme }, oneOf("", "http", "h2c"))},
	{"ports", "how requests come to weir: it takes the port's name (name), Services of the input are led to its port (service), or it takes the port and the function listens on another (move)", byName, "name|service|move", text(func(o *Options) *string { return &o.Ports }, oneOf(byName, byService, byMoving))},
	{"port-variable", "environment variable that tells the function its port, with ports=move; PORT, or port for OpenFaaS, if empty", "", "name", text(func(o *Options) *string { return &o.PortVariable }, notEmpty)},
	{"move-to", "port that the function moves to, with ports=move; a free one from 3000 on if not given", "", "port", port(func(o *Options) *int32 { return &o.FunctionMovesTo })},
	{"listen-port", "port of weir for requests; a free one from 8080 on if not given", "", "port", port(func(o *Options) *int32 { return &o.ListenPort })},
	{"metrics-port", "port of weir for metrics and probes; a free one from 9464 on if not given", "", "port", port(func(o *Options) *int32 { return &o.MetricsPort })},
	{"hook", "what holds the function's end back until weir has drained: a request to weir (drained), a sleep of the kubelet's (sleep, Kubernetes 1.30), of the image's (exec), the function's own hook (keep), nothing (none); drained if empty", "", "kind", text(func(o *Options) *string { return &o.Hook }, oneOf("", hookDrained, hookSleep, hookExec, hookKeep, hookNone))},
	{"cpu-request", "CPU that weir asks for; empty for none", "50m", "quantity", text(func(o *Options) *string { return &o.CPURequest }, quantity)},
	{"cpu-limit", "CPU that weir gets at most; empty for no limit, which keeps it from being throttled", "", "quantity", text(func(o *Options) *string { return &o.CPULimit }, quantity)},
	{"memory-request", "memory that weir asks for; empty for none", "32Mi", "quantity", text(func(o *Options) *string { return &o.MemoryRequest }, quantity)},
	{"memory-limit", "memory that weir gets at most; empty for no limit", "128Mi", "quantity", text(func(o *Options) *string { return &o.MemoryLimit }, quantity)},
	{"run-as-user", "user and group that weir runs as; empty leaves it to the cluster (OpenShift)", "65532", "number", text(func(o *Options) *string { return &o.RunAsUser }, func(v string) error {
		if n, err := strconv.ParseInt(v, 10, 32); v != "" && (err != nil || n < 1) {
			return fmt.Errorf("%q is no user by number above 0", v)
		}
		return nil
	})},
	{"queue-volume", "where asynchronous calls are kept, with the setting async: emptyDir, which ends with the pod; pvc:NAME, a claim; mount:NAME, a volume of the pod or a claim template of a StatefulSet", emptyDir, "kind", text(func(o *Options) *string { return &o.QueueVolume }, queueVolume)},
}

const (
	emptyDir    = "emptyDir"
	claimPrefix = "pvc:"
	mountPrefix = "mount:"
)

func queueVolume(value string) error {
	kind, name, named := strings.Cut(value, ":")
	if value == emptyDir || named && (kind+":" == claimPrefix || kind+":" == mountPrefix) && len(validation.IsDNS1123Subdomain(name)) == 0 {
		return nil
	}
	return fmt.Errorf("%q is not emptyDir, pvc:NAME of a claim or mount:NAME of a volume", value)
}

const prefix = "weir.sidecar/"

// unfit says why a setting cannot be injected: it depends on the pod, or on a file
// that is not in it. "" is for those that can.
func unfit(setting *pflag.Flag) string {
	switch name := setting.Name; name {
	case "listen":
		return "see listen-port"
	case "metrics-listen":
		return "see metrics-port"
	case "upstream":
		return "see function-port"
	case "async-dir":
		return "see queue-volume"
	}
	if setting.Value.Type() == "file" {
		return "it names a file that is not in the pod"
	}
	return ""
}

// weirSettings are the flags of weir run.
func weirSettings() *pflag.FlagSet {
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.Flags(fs)
	return fs
}

func variable(setting string) string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// setSetting changes a setting of weir's; which value it takes is known later,
// when all are read together.
func (o *Options) setSetting(name, value string) error {
	setting := weirSettings().Lookup(name)
	if setting == nil {
		return fmt.Errorf("%q is neither a setting of weir (weir run --help) nor an option of weirctl inject (weirctl inject --help)", name)
	}
	if why := unfit(setting); why != "" {
		return fmt.Errorf("the setting %q cannot be injected: %s", name, why)
	}
	o.Settings[name] = value
	return nil
}

// annotated returns the options with those of a pod template's annotations, the
// first mistake by its annotation's name.
func (o Options) annotated(all map[string]string) (Options, string, error) {
	o.Settings = maps.Clone(o.Settings)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		name, ours := strings.CutPrefix(key, prefix)
		if !ours {
			continue
		}
		value := all[key]
		switch i := slices.IndexFunc(options, func(option option) bool { return option.name == name }); {
		case i >= 0:
			if err := options[i].set(&o, value); err != nil {
				return o, key, fmt.Errorf("%s: %w", key, err)
			}
		case key == notInjected:
		case name == "inject" || name == "classic":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return o, key, fmt.Errorf("%s: %q is not \"true\" or \"false\"", key, value)
			}
			if name == "classic" {
				o.Classic = on
			}
		default:
			if err := o.setSetting(name, value); err != nil {
				return o, key, fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return o, "", nil
}

// environ is what weir gets, and what it makes of that. Settings that nobody has
// made are those of a sidecar in Kubernetes: it goes on admitting while its
// endpoint is withdrawn, and drains as long as a request may take.
func (o Options) environ(function, upstream string, listen, metrics int32) ([]string, *config.Config, error) {
	set := map[string]string{"function": function, "max-inflight": "100", "drain-delay": "10s", "log-format": "json"}
	maps.Copy(set, o.Settings)
	set["upstream"] = upstream
	if listen != 8080 {
		set["listen"] = fmt.Sprintf(":%d", listen)
	}
	if metrics != 9464 {
		set["metrics-listen"] = fmt.Sprintf(":%d", metrics)
	}
	if set["async"] == "true" && set["nats-url"] == "" {
		set["async-dir"] = queueDir
	}
	load := func() ([]string, *config.Config, error) {
		environ := make([]string, 0, len(set))
		for _, name := range settingOrder(set) {
			environ = append(environ, variable(name)+"="+set[name])
		}
		loaded, err := config.Load(config.Source{Flags: weirSettings(), Environ: environ})
		if err != nil {
			return nil, nil, fmt.Errorf("weir would not start: %w", err)
		}
		return environ, loaded.Config, nil
	}
	environ, c, err := load()
	if err != nil || set["drain-timeout"] != "" {
		return environ, c, err
	}
	if c.Timeouts.Request == 0 {
		return nil, nil, fmt.Errorf("timeout is 0, so that nobody knows how long a drain may take: give drain-timeout too")
	}
	longest := c.Timeouts.Request
	if c.Limits.Overflow == "wait" {
		longest += c.Limits.QueueTimeout
	}
	set["timeout"], set["drain-timeout"] = duration(c.Timeouts.Request), duration(longest)
	return load()
}

// settingOrder puts what people look for first.
func settingOrder(set map[string]string) []string {
	first := []string{"function", "upstream", "listen", "metrics-listen", "max-inflight"}
	last := []string{"timeout", "drain-delay", "drain-timeout", "log-format"}
	var names, rest []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.Contains(first, name) && !slices.Contains(last, name) {
			rest = append(rest, name)
		}
	}
	for _, name := range slices.Concat(first, rest, last) {
		if _, ok := set[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// duration is written as people do: 90s and not 1m30s.
func duration(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}
