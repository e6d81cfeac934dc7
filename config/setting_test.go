package config

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite golden files and the documents in docs/")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// samples holds, by key, a value that is not the default, as a user would write
// it and as it is printed.
var samples = map[string]struct{ text, effective string }{
	"listen":                       {"127.0.0.1:18080", "127.0.0.1:18080"},
	"upstream.url":                 {"https://func.example", "https://func.example:443"},
	"upstream.connect_timeout":     {"1500ms", "1.5s"},
	"upstream.idle_timeout":        {"20s", "20s"},
	"upstream.max_idle":            {"7", "7"},
	"upstream.ca":                  {"ca.pem", "ca.pem"},
	"function.name":                {"resize", "resize"},
	"function.version":             {"1.10", "1.10"},
	"limits.max_inflight":          {"7", "7"},
	"limits.min_inflight":          {"3", "3"},
	"limits.max_inflight_ceiling":  {"50", "50"},
	"limits.queue_order":           {"fifo", "fifo"},
	"limits.function_max_inflight": {"20", "20"},
	"limits.account":               {"shop", "shop"},
	"limits.account_max_inflight":  {"300", "300"},
	"limits.on_outage":             {"closed", "closed"},
	"limits.lease_time":            {"10s", "10s"},
	"limits.nats_url":              {"nats://n:4222", "nats://n:4222"},
	"limits.nats_credentials":      {"weir.creds", "weir.creds"},
	"limits.nats_ca":               {"nats.pem", "nats.pem"},
	"limits.nats_replicas":         {"3", "3"},
	"limits.rate":                  {"100/s+20", "100/s+20"},
	"limits.ramp":                  {"500", "500"},
	"limits.ramp_retention":        {"30m", "30m"},
	"limits.enforce":               {"false", "false"},
	"limits.max_loop":              {"5", "5"},
	"limits.priority_header":       {"x-priority", "X-Priority"},
	"limits.deadline_header":       {"Prefer", "Prefer"},
	"callers.key":                  {"header:x-api-key", "header:X-Api-Key"},
	"callers.max_inflight":         {"9", "9"},
	"callers.rate":                 {"10/m", "10/m"},
	"callers.remembered":           {"500", "500"},
	"callers.enforce":              {"false", "false"},
	"limits.overflow":              {"wait", "wait"},
	"limits.queue_depth":           {"12", "12"},
	"limits.queue_timeout":         {"250ms", "250ms"},
	"timeouts.request":             {"10m", "10m"},
	"timeouts.response_start":      {"20s", "20s"},
	"timeouts.idle":                {"1m30s", "1m30s"},
	"on_client_abort":              {"finish", "finish"},
	"async.enabled":                {"true", "true"},
	"async.dir":                    {"/var/lib/weir", "/var/lib/weir"},
	"async.any_filesystem":         {"true", "true"},
	"async.nats_url":               {"nats://a.example:4222,nats://b.example:4222", "nats://a.example:4222,nats://b.example:4222"},
	"async.nats_credentials":       {"nats.creds", "nats.creds"},
	"async.nats_ca":                {"ca.pem", "ca.pem"},
	"async.nats_replicas":          {"3", "3"},
	"async.max_body":               {"2MiB", "2MiB"},
	"async.max_store":              {"1GiB", "1GiB"},
	"async.max_response":           {"64KiB", "64KiB"},
	"async.attempts":               {"5", "5"},
	"async.backoff":                {"250ms", "250ms"},
	"async.backoff_max":            {"1m", "1m"},
	"async.retry_statuses":         {"503,429", "503,429"},
	"async.timeout":                {"15m", "15m"},
	"async.max_age":                {"24h", "24h"},
	"async.retention":              {"10m", "10m"},
	"async.key_retention":          {"1h", "1h"},
	"async.dead_letter_retention":  {"720h", "720h"},
	"async.min_share":              {"10", "10"},
	"async.max_share":              {"50", "50"},
	"async.callbacks_allow":        {"*.example.com,10.0.0.0/8:443", "*.example.com,10.0.0.0/8:443"},
	"async.on_success":             {"nats://orders.done", "nats://orders.done"},
	"async.on_failure":             {"https://ops.example/x?y", "https://ops.example/x?y"},
	"async.destination_body":       {"response", "response"},
	"async.events":                 {"cloudevents", "cloudevents"},
	"async.webhook_secrets":        {"secrets", "secrets"},
	"async.webhook_timeout":        {"3s", "3s"},
	"async.webhook_max_age":        {"72h", "72h"},
	"async.webhook_backoff_max":    {"2h", "2h"},
	"client.header_timeout":        {"3s", "3s"},
	"client.idle_timeout":          {"2m", "2m"},
	"client.read_timeout":          {"0", "0s"},
	"client.write_timeout":         {"45s", "45s"},
	"client.max_header_bytes":      {"32KiB", "32KiB"},
	"client.http_engine":           {"nethttp", "nethttp"},
	"client.max_body":              {"10MB", "10MB"},
	"tls.cert":                     {"cert.pem", "cert.pem"},
	"tls.key":                      {"key.pem", "key.pem"},
	"tls.client_ca":                {"clients.pem", "clients.pem"},
	"trusted_proxies":              {"10.0.0.0/8,fd00::1", "10.0.0.0/8,fd00::1/128"},
	"metrics.listen":               {"127.0.0.1:19464", "127.0.0.1:19464"},
	"metrics.compat":               {"openfaas", "openfaas"},
	"tracing.endpoint":             {"http://collector:4318", "http://collector:4318/v1/traces"},
	"tracing.sample":               {"0.050", "0.05"},
	"tracing.headers_file":         {"headers", "headers"},
	"tracing.ca":                   {"collector.pem", "collector.pem"},
	"tracing.service":              {"edge", "edge"},
	"tracing.attributes":           {"k8s.pod.name=f-1,deployment.environment.name=a%2Cb", "k8s.pod.name=f-1,deployment.environment.name=a%2Cb"},
	"admin.listen":                 {"127.0.0.1:19465", "127.0.0.1:19465"},
	"admin.token_file":             {"token", "token"},
	"admin.tls_cert":               {"admin-cert.pem", "admin-cert.pem"},
	"admin.tls_key":                {"admin-key.pem", "admin-key.pem"},
	"admin.tls_client_ca":          {"operators.pem", "operators.pem"},
	"ready.path":                   {"/ready", "/ready"},
	"ready.interval":               {"5s", "5s"},
	"ready.timeout":                {"2s", "2s"},
	"ready.fail_on_overload":       {"true", "true"},
	"drain.timeout":                {"1h", "1h"},
	"drain.delay":                  {"5s", "5s"},
	"startup_timeout":              {"2m", "2m"},
	"openfaas":                     {"on", "on"},
	"log.level":                    {"debug", "debug"},
	"log.format":                   {"json", "json"},
	"log.access":                   {"sampled", "sampled"},
	"log.access_every":             {"1000", "1000"},
}

