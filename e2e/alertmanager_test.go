package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// alertmanager is a real Alertmanager, and what it sends to whoever is on call.
type alertmanager struct {
	addr string

	mu       sync.Mutex
	notified []notification
}

// notification is one alert of what a receiver is sent.
type notification struct {
	Status      string // firing or resolved
	Labels      map[string]string
	Annotations map[string]string
}

// startAlertmanager starts one that notifies at once. It skips the test where none
// is installed.
func startAlertmanager(t testing.TB) *alertmanager {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skipf("no Alertmanager is installed (on Debian: apt-get install prometheus-alertmanager): %v", err)
	}
	a := new(alertmanager)
	receiver := httptest.NewServer(http.HandlerFunc(a.receive))
	t.Cleanup(receiver.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	writeFile(t, file, fmt.Sprintf(`route:
  receiver: on-call
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
- name: on-call
  webhook_configs:
  - url: %s
    send_resolved: true
`, receiver.URL))
	for range 5 {
		a.addr = freePort(t)
		if a.start(t, path, file, filepath.Join(dir, "data")) {
			return a
		}
	}
	t.Fatal("Alertmanager found its port taken five times")
	return nil
}

// start reports false where the port was taken.
func (a *alertmanager) start(t testing.TB, path, config, data string) bool {
	t.Helper()
	log := new(output)
	cmd := exec.Command(path,
		"--config.file="+config,
		"--storage.path="+data,
		"--web.listen-address="+a.addr,
		"--cluster.listen-address=", // alone
		"--log.level=warn",
	)
	cmd.Env = cleanEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endsWithTests()
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting Alertmanager: %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err == nil {
			select {
			case <-exited:
			case <-time.After(patience):
				t.Errorf("Alertmanager did not stop within %v", patience)
				_ = cmd.Process.Kill() // it may have ended just now
			}
		}
		if t.Failed() {
			t.Logf("Alertmanager said:\n%s", tail(log.String(), 4000))
		}
	})
	taken := false
	eventually(t, "Alertmanager is ready", func() (bool, string) {
		if strings.Contains(log.String(), "address already in use") {
			taken = true
			return true, ""
		}
		res, err := metricsClient.Get("http://" + a.addr + "/-/ready")
		if err != nil {
			return false, err.Error() + "\n" + log.String()
		}
		return res.StatusCode == http.StatusOK, res.Status + closed(res)
	})
	return !taken
}

// closed closes a response that nobody reads, and says what went wrong.
func closed(res *http.Response) string {
	if err := res.Body.Close(); err != nil {
		return err.Error()
	}
	return ""
}

// receive takes a notification (webhook_config of its documentation).
func (a *alertmanager) receive(w http.ResponseWriter, r *http.Request) {
	var message struct{ Alerts []notification }
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.notified = append(a.notified, message.Alerts...)
}

// of gives the notifications of an alert with a status, and labels as name and value
// in turn.
func (a *alertmanager) of(alert, status string, labels ...string) []notification {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.notified), func(n notification) bool {
		return n.Labels["alertname"] != alert || n.Status != status || !has(n.Labels, labels)
	})
}

// await waits until somebody has been told of an alert with that status and labels.
func (a *alertmanager) await(t testing.TB, alert, status string, labels ...string) notification {
	t.Helper()
	var told []notification
	eventually(t, fmt.Sprintf("notification that %s%v is %s", alert, labels, status), func() (bool, string) {
		told = a.of(alert, status, labels...)
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(told) > 0, fmt.Sprintf("%d alerts were sent", len(a.notified))
	})
	return told[0]
}
