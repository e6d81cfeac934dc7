package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// operator asks one weir's management API.
type operator struct {
	t     testing.TB
	base  string // scheme://host:port
	token string
	http  *http.Client
}

func newOperator(t testing.TB, w *weir) *operator {
	c := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(c.CloseIdleConnections)
	return &operator{t: t, base: "http://" + w.admin(t), http: c}
}

// admin gives the address of the management API.
func (w *weir) admin(t testing.TB) string {
	t.Helper()
	return w.awaitLog(t, "listening", "port", "admin")["addr"]
}

// ask sends a request and gives the answer's status and fields. body is the
// JSON of one that changes something, "" for none.
func (o *operator) ask(method, path, body string) (int, map[string]any) {
	o.t.Helper()
	r, err := http.NewRequest(method, o.base+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if o.token != "" {
		r.Header.Set("Authorization", "Bearer "+o.token)
	}
	res, err := o.http.Do(r)
	if err != nil {
		o.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	var fields map[string]any
	if err := json.NewDecoder(res.Body).Decode(&fields); err != nil {
		o.t.Fatalf("%s %s: %s: %v", method, path, res.Status, err)
	}
	return res.StatusCode, fields
}

// must is ask for what is to succeed.
func (o *operator) must(method, path, body string) map[string]any {
	o.t.Helper()
	status, fields := o.ask(method, path, body)
	if status != http.StatusOK {
		o.t.Fatalf("%s %s %s: %d %v", method, path, body, status, fields)
	}
	return fields
}

func TestLimitsAreChangedLive(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	const routes = "routes:\n  - {path: /quick, methods: [GET]}\n"
	file := configFile(t, "limits:\n  max_inflight: 2\n"+routes)
	w := start(t, "--config="+file, "--upstream="+f.url())
	w.awaitReady(t)
	o := newOperator(t, w)
	c := manners(t)["kept alive"]
	var held []<-chan answer
	hold := func() {
		held = append(held, fetching(c, "GET", "http://"+w.data+"/", nil))
		n := len(held)
		eventually(t, "the function runs it", func() (bool, string) { return f.running.now() == n, fmt.Sprint(f.running.now()) })
	}
	hold()
	hold()
	refused := func() bool {
		return fetch(c, "GET", "http://"+w.data+"/quick?for=0s", nil).status == http.StatusTooManyRequests
	}
	if !refused() {
		t.Error("the third is not refused")
	}
	table := o.must("GET", "/v1/inflight", "")
	rows := table["requests"].([]any)
	if table["total"] != 2.0 || len(rows) != 2 || rows[0].(map[string]any)["path"] != "/" || rows[0].(map[string]any)["method"] != "GET" {
		t.Errorf("the table of running requests is %v", table)
	}

	limits := o.must("PATCH", "/v1/limits", `{"max_inflight": 3}`)
	if got := limits["in_force"].(map[string]any)["max_inflight"]; got != 3.0 || limits["configured"].(map[string]any)["max_inflight"] != 2.0 {
		t.Errorf("limits are %v", limits)
	}
	hold()
	if !refused() {
		t.Error("the fourth is not refused")
	}
	refusing, _ := limits["needs_restart"].([]any)
	if !slices.Contains(refusing, any("nats_url")) || slices.Contains(refusing, any("max_inflight")) {
		t.Errorf("%v need a restart", refusing)
	}
	for _, name := range refusing {
		body := fmt.Sprintf(`{%q: 1}`, name)
		if status, problem := o.ask("PATCH", "/v1/limits", body); status != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(problem["errors"]), "needs a restart") {
			t.Errorf("%s: %d %v", body, status, problem)
		}
	}
	for body, want := range map[string]string{
		`{"max_inflight": 4, "overflow": "spill"}`: `"spill" is not reject, wait or async`,
		`{"max_inflight": "4"}`:                    "leave the quotes out",
		`{"max_inflght": 4}`:                       "did you mean max_inflight?",
		`{"max_inflight": 4, "nothing": null}`:     "unknown setting",
		`{"callers.rat": "10/s"}`:                  "did you mean rate?",
		`{"callers.key": "cookie"}`:                "/callers.key",
		`{"nats_url": "nats://127.0.0.1:1"}`:       "needs a restart",
	} {
		if status, problem := o.ask("PATCH", "/v1/limits", body); status != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(problem["errors"]), want) {
			t.Errorf("%s: %d %v, want %s", body, status, problem, want)
		}
	}
	// A refusal is counted once its answer is on its way.
	counted := func(reason string, want float64) {
		t.Helper()
		eventually(t, "the refusal is counted", func() (bool, string) {
			throttles := o.must("GET", "/v1/state", "")["throttles"].(map[string]any)
			return throttles[reason] == want, fmt.Sprint(throttles)
		})
	}
	counted("max_inflight", 2)
	state := o.must("GET", "/v1/state", "")
	if state["limit"] != 3.0 || state["inflight"] != 3.0 || state["ready"] != true {
		t.Errorf("the state is %v", state)
	}
	o.must("PATCH", "/v1/limits", `{"max_inflight": null}`)
	if got := o.must("GET", "/v1/state", "")["limit"]; got != 2.0 {
		t.Errorf("put back, the limit is %v", got)
	}

	// Callers' limits take hold at once as well, and are put back alike.
	limits = o.must("PATCH", "/v1/limits", `{"max_inflight": 9, "callers.key": "address", "callers.max_inflight": 1}`)
	if got := limits["in_force"].(map[string]any)["callers.max_inflight"]; got != 1.0 || limits["configured"].(map[string]any)["callers.key"] != "" {
		t.Errorf("limits are %v", limits)
	}
	hold()
	if !refused() {
		t.Error("the caller's second is not refused")
	}
	counted("caller", 1)
	limits = o.must("PATCH", "/v1/limits", `{"callers.max_inflight": null, "callers.key": null}`)
	if got := limits["in_force"].(map[string]any); got["callers.max_inflight"] != 0.0 || got["callers.key"] != "" {
		t.Errorf("put back, limits are %v", got)
	}

	// So do rates of routes, and the shares of asynchronous calls.
	limits = o.must("PATCH", "/v1/limits", `{"routes.GET/quick.rate": "1/h", "async.max_share": 50}`)
	if got := limits["in_force"].(map[string]any); got["routes.GET/quick.rate"] != "1/h" || got["async.max_share"] != 50.0 {
		t.Errorf("limits are %v", got)
	}
	rated := func(want int) {
		t.Helper()
		if got := fetch(c, "GET", "http://"+w.data+"/quick?for=0s", nil); got.status != want || want == http.StatusTooManyRequests && got.header.Get("Weir-Throttled") != "rate" {
			t.Errorf("a request of the route: %d %v, want %d", got.status, got.header, want)
		}
	}
	o.must("PATCH", "/v1/limits", `{"max_inflight": 20}`)
	rated(http.StatusOK)
	rated(http.StatusTooManyRequests)
	limits = o.must("PATCH", "/v1/limits", `{"routes.GET/quick.rate": null, "async.max_share": null, "max_inflight": null}`)
	if got, ok := limits["in_force"].(map[string]any)["routes.GET/quick.rate"]; ok {
		t.Errorf("put back, the rate is %v", got)
	}
	if status, problem := o.ask("PATCH", "/v1/limits", `{"routes./quick.rate": "1/s"}`); status != http.StatusUnprocessableEntity ||
		!strings.Contains(fmt.Sprint(problem["errors"]), "did you mean routes.GET/quick.rate?") || !strings.Contains(fmt.Sprint(problem["errors"]), "/routes.~1quick.rate") {
		t.Errorf("a route that is not there: %d %v", status, problem)
	}

	// A file that changes anything puts everything back in force as it says.
	o.must("PATCH", "/v1/limits", `{"max_inflight": 9}`)
	writeFile(t, file, "limits:\n  max_inflight: 2\ndrain:\n  timeout: 20s\n"+routes)
	w.awaitLog(t, "configuration taken over")
	if got := o.must("GET", "/v1/state", "")["limit"]; got != 2.0 {
		t.Errorf("after a reload, the limit is %v", got)
	}
	f.letGo()
	for _, a := range held {
		if got := await(t, "the answer", a); got.status != http.StatusOK {
			t.Errorf("a request that ran: %v", got)
		}
	}
}

