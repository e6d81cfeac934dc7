package config

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"Example.COM.":       "example.com",
		"example.com:8443":   "example.com:8443",
		"*.example.com":      "*.example.com",
		"*, *:443":           "*,*:443",
		"localhost":          "localhost",
		"10.0.0.0/8":         "10.0.0.0/8",
		"10.0.0.1":           "10.0.0.1",
		"10.0.0.1:80":        "10.0.0.1:80",
		"10.0.0.0/8:80":      "10.0.0.0/8:80",
		"fd00::/8":           "fd00::/8",
		"fd00::1":            "fd00::1",
		"[fd00::1]:80,[::1]": "[fd00::1]:80,::1",
		"[fd00::/8]:80":      "[fd00::/8]:80",
		"a_b.example:1":      "a_b.example:1",
	} {
		rules, err := parseHostRules(text)
		c := &Config{}
		c.Async.CallbacksAllow = rules
		got := hostRules(func(c *Config) *[]HostRule { return &c.Async.CallbacksAllow }).get(c)
		if err != nil || got != want {
			t.Errorf("%q gives %q, %v", text, got, err)
		}
		if again, err := parseHostRules(got); err != nil || len(again) != len(rules) {
			t.Errorf("%q, as it is printed, gives %v, %v", got, again, err)
		}
	}
	for _, text := range []string{
		"a,,b", ",", "**", "*.*.example", "*example.com", "a.*.example", "https://example.com", "example.com/x", "example.com:", "example.com:0", "example.com:65536",
		"10.1/8", "10.0.0.1/8", "127.1", "2130706433", "fd00::1:80:x", "[fd00::1", "::ffff:10.0.0.1", "fe80::1%eth0", "a b", "ex\u00e4mple", "a..b", strings.Repeat("x,", 1000) + "x",
	} {
		if got, err := parseHostRules(text); err == nil {
			t.Errorf("%q was accepted as %v", text, got)
		}
	}
}

func TestWebhookRelations(t *testing.T) {
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(secrets, []byte("whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), 32))), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(more string) string { return "async: {webhook_secrets: '" + secrets + "', " + more + "}" }
	for file, want := range map[string]string{
		"async: {callbacks_allow: ['*']}":                             `config: async.callbacks_allow: cannot be set without async.webhook_secrets: receivers could not tell what weir sends from what others do (weir.yaml:1)`,
		"async: {on_failure: 'https://a.example/'}":                   `config: async.on_failure: cannot be set without async.webhook_secrets: receivers could not tell what weir sends from what others do (weir.yaml:1)`,
		"async: {on_success: 'nats://orders.done'}":                   `config: async.on_success: cannot be a NATS subject without async.nats_url: nobody could listen to the server within this process (weir.yaml:1)`,
		"async: {on_success: ftp://x}":                                `config: async.on_success: "ftp://x" is not a URL such as https://example.com/done, or a NATS subject such as nats://orders.done (weir.yaml:1)`,
		"async: {on_success: 'https://u:hunter2@a.example/'}":         `config: async.on_success: has a user or password in it, which everybody may read: receivers know weir by its signature (weir.yaml:1)`,
		"async: {on_success: 'https://a.example/#x'}":                 `config: async.on_success: "https://a.example/#x" has a fragment, which is never sent: leave it out (weir.yaml:1)`,
		"async: {on_success: 'nats://weir.fn.todo'}":                  `config: async.on_success: "nats://weir.fn.todo" is a subject that weir or NATS itself uses: choose another that does not begin with weir. or $ (weir.yaml:1)`,
		"async: {on_success: 'nats://a.*'}":                           `config: async.on_success: "nats://a.*" is not a NATS subject such as nats://orders.done: tokens parted by dots, without wildcards (weir.yaml:1)`,
		"async: {callbacks_allow: ['https://a.example']}":             `config: async.callbacks_allow: "https://a.example" is a URL: leave out all but the host and the port (weir.yaml:1)`,
		with("callbacks_allow: ['*', 10.0.0.0/8]"):                    "",
		with("on_failure: 'http://10.0.0.1/x?y'"):                     "",
		"async: {on_success: nats://orders.done, nats_url: nats://h}": "",
	} {
		_, err := load(Source{File: "weir.yaml"}, []byte(file), nil, settings)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", file, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s:\n%v, want\n%s", file, err, want)
		}
	}
	if got := Subject("nats://a.B"); got != "a.B" || Subject("https://a") != "" {
		t.Errorf("the subject is %q", got)
	}
}

func TestParseSecrets(t *testing.T) {
	secret := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), n)) }
	for content, want := range map[string]int{
		secret(24):                   1,
		"whsec_" + secret(64) + "\n": 1,
		"# new\nwhsec_" + secret(32) + "\r\n\n" + secret(24): 2,
	} {
		if got, err := ParseSecrets([]byte(content)); err != nil || len(got) != want || len(got[0]) < 24 {
			t.Errorf("%q gives %d secrets, %v", content, len(got), err)
		}
	}
	for content, want := range map[string]string{
		"":                                 "it holds no secret",
		"# whsec_x":                        "it holds no secret",
		"whsec_hunter2!":                   "its line 1 is no secret in base64",
		"\n" + secret(23):                  "the secret in its line 2 has 23 bytes",
		secret(65):                         "has 65 bytes",
		strings.Repeat(secret(32)+"\n", 9): "more than 8",
	} {
		if got, err := ParseSecrets([]byte(content)); err == nil || !strings.Contains(err.Error(), want) || got != nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q gives %d secrets, %v", content, len(got), err)
		}
	}
}

func FuzzHostRules(f *testing.F) {
	for _, s := range []string{"*.example.com:443,*", "[fd00::/8]:80,10.0.0.1:80", "10.0.0.0/8", "::1", "a:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := parseHostRules(text)
		if err != nil {
			return
		}
		for _, r := range rules {
			again, err := parseHostRule(r.String())
			if err != nil || again != r {
				t.Fatalf("%q gives %+v, printed as %q, which gives %+v, %v", text, r, r, again, err)
			}
		}
	})
}
