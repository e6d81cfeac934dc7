package deploy

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// block is code in a page: what a reader types where it is marked with sh.
var block = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// What docs/getting-started.md has a reader type without containers is typed here, in
// one shell, from the first command to the last: until the function answers, refuses
// and is in Prometheus.
func TestGettingStarted(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the binary is built for Linux")
	}
	for _, name := range []string{"bash", "curl", "python3", "prometheus", "promtool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed (scripts/install-deps has Prometheus): %v", name, err)
		}
	}
	t.Parallel()
	page, err := os.ReadFile("../docs/getting-started.md")
	if err != nil {
		t.Fatal(err)
	}
	_, own, found := strings.Cut(string(page), "\n## Without containers\n")
	if !found {
		t.Fatal("the page has no section on how to do without containers")
	}
	var script strings.Builder
	for i, m := range block.FindAllStringSubmatch(own, -1) {
		fmt.Fprintf(&script, "echo \"== block %d after $SECONDS s\"\n%s", i+1, m[1])
	}
	// What make build gives is there, by TestMakeAndDockerfileBuildTheSame.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"weir": binary(t), "weirctl": tool(t)} {
		if err := os.Symlink(file, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(script.String(), "make build\n", "", 1)
	if text == script.String() || strings.Contains(text, "make ") {
		t.Error("the page does not build with make build alone")
	}

	// Others on this machine may have the usual ports.
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WEIR") })
	for port, setting := range map[string]string{"8080": "WEIR_LISTEN", "9464": "WEIR_METRICS_LISTEN", "9465": "WEIR_ADMIN_LISTEN", "9090": "", "3001": ""} {
		free := unusedAddress(t)
		if setting != "" {
			env = append(env, setting+"="+free)
		}
		if port == "9465" {
			env = append(env, "WEIR_ADMIN="+free) // weirctl's
		}
		_, number, err := net.SplitHostPort(free)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllString(text, number)
	}
	text = strings.Replace(text, "scrape_interval: 5s", "scrape_interval: 1s", 1) // nobody waits for it
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", text)
	cmd.Dir, cmd.Env = dir, env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(patience):
		err = fmt.Errorf("it has not come to its end after %v", patience)
	}
	t.Logf("the page took %v", time.Since(began).Round(time.Second/10))
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left, if anything
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for what, pattern := range map[string]string{
		"the function answers through weir":   `(?m)^HTTP/1\.1 200 OK\r$(?s:.*)^hello$`,
		"two are let in":                      `(?m)^200 retry after  s$(?s:.*)^200 retry after  s$`,
		"the others are refused":              `(?m)^429 retry after [1-9]\d* s$`,
		"weir counts them":                    `(?m)^weir_throttles_total\{.*function="hello".*reason="max_inflight".*\} [1-9]`,
		"weirctl tells of the function":       `(?m)^function +hello`,
		"promtool is content with the config": `SUCCESS: .*prometheus\.yml is valid`,
		"promtool is content with the rules":  `SUCCESS: [1-9]\d+ rules found`,
		"Prometheus has the refusals":         `(?m)^\{function="hello", reason="max_inflight"\} => [1-9]`,
	} {
		if !regexp.MustCompile(pattern).MatchString(out.String()) {
			t.Errorf("not seen: %s (%s)", what, pattern)
		}
	}
	if t.Failed() || testing.Verbose() {
		t.Logf("%s", out.String())
	}
	// Grafana, which is not here, would find all of it.
	for _, file := range []string{"provisioning/datasources/weir.yaml", "provisioning/dashboards/weir.yaml", "dashboards/weir-function.json"} {
		text, err := os.ReadFile(filepath.Join(dir, "monitoring", "grafana", file))
		if err != nil {
			t.Error(err)
		}
		if file == "provisioning/dashboards/weir.yaml" && !strings.Contains(string(text), filepath.Join(dir, "monitoring", "grafana", "dashboards")) {
			t.Errorf("Grafana looks for the dashboards elsewhere:\n%s", text)
		}
	}
}

// unusedAddress gives one on which nobody listens at this moment.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
