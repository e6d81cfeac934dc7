package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prometheus is a real Prometheus server.
type prometheus struct {
	addr string
	cmd  *exec.Cmd
}

// target is something to scrape.
type target struct {
	job      string
	addr     string
	interval time.Duration
}

// startPrometheus starts one that scrapes the targets, with its data in a
// directory of the test's. It skips the test where none is installed.
func startPrometheus(t testing.TB, targets ...target) *prometheus {
	t.Helper()
	var config strings.Builder
	config.WriteString("scrape_configs:\n")
	for _, target := range targets {
		fmt.Fprintf(&config, "- job_name: %s\n  scrape_interval: %s\n  scrape_timeout: %s\n  static_configs: [{targets: [%q]}]\n",
			target.job, target.interval, target.interval, target.addr)
	}
	return startPrometheusWith(t, config.String())
}

// startPrometheusWith is startPrometheus with a configuration.
func startPrometheusWith(t testing.TB, config string) *prometheus {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skipf("no Prometheus server is installed (on Debian: apt-get install prometheus): %v", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	writeFile(t, file, config)

	// Prometheus cannot be told to take a free port and to say which: find one,
	// and try again where somebody else was faster.
	for range 5 {
		p := &prometheus{addr: freePort(t)}
		if p.start(t, path, file, filepath.Join(dir, "data")) {
			return p
		}
	}
	t.Fatal("Prometheus found its port taken five times")
	return nil
}

// start reports false where the port was taken.
func (p *prometheus) start(t testing.TB, path, config, data string) bool {
	t.Helper()
	log := new(output)
	p.cmd = exec.Command(path,
		"--config.file="+config,
		"--storage.tsdb.path="+data,
		"--web.listen-address="+p.addr,
		"--log.level=warn",
		// The time of a sample is when its scrape began, not when it should have.
		"--no-scrape.adjust-timestamps",
		"--enable-feature=exemplar-storage",
		// An alert may fire before Alertmanager was discovered.
		"--rules.alert.resend-delay=1s",
	)
	p.cmd.Env = cleanEnv()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = endsWithTests()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting Prometheus: %v", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }()
	stop := func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("stopping Prometheus: %v", err)
		}
		select {
		case <-exited:
		case <-time.After(patience):
			t.Errorf("Prometheus did not stop within %v", patience)
			_ = p.cmd.Process.Kill()
			<-exited
		}
	}
	deadline := time.Now().Add(patience)
	for {
		select {
		case err := <-exited:
			if strings.Contains(log.String(), "address already in use") {
				return false
			}
			t.Fatalf("Prometheus ended: %v\n%s", err, log)
		default:
		}
		res, err := metricsClient.Get("http://" + p.addr + "/-/ready")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("Prometheus was not ready within %v: %v\n%s", patience, err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", tail(log.String(), 4000))
		}
	})
	return true
}

// sample is a value as Prometheus stores it: taken between at and at plus the
// scrape's duration.
type sample struct {
	at    time.Time
	value float64
}

func (s *sample) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return err
	}
	ms, err := strconv.ParseFloat(string(pair[0]), 64)
	if err != nil {
		return err
	}
	s.at = time.UnixMilli(int64(ms*1000 + 0.5))
	s.value, err = strconv.ParseFloat(text, 64)
	return err
}

// query gives what an expression evaluates to at a moment: one sample of one
// series for an instant vector or a scalar, all of them for a range vector. An
// expression that gives another number of series than one is an error.
func (p *prometheus) query(at time.Time, expr string) ([]sample, error) {
	form := url.Values{"query": {expr}, "time": {strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)}}
	res, err := metricsClient.PostForm("http://"+p.addr+"/api/v1/query", form)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Value  *sample
				Values []sample
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", expr, err, body)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	if n := len(answer.Data.Result); n != 1 {
		return nil, fmt.Errorf("%s: %d series, want 1", expr, n)
	}
	r := answer.Data.Result[0]
	if r.Value != nil {
		return []sample{*r.Value}, nil
	}
	return r.Values, nil
}

// value gives what an expression of one value evaluates to at a moment.
func (p *prometheus) value(t testing.TB, at time.Time, expr string) float64 {
	t.Helper()
	samples, err := p.query(at, expr)
	if err != nil {
		t.Fatalf("Prometheus: %v", err)
	}
	return samples[0].value
}