func TestTableIsSound(t *testing.T) {
	flags, keys, variables := map[string]bool{configFlag: true}, map[string]bool{routesKey: true}, map[string]bool{configVariable: true}
	var sections []string
	for _, s := range settings {
		if flags[s.flag] || keys[s.key] || variables[s.variable()] {
			t.Errorf("%s: flag, key or variable is there twice", s.key)
		}
		flags[s.flag], keys[s.key], variables[s.variable()] = true, true, true
		if s.usage == "" || strings.Contains(s.usage, "\n") || strings.HasSuffix(s.usage, ".") {
			t.Errorf("%s: usage %q is not one line without a full stop", s.key, s.usage)
		}
		if strings.Trim(s.flag, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%s: flag %q", s.key, s.flag)
		}
		if strings.Trim(s.key, "abcdefghijklmnopqrstuvwxyz_.") != "" || strings.Count(s.key, ".") > 1 {
			t.Errorf("key %q", s.key)
		}
		if section, _ := s.section(); len(sections) == 0 || sections[len(sections)-1] != section {
			if section != "" && slices.Contains(sections, section) {
				t.Errorf("%s: section %s is split, and would be printed twice", s.key, section)
			}
			sections = append(sections, section)
		}
		if (s.value.kind == kindList) != (s.value.item != nil) {
			t.Errorf("%s: a list needs a check of its items, and nothing else does", s.key)
		}
	}
}

func TestDefault(t *testing.T) {
	c := Default()
	loaded, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, loaded.Config) {
		t.Errorf("Default is %+v, Load of nothing gives %+v", c, loaded.Config)
	}
	if c.Limits.MaxInflight != 100 || c.Limits.QueueDepth != 1000 || c.Listen != ":8080" || c.Upstream.URL() != "http://127.0.0.1:3000" {
		t.Errorf("defaults: %+v", c)
	}
	for _, s := range settings {
		if s.derive != nil {
			continue
		}
		again := &Config{}
		if err := s.value.set(again, s.def); err != nil {
			t.Errorf("%s: default %q: %v", s.key, s.def, err)
		}
		if got, want := s.value.get(c), s.value.get(again); got != want {
			t.Errorf("%s: effective default is %q, the table says %q", s.key, got, want)
		}
	}
}

