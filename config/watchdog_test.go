package config

import (
	"slices"
	"strings"
	"testing"
)

func TestWatchdogEnvironment(t *testing.T) {
	loaded := mustLoad(t, Source{Environ: []string{
		"mode=http",
		"fprocess=node index.js  --port 3000 ",
		"upstream_url=http://127.0.0.1:3000/",
		"port=8081",
		"max_inflight=5",
		"exec_timeout=30s",
		"read_timeout=15",
		"write_timeout=1m5s",
		"healthcheck_interval=10",
		"ready_path=ready",
		"prefix_logs=false", "log_buffer_size=-1", "static_path=/x", "suppress_lock=true", "http_buffer_req_body=true",
		"content_type=text/plain", "log_call_id=true", "jwt_auth=false", "jwt_auth_local=true", "one_shot=", "oauth_enabled=0",
	}})
	for key, want := range map[string]string{
		"listen":               ":8081",
		"upstream.url":         "http://127.0.0.1:3000",
		"limits.max_inflight":  "5",
		"limits.queue_depth":   "50",
		"timeouts.request":     "30s",
		"client.read_timeout":  "15s",
		"client.write_timeout": "1m5s",
		"ready.interval":       "10s",
		"drain.delay":          "10s",
		"ready.path":           "/ready",
		"openfaas":             "on",
		"metrics.listen":       ":9464",
	} {
		if got := settingByKey(settings, key).value.get(loaded.Config); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if want := []string{"node", "index.js", "--port", "3000"}; !slices.Equal(loaded.Config.Command, want) {
		t.Errorf("command is %q", loaded.Config.Command)
	}
	if !loaded.Config.OpenFaaS || loaded.Origins["openfaas"].String() != "default (auto: of-watchdog's mode is set)" {
		t.Errorf("openfaas is %v from %v", loaded.Config.OpenFaaS, loaded.Origins["openfaas"])
	}
}

func TestWatchdogIsRecognised(t *testing.T) {
	for _, c := range []struct {
		environ []string
		args    []string
		want    bool
	}{
		{nil, nil, false},
		{[]string{"port=9000", "max_inflight=5", "read_timeout=5s", "ready_path=/x"}, nil, false},
		{[]string{"MODE=http", "FPROCESS=x"}, nil, false},
		{[]string{"mode=", "fprocess=", "upstream_url="}, nil, false},
		{[]string{"mode=http"}, nil, true},
		{[]string{"fprocess=node"}, nil, true},
		{[]string{"function_process=node"}, nil, true},
		{[]string{"upstream_url=http://127.0.0.1:5000"}, nil, true},
		{[]string{"http_upstream_url=http://127.0.0.1:5000"}, nil, true},
		{[]string{"fprocess=node"}, []string{"--openfaas=off"}, false},
		{[]string{"fprocess=node"}, []string{"--openfaas=auto"}, true},
		{[]string{"fprocess=node", "WEIR_OPENFAAS=off"}, []string{"--openfaas=on"}, true},
		{[]string{"fprocess=node", "WEIR_OPENFAAS=off"}, nil, false},
		{[]string{"port=9000"}, []string{"--openfaas=on"}, true},
	} {
		environ := append(slices.Clone(c.environ), "port=9000")
		loaded := mustLoad(t, Source{Environ: environ, Flags: parseFlags(t, c.args...)})
		want := ":8080"
		if c.want {
			want = ":9000"
		}
		if loaded.Config.OpenFaaS != c.want || loaded.Config.Listen != want {
			t.Errorf("%v %v: openfaas is %v, listen %s", c.environ, c.args, loaded.Config.OpenFaaS, loaded.Config.Listen)
		}
	}
	file := writeFile(t, "openfaas: off\n")
	if loaded := mustLoad(t, Source{File: file, Environ: []string{"mode=streaming", "fprocess=cat", "port=x"}}); loaded.Config.OpenFaaS || loaded.Config.Command != nil {
		t.Errorf("openfaas: off in the file gives %+v", loaded.Config)
	}
}

func TestWatchdogMistakes(t *testing.T) {
	for _, c := range []struct{ environ, want string }{
		{"mode=streaming", `config: mode: "streaming" is not supported: weir starts the function once and speaks HTTP to it, as mode=http does; set openfaas off if this variable is not meant for of-watchdog (mode in the environment)`},
		{"mode=http max_inflight=many", `config: limits.max_inflight: "many" is not a number, "auto" or 0 (max_inflight in the environment)`},
		{"mode=http max_inflight=-1", `config: limits.max_inflight: "-1" is negative (max_inflight in the environment)`},
		{"mode=http port=0", `config: listen: "0" is not a port from 1 to 65535 (port in the environment)`},
		{"mode=http port=:80", `config: listen: ":80" is not a port from 1 to 65535 (port in the environment)`},
		{"mode=http exec_timeout=soon", `config: timeouts.request: "soon" is neither a duration such as 500ms or 5s nor a whole number of seconds (exec_timeout in the environment)`},
		{"mode=http exec_timeout=-5s", `config: timeouts.request: "-5s" is negative (exec_timeout in the environment)`},
		{"mode=http exec_timeout=-5", `config: timeouts.request: "-5" is neither a duration such as 500ms or 5s nor a whole number of seconds (exec_timeout in the environment)`},
		{"mode=http write_timeout=99999999999", `config: client.write_timeout: "99999999999" seconds are more than 8760h, the most there is (write_timeout in the environment)`},
		{"upstream_url=http://127.0.0.1:5000/api", `config: upstream.url: "http://127.0.0.1:5000/api" has a path: requests keep their own, leave it out (upstream_url in the environment)`},
		{"upstream_url=127.0.0.1:5000", `config: upstream.url: "127.0.0.1:5000" has no scheme: write http://, h2c:// or https:// before host:port, or unix:///path (upstream_url in the environment)`},
		{"mode=http jwt_auth=true", `config: jwt_auth: "true" is not supported: weir checks no tokens, and without it the function would be open to all; unset it if that is meant (jwt_auth in the environment)`},
		{"mode=http oauth_enabled=1", `config: oauth_enabled: "1" is not supported: weir has no login and checks no session cookie, which the function would then trust unchecked; unset it if that is meant (oauth_enabled in the environment)`},
		{"mode=http one_shot=true", `config: one_shot: "true" is not supported: weir serves more than one request for each start; unset it if that is meant (one_shot in the environment)`},
	} {
		_, err := Load(Source{Environ: strings.Fields(c.environ)})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.environ, err, c.want)
		}
	}
	_, err := Load(Source{Environ: []string{"fprocess=  "}})
	if want := `config: fprocess: "  " names no command (fprocess in the environment)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestWatchdogDetails(t *testing.T) {
	load := func(environ ...string) *Loaded { return mustLoad(t, Source{Environ: append(environ, "mode=http")}) }
	if got := load("max_inflight=0").Config.Limits.MaxInflight; got != 0 {
		t.Errorf("max_inflight=0 gives a limit of %d", got)
	}
	if c := load("healthcheck_interval=0").Config; c.Drain.Delay != 0 || c.Ready.Interval != Default().Ready.Interval {
		t.Errorf("healthcheck_interval=0 gives %v and %v", c.Drain, c.Ready)
	}
	if c := load("healthcheck_interval=500ms").Config; c.Ready.Timeout != c.Ready.Interval {
		t.Errorf("healthcheck_interval=500ms gives %v", c.Ready)
	}
	if got := load("exec_timeout=0").Config.Timeouts.Request; got != 0 {
		t.Errorf("exec_timeout=0 gives %v", got)
	}
	if got := load("fprocess=a b", "function_process=c d").Config.Command; !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("function_process does not win: %q", got)
	}
	if got := load("upstream_url=http://a:1", "http_upstream_url=http://b:1").Config.Upstream.Address; got != "b:1" {
		t.Errorf("http_upstream_url does not win: %s", got)
	}
	loaded := mustLoad(t, Source{Environ: []string{"fprocess=node index.js"}, Command: []string{"python", "-u", "x y"}})
	if got := loaded.Config.Command; !slices.Equal(got, []string{"python", "-u", "x y"}) {
		t.Errorf("the command line does not win: %q", got)
	}
	if got := splitCommand(`sh -c "a b"` + "\tc\n"); !slices.Equal(got, []string{"sh", "-c", `"a`, "b\"\tc\n"}) {
		t.Errorf("split gives %q", got)
	}
}

func TestWatchdogTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range watchdogVariables {
		for _, name := range v.names {
			if seen[name] || name != strings.ToLower(name) {
				t.Errorf("%s is there twice, or not in lower case", name)
			}
			seen[name] = true
		}
		if v.theirs == "" || v.ours == "" {
			t.Errorf("%s is not explained", v.names[0])
		}
		for _, target := range v.to {
			if target.key != watchdogCommand && settingByKey(settings, target.key) == nil {
				t.Errorf("%s sets %s, which there is not", v.names[0], target.key)
			}
		}
	}
}