func TestDrainedByAnOperatorWeirStays(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, engine string) {
		t.Parallel()
		f := newHolding(t)
		w := start(t, "--upstream="+f.url(), engine)
		w.awaitReady(t)
		o := newOperator(t, w)
		clients := manners(t)
		running := fetching(clients["kept alive"], "GET", "http://"+w.data+"/", nil)
		eventually(t, "the function runs it", func() (bool, string) { return f.running.now() == 1, "" })
		if got := o.must("POST", "/v1/drain", "{}"); got["draining"] != true || got["inflight"] != 1.0 {
			t.Errorf("the drain says %v", got)
		}
		mustNotBeReady(t, w)
		for how, c := range clients {
			mustBeDraining(t, how, fetch(c, "GET", "http://"+w.data+"/quick?for=0s", nil))
		}
		f.letGo()
		if a := await(t, "the answer", running); a.status != http.StatusOK {
			t.Errorf("who ran got %v", a)
		}
		o.must("POST", "/v1/drain", "{}") // once more is as good as once
		if state := o.must("GET", "/v1/state", ""); state["draining"] != true || state["ready"] != false || state["not_ready_reason"] != "draining" {
			t.Errorf("the state is %v", state)
		}
		for how, c := range clients {
			mustBeDraining(t, how, fetch(c, "GET", "http://"+w.data+"/quick?for=0s", nil))
		}
		if !w.running() {
			t.Error("weir has ended by itself")
		}
	})
}

