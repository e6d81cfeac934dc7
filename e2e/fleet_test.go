package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"weir/tracing/otlptest"
)

// fleet is every function of the proof, each with a kind of trouble.
type fleet struct {
	prometheus   *prometheus
	renaming     *prometheus // sees the same, with the metrics of underOtherNames renamed
	alertmanager *alertmanager
	loaded       time.Time // since when the load is steady

	// counted has more callers than slots; its namespace is unknown.
	counted        *function
	countedClients *clients
	// flaky fails every fourth request, and its callers are impatient. It is
	// configured by a file.
	flakyClients *clients
	flakyFile    string
	// down has no function.
	downAddr string
	// mail gets more asynchronous calls than it can run, and some fail for good.
	mail        *function
	mailClients *clients
	// told hears of the calls to mail that succeeded; another receiver, of those that
	// failed, and wants to hear nothing.
	told *function
}

// rulesInHaste are the committed rules, but that an alert is sent after two seconds
// where it says minutes, that five and ten minutes of a rate are ten seconds, and that
// a queue which is three seconds late is five minutes late.
func rulesInHaste(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dashboardFiles, "prometheus", "weir.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	hold := regexp.MustCompile(`(?m)^( +for: )\d+[smh]$`)
	if n := len(hold.FindAll(text, -1)); n < 8 {
		t.Fatalf("only %d alerts say for how long", n)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	const late = "(weir_async_oldest_age_seconds) > 300"
	if !strings.Contains(string(text), late) {
		t.Fatalf("no rule asks for %s", late)
	}
	window := "[" + rateWindow.String() + "]"
	hasty := strings.NewReplacer("[5m]", window, "[10m]", window, late, strings.Replace(late, "300", "3", 1))
	writeFile(t, path, hasty.Replace(string(hold.ReplaceAll(text, []byte("${1}2s")))))
	return path
}

// scraped is a job of Prometheus.
type scraped struct {
	job, namespace string
	addrs          []string
}

// startFleetPrometheus has the rules loaded. It tells a of alerts, where there is one,
// and stores renamed metrics as renamed_ and their name.
func startFleetPrometheus(t testing.TB, a *alertmanager, jobs []scraped, renamed ...string) *prometheus {
	t.Helper()
	var config strings.Builder
	fmt.Fprintf(&config, "global: {evaluation_interval: 1s, scrape_interval: 1s, scrape_timeout: 1s}\nrule_files: [%q]\n", rulesInHaste(t))
	if a != nil {
		fmt.Fprintf(&config, "alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}\n", a.addr)
	}
	config.WriteString("scrape_configs:\n")
	for _, j := range jobs {
		targets, err := json.Marshal(j.addrs)
		if err != nil {
			t.Fatal(err)
		}
		labels := ""
		if j.namespace != "" {
			labels = fmt.Sprintf(", labels: {namespace: %s}", j.namespace)
		}
		fmt.Fprintf(&config, "- job_name: %s\n  static_configs: [{targets: %s%s}]\n", j.job, targets, labels)
		if len(renamed) > 0 {
			fmt.Fprintf(&config, "  metric_relabel_configs: [{source_labels: [__name__], regex: %s, target_label: __name__, replacement: renamed_$1}]\n",
				"("+strings.Join(renamed, "|")+")")
		}
	}
	return startPrometheusWith(t, config.String())
}

func startFleet(t *testing.T) *fleet {
	f := &fleet{alertmanager: startAlertmanager(t), downAddr: freePort(t)}
	f.counted = newFunction(t, http.HandlerFunc(takes))
	cart, report, leaving := newFunction(t, http.HandlerFunc(takes)), newFunction(t, http.HandlerFunc(takes)), newHolding(t)
	flaky := newFunction(t, http.HandlerFunc(fails))
	f.mail = newFunction(t, http.HandlerFunc(fails))
	f.told = newFunction(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	deaf := newFunction(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	nats := startNATS(t)
	f.flakyFile = configFile(t, "limits: {max_inflight: 50}\n")

	countedWeir := start(t, "--upstream="+f.counted.url(), "--function=counted", "--max-inflight=12", "--tracing-endpoint="+otlptest.Start(t).URL)
	cartWeirs := []*weir{
		start(t, "--upstream="+cart.url(), "--function=cart", "--function-version=v1", "--max-inflight=4"),
		start(t, "--upstream="+cart.url(), "--function=cart", "--function-version=v2", "--max-inflight=4"),
	}
	reportWeir := start(t, "--upstream="+report.url(), "--function=report", "--max-inflight=2", "--overflow=wait", "--queue-depth=4", "--queue-timeout=2s")
	flakyWeir := start(t, "--upstream="+flaky.url(), "--function=flaky", "--config="+f.flakyFile)
	downWeir := start(t, "--upstream=http://"+f.downAddr, "--function=down", "--ready-interval=500ms")
	leavingWeir := start(t, "--upstream="+leaving.url(), "--function=leaving", "--drain-timeout=60s")
	restarted := []string{"--upstream=" + cart.url(), "--function=restarted", "--metrics-listen=" + freePort(t)}
	restartedWeir := start(t, restarted...)

	mailWeir := start(t, "--upstream="+f.mail.url(), "--function=mail", "--max-inflight=2", "--async", "--async-dir="+t.TempDir(), "--async-any-filesystem",
		"--async-attempts=2", "--async-backoff=10ms", "--drain-timeout=10s", "--webhook-secrets="+newHook(t).secrets, "--async-callbacks-allow=127.0.0.1")
	queuelessWeir := start(t, "--upstream="+cart.url(), "--function=queueless", "--async", "--nats-url="+nats.ClientURL())

	// Each a half of one limit, until NATS goes.
	var sharedWeirs []*weir
	for range 2 {
		sharedWeirs = append(sharedWeirs, start(t, "--upstream="+cart.url(), "--function=shared", "--function-max-inflight=4", "--account=proof", "--nats-url="+nats.ClientURL()))
	}

	jobs := []scraped{
		{"counted", "", []string{countedWeir.metrics}},
		{"shop", "shop", []string{cartWeirs[0].metrics, cartWeirs[1].metrics, reportWeir.metrics}},
		{"flaky", "edge", []string{flakyWeir.metrics}},
		{"down", "edge", []string{downWeir.metrics}},
		{"leaving", "edge", []string{leavingWeir.metrics}},
		{"restarted", "edge", []string{restartedWeir.metrics}},
		{"mail", "edge", []string{mailWeir.metrics}},
		{"queueless", "edge", []string{queuelessWeir.metrics}},
		{"shared", "edge", []string{sharedWeirs[0].metrics, sharedWeirs[1].metrics}},
	}
	f.prometheus = startFleetPrometheus(t, f.alertmanager, jobs)
	f.renaming = startFleetPrometheus(t, nil, jobs, slices.Sorted(maps.Keys(underOtherNames))...)
	for _, w := range []*weir{countedWeir, cartWeirs[0], cartWeirs[1], reportWeir, flakyWeir, leavingWeir, restartedWeir} {
		w.awaitReady(t)
	}

	soon := func(pause time.Duration) func(int) time.Duration {
		return func(int) time.Duration { return pause }
	}
	f.countedClients, f.flakyClients, f.mailClients = newClients(t), newClients(t), newClients(t)
	reportClients := newClients(t)
	for _, c := range []*clients{f.countedClients, reportClients} {
		c.http.Transport = traced{c.http.Transport}
	}
	f.mailClients.http.Transport = calledBack{f.mailClients.http.Transport, f.told.url(), deaf.url()}
	f.countedClients.keep(t, 16, callFor(countedWeir, 300*time.Millisecond, 1200*time.Millisecond, 500*time.Millisecond, 800*time.Millisecond),
		func(status int) time.Duration {
			if status == http.StatusTooManyRequests {
				return 150 * time.Millisecond
			}
			return 60 * time.Millisecond
		})
	for _, w := range cartWeirs {
		newClients(t).keep(t, 6, callFor(w, 200*time.Millisecond, 400*time.Millisecond), soon(100*time.Millisecond))
	}
	for _, w := range sharedWeirs {
		newClients(t).keep(t, 3, callFor(w, 200*time.Millisecond), soon(100*time.Millisecond))
	}
	// Two slots, ten callers: some wait, some wait in vain, some find the line full.
	reportClients.keep(t, 10, callFor(reportWeir, 900*time.Millisecond), soon(250*time.Millisecond))
	f.flakyClients.keep(t, 4, func(worker, n int) string {
		return fmt.Sprintf("http://%s/?for=100ms&fail=%v", flakyWeir.data, n%4 == 0)
	}, soon(50*time.Millisecond))
	impatient := newClients(t)
	impatient.http.Timeout = 200 * time.Millisecond
	impatient.keep(t, 2, callFor(flakyWeir, time.Second), soon(50*time.Millisecond))
	f.mailClients.keep(t, 2, func(worker, n int) string {
		return fmt.Sprintf("http://%s/async-function/mail/?for=200ms&fail=%v", mailWeir.data, n%4 == 0)
	}, soon(100*time.Millisecond))
	newClients(t).keep(t, 2, callFor(downWeir, time.Second), soon(100*time.Millisecond))
	f.loaded = time.Now()

	queuelessWeir.awaitMetric(t, 1, "weir_queue_up")
	for _, w := range sharedWeirs {
		w.awaitMetric(t, 2, "weir_lease_members", "scope", "function")
		w.awaitMetric(t, 2, "weir_lease_members", "scope", "account")
	}
	nats.Shutdown()
	queuelessWeir.awaitMetric(t, 0, "weir_queue_up")
	f.drain(t, leavingWeir, leaving)
	f.restart(t, restartedWeir, restarted)
	f.reload(t, flakyWeir)
	return f
}

// traced is a client whose requests belong to a trace that is recorded.
type traced struct{ http.RoundTripper }

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

func (c traced) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	return c.RoundTripper.RoundTrip(r)
}

// calledBack is a client that wants to be told what became of its calls.
type calledBack struct {
	http.RoundTripper
	success, failure string
}

func (c calledBack) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	to := c.success
	if r.URL.Query().Get("fail") == "true" {
		to = c.failure
	}
	r.Header.Set("X-Callback-Url", to)
	return c.RoundTripper.RoundTrip(r)
}

// startNATS starts a NATS server of its own, with JetStream.
func startNATS(t testing.TB) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatalf("the NATS server did not take connections within %v", patience)
	}
	return s
}

