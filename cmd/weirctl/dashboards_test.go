package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDashboardsExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "monitoring")
	e := weirctl("dashboards", "export", dir, "--runbook-url", "https://wiki.example.com/weir")
	if e.code != exitOK || e.stderr != "" {
		t.Fatalf("%+v", e)
	}
	rules := filepath.Join(dir, "prometheus", "weir.rules.yaml")
	if !strings.Contains(e.stdout, rules+"\n") {
		t.Errorf("it does not say that it wrote %s:\n%s", rules, e.stdout)
	}
	if text, err := os.ReadFile(rules); err != nil || !strings.Contains(string(text), "runbook_url: https://wiki.example.com/weir#weirthrottling\n") {
		t.Errorf("the rules do not lead to the runbook: %v", err)
	}
	e = weirctl("dashboards", "export", dir, "-o", "json")
	var v struct{ Files []string }
	if err := json.Unmarshal([]byte(e.stdout), &v); err != nil || e.code != exitOK || len(v.Files) < 7 {
		t.Errorf("%v: %+v", err, e)
	}
}

func TestDashboardsExportSidecars(t *testing.T) {
	dir := t.TempDir()
	e := weirctl("dashboards", "export", dir, "--sidecar", "a=http://10.0.0.1:9465", "--sidecar", "b=https://10.0.0.2:9465",
		"--token-file", "/run/weir/token", "--dashboards-path", "/srv/dashboards")
	file := filepath.Join(dir, "grafana", "provisioning", "datasources", "weir-sidecars.yaml")
	text, err := os.ReadFile(file)
	if e.code != exitOK || err != nil || !strings.Contains(e.stdout, file+"\n") || strings.Count(string(text), "- name: ") != 3 || !strings.Contains(string(text), "$__file{/run/weir/token}") {
		t.Errorf("%+v, %v\n%s", e, err, text)
	}
	provider, err := os.ReadFile(filepath.Join(dir, "grafana", "provisioning", "dashboards", "weir.yaml"))
	if err != nil || !strings.Contains(string(provider), "/srv/dashboards") {
		t.Errorf("%v\n%s", err, provider)
	}
}

func TestDashboardsExportMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"dashboards"}, exitUsage, "weirctl dashboards needs one of its commands"},
		{[]string{"dashboards", "export"}, exitUsage, "accepts 1 arg(s), received 0"},
		{[]string{"dashboards", "export", t.TempDir(), "--runbook-url", "wiki"}, exitFailed, `runbook URL "wiki": it must begin with`},
		{[]string{"dashboards", "export", t.TempDir(), "--sidecar", "a"}, exitUsage, `--sidecar: "a": write NAME=URL`},
		{[]string{"dashboards", "export", t.TempDir(), "--sidecar", "a=b"}, exitFailed, `sidecar a: URL "b": it must begin`},
		{[]string{"dashboards", "export", "/dev/null/x"}, exitFailed, "/dev/null"},
	} {
		if e := weirctl(c.args...); e.code != c.code || e.stdout != "" || !strings.Contains(e.stderr, c.want) {
			t.Errorf("%v: %+v, want code %d and %s", c.args, e, c.code, c.want)
		}
	}
}