// TestEverySettingReachesItsField sets one setting at a time and looks at all.
func TestEverySettingReachesItsField(t *testing.T) {
	defaults := Default()
	for _, s := range settings {
		sample, ok := samples[s.key]
		if !ok {
			t.Errorf("%s: no sample", s.key)
			continue
		}
		c := Default()
		if err := s.value.set(c, sample.text); err != nil {
			t.Errorf("%s: %v", s.key, err)
			continue
		}
		for _, other := range settings {
			got, want := other.value.get(c), other.value.get(defaults)
			if other == s {
				want = sample.effective
			}
			if got != want {
				t.Errorf("%s set to %s: %s is %q, not %q", s.key, sample.text, other.key, got, want)
			}
		}
		if s.value.get(defaults) == sample.effective {
			t.Errorf("%s: the sample %q is the default", s.key, sample.effective)
		}
	}
}

// TestEveryFieldHasASetting finds fields of Config that nothing sets.
func TestEveryFieldHasASetting(t *testing.T) {
	c := Default()
	for _, s := range settings {
		if err := s.value.set(c, samples[s.key].text); err != nil {
			t.Fatalf("%s: %v", s.key, err)
		}
	}
	var compare func(path string, a, b reflect.Value)
	compare = func(path string, a, b reflect.Value) {
		if a.Kind() == reflect.Struct {
			for i := range a.NumField() {
				compare(path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
			}
			return
		}
		if reflect.DeepEqual(a.Interface(), b.Interface()) && path != ".Command" && path != ".Routes" {
			t.Errorf("Config%s is set by no setting", path)
		}
	}
	compare("", reflect.ValueOf(*c), reflect.ValueOf(*Default()))
}

func TestNonReloadableSettings(t *testing.T) {
	want := []string{
		"admin.listen", "admin.tls_cert", "admin.tls_client_ca", "admin.tls_key", "admin.token_file",
		"async.any_filesystem", "async.dir", "async.enabled", "async.max_store", "async.nats_ca", "async.nats_credentials", "async.nats_replicas", "async.nats_url", "async.webhook_secrets",
		"client.header_timeout", "client.http_engine", "client.idle_timeout", "client.max_header_bytes", "function.name", "function.version",
		"limits.account", "limits.nats_ca", "limits.nats_credentials", "limits.nats_replicas", "limits.nats_url",
		"listen", "log.format", "metrics.compat", "metrics.listen", "openfaas", "startup_timeout",
		"tls.cert", "tls.client_ca", "tls.key",
		"tracing.attributes", "tracing.ca", "tracing.endpoint", "tracing.headers_file", "tracing.service",
		"upstream.ca", "upstream.connect_timeout", "upstream.idle_timeout", "upstream.max_idle", "upstream.url",
	}
	var got []string
	for _, s := range settings {
		if s.fixed {
			got = append(got, s.key)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("settings that need a restart:\n%v, want\n%v", got, want)
	}
}

func TestFlagsHelp(t *testing.T) {
	fs := pflag.NewFlagSet("weir", pflag.ContinueOnError)
	Flags(fs)
	golden(t, "testdata/flags.golden", fs.FlagUsagesWrapped(100))
}

func TestFlagsTakeLists(t *testing.T) {
	loaded := mustLoad(t, Source{Flags: parseFlags(t, "--trusted-proxies=10.0.0.0/8, fd00::/8", "--trusted-proxies", "192.0.2.1", "--ready-fail-on-overload", "--listen=:1", "--listen=:2")})
	if got := formatProxies(loaded.Config.TrustedProxies); got != "10.0.0.0/8,fd00::/8,192.0.2.1/32" {
		t.Errorf("trusted proxies are %s", got)
	}
	if !loaded.Config.Ready.FailOnOverload || loaded.Config.Listen != ":2" {
		t.Errorf("config is %+v", loaded.Config)
	}
}

func parseFlags(t testing.TB, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("weir", pflag.ContinueOnError)
	Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func mustLoad(t testing.TB, src Source) *Loaded {
	t.Helper()
	loaded, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// writeFile writes a configuration file and gives its path.
func writeFile(t testing.TB, content string) string {
	t.Helper()
	path := t.TempDir() + "/weir.yaml"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// golden compares text with a file, or writes the file with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./config -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./config -update rewrites it):\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}
