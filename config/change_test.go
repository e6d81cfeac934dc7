package config

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSection(t *testing.T) {
	got := Default().Section("limits")
	for name, want := range map[string]any{"max_inflight": 100, "overflow": "reject", "queue_depth": 1000, "queue_timeout": "5s"} {
		if got[name] != want {
			t.Errorf("limits.%s is %#v, want %#v", name, got[name], want)
		}
	}
	if got := Default().Section("ready")["fail_on_overload"]; got != false {
		t.Errorf("a boolean is %#v", got)
	}
	c := mustLoad(t, Source{Environ: []string{"WEIR_TRUSTED_PROXIES=10.0.0.0/8,192.0.2.1"}}).Config
	if got := c.Section("")["trusted_proxies"]; !reflect.DeepEqual(got, []string{"10.0.0.0/8", "192.0.2.1/32"}) {
		t.Errorf("a list is %#v", got)
	}
	if got := Default().Section("")["trusted_proxies"]; !reflect.DeepEqual(got, []string{}) {
		t.Errorf("an empty list is %#v", got)
	}
}

func TestChangesWhileItRuns(t *testing.T) {
	loaded := mustLoad(t, Source{Environ: []string{"WEIR_OVERFLOW=wait"}})
	before := *loaded.Config
	c, err := loaded.With("limits", map[string]any{"max_inflight": json.Number("7"), "queue_timeout": "250ms"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Limits.MaxInflight != 7 || c.Limits.QueueTimeout != 250*time.Millisecond || c.Limits.Overflow != OverflowWait {
		t.Errorf("limits are %+v", c.Limits)
	}
	if c.Limits.QueueDepth != 70 {
		t.Errorf("the queue's depth is %d: it follows the limit where nobody set it", c.Limits.QueueDepth)
	}
	if !reflect.DeepEqual(before, *loaded.Config) || loaded.Origins["limits.max_inflight"].From != FromDefault {
		t.Error("what was loaded has changed")
	}
	set := mustLoad(t, Source{Environ: []string{"WEIR_QUEUE_DEPTH=5"}})
	if c, err = set.With("limits", map[string]any{"max_inflight": json.Number("7")}); err != nil || c.Limits.QueueDepth != 5 {
		t.Errorf("the queue's depth that somebody set is %d, %v", c.Limits.QueueDepth, err)
	}
	trusted, err := loaded.With("", map[string]any{"trusted_proxies": []any{"10.0.0.0/8"}})
	if err == nil {
		t.Errorf("settings outside of sections are not to be changed: %+v", trusted)
	}
}

func TestRatesOfRoutesAreChangedByName(t *testing.T) {
	loaded := mustLoad(t, Source{File: writeFile(t, `routes:
  - {path: /slow.d, rate: 5/s}
  - {path: /files, methods: [PUT, POST], rate: 100/m+7}
  - {path: /}
async: {min_share: 10}
`)})
	want := map[string]string{"routes./slow.d.rate": "5/s", "routes.PUT,POST/files.rate": "100/m+7", "routes./.rate": "0"}
	if got := loaded.Config.RouteRates(); !reflect.DeepEqual(got, want) {
		t.Errorf("the rates are %v, want %v", got, want)
	}
	c, err := loaded.With("limits", map[string]any{
		"routes./slow.d.rate": "9/s", "routes./.rate": "1/h", "routes.PUT,POST/files.rate": json.Number("0"),
		"async.max_share": json.Number("20"), "max_inflight": json.Number("7"),
	}, "routes", "async.max_share")
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{"routes./slow.d.rate": "9/s", "routes./.rate": "1/h", "routes.PUT,POST/files.rate": "0"}
	if got := c.RouteRates(); !reflect.DeepEqual(got, changed) || c.Async.MaxShare != 20 || c.Limits.MaxInflight != 7 {
		t.Errorf("the rates are %v, want %v; %+v", got, changed, c.Limits)
	}
	if got := loaded.Config.RouteRates(); !reflect.DeepEqual(got, want) {
		t.Errorf("what was loaded has changed: %v", got)
	}
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"routes./slow.d.rate", "fast", `config: routes./slow.d.rate: "fast" is not a rate such as 100/s`},
		{"routes./slow.d.rate", true, "config: routes./slow.d.rate: is not a rate"},
		{"routes./slow.rate", "1/s", "config: routes./slow.rate: no route has this name, did you mean routes./slow.d.rate?"},
		{"routes./files.timeout", "1/s", "config: routes./files.timeout: no route has this name; the rate of the route for /slow.d is routes./slow.d.rate"},
		{"async.max_share", json.Number("5"), "config: async.m"},
		{"async.max_age", "5s", "unknown setting"},
	} {
		if _, err := loaded.With("limits", map[string]any{c.name: c.value}, "routes", "async.min_share", "async.max_share"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gives %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := mustLoad(t, Source{}).With("limits", map[string]any{"routes./.rate": "1/s"}, "routes"); err == nil || !strings.Contains(err.Error(), "there are no routes") {
		t.Errorf("without routes: %v", err)
	}
}

func TestMistakesInChanges(t *testing.T) {
	waiting := mustLoad(t, Source{File: writeFile(t, "limits: {overflow: wait}\nroutes: [{path: /x, overflow: wait}]\n")})
	for _, c := range []struct {
		values map[string]any
		want   string
	}{
		{map[string]any{"max_inflght": json.Number("1")}, "config: limits.max_inflght: unknown setting, did you mean max_inflight? (the management API)"},
		{map[string]any{"colour": "red"}, "config: limits.colour: unknown setting, there are max_inflight, overflow, queue_depth,"},
		{map[string]any{"max_inflight": "10"}, "config: limits.max_inflight: is a text, not a number: leave the quotes out (the management API)"},
		{map[string]any{"max_inflight": "ten"}, `config: limits.max_inflight: "ten" is not a number, "auto" or 0 (the management API)`},
		{map[string]any{"max_inflight": json.Number("1.5")}, `config: limits.max_inflight: "1.5" is not a`},
		{map[string]any{"max_inflight": json.Number("1e3")}, `config: limits.max_inflight: "1e3" is not a`},
		{map[string]any{"max_inflight": json.Number("-1")}, `config: limits.max_inflight: "-1" is negative`},
		{map[string]any{"max_inflight": json.Number("1000001")}, `is more than 1000000, the most there is`},
		{map[string]any{"max_inflight": true}, "config: limits.max_inflight: is a boolean, not a number"},
		{map[string]any{"max_inflight": []any{}}, "config: limits.max_inflight: is a list, not a number"},
		{map[string]any{"max_inflight": map[string]any{}}, "config: limits.max_inflight: is not a number"},
		{map[string]any{"queue_timeout": json.Number("5")}, `config: limits.queue_timeout: "5" has no unit`},
		{map[string]any{"overflow": "spill"}, `config: limits.overflow: "spill" is not reject, wait or async`},
		{map[string]any{"queue_depth": json.Number("0")}, "config: limits.queue_depth: cannot be 0 while limits.overflow is wait from "},
		{map[string]any{"max_inflight": json.Number("0"), "overflow": "reject"}, "config: routes[0].overflow: cannot be wait while limits.max_inflight is 0 from the management API"},
	} {
		got, err := waiting.With("limits", c.values)
		if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%v gives %v\nwant %s", c.values, err, c.want)
		}
	}
	_, err := waiting.With("limits", map[string]any{"max_inflight": "ten", "overflow": "spill", "queue_depth": json.Number("-1")})
	if mistakes, ok := err.(Errors); !ok || len(mistakes) != 3 { //nolint:errorlint // promised
		t.Errorf("three mistakes give %v", err)
	}
	both, err := waiting.With("limits", map[string]any{"max_inflight": json.Number("7"), "callers.key": "address", "callers.rate": "10/s"}, "callers")
	if err != nil || both.Limits.MaxInflight != 7 || both.Callers.Kind != "address" || both.Callers.Rate.Requests != 10 {
		t.Errorf("two sections give %+v, %v", both, err)
	}
	for name, want := range map[string]string{
		"callers.rat":     "config: callers.rat: unknown setting, did you mean rate?",
		"callers.rate":    "config: callers.rate:",
		"metrics.listen":  "config: limits.metrics.listen: unknown setting",
		"callers.enforce": "config: callers.enforce: is a text, not a boolean: leave the quotes out",
	} {
		if _, err := waiting.With("limits", map[string]any{name: "true"}, "callers"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", name, err, want)
		}
	}
	if _, err := waiting.With("metrics", map[string]any{"listen": ":1"}); err == nil || !strings.Contains(err.Error(), "metrics.listen: needs a restart") {
		t.Errorf("a fixed setting gives %v", err)
	}
	if _, err := waiting.With("ready", map[string]any{"fail_on_overload": "true"}); err == nil || !strings.Contains(err.Error(), "leave the quotes out") {
		t.Errorf("a boolean in quotes gives %v", err)
	}
}

func TestToolsVariablesAreNotWeirs(t *testing.T) {
	for _, name := range toolVariables {
		mustLoad(t, Source{Environ: []string{name + "=x"}})
	}
}
