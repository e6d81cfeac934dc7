package config

import (
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzYAML reads any bytes as a configuration file: they are valid, and then
// printed and read again they mean the same, or wrong, and then each mistake has
// a place and one line.
func FuzzYAML(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d seeds: %v", len(files), err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		loaded, err := load(Source{File: "weir.yaml"}, content, nil, settings)
		if err == nil {
			reread(t, loaded)
			return
		}
		errs, ok := errors.AsType[Errors](err)
		if !ok || len(errs) == 0 || loaded != nil {
			t.Fatalf("%T with %v: %v", err, loaded, err)
		}
		for _, e := range errs {
			text := e.Error()
			if strings.ContainsFunc(text, isControl) {
				t.Errorf("%q is not one clean line", text)
			}
			if e.Origin.From != FromFile && !strings.HasSuffix(text, "mistakes more") {
				t.Errorf("%q has no place", text)
			}
			if e.Origin.Line < 0 || e.Origin.Line > len(content)+1 {
				t.Errorf("%q is beyond the end of the file", text)
			}
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, text := range []string{"0", "64KiB", "10MB", "64K", "1.5MiB", "-1", "8388608TiB", "010", "KiB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSize(text)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is read as %d", text, n)
		}
		if again, err := parseSize(formatSize(n)); err != nil || again != n {
			t.Errorf("%q is %d, written %s, read again %d: %v", text, n, formatSize(n), again, err)
		}
	})
}

func FuzzFormatSize(f *testing.F) {
	for _, n := range []int64{0, 1, 1000, 1024, 1 << 40, math.MaxInt64} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 {
			return
		}
		if again, err := parseSize(formatSize(n)); err != nil || again != n {
			t.Errorf("%d is written %s, read again %d: %v", n, formatSize(n), again, err)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, text := range []string{"0", "5s", "1m30s", "5", "-5s", "8760h", "1h0m0.000000001s", "1.5", "9e9s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, parse := range map[string]func(string) (time.Duration, error){"duration": parseDuration, "seconds": parseSeconds} {
			d, err := parse(text)
			if err != nil {
				continue
			}
			if d < 0 || d > maxDuration {
				t.Fatalf("%s %q is read as %v", name, text, d)
			}
			if again, err := parseDuration(formatDuration(d)); err != nil || again != d {
				t.Errorf("%s %q is %v, written %s, read again %v: %v", name, text, d, formatDuration(d), again, err)
			}
		}
	})
}

func FuzzUpstream(f *testing.F) {
	for _, text := range []string{
		"http://127.0.0.1:3000", "h2c://[::1]", "https://function/", "unix:///run/f.sock", "http://u:p@f", "http://f:0", "http://[fe80::1%25eth0]:80",
		"http://[v1.x]", "unix:///a?b", "HTTPS://F:443#",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		scheme, address, err := parseUpstream(text)
		if err != nil {
			return
		}
		switch scheme {
		case "http", "https", "h2c":
			host, port, err := net.SplitHostPort(address)
			if n, ok := parsePort(port); err != nil || host == "" || !ok || n == 0 {
				t.Fatalf("%q is read as %s %q", text, scheme, address)
			}
		case "unix":
			if !strings.HasPrefix(address, "/") {
				t.Fatalf("%q is read as %s %q", text, scheme, address)
			}
		default:
			t.Fatalf("%q is read as %s %q", text, scheme, address)
		}
		written := Upstream{Scheme: scheme, Address: address}.URL()
		if s, a, err := parseUpstream(written); err != nil || s != scheme || a != address {
			t.Errorf("%q is %s %s, written %s, read again %s %s: %v", text, scheme, address, written, s, a, err)
		}
	})
}
