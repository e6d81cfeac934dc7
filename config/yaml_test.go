package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestInvalidFiles compares the messages about each mistake with a golden file.
// Lines with a mistake carry the comment "# wrong": each of them is reported, and
// no other.
func TestInvalidFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid-*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			err := CheckFile(file)
			errs, ok := errors.AsType[Errors](err)
			if !ok {
				t.Fatalf("CheckFile returned %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")

			content, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			var want, got []int
			for i, line := range strings.Split(string(content), "\n") {
				if strings.Contains(line, "# wrong") {
					want = append(want, i+1)
				}
			}
			for _, e := range errs {
				if e.Origin.From != FromFile || e.Origin.Name != file {
					t.Errorf("%v: does not name the file", e)
				}
				if e.Origin.Line != 0 && !slices.Contains(got, e.Origin.Line) {
					got = append(got, e.Origin.Line)
				}
				if strings.ContainsAny(e.Error(), "\n\x1b\x00") {
					t.Errorf("%q: not one clean line", e.Error())
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("mistakes on lines %v, reported %v:\n%v", want, got, err)
			}
		})
	}
}

func TestEveryGoldenHasItsFile(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid-*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := os.Stat(strings.TrimSuffix(file, ".golden") + ".yaml"); err != nil {
			t.Error(err)
		}
	}
}

