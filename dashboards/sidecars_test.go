package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestExportNamesSidecars(t *testing.T) {
	files := exported(t, Options{Sidecars: []Sidecar{{"checkout-0", "http://10.0.0.1:9465"}, {"1", "https://weir.example.com/a$b"}}})
	var got struct {
		Datasources []struct {
			Type, UID, Access string
			JSONData          struct {
				Sidecars []struct{ Name, URL string }
			} `yaml:"jsonData"`
			SecureJSONData map[string]string `yaml:"secureJsonData"`
		}
	}
	if err := yaml.Unmarshal([]byte(files[sidecarsPath]), &got); err != nil || len(got.Datasources) != 1 {
		t.Fatalf("%v: %s", err, files[sidecarsPath])
	}
	source := got.Datasources[0]
	want := []struct{ Name, URL string }{{"checkout-0", "http://10.0.0.1:9465"}, {"1", "https://weir.example.com/a$$b"}}
	if !reflect.DeepEqual(source.JSONData.Sidecars, want) || source.Type != "weir-weir-datasource" || source.Access != "proxy" {
		t.Errorf("%+v", source)
	}
	if !reflect.DeepEqual(source.SecureJSONData, map[string]string{"token": "$WEIR_ADMIN_TOKEN"}) {
		t.Errorf("secrets: %v", source.SecureJSONData)
	}
	for _, path := range []string{sidecarsPath, livePath} {
		if _, ok := exported(t, Options{})[path]; ok {
			t.Errorf("without sidecars, %s is written, which asks for a data source that Grafana may lack", path)
		}
	}
	var board struct {
		UID    string
		Panels []struct{ Datasource struct{ Type string } }
	}
	if err := json.Unmarshal([]byte(files[livePath]), &board); err != nil || board.UID != "weir-live" || len(board.Panels) < 7 {
		t.Errorf("%v: %+v", err, board)
	}
	for i, p := range board.Panels {
		if p.Datasource.Type != source.Type {
			t.Errorf("panel %d asks a %s", i, p.Datasource.Type)
		}
	}
}

func TestExportSaysWhereThingsAre(t *testing.T) {
	files := exported(t, Options{
		DashboardsPath: "/srv/weir \"live\"/dashboards/", TokenFile: "/run/weir/token",
		Sidecars: []Sidecar{{"a", "http://h"}},
	})
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal([]byte(files["grafana/provisioning/dashboards/weir.yaml"]), &provider); err != nil ||
		len(provider.Providers) != 1 || provider.Providers[0].Options.Path != `/srv/weir "live"/dashboards` {
		t.Errorf("%v: %+v", err, provider)
	}
	var source struct {
		Datasources []struct {
			SecureJSONData map[string]string `yaml:"secureJsonData"`
		}
	}
	if err := yaml.Unmarshal([]byte(files[sidecarsPath]), &source); err != nil || source.Datasources[0].SecureJSONData["token"] != "$__file{/run/weir/token}" {
		t.Errorf("%v: %+v", err, source)
	}
}

func TestExportRefusesSidecars(t *testing.T) {
	for want, list := range map[string][]Sidecar{
		`sidecar "a b": a name has`:           {{"a b", "http://h"}},
		`sidecar "": a name has`:              {{"", "http://h"}},
		`sidecar "a" is named twice`:          {{"a", "http://h"}, {"a", "http://i"}},
		`sidecar a: URL "h:1": it must begin`: {{"a", "h:1"}},
		"sidecar a: URL must not hold a user": {{"a", "http://me:hunter2@h"}},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		_, err := Export(dir, Options{Sidecars: list})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want an error with %q", err, want)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("something was written: %v", err)
		}
	}
	if s, err := ParseSidecar("a=http://h?b=c"); err != nil || s != (Sidecar{"a", "http://h?b=c"}) {
		t.Errorf("%v, %v", s, err)
	}
	if _, err := ParseSidecar("http://h"); err == nil || !strings.Contains(err.Error(), "write NAME=URL") {
		t.Errorf("%v", err)
	}
}