func TestAnOperatorsDrainWaitsForItsDelay(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, "--upstream="+f.url(), "--drain-delay=5m")
	w.awaitReady(t)
	o := newOperator(t, w)
	if got := o.must("POST", "/v1/drain", "{}"); got["draining"] != true {
		t.Errorf("the drain says %v", got)
	}
	mustNotBeReady(t, w)
	if a := fetch(http.DefaultClient, "GET", "http://"+w.data+"/quick?for=0s", nil); a.status != http.StatusOK {
		t.Errorf("during the delay: %v, want 200", a)
	}
	// Told to end, it does not wait for the delay once more: the test's cleanup
	// would lose its patience.
}

func TestEventsEndWithWeir(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, "--upstream="+f.url())
	o := newOperator(t, w)
	res, err := o.http.Get(o.base + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := make(chan string, 1000)
	ended := make(chan error, 1)
	go func() {
		s := bufio.NewScanner(res.Body)
		for s.Scan() {
			lines <- s.Text()
		}
		close(lines)
		ended <- s.Err()
	}()
	for n := 0; n < 3; {
		if data, ok := strings.CutPrefix(await(t, "an event", lines), "data: "); ok {
			var state map[string]any
			if err := json.Unmarshal([]byte(data), &state); err != nil || state["limit"] != 100.0 {
				t.Errorf("%v, %v", state, err)
			}
			n++
		}
	}
	w.signal(t, syscall.SIGTERM)
	if code := w.wait(t); code != 0 {
		t.Errorf("weir ended with code %d", code)
	}
	if err := await(t, "the end", ended); err != nil {
		t.Errorf("the events ended with %v", err)
	}
}

func TestOperatorsShowWhoTheyAre(t *testing.T) {
	t.Parallel()
	const token, renewed = "token-of-the-e2e-tests", "renewed-token-of-the-tests"
	ca, other := newAuthority(t, "operators"), newAuthority(t, "others")
	dir := t.TempDir()
	cert, key := ca.issue(t, 7)
	for name, content := range map[string]string{"cert.pem": cert, "key.pem": key, "ca.pem": ca.pem, "token": token} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	mine := func(a *authority) tls.Certificate {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if a == other {
			c, k := other.issue(t, 8)
			pair, err = tls.X509KeyPair([]byte(c), []byte(k))
		}
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	f := newHolding(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	w := start(t, "--upstream="+f.url(), "--admin-token-file="+in("token"),
		"--admin-tls-cert="+in("cert.pem"), "--admin-tls-key="+in("key.pem"), "--admin-tls-client-ca="+in("ca.pem"))
	o := newOperator(t, w)
	o.base = strings.Replace(o.base, "http://", "https://", 1)
	for _, h2 := range []bool{false, true} {
		o.http, o.token = ca.client(t, h2, mine(ca)), token
		o.must("GET", "/v1/state", "")
		o.token = "not-the-token-at-all"
		if status, _ := o.ask("GET", "/v1/state", ""); status != http.StatusUnauthorized {
			t.Errorf("a wrong token: %d", status)
		}
		for what, c := range map[string]*http.Client{"no": ca.client(t, h2), "a foreign": ca.client(t, h2, mine(other))} {
			if res, err := c.Get(o.base + "/v1/state"); err == nil {
				_ = res.Body.Close()
				t.Errorf("with %s certificate: %s", what, res.Status)
			}
		}
	}
	o.token = renewed
	writeFile(t, in("token"), renewed)
	eventually(t, "the renewed token is in force", func() (bool, string) {
		status, _ := o.ask("GET", "/v1/state", "")
		return status == http.StatusOK, fmt.Sprint(status)
	})
	if strings.Contains(w.log.String(), token) || strings.Contains(w.log.String(), renewed) {
		t.Error("the log holds a token")
	}
}

func TestTheManagementAPICanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, "--upstream="+f.url(), "--admin-listen=")
	w.awaitReady(t)
	if n := w.log.count("listening", "port", "admin"); n != 0 {
		t.Error("it listens all the same")
	}
}

// The page and the API answer those on this machine, and no page that a browser
// on it shows.
func TestNoForeignPageOperatesWeir(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, "--upstream="+f.url())
	addr := w.admin(t)
	for _, c := range []struct {
		method string
		fields map[string]string
		want   int
	}{
		{"POST", map[string]string{"Content-Type": "text/plain"}, http.StatusUnsupportedMediaType},
		{"POST", map[string]string{"Content-Type": "application/json", "Origin": "http://evil.example"}, http.StatusForbidden},
		{"POST", map[string]string{"Content-Type": "application/json", "Host": "evil.example"}, http.StatusMisdirectedRequest},
		{"OPTIONS", map[string]string{"Origin": "http://evil.example"}, http.StatusMethodNotAllowed},
	} {
		r, err := http.NewRequest(c.method, "http://"+addr+"/v1/drain", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range c.fields {
			if name == "Host" {
				r.Host = value
			}
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%v: %s %s", c, res.Status, body)
		}
		for name := range res.Header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%v: %s", c, name)
			}
		}
	}
	if status, _, err := w.get("/readyz"); err != nil || status == http.StatusServiceUnavailable && w.log.count("draining") > 0 {
		t.Errorf("somebody has drained it: %d, %v", status, err)
	}
}