func TestMessageOfTheHouse(t *testing.T) {
	err := loadText(t, "\n\n\n\n\nlimits:\n  max_inflight: ten\n")
	if want := `config: limits.max_inflight: "ten" is not a number, "auto" or 0 (weir.yaml:7)`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// loadText loads a file that is called weir.yaml.
func loadText(t testing.TB, content string) error {
	t.Helper()
	_, err := load(Source{File: "weir.yaml"}, []byte(content), nil, settings)
	return err
}

func TestValidFiles(t *testing.T) {
	for _, file := range []string{"testdata/valid-full.yaml", "testdata/valid-comments.yaml", "testdata/valid-empty-sections.yaml"} {
		if err := CheckFile(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestFullFile reads every setting and every part of a route from a file.
func TestFullFile(t *testing.T) {
	loaded := mustLoad(t, Source{File: "testdata/valid-full.yaml"})
	defaults := Default()
	for _, s := range settings {
		if strings.HasPrefix(s.key, "tls.") || strings.HasPrefix(s.key, "admin.tls_") || s.key == "upstream.ca" || s.key == "async.nats_ca" || s.key == "limits.nats_ca" || s.key == "tracing.ca" {
			continue // they need files: TestTLSFiles
		}
		if got := s.value.get(loaded.Config); got == s.value.get(defaults) {
			t.Errorf("%s is %q, the default", s.key, got)
		}
		if o := loaded.Origins[s.key]; o.From != FromFile || o.Name != "testdata/valid-full.yaml" || o.Line == 0 {
			t.Errorf("%s comes from %v", s.key, o)
		}
	}
	if c := loaded.Config; c.Limits.QueueDepth != 40 || c.Function.Version != "1.10" || c.Client.MaxBodyBytes != 10_000_000 {
		t.Errorf("config is %+v", c)
	}
	off, short, medium, long := time.Duration(0), 10*time.Second, 2*time.Minute, time.Hour
	want := []Route{
		{Path: "/reports/monthly", Overflow: OverflowReject, Priority: "sheddable", Rate: Rate{Requests: 10, Period: time.Minute, Burst: 2}, Timeout: &off, ResponseStartTimeout: &medium, OnClientAbort: AbortCancel},
		{Path: "/reports", Methods: []string{"NULL", "POST"}},
		{Path: "/reports", Timeout: &long},
		{Path: "/stream", FullDuplex: true},
		{Path: "/orders", Invoke: InvokeAsync, Async: RouteAsync{
			Attempts: new(0), Backoff: new(2 * time.Second), BackoffMax: new(20 * time.Minute), RetryStatuses: &[]int{503, 504},
			Timeout: new(time.Duration(0)), MaxAge: new(48 * time.Hour), Retention: new(2 * time.Hour), DeadRetention: new(24 * time.Hour),
		}},
		{Path: "/peaks", Overflow: OverflowAsync, Async: RouteAsync{RetryStatuses: &[]int{}}},
		{Path: "/", Methods: []string{"GET", "HEAD"}, Timeout: &short},
	}
	if !reflect.DeepEqual(loaded.Config.Routes, want) {
		t.Errorf("routes are %+v, want %+v", loaded.Config.Routes, want)
	}
}

func TestRoutesLongestFirstAndStable(t *testing.T) {
	var b strings.Builder
	b.WriteString("routes:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "- {path: /%s, methods: [M%d]}\n", strings.Repeat("x", 1+i%3), i)
	}
	loaded := mustLoad(t, Source{File: writeFile(t, b.String())})
	for i, r := range loaded.Config.Routes[1:] {
		before := loaded.Config.Routes[i]
		if len(r.Path) > len(before.Path) {
			t.Fatalf("%s stands behind %s", r.Path, before.Path)
		}
		var a, b int
		if _, err := fmt.Sscanf(before.Methods[0]+" "+r.Methods[0], "M%d M%d", &a, &b); err != nil {
			t.Fatal(err)
		}
		if len(r.Path) == len(before.Path) && a > b {
			t.Fatalf("routes M%d and M%d have changed places", a, b)
		}
	}
}

func TestTooManyRoutes(t *testing.T) {
	var b strings.Builder
	b.WriteString("routes:\n")
	for i := range maxRoutes + 1 {
		fmt.Fprintf(&b, "- {path: /r%d}\n", i)
	}
	err := loadText(t, b.String())
	if want := "config: routes: holds 1001 routes: at most 1000 (weir.yaml:2)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFileOverAMebibyteIsRefused(t *testing.T) {
	path := writeFile(t, "# "+strings.Repeat("x", maxFileSize-3)+"\n")
	if err := CheckFile(path); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	path = writeFile(t, "# "+strings.Repeat("x", maxFileSize-2)+"\n")
	err := CheckFile(path)
	if want := "config: " + path + ": cannot be read: it is larger than 1MiB"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFileThatIsNone(t *testing.T) {
	missing := t.TempDir() + "/weir.yaml"
	err := CheckFile(missing)
	if want := "config: " + missing + ": cannot be read: no such file or directory"; err == nil || err.Error() != want || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	directory := t.TempDir()
	err = CheckFile(directory)
	if want := "config: " + directory + ": cannot be read: it is not a regular file"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestMistakesAreBounded gives files of as many mistakes as they have room for.
func TestMistakesAreBounded(t *testing.T) {
	for _, line := range []string{"max_inflgt_%d: 1\n", "%d: 1\n"} {
		var b strings.Builder
		lines := 0
		for ; b.Len() < maxFileSize-100; lines++ {
			fmt.Fprintf(&b, line, lines)
		}
		errs, ok := errors.AsType[Errors](loadText(t, b.String()))
		if !ok || len(errs) != maxErrors+1 {
			t.Fatalf("%d errors", len(errs))
		}
		if got, want := errs[maxErrors].Error(), fmt.Sprintf("config: %d mistakes more", lines-maxErrors); got != want {
			t.Errorf("the last is %q, want %q", got, want)
		}
	}
}

func TestNoFurtherErrorsFromABrokenSetting(t *testing.T) {
	for content, want := range map[string]string{
		"limits: {max_inflight: ten, overflow: wait, queue_depth: 0}": `config: limits.max_inflight: "ten" is not a number, "auto" or 0 (weir.yaml:1)`,
		"tls: {cert: c.pem, key: [k.pem]}":                            `config: tls.key: is a list, not a file (weir.yaml:1)`,
		"tls: {cert: c.pem, kye: k.pem}":                              `config: tls.kye: unknown key, did you mean tls.key? (weir.yaml:1)`,
		"listen: :9464\nmetrics: 5":                                   `config: metrics: wants settings below it, not the number "5" (weir.yaml:2)`,
	} {
		if err := loadText(t, content); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", content, err, want)
		}
	}
}

func TestYAMLBooleansAreReadAsYAML(t *testing.T) {
	loaded := mustLoad(t, Source{File: writeFile(t, "ready: {fail_on_overload: True}\n")})
	if !loaded.Config.Ready.FailOnOverload {
		t.Error("True was read as false")
	}
}