// fails answers 500 where it is asked to, and otherwise as takes does.
func fails(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("fail") == "true" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	takes(w, r)
}

// drain ends a weir while requests run and more keep coming, and waits until the
// refusals have been scraped.
func (f *fleet) drain(t *testing.T, w *weir, function *holding) {
	t.Helper()
	held := newClients(t).keep(t, 2, func(int, int) string { return "http://" + w.data + "/" }, func(int) time.Duration { return patience })
	eventually(t, "two requests run", func() (bool, string) {
		n := function.running.now()
		return n == 2, fmt.Sprintf("%d do", n)
	})
	w.signal(t, syscall.SIGTERM)
	// The first one may be let in, before weir has heard the signal, and is held then.
	late := newClients(t)
	late.http.Timeout = time.Second
	late.keep(t, 1, func(int, int) string { return "http://" + w.data + "/" }, func(int) time.Duration { return 100 * time.Millisecond })
	eventually(t, "refusals while draining are scraped", func() (bool, string) {
		samples, err := f.prometheus.query(time.Now(), `rate(weir_throttles_total{function="leaving",reason="draining"}[10s]) > 0`)
		return err == nil && len(samples) == 1, fmt.Sprint(err)
	})
	function.letGo()
	held.stop()
	if code := w.wait(t); code != 0 {
		t.Errorf("the weir that drained ended with code %d", code)
	}
}

