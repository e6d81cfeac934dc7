package dashboards

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The configuration of Prometheus that docs/dashboards.md tells to write is one that
// Prometheus takes, with the rules as they are exported.
func TestTheDocumentedConfigurationIsRead(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("no promtool is installed (on Debian: apt-get install prometheus): %v", err)
	}
	text, err := os.ReadFile("../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")
	if len(blocks) != 3 {
		t.Fatalf("docs/dashboards.md has %d blocks of YAML, want 2", len(blocks)-1)
	}
	config, _, _ := strings.Cut(blocks[1], "```")
	inKubernetes, _, _ := strings.Cut(blocks[2], "```") // one more scrape_config
	const discovery = "kubernetes_sd_configs:\n      - role: pod\n"
	if !strings.Contains(inKubernetes, discovery) {
		t.Fatalf("the block for Kubernetes does not discover pods:\n%s", inKubernetes)
	}
	// Debian builds Prometheus without it.
	inKubernetes = strings.Replace(inKubernetes, discovery, "static_configs: [{targets: [a]}]\n", 1)
	dir := t.TempDir()
	if _, err := Export(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	// rule_files are found beside it.
	for name, content := range map[string]string{"own.yml": config, "kubernetes.yml": "rule_files: [weir.rules.yaml]\nscrape_configs:\n" + inKubernetes} {
		path := filepath.Join(dir, "prometheus", name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(promtool, "check", "config", path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "rules found") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// The commands of docs/dashboards.md name files that an export writes.
func TestTheDocumentedFilesAreExported(t *testing.T) {
	text, err := os.ReadFile("../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range exported(t, Options{}) {
		if dir := filepath.ToSlash(filepath.Dir(name)); !strings.Contains(string(text), name) && !strings.Contains(string(text), dir) && !strings.Contains(string(text), filepath.ToSlash(filepath.Dir(dir))+"/") {
			t.Errorf("docs/dashboards.md does not say what %s is for", name)
		}
	}
}

// What Grafana is provisioned with is strict YAML, and the dashboards are where the
// documentation mounts them.
func TestProvisioning(t *testing.T) {
	files := exported(t, Options{})
	text, err := os.ReadFile("../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	var provider struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	if err := yaml.Unmarshal([]byte(files["grafana/provisioning/dashboards/weir.yaml"]), &provider); err != nil {
		t.Fatal(err)
	}
	if len(provider.Providers) != 1 || provider.Providers[0].Type != "file" ||
		!strings.Contains(string(text), "grafana/dashboards:"+provider.Providers[0].Options.Path+"\"") {
		t.Errorf("the dashboards are looked for in %+v, which the documentation does not mount", provider.Providers)
	}
	var source struct {
		Datasources []struct{ Type, URL, UID string }
	}
	if err := yaml.Unmarshal([]byte(files["grafana/provisioning/datasources/weir.yaml"]), &source); err != nil {
		t.Fatal(err)
	}
	if len(source.Datasources) != 1 || source.Datasources[0].Type != "prometheus" || source.Datasources[0].URL == "" || source.Datasources[0].UID == "" {
		t.Errorf("the data source is %+v", source.Datasources)
	}
}
