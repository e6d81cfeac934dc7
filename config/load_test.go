package config

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPrecedence gives a setting in more and more layers.
func TestPrecedence(t *testing.T) {
	file := writeFile(t, "limits:\n  max_inflight: 2\n")
	watchdog := []string{"mode=http", "max_inflight=3"}
	steps := []struct {
		src    Source
		want   int
		origin string
	}{
		{Source{}, 100, "default"},
		{Source{File: file}, 2, file + ":2"},
		{Source{File: file, Environ: watchdog}, 3, "max_inflight (of-watchdog)"},
		{Source{File: file, Environ: append(watchdog, "WEIR_MAX_INFLIGHT=4")}, 4, "WEIR_MAX_INFLIGHT"},
		{Source{File: file, Environ: append(watchdog, "WEIR_MAX_INFLIGHT=4"), Flags: parseFlags(t, "--max-inflight=5")}, 5, "flag --max-inflight"},
		{Source{File: file, Environ: watchdog, Flags: parseFlags(t, "--max-inflight", "6")}, 6, "flag --max-inflight"},
		{Source{File: file, Flags: parseFlags(t)}, 2, file + ":2"},
	}
	for _, step := range steps {
		loaded := mustLoad(t, step.src)
		if got := loaded.Config.Limits.MaxInflight; got != step.want {
			t.Errorf("max_inflight is %d, want %d", got, step.want)
		}
		if got := loaded.Origins["limits.max_inflight"].String(); got != step.origin {
			t.Errorf("it comes from %s, want %s", got, step.origin)
		}
	}
}

func TestEverySettingFromEnvironmentAndFlags(t *testing.T) {
	var environ, args []string
	for _, s := range settings {
		text := samples[s.key].text
		if s.value.kind == kindFile {
			text = "" // these need files: TestTLSFiles
		}
		if s.key == "async.webhook_secrets" {
			text = "testdata/valid-secrets" // others need it
		}
		environ = append(environ, s.variable()+"="+text)
		args = append(args, "--"+s.flag+"="+text)
	}
	fromEnv := mustLoad(t, Source{Environ: environ})
	fromFlags := mustLoad(t, Source{Flags: parseFlags(t, args...)})
	for _, s := range settings {
		want := samples[s.key].effective
		if s.value.kind == kindFile {
			want = ""
		}
		if s.key == "async.webhook_secrets" {
			want = "testdata/valid-secrets"
		}
		if got := s.value.get(fromEnv.Config); got != want {
			t.Errorf("%s gives %q, want %q", s.variable(), got, want)
		}
		if got := fromEnv.Origins[s.key]; got != (Origin{From: FromEnv, Name: s.variable()}) {
			t.Errorf("%s comes from %v", s.key, got)
		}
		if got := s.value.get(fromFlags.Config); got != want {
			t.Errorf("--%s gives %q, want %q", s.flag, got, want)
		}
		if got := fromFlags.Origins[s.key]; got != (Origin{From: FromFlag, Name: s.flag}) {
			t.Errorf("%s comes from %v", s.key, got)
		}
	}
}