// restart ends a weir and starts it anew in the same place, three times, each seen by
// Prometheus.
func (f *fleet) restart(t *testing.T, w *weir, args []string) {
	t.Helper()
	for range 3 {
		f.prometheus.awaitSample(t, "restarted", time.Now())
		w.signal(t, syscall.SIGTERM)
		if code := w.wait(t); code != 0 {
			t.Errorf("a weir ended with code %d", code)
		}
		w = start(t, args...)
	}
	f.prometheus.awaitSample(t, "restarted", time.Now())
}

// reload has a weir load a good configuration, and then refuse one.
func (f *fleet) reload(t *testing.T, w *weir) {
	t.Helper()
	// Until a load counts as a reload and not as part of the start.
	eventually(t, "weir is older than a load at its start", func() (bool, string) {
		samples, err := f.prometheus.query(time.Now(), `time() - process_start_time_seconds{function="flaky"} > 6`)
		return err == nil && len(samples) == 1, fmt.Sprint(err)
	})
	writeFile(t, f.flakyFile, "limits: {max_inflight: 60}\n")
	w.awaitMetric(t, 60, "weir_inflight_limit")
	writeFile(t, f.flakyFile, "limits: {max_inflight: many}\n")
	w.awaitMetric(t, 0, "weir_config_last_reload_successful")
}
