package deploy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// service is what these tests read of one in compose.yaml; compose's own loader reads
// all of it, in deploy/charts.
type service struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Command     []string
	Environment map[string]string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Ports       []string
	Volumes     []string
	User        string
	NetworkMode string `yaml:"network_mode"`
}

// variable is one with a default, as compose puts it in where nothing else is said.
var variable = regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)

// composed gives the services of compose.yaml, and the names of its volumes.
func composed(t *testing.T) (map[string]service, []string) {
	t.Helper()
	text, err := os.ReadFile("compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]service
		Volumes  map[string]any
	}
	if err := yaml.Unmarshal(variable.ReplaceAll(text, []byte("$1")), &file); err != nil {
		t.Fatal(err)
	}
	var volumes []string
	for name := range file.Volumes {
		volumes = append(volumes, name)
	}
	return file.Services, volumes
}

// composeStage is what the containers of compose.yaml see: their volumes, filled by the services
// that fill them.
type composeStage struct {
	services map[string]service
	volumes  map[string]string // directories, by the volume's name
}

func setUpCompose(t *testing.T) composeStage {
	t.Helper()
	services, volumes := composed(t)
	s := composeStage{services, map[string]string{}}
	for _, name := range volumes {
		s.volumes[name] = t.TempDir()
	}
	// The very command of the service, but for where it writes.
	export := slices.Clone(services["dashboards"].Command)
	target := slices.Index(export, "/monitoring")
	if target < 0 || s.find(t, "dashboards", "/monitoring") != s.volumes["monitoring"] {
		t.Fatalf("%q does not write to the volume that it mounts", export)
	}
	export[target] = s.volumes["monitoring"]
	if out, err := exec.Command(tool(t), export...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", export, err, out)
	}
	s.makeSecrets(t)
	return s
}