func TestWhereTheFileIsNamed(t *testing.T) {
	write := func(listen string) string { return writeFile(t, "listen: "+listen+"\n") }
	one, two, three := write(":1"), write(":2"), write(":3")
	for _, c := range []struct {
		src  Source
		want string
	}{
		{Source{Environ: []string{"WEIR_CONFIG=" + three}}, ":3"},
		{Source{Environ: []string{"WEIR_CONFIG=" + three}, Flags: parseFlags(t, "--config", two)}, ":2"},
		{Source{Environ: []string{"WEIR_CONFIG=" + three}, Flags: parseFlags(t, "--config", two), File: one}, ":1"},
		{Source{Environ: []string{"WEIR_CONFIG="}}, ":8080"},
	} {
		if got := mustLoad(t, c.src).Config.Listen; got != c.want {
			t.Errorf("listen is %s, want %s", got, c.want)
		}
	}
	for _, c := range []struct {
		src  Source
		want string
	}{
		{Source{Environ: []string{"WEIR_CONFIG=none.yaml"}}, "config: none.yaml: cannot be read: no such file or directory (WEIR_CONFIG)"},
		{Source{Flags: parseFlags(t, "--config=none.yaml")}, "config: none.yaml: cannot be read: no such file or directory (--config)"},
		{Source{Flags: parseFlags(t, "--config=")}, "config: config: is empty: name a file, or leave it out (--config)"},
	} {
		if _, err := Load(c.src); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// TestAllMistakesOfAllLayers makes one mistake in each, also in overridden ones.
func TestAllMistakesOfAllLayers(t *testing.T) {
	content := "limits:\n  max_inflight: ten\ndrain:\n  timeout: 5\n"
	_, err := load(Source{
		File:    "weir.yaml",
		Environ: []string{"WEIR_MAX_INFLIGHT=-1", "WEIR_LISTN=:1", "fprocess=node index.js", "port=http", "WEIR_TIMEOUT=60"},
		Flags:   parseFlags(t, "--max-inflight=20", "--overflow=wait", "--queue-depth=0", "--log-level=loud"),
	}, []byte(content), nil, settings)
	want := []string{
		`config: limits.max_inflight: "ten" is not a number, "auto" or 0 (weir.yaml:2)`,
		`config: drain.timeout: "5" has no unit: write 5s for seconds, or 5ms (weir.yaml:4)`,
		`config: WEIR_LISTN: unknown variable, did you mean WEIR_LISTEN?`,
		`config: listen: "http" is not a port from 1 to 65535 (port in the environment)`,
		`config: limits.max_inflight: "-1" is negative (WEIR_MAX_INFLIGHT)`,
		`config: timeouts.request: "60" has no unit: write 60s for seconds, or 60ms (WEIR_TIMEOUT)`,
		`config: log.level: "loud" is not debug, info, warn or error (--log-level)`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got:\n%v\nwant:\n%s", err, strings.Join(want, "\n"))
	}
	one, ok := errors.AsType[*Error](err)
	if !ok || one.Key != "limits.max_inflight" || one.Origin != (Origin{From: FromFile, Name: "weir.yaml", Line: 2}) {
		t.Errorf("the first is %+v", one)
	}
}

func TestRelationsAcrossLayers(t *testing.T) {
	for _, c := range []struct {
		name    string
		content string
		environ []string
		args    []string
		want    string
	}{
		{
			"waiting without a limit", "limits:\n  overflow: wait\n",
			nil,
			[]string{"--max-inflight=0"},
			"config: limits.overflow: cannot be wait while limits.max_inflight is 0 from --max-inflight: without a limit nothing ever waits; set a limit, or overflow reject (weir.yaml:2)",
		},
		{
			"waiting nowhere", "limits:\n  queue_depth: 0\n",
			[]string{"WEIR_OVERFLOW=wait"},
			nil,
			"config: limits.queue_depth: cannot be 0 while limits.overflow is wait from WEIR_OVERFLOW: nothing could wait (weir.yaml:2)",
		},
		{
			"probe longer than its interval", "ready: {timeout: 5s}",
			nil, nil,
			"config: ready.timeout: cannot be more than ready.interval: it is 5s while ready.interval is 2s by default (weir.yaml:1)",
		},
		{
			"one port for both", "metrics: {listen: \"127.0.0.1:8080\"}",
			nil, nil,
			"config: metrics.listen: cannot be on the same port: listen is :8080 by default (weir.yaml:1)",
		},
		{
			"data port on the metrics port", "{}",
			nil,
			[]string{"--listen=localhost:9464"},
			"config: listen: cannot be on the same port: metrics.listen is :9464 by default (--listen)",
		},
		{
			"management API on the data port", "{}",
			nil,
			[]string{"--listen=:9465"},
			"config: listen: cannot be on the same port: admin.listen is 127.0.0.1:9465 by default (--listen)",
		},
		{
			"management API for everybody", "admin: {listen: \":9465\"}",
			nil, nil,
			"config: admin.listen: cannot be an address that others reach without admin.token_file or admin.tls_client_ca: whoever gets there could drain weir or change its limits. Set one of them, or listen on 127.0.0.1 (weir.yaml:1)",
		},
		{
			"management API for those who know its name", "{}",
			[]string{"WEIR_ADMIN_LISTEN=weir.example:9465"},
			nil,
			"config: admin.listen: cannot be an address that others reach without admin.token_file or admin.tls_client_ca: whoever gets there could drain weir or change its limits. Set one of them, or listen on 127.0.0.1 (WEIR_ADMIN_LISTEN)",
		},
		{
			"no token in its file", "admin: {listen: \":9465\", token_file: testdata/valid-comments.yaml}",
			nil, nil,
			"config: admin.token_file: testdata/valid-comments.yaml cannot be used: its token has other characters than visible ASCII ones, or more than one line (weir.yaml:1)",
		},
		{
			"weir in front of its own management API", "upstream: {url: \"http://localhost:9465\"}",
			nil, nil,
			"config: upstream.url: would make weir its own upstream: admin.listen is 127.0.0.1:9465 by default (weir.yaml:1)",
		},
		{
			"weir in front of itself", "upstream: {url: \"http://localhost:8080\"}",
			nil, nil,
			"config: upstream.url: would make weir its own upstream: listen is :8080 by default (weir.yaml:1)",
		},
		{
			"weir in front of itself by address", "upstream: {url: \"h2c://192.0.2.7:8080\"}\nlisten: 192.0.2.7:8080\n",
			nil, nil,
			"config: upstream.url: would make weir its own upstream: listen is 192.0.2.7:8080 from weir.yaml:2 (weir.yaml:1)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(Source{File: "weir.yaml", Environ: c.environ, Flags: parseFlags(t, c.args...)}, []byte(c.content), nil, settings)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestWhatIsNoConflict(t *testing.T) {
	for _, content := range []string{
		"listen: :0\nmetrics: {listen: \":0\"}",
		"listen: 127.0.0.1:8080\nmetrics: {listen: \"127.0.0.2:8080\"}",
		"listen: :8080\nupstream: {url: \"http://function:8080\"}", // another machine, for all that is known
		"listen: 192.0.2.7:8080\nupstream: {url: \"http://127.0.0.1:8080\"}",
		"listen: :8080\nupstream: {url: \"unix:///run/function:8080\"}",
		"limits: {max_inflight: 0}",
		"limits: {max_inflight: 0, queue_depth: 50}",
		"limits: {queue_depth: 0}",
		"ready: {interval: 200ms}", // takes the default of ready.timeout along
	} {
		if err := loadText(t, content); err != nil {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestDerivedDefaults(t *testing.T) {
	loaded := mustLoad(t, Source{Flags: parseFlags(t, "--max-inflight=7", "--ready-interval=200ms")})
	if got := loaded.Config.Limits.QueueDepth; got != 70 {
		t.Errorf("queue depth is %d", got)
	}
	if got := loaded.Origins["limits.queue_depth"].String(); got != "default (limits.max_inflight x 10)" {
		t.Errorf("it comes from %q", got)
	}
	if got := loaded.Config.Ready.Timeout; got != 200*time.Millisecond {
		t.Errorf("probe timeout is %v", got)
	}
	loaded = mustLoad(t, Source{Flags: parseFlags(t, "--max-inflight=0")})
	if got := loaded.Config.Limits.QueueDepth; got != 0 {
		t.Errorf("queue depth without a limit is %d", got)
	}
}

func TestLimitsOfTheLimit(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{{"0", 0}, {"1", 1}, {"1000000", 1_000_000}} {
		if got := mustLoad(t, Source{Environ: []string{"WEIR_MAX_INFLIGHT=" + c.text}}).Config.Limits.MaxInflight; got != c.want {
			t.Errorf("%s is read as %d", c.text, got)
		}
	}
	for _, text := range []string{"", " 5", "5 ", "+5", "-0", "5.0", "1e3", "0x5", "5_0", "٥", "99999999999999999999", "unlimited", "AUTO", "nan", "inf"} {
		loaded, err := Load(Source{Environ: []string{"WEIR_MAX_INFLIGHT=" + text}})
		if err == nil {
			t.Errorf("%q is read as %d", text, loaded.Config.Limits.MaxInflight)
		} else if !strings.HasPrefix(err.Error(), "config: limits.max_inflight: ") || !strings.HasSuffix(err.Error(), " (WEIR_MAX_INFLIGHT)") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestLoadedDoesNotShareItsSource changes the source afterwards.
func TestLoadedDoesNotShareItsSource(t *testing.T) {
	src := Source{Environ: []string{"WEIR_LISTEN=:1"}, Command: []string{"node", "index.js"}}
	loaded := mustLoad(t, src)
	src.Environ[0], src.Command[0] = "WEIR_LISTEN=:2", "python"
	if loaded.source.Environ[0] != "WEIR_LISTEN=:1" || !slices.Equal(loaded.Config.Command, []string{"node", "index.js"}) {
		t.Errorf("source is %+v, command %v", loaded.source, loaded.Config.Command)
	}
}

func TestErrorsUnwrapToTheSystemsError(t *testing.T) {
	_, err := Load(Source{Flags: parseFlags(t, "--tls-cert=none.pem", "--tls-key=none.pem")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not os.ErrNotExist", err)
	}
}

func TestTrustedProxiesFromText(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"  ":                      "",
		"10.0.0.0/8":              "10.0.0.0/8",
		" 192.0.2.1 ,\tfd00::/8 ": "192.0.2.1/32,fd00::/8",
		"0.0.0.0/0":               "0.0.0.0/0",
	} {
		loaded := mustLoad(t, Source{Environ: []string{"WEIR_TRUSTED_PROXIES=" + text}})
		if got := formatProxies(loaded.Config.TrustedProxies); got != want {
			t.Errorf("%q is read as %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"10.0.0.0/8,,192.0.2.1": `"" is not an address or CIDR`,
		"10.0.0.0/8,":           `"" is not an address or CIDR`,
		"10.0.0.0/33":           `"10.0.0.0/33" is not an address or CIDR`,
		"10.0.0.1/8":            "write 10.0.0.0/8",
		"::ffff:10.0.0.0/104":   "is an IPv4 address in IPv6 clothes",
		"fe80::1%eth0":          "leave %eth0 out",
		strings.Repeat("10.0.0.0/8,", 1000) + "192.0.2.1": "holds 1001 addresses: at most 1000",
	} {
		if _, err := Load(Source{Environ: []string{"WEIR_TRUSTED_PROXIES=" + text}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
