package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"weir/config"
)

// unit reads a unit file's settings; of a name that is there several times, all.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	settings := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings
}

func only1(t *testing.T, settings map[string][]string, key string) string {
	t.Helper()
	if len(settings[key]) != 1 {
		t.Fatalf("%s is there %d times, want once", key, len(settings[key]))
	}
	return settings[key][0]
}

func TestUnit(t *testing.T) {
	settings := unit(t, "systemd/weir.service")
	words := strings.Fields(only1(t, settings, "ExecStart"))
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	config.Flags(fs)
	if len(words) < 2 || words[0] != "/usr/bin/weir" || words[1] != "run" || fs.Parse(words[2:]) != nil {
		t.Errorf("ExecStart %q", words)
	}
	// The file that the packages install there is valid, and what systemd waits for
	// is enough for it.
	if got := fs.Lookup("config").Value.String(); got != "/etc/weir/weir.yaml" {
		t.Errorf("--config %s", got)
	}
	if err := config.CheckFile("systemd/weir.yaml"); err != nil {
		t.Error(err)
	}
	c := config.Default()
	wait, err := time.ParseDuration(only1(t, settings, "TimeoutStopSec"))
	if err != nil || wait <= c.Drain.Delay+c.Drain.Timeout {
		t.Errorf("TimeoutStopSec %v (%v), weir may need %v", wait, err, c.Drain.Delay+c.Drain.Timeout)
	}
	for key, want := range map[string]string{
		"Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "",
		"ProtectSystem": "strict", "MemoryDenyWriteExecute": "yes", "RestartPreventExitStatus": "2",
	} {
		if got := only1(t, settings, key); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	if watchdog, err := time.ParseDuration(only1(t, settings, "WatchdogSec")); err != nil || watchdog < 10*time.Second {
		t.Errorf("WatchdogSec %v (%v): a busy machine would have weir killed", watchdog, err)
	}
}

// systemd itself finds no mistake, and little that the unit is exposed to.
func TestUnitToSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile("systemd/weir.service")
	if err != nil {
		t.Fatal(err)
	}
	// verify asks for a program that is there.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "weir.service")
	if err := os.WriteFile(name, bytes.ReplaceAll(text, []byte("/usr/bin/weir"), []byte(self)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", name).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	out, err = exec.Command(analyze, "security", "--offline=true", "--threshold=15", "--no-pager", name).CombinedOutput()
	level := regexp.MustCompile(`exposure level for \S+: ([\d.]+)`).FindSubmatch(out)
	if err != nil || level == nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}
