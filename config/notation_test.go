package config

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "4096": 4096, "10B": 10, "0KiB": 0,
		"64KiB": 64 << 10, "1MiB": 1 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"64kB": 64e3, "64KB": 64e3, "10MB": 10e6, "3GB": 3e9, "1TB": 1e12,
		"9223372036854775807": math.MaxInt64, "8388607TiB": 8388607 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                     "is not a size",
		"KiB":                  "is not a size",
		"-1":                   "is negative",
		"-1KiB":                "is not a size",
		"+1":                   "is not a size",
		"010":                  "starts with 0",
		"1.5MiB":               "is not a whole number",
		"64K":                  "write 64KiB (of 1024) or 64kB (of 1000)",
		"64m":                  "write 64MiB (of 1024) or 64MB (of 1000)",
		"64kib":                "write 64KiB (of 1024) or 64kB (of 1000)",
		"64 KiB":               "write 64KiB (of 1024) or 64kB (of 1000)",
		"64Kb":                 "write 64KiB",
		"64PiB":                "has no unit that is known",
		"64i":                  "has no unit that is known",
		"64KiBB":               "has no unit that is known",
		"9223372036854775808":  "is more than",
		"8388608TiB":           "is more than",
		"99999999999999999999": "is more than",
	} {
		if got, err := parseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %d, %v; want %s", text, got, err, want)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 1: "1", 10: "10", 999: "999", 1000: "1kB", 1024: "1KiB", 1025: "1025", 65536: "64KiB",
		10_000_000: "10MB", 1 << 20: "1MiB", 1 << 30: "1GiB", 1_024_000: "1024kB", 1_025_024: "1001KiB", math.MaxInt64: "9223372036854775807",
	} {
		if got := formatSize(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "5s": 5 * time.Second, "1m30s": 90 * time.Second,
		"1.5h": 90 * time.Minute, "8760h": maxDuration, "1ns": 1,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is not a duration", "5": "has no unit: write 5s", "1.5": "has no unit", "5 s": "is not a duration", "1d": "is not a duration",
		"-1s": "is negative", "8760h1ns": "is more than 8760h", "9999999h": "is not a duration", "infs": "is not a duration",
	} {
		if got, err := parseDuration(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", 90 * time.Minute: "1h30m",
		time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 20 * time.Hour: "20h", 1500 * time.Millisecond: "1.5s",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestParseSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "10": 10 * time.Second, "10s": 10 * time.Second, "1m": time.Minute} {
		if got, err := parseSeconds(text); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseUpstream(t *testing.T) {
	for text, want := range map[string]Upstream{
		"http://127.0.0.1:3000":   {Scheme: "http", Address: "127.0.0.1:3000"},
		"http://127.0.0.1:3000/":  {Scheme: "http", Address: "127.0.0.1:3000"},
		"HTTP://Function:3000":    {Scheme: "http", Address: "Function:3000"},
		"http://function":         {Scheme: "http", Address: "function:80"},
		"h2c://my_func.ns.svc:50": {Scheme: "h2c", Address: "my_func.ns.svc:50"},
		"h2c://function":          {Scheme: "h2c", Address: "function:80"},
		"https://function":        {Scheme: "https", Address: "function:443"},
		"http://[::1]:3000":       {Scheme: "http", Address: "[::1]:3000"},
		"http://[::1]":            {Scheme: "http", Address: "[::1]:80"},
		"http://[fe80::1%25e0]:1": {Scheme: "http", Address: "[fe80::1%e0]:1"},
		"unix:///run/f.sock":      {Scheme: "unix", Address: "/run/f.sock"},
		"UNIX:///a b%20c@d":       {Scheme: "unix", Address: "/a b%20c@d"},
	} {
		scheme, address, err := parseUpstream(text)
		if err != nil || scheme != want.Scheme || address != want.Address {
			t.Errorf("%s is %s %s, %v; want %+v", text, scheme, address, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                             "has no scheme",
		"3000":                         "has no scheme",
		"//function":                   "has no scheme",
		"http:function":                "has no scheme",
		"://function":                  "is not a URL",
		"http://":                      "has no valid host",
		"http:///x":                    "has a path",
		"http://function/x":            "has a path",
		"http://function/%2F":          "has a path",
		"http://function//":            "has a path",
		"http://function?":             "has a query",
		"http://function/?a":           "has a query",
		"http://function#":             "has a fragment",
		"http://function#a":            "has a fragment",
		"http://function:":             "has no port behind the colon",
		"http://function:http":         "is not a URL",
		"http://function:0":            "has no port from 1",
		"http://function:080":          "has no port from 1",
		"http://function:65536":        "has no port from 1",
		"http://fun ction":             "is not a URL",
		"http://-function":             "has no valid host",
		"http://fünction":              "has no valid host",
		"http://a,b":                   "has no valid host",
		"http://[::1":                  "is not a URL",
		"http://[::g]:1":               "is not a URL",
		"http://[fe80::1%25%20]:1":     "has no valid host",
		"ftp://function":               "scheme that is none of",
		"unix:/run/f.sock":             "is not unix:///path",
		"unix://f.sock":                "must be absolute",
		"unix://":                      "must be absolute",
		"unix:///":                     "names a directory",
		"unix:///run/":                 "names a directory",
		"unix:///run/f?x":              "has a query or fragment",
		"unix:///run/\n":               "control characters",
		"unix:///\xff":                 "control characters",
		"unix:///" + longPath(107):     "has a path of 108 bytes: a socket's has at most 107",
		"http://" + longPath(254) + "": "has no valid host",
		"http://u:hunter2@f":           "holds a user",
		"http://u:hunter2 @f":          "holds a user",
		"gopher://u:hunter2@f/@hunter": "holds a user",
	} {
		scheme, address, err := parseUpstream(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %s %s, %v; want %s", text, scheme, address, err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v shows a password", err)
		}
	}
	if _, _, err := parseUpstream("unix:///" + longPath(106)); err != nil {
		t.Error(err)
	}
}

func longPath(n int) string { return strings.Repeat("x", n) }

func TestParseListen(t *testing.T) {
	for _, text := range []string{":8080", ":0", "127.0.0.1:65535", "localhost:80", "[::1]:8080", "[::]:80", "[fe80::1%eth0]:80", "my-host.example:1"} {
		if err := parseListen(text); err != nil {
			t.Error(err)
		}
	}
	for text, want := range map[string]string{
		"":               "is not host:port",
		"8080":           "write :8080 for port 8080",
		"127.0.0.1":      "write 127.0.0.1:8080",
		"::1":            "write [::1]:8080",
		":":              "has no port",
		":http":          "has no port",
		":-1":            "has no port",
		":+1":            "has no port",
		":65536":         "has no port",
		":08080":         "leading 0",
		"a:b:1":          "is not host:port",
		"http://a:1":     "is not host:port",
		"a b:1":          "no valid host",
		"/run/x.sock:1":  "no valid host",
		"[::1%\x00]:1":   "no valid host",
		".example:1":     "no valid host",
		"unix:/run/sock": "has no port",
	} {
		if err := parseListen(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"max_inflight", "overflow", "queue_depth", "queue_timeout", "url", "ca"}
	for word, want := range map[string]string{
		"max_inflght": "max_inflight", "maxInflight": "max_inflight", "MAX-INFLIGHT": "max_inflight", "max_infilght": "max_inflight",
		"overflw": "overflow", "queue_dept": "queue_depth", "uri": "url", "urls": "url", "": "", "colour": "", "x": "",
		strings.Repeat("max_inflight", 100): "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

func TestQuoteCutsBetweenRunes(t *testing.T) {
	if got := quote(strings.Repeat("x", 99) + "ü"); got != `"`+strings.Repeat("x", 99)+`"...` {
		t.Errorf("got %s", got)
	}
	if got := quote(strings.Repeat("\x80", 200)); !strings.HasSuffix(got, `"...`) || len(got) > 500 {
		t.Errorf("got %s", got)
	}
}

func TestChecksOfText(t *testing.T) {
	for _, c := range []struct {
		name  string
		check func(string) error
		text  string
		want  string // of the error, "" for none
	}{
		{"name", checkName, "a", ""},
		{"name", checkName, "9.resize-image_v2", ""},
		{"name", checkName, longPath(128), ""},
		{"name", checkName, longPath(129), "has 129 characters: at most 128"},
		{"name", checkName, "", "is empty"},
		{"name", checkName, ".a", "does not start with"},
		{"name", checkName, "a/b", "has other characters"},
		{"name", checkName, "a*", "has other characters"},
		{"name", checkName, "ünction", "has other characters"},
		{"version", checkVersion, "", ""},
		{"version", checkVersion, "v1+2", "has other characters"},
		{"probe", checkProbePath, "", ""},
		{"probe", checkProbePath, "/", ""},
		{"probe", checkProbePath, "/ready?full=1&a=%20", ""},
		{"probe", checkProbePath, "ready", "does not start with /"},
		{"probe", checkProbePath, "/a#b", "has a fragment"},
		{"probe", checkProbePath, "/a\r\nX: y", "other characters than visible ASCII"},
		{"probe", checkProbePath, "/é", "other characters than visible ASCII"},
		{"route", checkRoutePath, "/", ""},
		{"route", checkRoutePath, "/a/b.c;d=e,(f)", ""},
		{"route", checkRoutePath, "", "does not start with /"},
		{"route", checkRoutePath, "//", "ends with /"},
		{"route", checkRoutePath, "/.", "segment"},
		{"route", checkRoutePath, "/...", ""},
		{"method", checkMethod, "GET", ""},
		{"method", checkMethod, "M-SEARCH", ""},
		{"method", checkMethod, "", "is not a method"},
		{"method", checkMethod, "GET,POST", "is not a method"},
		{"method", checkMethod, "GET ", "is not a method"},
		{"method", checkMethod, "Get", "write GET"},
		{"file", checkFile, "a b.pem", ""},
		{"file", checkFile, "a\nb", "has control characters"},
	} {
		err := c.check(c.text)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %q: %v, want %q", c.name, c.text, err, c.want)
		}
	}
}
