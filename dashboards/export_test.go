package dashboards

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// exported exports to a new directory and gives the files by path.
func exported(t *testing.T, o Options) map[string]string {
	t.Helper()
	dir := t.TempDir()
	written, err := Export(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, path := range written {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.ToSlash(name)] = string(text)
	}
	return files
}

func TestExportWritesWhatIsCommitted(t *testing.T) {
	files := exported(t, Options{})
	for _, name := range []string{
		"grafana/dashboards/weir-async.json", "grafana/dashboards/weir-fleet.json", "grafana/dashboards/weir-function.json", "grafana/dashboards/weir-runbook.json",
		"grafana/provisioning/dashboards/weir.yaml", "grafana/provisioning/datasources/weir.yaml",
		"kubernetes/weir-prometheusrule.yaml", "prometheus/weir.rules.yaml",
	} {
		committed, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		if files[name] != string(committed) {
			t.Errorf("%s is not what is committed", name)
		}
		delete(files, name)
	}
	for name := range files {
		t.Errorf("%s is not expected", name)
	}
}

func TestExportAdaptsTheFiles(t *testing.T) {
	plain := exported(t, Options{})
	files := exported(t, Options{
		RunbookURL:     "https://wiki.example.com/weir runbook?raw=1",
		PrometheusURL:  "http://prom.example.com:9090/prefix",
		ScrapeInterval: 30 * time.Second,
	})
	for _, name := range []string{"kubernetes/weir-prometheusrule.yaml", "prometheus/weir.rules.yaml"} {
		const want = "runbook_url: https://wiki.example.com/weir%20runbook?raw=1#weir"
		if n, all := strings.Count(files[name], want), strings.Count(plain[name], "runbook_url: "); n != all || n == 0 {
			t.Errorf("%s: %d of %d alerts lead to the runbook's address", name, n, all)
		}
	}
	source := files["grafana/provisioning/datasources/weir.yaml"]
	for _, want := range []string{"    url: http://prom.example.com:9090/prefix\n", "      timeInterval: 30s\n"} {
		if strings.Count(source, want) != 1 {
			t.Errorf("the data source lacks %q:\n%s", want, source)
		}
	}
	for name, text := range files {
		if strings.HasPrefix(name, "grafana/dashboards/") && text != plain[name] {
			t.Errorf("%s depends on the options", name)
		}
	}
}

func TestExportRefusesMistakes(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{RunbookURL: "docs/runbook.md"}, `runbook URL "docs/runbook.md": it must begin with http:// or https://`},
		{Options{RunbookURL: "https://wiki.example.com/weir#top"}, "leave #top out"},
		{Options{RunbookURL: "https://wiki.example.com:port/"}, "invalid port"},
		{Options{PrometheusURL: "https://me:hunter2@prom.example.com"}, "Prometheus URL must not hold a user or a password"},
		{Options{PrometheusURL: "https://me:hunter2@prom.example.com:port"}, "invalid port"},
		{Options{PrometheusURL: "https://"}, "a host"},
		{Options{DashboardsPath: "dashboards"}, `dashboards path "dashboards": it must begin with /`},
		{Options{DashboardsPath: "/$HOME/dashboards"}, "without $, }"},
		{Options{TokenFile: "/run/token"}, "a token file is named, and no sidecar"},
		{Options{TokenFile: "/run/{token}", Sidecars: []Sidecar{{"a", "http://h"}}}, `token file "/run/{token}": it must begin with /, without $, }`},
		{Options{ScrapeInterval: 1500 * time.Millisecond}, "scrape interval 1.5s: it must be whole seconds"},
		{Options{ScrapeInterval: -time.Second}, "1s or more"},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		_, err := Export(dir, c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want an error with %q", c.options, err, c.want)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%+v: something was written: %v", c.options, err)
		}
	}
}

func TestExportReplacesAndLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	rules, own := filepath.Join(dir, "prometheus", "weir.rules.yaml"), filepath.Join(dir, "prometheus", "own.rules.yaml")
	if err := os.MkdirAll(filepath.Dir(rules), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{rules, own} {
		if err := os.WriteFile(path, []byte("groups: []\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Export(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(rules)
	if err != nil || first.Size() < 1000 || first.Mode().Perm() != 0o644 {
		t.Errorf("the rules were not replaced: %v, %v", first, err)
	}
	if text, err := os.ReadFile(own); err != nil || string(text) != "groups: []\n" {
		t.Errorf("a file of somebody else is now %q, %v", text, err)
	}
	// What has not changed is not written anew.
	if _, err := Export(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if second, err := os.Stat(rules); err != nil || !second.ModTime().Equal(first.ModTime()) || !os.SameFile(first, second) {
		t.Errorf("a file that had not changed was written anew: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(rules))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"own.rules.yaml", "weir.rules.yaml"}) {
		t.Errorf("the directory holds %v", names)
	}
}

func TestExportSaysWhereItFailed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Export(dir, Options{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want an error that names %s", err, dir)
	}
}