// makeSecrets runs the script of the service secrets, and gives what it asked chown for:
// only root may give files away.
func (s composeStage) makeSecrets(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	if err := os.WriteFile(filepath.Join(bin, "chown"), []byte("#!/bin/sh\necho \"$@\" >>"+log+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	command := slices.Clone(s.services["secrets"].Command)
	for i, arg := range command[1:] {
		command[i+1] = s.find(t, "secrets", arg)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%q: %v\n%s", command, err, out)
	}
	owners, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(owners)
}

// find gives the path here of one that a service names, "" where it mounts nothing there.
func (s composeStage) find(t *testing.T, name, file string) string {
	t.Helper()
	for _, volume := range s.services[name].Volumes {
		parts := strings.Split(volume, ":")
		if len(parts) < 2 || len(parts) == 3 && parts[2] != "ro" {
			t.Fatalf("%s: the tests do not understand the volume %q", name, volume)
		}
		rest, below := strings.CutPrefix(file, parts[1])
		if !below || rest != "" && !strings.HasPrefix(rest, "/") {
			continue
		}
		source, named := s.volumes[parts[0]]
		if !named {
			if !strings.HasPrefix(parts[0], "./") {
				t.Fatalf("%s mounts %q, which is no volume of the file", name, parts[0])
			}
			source = filepath.Join("compose", parts[0])
		}
		return filepath.Join(source, filepath.FromSlash(rest))
	}
	return ""
}

// there demands that a service finds something at a path, and gives where it is here.
func (s composeStage) there(t *testing.T, name, file string) string {
	t.Helper()
	found := s.find(t, name, file)
	if found == "" {
		t.Fatalf("%s mounts nothing at %s", name, file)
	}
	if _, err := os.Stat(found); err != nil {
		t.Fatalf("%s finds no %s: %v", name, file, err)
	}
	return found
}

// option gives the value of --name=value in a command.
func option(t *testing.T, command []string, name string) string {
	t.Helper()
	for _, arg := range command {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
	}
	t.Fatalf("%q has no --%s", command, name)
	return ""
}

// Everything that a container is told to read is there once the services that write it
// have run.
func TestComposeFindsItsFiles(t *testing.T) {
	t.Parallel()
	s := setUpCompose(t)
	for name, service := range s.services {
		for _, volume := range service.Volumes {
			s.there(t, name, strings.Split(volume, ":")[1])
		}
		for needed := range service.DependsOn {
			if _, ok := s.services[needed]; !ok {
				t.Errorf("%s waits for %s, which is no service", name, needed)
			}
		}
		for volume, writer := range map[string]string{"monitoring": "dashboards", "secrets": "secrets"} {
			mounts := slices.ContainsFunc(service.Volumes, func(v string) bool { return strings.HasPrefix(v, volume+":") })
			if waits := service.DependsOn[writer].Condition == "service_completed_successfully"; mounts && name != writer && !waits {
				t.Errorf("%s does not wait until %s has written what it reads", name, writer)
			}
		}
	}
	weir, grafana := s.services["weir"], s.services["grafana"].Environment
	s.there(t, "weir", option(t, weir.Command, "admin-token-file"))
	s.there(t, "grafana", grafana["GF_SECURITY_ADMIN_PASSWORD__FILE"])
	s.there(t, "grafana", grafana["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

	provisioning := s.there(t, "grafana", grafana["GF_PATHS_PROVISIONING"])
	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			OrgID                 int    `yaml:"orgId"`
			FolderUID             string `yaml:"folderUid"`
			DisableDeletion       bool   `yaml:"disableDeletion"`
			AllowUIUpdates        bool   `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int    `yaml:"updateIntervalSeconds"`
			Options               struct {
				Path                      string
				FoldersFromFilesStructure bool `yaml:"foldersFromFilesStructure"`
			}
		}
	}
	readStrictly(t, filepath.Join(provisioning, "dashboards", "weir.yaml"), &providers)
	if len(providers.Providers) != 1 || providers.APIVersion != 1 || providers.Providers[0].Type != "file" {
		t.Fatalf("Grafana is given %+v", providers)
	}
	boards, err := filepath.Glob(filepath.Join(s.there(t, "grafana", providers.Providers[0].Options.Path), "*.json"))
	if err != nil || len(boards) != 5 {
		t.Errorf("%v: Grafana finds %d dashboards: %q", err, len(boards), boards)
	}

	addresses := map[string][]string{} // who is asked by whom
	for _, file := range []string{"weir.yaml", "weir-sidecars.yaml"} {
		var sources struct {
			APIVersion  int `yaml:"apiVersion"`
			Datasources []struct {
				Name, UID, Type, Access, URL string
				JSONData                     struct {
					HTTPMethod   string `yaml:"httpMethod"`
					TimeInterval string `yaml:"timeInterval"`
					Sidecars     []struct{ Name, URL string }
				} `yaml:"jsonData"`
				SecureJSONData map[string]string `yaml:"secureJsonData"`
			}
		}
		readStrictly(t, filepath.Join(provisioning, "datasources", file), &sources)
		for _, source := range sources.Datasources {
			if source.URL != "" {
				addresses["Grafana's Prometheus"] = append(addresses["Grafana's Prometheus"], source.URL)
				if interval := readPrometheus(t).Global.ScrapeInterval; source.JSONData.TimeInterval != interval {
					t.Errorf("Grafana takes %s for the scrape interval, and it is %s", source.JSONData.TimeInterval, interval)
				}
			}
			for _, sidecar := range source.JSONData.Sidecars {
				addresses["Grafana's sidecar"] = append(addresses["Grafana's sidecar"], sidecar.URL)
			}
			if token, ok := source.SecureJSONData["token"]; ok {
				file, isFile := strings.CutPrefix(strings.TrimSuffix(token, "}"), "$__file{")
				if !isFile {
					t.Fatalf("%s: the token is not in a file", source.Name)
				}
				// The same volume at the same place: what Grafana reads is weir's.
				if here := s.there(t, "grafana", file); here != s.there(t, "weir", option(t, weir.Command, "admin-token-file")) {
					t.Error("Grafana and weir read different tokens")
				}
			}
		}
	}
	config := readPrometheus(t)
	addresses["Alertmanager"] = config.Alerting.Alertmanagers[0].StaticConfigs[0].Targets
	addresses["what is scraped"] = config.ScrapeConfigs[0].StaticConfigs[0].Targets
	addresses["the function"] = []string{option(t, weir.Command, "upstream")}
	for who, want := range map[string]string{
		"Grafana's Prometheus": "http://prometheus:9090",
		"Grafana's sidecar":    "http://weir" + option(t, weir.Command, "admin-listen"),
		"Alertmanager":         "alertmanager:9093",
		"what is scraped":      "weir:9464",
		"the function":         "http://function:" + s.services["function"].Environment["PORT"],
	} {
		if got := addresses[who]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is looked for at %q, and is %s", who, got, want)
		}
	}
}

type prometheusConfig struct {
	Global struct {
		ScrapeInterval string `yaml:"scrape_interval"`
	}
	RuleFiles []string `yaml:"rule_files"`
	Alerting  struct {
		Alertmanagers []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		}
	}
	ScrapeConfigs []struct {
		StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func readPrometheus(t *testing.T) (c prometheusConfig) {
	t.Helper()
	text, err := os.ReadFile("compose/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// readStrictly refuses what the documentation of Grafana's provisioning does not know.
func readStrictly(t *testing.T, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// By promtool, with the rules that are exported, and by amtool.
func TestComposeMonitoringIsValid(t *testing.T) {
	t.Parallel()
	s := setUpCompose(t)
	file := s.there(t, "prometheus", option(t, s.services["prometheus"].Command, "config.file"))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rules := readPrometheus(t).RuleFiles
	if len(rules) != 1 {
		t.Fatalf("Prometheus loads %q", rules)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yaml")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), rules[0], s.there(t, "prometheus", rules[0]))), 0o644); err != nil {
		t.Fatal(err)
	}
	alertmanager := s.there(t, "alertmanager", option(t, s.services["alertmanager"].Command, "config.file"))
	for _, c := range []struct {
		command []string
		wants   string
	}{
		{[]string{"promtool", "check", "config", config}, `(?s)SUCCESS: .*prometheus.yaml is valid.*SUCCESS: [1-9]\d+ rules found`},
		{[]string{"amtool", "check-config", alertmanager}, `SUCCESS(?s:.*)1 receivers`},
		{[]string{"amtool", "config", "routes", "test", "--config.file=" + alertmanager, "alertname=WeirThrottling", "severity=warning"}, `(?m)^on-call$`},
	} {
		t.Run(strings.Join(c.command[:2], " "), func(t *testing.T) {
			if _, err := exec.LookPath(c.command[0]); err != nil {
				t.Skipf("%s is not installed (scripts/install-deps): %v", c.command[0], err)
			}
			out, err := exec.Command(c.command[0], c.command[1:]...).CombinedOutput()
			if err != nil || !regexp.MustCompile(c.wants).Match(out) {
				t.Errorf("%q: %v\n%s", c.command, err, out)
			}
		})
	}
}

// Nothing is open to the network, no password is in the file, and no image comes as
// whatever is newest.
func TestComposeIsClosed(t *testing.T) {
	services, _ := composed(t)
	for name, s := range services {
		for _, port := range s.Ports {
			at, err := netip.ParseAddrPort(port[:strings.LastIndex(port, ":")])
			if err != nil || !at.Addr().IsLoopback() {
				t.Errorf("%s opens %s to more than this machine: %v", name, port, err)
			}
		}
		if s.Build.Context == "" && (!tagged(s.Image) || !strings.ContainsAny(s.Image, "0123456789")) {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
		if s.Build.Context != "" {
			file := path.Join("compose", s.Build.Context, s.Build.Dockerfile)
			if s.Build.Dockerfile == "" {
				file = path.Join(file, "Dockerfile")
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%s is built by what is not there: %v", name, err)
			}
			stages, err := parseDockerfile(string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, stage := range stages {
				if base, _, _ := strings.Cut(stage.from.args, " "); !tagged(base) {
					t.Errorf("%s: the base %q has no version", name, base)
				}
			}
		}
		for key, value := range s.Environment {
			if regexp.MustCompile(`PASSWORD|TOKEN|SECRET`).MatchString(key) && (!strings.HasSuffix(key, "__FILE") || !strings.HasPrefix(value, "/run/")) {
				t.Errorf("%s: %s is in the open", name, key)
			}
		}
		if (name == "dashboards" || name == "secrets") && s.NetworkMode != "none" {
			t.Errorf("%s needs no network", name)
		}
	}
	grafana := services["grafana"].Environment
	if grafana["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "" {
		t.Error("Grafana has its default password")
	}
	if grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] != "Viewer" {
		t.Errorf("whoever reaches Grafana is %s", grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"])
	}
	var allowed []string
	for _, file := range []string{"plugin.json", "calls-panel/plugin.json"} {
		allowed = append(allowed, readJSON(t, "../dashboards/plugin/frontend/src/"+file)["id"].(string))
	}
	if got := grafana["GF_PLUGINS_ALLOW_LOADING_UNSIGNED_PLUGINS"]; got != strings.Join(allowed, ",") {
		t.Errorf("Grafana may load %q, the plugins are %q", got, allowed)
	}
	// weir understands what it is told.
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("secret", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := slices.Clone(services["weir"].Command)
	for i := range command {
		command[i] = strings.Replace(command[i], "=/run/weir/admin-token", "="+token, 1)
	}
	c, err := load(command, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.TokenFile == "" || c.Limits.MaxInflight != 10 || c.Drain.Timeout >= 45*time.Second {
		t.Errorf("weir is told %+v", c)
	}
}

func tagged(image string) bool {
	_, tag, _ := strings.Cut(path.Base(image), ":")
	return tag != "" && tag != "latest"
}

func readJSON(t *testing.T, file string) (v map[string]any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Secrets are made once, differ, and are readable by those who need them alone.
func TestComposeMakesSecrets(t *testing.T) {
	t.Parallel()
	services, _ := composed(t)
	s := composeStage{services, map[string]string{"secrets": t.TempDir()}}
	// weir's user, with Grafana's group; Grafana's user.
	if got := s.makeSecrets(t); got != "65532:0 admin-token.new\n472:0 grafana-password.new\n" {
		t.Errorf("they are given to\n%s", got)
	}
	read := func() (values []string) {
		for name, mode := range map[string]os.FileMode{"admin-token": 0o440, "grafana-password": 0o400} {
			file := filepath.Join(s.volumes["secrets"], name)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v, %v", name, info.Mode(), err)
			}
			if !regexp.MustCompile(`^[A-Za-z0-9_-]{32}$`).Match(text) {
				t.Errorf("%s has %d characters that are no secret", name, len(text))
			}
			values = append(values, string(text))
		}
		slices.Sort(values)
		return values
	}
	first := read()
	if first[0] == first[1] {
		t.Error("both secrets are the same")
	}
	if again := s.makeSecrets(t); again != "" || !slices.Equal(read(), first) {
		t.Errorf("the second start made new ones: %s", again)
	}
	files, err := os.ReadDir(s.volumes["secrets"])
	if err != nil || len(files) != 2 {
		t.Errorf("%v: %v is left", err, files)
	}
}

// Grafana's image has the plugin as make plugin builds it.
func TestGrafanaImage(t *testing.T) {
	text, err := os.ReadFile("compose/grafana.Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages, err := parseDockerfile(string(text))
	if err != nil || len(stages) != 3 {
		t.Fatalf("%v: %d stages", err, len(stages))
	}
	frontend, backend, image := stages[0], stages[1], stages[2]
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile(`go -C dashboards/plugin build (.*) \\\n\s+-o \S+/gpx_weir_\S+ ([^;\s]+)`).FindSubmatch(makefile)
	if program == nil {
		t.Fatal("the Makefile does not build the plugin as it did")
	}
	want := fmt.Sprintf("go -C dashboards/plugin build %s -o /out/gpx_weir_${TARGETOS}_${TARGETARCH} %s", program[1], program[2])
	if got := backend.only(t, "RUN").args; !strings.HasSuffix(got, want) {
		t.Errorf("built by\n%s\nwant\n%s", got, want)
	}
	build, _ := dockerfile(t)
	if backend.from.args != strings.Replace(build.from.args, " AS build", " AS backend", 1) {
		t.Errorf("built in %s, weir in %s", backend.from.args, build.from.args)
	}
	// What is copied is there, and .dockerignore lets it through.
	for _, i := range frontend.all("COPY") {
		sources := strings.Fields(i.args)
		for _, source := range sources[:len(sources)-1] {
			if _, err := os.Stat("../" + source); err != nil || ignored(dockerignore(t), source) {
				t.Errorf("%s is not there for the build: %v", source, err)
			}
		}
	}
	services, _ := composed(t)
	for _, i := range image.all("COPY") {
		if target := services["grafana"].Environment["GF_PATHS_PLUGINS"] + "/weir-weir-datasource"; i.args != "/out "+target {
			t.Errorf("COPY %s, Grafana looks in %s", i.args, target)
		}
	}
	// The release whose components the plugin is tested with.
	dependencies := readJSON(t, "../dashboards/plugin/frontend/package.json")["dependencies"].(map[string]any)
	if got, want := image.from.args, "grafana/grafana:"+dependencies["@grafana/data"].(string); got != want {
		t.Errorf("FROM %s, the plugin is tested with %s", got, want)
	}
}
