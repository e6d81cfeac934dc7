package datasource

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"weir/admin/api"
)

func TestPluginJSONNamesThis(t *testing.T) {
	text, err := os.ReadFile("../frontend/src/plugin.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		ID                 string
		Executable         string
		Backend, Streaming bool
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if p.ID != ID || p.Executable != "gpx_weir" || !p.Backend || !p.Streaming {
		t.Errorf("plugin.json says %+v", p)
	}
}

func some(t testing.TB, names ...string) *Datasource {
	t.Helper()
	var list []sidecarSettings
	for _, name := range names {
		list = append(list, sidecarSettings{Name: name, URL: "http://127.0.0.1:1"})
	}
	text, err := json.Marshal(map[string]any{"sidecars": list})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), backend.DataSourceInstanceSettings{UID: "u", JSONData: text})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*Datasource)
}

// FuzzChannel: a path that is taken is written in one way only, and names a sidecar
// that is set.
func FuzzChannel(f *testing.F) {
	for _, seed := range []string{"state/a/concurrency", "state/b.c/requests.latency", "state/a/latency.requests", "state//", "state/a/", "", "state/a/concurrency/x"} {
		f.Add(seed)
	}
	d := some(f, "a", "b.c")
	f.Fuzz(func(t *testing.T, path string) {
		c, ok := d.channelOf(path)
		if ok && (c.path() != path || d.sidecar(c.sidecar.name) == nil || len(c.groups) == 0) {
			t.Errorf("%q is taken for %q", path, c.path())
		}
	})
}

func TestReadSettings(t *testing.T) {
	const one = `{"sidecars": [{"name": "a", "url": "http://127.0.0.1:9465"}]}`
	for text, want := range map[string]string{
		``:                                "no sidecar is named",
		`{"sidecars": "a"}`:               "the settings cannot be read",
		`{"sidecars": [{"name": "a"}]}`:   `sidecar "a": address "" names no host`,
		`{"sidecars": [{"name": " a "}]}`: `is named " a "`,
		`{"sidecars": [{"name": "a", "url": "http://u:p@h"}]}`:                     "has a user, a query or a fragment",
		`{"sidecars": [{"name": "a", "url": "h:1"}, {"name": "a", "url": "h:2"}]}`: `two sidecars are named "a"`,
		`{"sidecars": [` + strings.Repeat(`{},`, 100) + `{}]}`:                     "101 sidecars are named",
		strings.Replace(one, `{"s`, `{"timeoutSeconds": 0, "s`, 1):                 "the timeout is 0 s",
		strings.Replace(one, `{"s`, `{"timeoutSeconds": 1e300, "s`, 1):             "the timeout is 1e+300 s",
		one: "",
	} {
		_, err := readSettings(backend.DataSourceInstanceSettings{JSONData: []byte(text)})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	for name, c := range map[string]struct {
		secrets map[string]string
		want    string
	}{
		"token":       {map[string]string{"token": "the secret"}, "the token holds a space"},
		"CA":          {map[string]string{"tlsCACert": "secret"}, "hold no certificate"},
		"half a pair": {map[string]string{"tlsClientKey": "secret"}, "need each other"},
		"no pair":     {map[string]string{"tlsClientCert": "secret", "tlsClientKey": "secret"}, "cannot be read, or do not belong together"},
	} {
		_, err := readSettings(backend.DataSourceInstanceSettings{JSONData: []byte(one), DecryptedSecureJSONData: c.secrets})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInClear(t *testing.T) {
	o := &settings{token: "x", sidecars: []sidecarSettings{
		{"a", "http://127.0.0.1:1"},
		{"b", "http://[::1]:1"},
		{"c", "localhost:1"},
		{"d", "https://10.0.0.1:1"},
		{"e", "10.0.0.1:1"},
	}}
	if got := o.inClear(); len(got) != 1 || got[0] != "e" {
		t.Errorf("in clear text to %v", got)
	}
	o.token = ""
	if got := o.inClear(); len(got) != 0 {
		t.Errorf("without a token, to %v", got)
	}
}

func TestCut(t *testing.T) {
	samples := make([]api.Sample, 5)
	for i := range samples {
		samples[i] = api.Sample{Time: time.UnixMilli(int64(i) * 1000), Inflight: i, Throttled: map[string]uint64{"rate": uint64(i)}}
	}
	h := api.NewHistory(samples)
	for _, c := range []struct{ from, to, first, n int }{
		{0, 4000, 0, 5},
		{1000, 3000, 1, 3},
		{1001, 2999, 2, 1},
		{-5000, -1, 0, 0},
		{5000, 9000, 0, 0},
		{3000, 1000, 0, 0},
	} {
		got := cut(h, backend.TimeRange{From: time.UnixMilli(int64(c.from)), To: time.UnixMilli(int64(c.to))})
		frame := stateFrame(got, about{sidecar: "a", groups: groups, reasons: []string{"rate", "other"}})
		if frame.Rows() != c.n || len(got.Inflight) != c.n {
			t.Errorf("from %d to %d: %d rows", c.from, c.to, frame.Rows())
		}
		if c.n > 0 && got.Inflight[0] != c.first {
			t.Errorf("from %d to %d: the first is %d", c.from, c.to, got.Inflight[0])
		}
	}
}
