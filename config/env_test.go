package config

import (
	"strings"
	"testing"
)

func TestUnknownVariables(t *testing.T) {
	for name, want := range map[string]string{
		"WEIR_MAX_INFLGHT":         "config: WEIR_MAX_INFLGHT: unknown variable, did you mean WEIR_MAX_INFLIGHT?",
		"WEIR_LIMITS_MAX_INFLIGHT": "config: WEIR_LIMITS_MAX_INFLIGHT: unknown variable, did you mean WEIR_MAX_INFLIGHT?",
		"WEIR_UPSTREAM_URL":        "config: WEIR_UPSTREAM_URL: unknown variable, did you mean WEIR_UPSTREAM?",
		"WEIR_UPSTREAM_TIMEOUT":    "config: WEIR_UPSTREAM_TIMEOUT: unknown variable, weir run --help lists the flags, and each variable is named after one",
		"WEIR_CONFG":               "config: WEIR_CONFG: unknown variable, did you mean WEIR_CONFIG?",
		"WEIR_ROUTES":              "config: WEIR_ROUTES: routes have no variable: write them into the configuration file",
		"WEIR_":                    "config: WEIR_: unknown variable, weir run --help lists the flags, and each variable is named after one",
		"WEIR_COLOUR_OF_THE_SKY":   "config: WEIR_COLOUR_OF_THE_SKY: unknown variable, weir run --help lists the flags, and each variable is named after one",
		"WEIR_listen":              "config: WEIR_listen: unknown variable, did you mean WEIR_LISTEN?",
		"WEIR_A\nB":                `config: "WEIR_A\nB": unknown variable, weir run --help lists the flags, and each variable is named after one`,
	} {
		_, err := Load(Source{Environ: []string{name + "=1"}})
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestOtherVariablesAreIgnored(t *testing.T) {
	mustLoad(t, Source{Environ: []string{
		"PATH=/bin", "WEIRD=1", "weir_listen=1", "MY_WEIR_X=1", "=C:=x", "nothing", "",
		"max_inflight=ten", "port=http", "exec_timeout=never", // nothing says that these are of-watchdog's
	}})
}

func TestAVariableSetToNothingIsSet(t *testing.T) {
	file := writeFile(t, "ready: {path: /ready}\n")
	loaded := mustLoad(t, Source{File: file, Environ: []string{"WEIR_READY_PATH="}})
	if loaded.Config.Ready.Path != "" || loaded.Origins["ready.path"].From != FromEnv {
		t.Errorf("ready.path is %q from %v", loaded.Config.Ready.Path, loaded.Origins["ready.path"])
	}
	_, err := Load(Source{Environ: []string{"WEIR_QUEUE_DEPTH="}})
	if want := `config: limits.queue_depth: "" is not a whole number (WEIR_QUEUE_DEPTH)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTheFirstOfTwoVariablesCounts(t *testing.T) {
	loaded := mustLoad(t, Source{Environ: []string{"WEIR_LISTEN=:1", "WEIR_LISTEN=:2"}})
	if loaded.Config.Listen != ":1" {
		t.Errorf("listen is %s", loaded.Config.Listen)
	}
}

// serviceLinkVariables is what the kubelet injects for a Service with two ports.
func serviceLinkVariables(prefix, host, url string) []string {
	return []string{
		prefix + "_SERVICE_HOST=" + host,
		prefix + "_SERVICE_PORT=8080",
		prefix + "_SERVICE_PORT_HTTP=8080",
		prefix + "_SERVICE_PORT_METRICS_2=9464",
		prefix + "_PORT=tcp://" + url + ":8080",
		prefix + "_PORT_8080_TCP=tcp://" + url + ":8080",
		prefix + "_PORT_8080_TCP_PROTO=tcp",
		prefix + "_PORT_8080_TCP_PORT=8080",
		prefix + "_PORT_8080_TCP_ADDR=" + host,
		prefix + "_PORT_9464_UDP=udp://" + url + ":9464",
		prefix + "_PORT_9464_UDP_PROTO=udp",
		prefix + "_PORT_9464_UDP_PORT=9464",
		prefix + "_PORT_9464_UDP_ADDR=" + host,
	}
}

func TestServiceLinksAreIgnored(t *testing.T) {
	for _, prefix := range []string{"WEIR", "WEIR_DEMO", "WEIR_MAX_INFLIGHT", "WEIR_SERVICE", "WEIR_SERVICE_PORT", "WEIR_2"} {
		for host, url := range map[string]string{"10.0.0.11": "10.0.0.11", "fd00::11": "[fd00::11]"} {
			for _, pair := range serviceLinkVariables(prefix, host, url) {
				if name, value, _ := strings.Cut(pair, "="); !isServiceLink(name, value) {
					t.Errorf("%s is not recognised", pair)
				}
			}
			mustLoad(t, Source{Environ: serviceLinkVariables(prefix, host, url)})
		}
	}
}

func TestWhatOnlyResemblesAServiceLinkIsAnError(t *testing.T) {
	for _, pair := range []string{
		"WEIR_PORT=8080",
		"WEIR_PORT=:8080",
		"WEIR_PORT=",
		"WEIR_PORT=http://10.0.0.11:8080",
		"WEIR_PORT=tcp://function:8080",
		"WEIR_PORT=tcp://10.0.0.11",
		"WEIR_SERVICE_HOST=function",
		"WEIR_SERVICE_PORT=http",
		"WEIR_SERVICE_PORT=0",
		"WEIR_PORT_8080_TCP=tcp://10.0.0.11:8081",
		"WEIR_PORT_8080_TCP=udp://10.0.0.11:8080",
		"WEIR_PORT_8080_TCP_PROTO=udp",
		"WEIR_PORT_8080_TCP_PORT=80",
		"WEIR_PORT_8080_TCP_ADDR=10.0.0",
		"WEIR_PORT_8080_TCP_NAME=http",
		"WEIR_LISTEN_PORT=8080",
		"WEIR_HOST=10.0.0.11",
	} {
		if _, err := Load(Source{Environ: []string{pair}}); err == nil || !strings.Contains(err.Error(), "unknown variable") {
			t.Errorf("%s: %v", pair, err)
		}
	}
}
