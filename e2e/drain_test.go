package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// holding is a function that holds requests until it is told to let go. /upload
// reads the request's body first, and answers with its length; /stream sends the
// first half of its answer first; all else is held as it is.
type holding struct {
	*function
	release chan struct{}
	once    sync.Once
}

func newHolding(t testing.TB) *holding {
	h := &holding{release: make(chan struct{})}
	h.function = newFunction(t, h)
	return h
}

func (h *holding) letGo() { h.once.Do(func() { close(h.release) }) }

func (h *holding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := "ok"
	switch r.URL.Path {
	case "/quick":
		takes(w, r)
		return
	case "/upload":
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprint(w, n) // the client may have left, here and below
		return
	case "/stream":
		flush(w, []byte("first half, "))
		answer = "second half"
	}
	select {
	case <-h.release:
		_, _ = io.WriteString(w, answer)
	case <-r.Context().Done():
	case <-h.over:
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // nil where the answer is complete
	at     time.Time
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("status %d, %q, then %v", a.status, a.body, a.err)
	}
	return fmt.Sprintf("status %d, %q", a.status, a.body)
}

func fetch(c *http.Client, method, url string, body io.Reader) answer {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return answer{err: err, at: time.Now()}
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{err: err, at: time.Now()}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), err, time.Now()}
}

// fetching is fetch, with its answer when it comes.
func fetching(c *http.Client, method, url string, body io.Reader) <-chan answer {
	out := make(chan answer, 1)
	go func() { out <- fetch(c, method, url, body) }()
	return out
}

// manners are the ways in which clients connect.
func manners(t testing.TB) map[string]*http.Client {
	h2c := new(http.Protocols)
	h2c.SetUnencryptedHTTP2(true)
	clients := map[string]*http.Client{
		"kept alive":      {Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
		"new connections": {Transport: &http.Transport{DisableKeepAlives: true}},
		"h2c":             {Transport: &http.Transport{Protocols: h2c}},
	}
	for _, c := range clients {
		t.Cleanup(c.CloseIdleConnections)
	}
	return clients
}

// mustBeDraining asserts that an answer is the refusal of a weir that drains.
func mustBeDraining(t testing.TB, how string, a answer) {
	t.Helper()
	if a.err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Weir-Throttled") != "draining" {
		t.Errorf("%s: a newcomer during the drain got %v with Weir-Throttled %q, want 503 and draining", how, a, a.header.Get("Weir-Throttled"))
		return
	}
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("%s: Retry-After is %q, want whole seconds", how, a.header.Get("Retry-After"))
	}
	if !strings.HasPrefix(a.header.Get("Proxy-Status"), "weir; error=") {
		t.Errorf("%s: Proxy-Status is %q", how, a.header.Get("Proxy-Status"))
	}
}

// mustNotBeReady asserts what the probes say during a drain.
func mustNotBeReady(t testing.TB, w *weir) {
	t.Helper()
	if status, body, err := w.get("/readyz"); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("/readyz during the drain: %d %q, %v; want 503 and draining", status, body, err)
	}
	if status, _, err := w.get("/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz during the drain: %d, %v; want 200", status, err)
	}
}

// awaitDraining waits until newcomers are refused. The log says that weir drains
// just before it does.
func (w *weir) awaitDraining(t testing.TB) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 500 * time.Millisecond}
	eventually(t, "newcomers refused", func() (bool, string) {
		a := fetch(c, "GET", "http://"+w.data+"/", nil)
		return a.status == http.StatusServiceUnavailable, a.String()
	})
}

// mustRefuseConnections asserts that nobody listens there any more.
func mustRefuseConnections(t testing.TB, addr string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		_ = c.Close()
		t.Errorf("somebody still listens on %s", addr)
	} else if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to %s: %v, want it refused", addr, err)
	}
}

func TestDrainLetsEverybodyFinishWhoIsInside(t *testing.T) {
	eachEngine(t, testDrainLetsEverybodyFinish)
}

func testDrainLetsEverybodyFinish(t *testing.T, engine string) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, engine, "--upstream="+f.url(), "--max-inflight=6", "--overflow=wait", "--queue-order=fifo", "--queue-timeout=5m", "--drain-timeout=5m")
	w.awaitReady(t)
	url := "http://" + w.data
	clients := manners(t)

	// Six are inside: held in the function, in the middle of an upload, in the
	// middle of a response.
	inside := map[string]<-chan answer{}
	want := map[string]string{}
	for how, c := range clients {
		inside["held, "+how], want["held, "+how] = fetching(c, "GET", url+"/hold", nil), "ok"
	}
	var uploads []*io.PipeWriter
	for _, how := range []string{"kept alive", "h2c"} {
		body, writer := io.Pipe()
		t.Cleanup(func() { _ = writer.CloseWithError(io.ErrUnexpectedEOF) }) // if it is still open
		inside["upload, "+how], want["upload, "+how] = fetching(clients[how], "POST", url+"/upload", body), "20"
		if _, err := io.WriteString(writer, "0123456789"); err != nil {
			t.Fatal(err)
		}
		uploads = append(uploads, writer)
	}
	streamed, err := clients["new connections"].Get(url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = streamed.Body.Close() }()
	half := make([]byte, len("first half, "))
	if _, err := io.ReadFull(streamed.Body, half); err != nil {
		t.Fatalf("the first half of a response: %v", err)
	}
	eventually(t, "six in the function", func() (bool, string) {
		return f.running.now() == 6, fmt.Sprintf("%d are", f.running.now())
	})
	// And seven wait.
	for i := range 7 {
		how := []string{"kept alive", "new connections", "h2c"}[i%3]
		name := fmt.Sprintf("waiting %d, %s", i, how)
		inside[name], want[name] = fetching(clients[how], "GET", url+"/hold", nil), "ok"
	}
	w.awaitMetric(t, 7, "weir_waiting_requests")

	w.signal(t, syscall.SIGTERM)
	if line := w.awaitLog(t, "draining"); line["inflight"] != "6" || line["waiting"] != "7" {
		t.Errorf("weir says inflight=%s waiting=%s, want 6 and 7", line["inflight"], line["waiting"])
	}
	mustNotBeReady(t, w)
	w.awaitDraining(t)
	for range 20 {
		for how, c := range clients {
			mustBeDraining(t, how, fetch(c, "GET", url+"/hold", nil))
		}
	}

	f.letGo()
	for _, writer := range uploads {
		if _, err := io.WriteString(writer, "0123456789"); err != nil {
			t.Errorf("the second half of an upload: %v", err)
		}
		_ = writer.Close() // it never fails
	}
	if rest, err := io.ReadAll(streamed.Body); err != nil || string(rest) != "second half" {
		t.Errorf("the second half of a response: %q, %v", rest, err)
	}
	for name, c := range inside {
		if a := await(t, name, c); a.err != nil || a.status != http.StatusOK || a.body != want[name] {
			t.Errorf("%s: was inside when the drain began and got %v, want 200 %q", name, a, want[name])
		}
	}
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if n := w.log.count("drained"); n != 1 {
		t.Errorf("weir said %d times that it has drained, want once", n)
	}
	mustRefuseConnections(t, w.data)
	if f.running.highest() > 6 {
		t.Errorf("the function saw %d at once, above the limit of 6", f.running.highest())
	}
}

// Whatever is sent while weir drains is either answered by the function or
// refused in order, until the last one inside has finished.
func TestDrainUnderLoadFailsNobody(t *testing.T) {
	eachEngine(t, testDrainUnderLoad)
}

func testDrainUnderLoad(t *testing.T, engine string) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, engine, "--upstream="+f.url(), "--max-inflight=8", "--overflow=wait", "--queue-order=fifo", "--queue-timeout=5m", "--drain-timeout=5m")
	w.awaitReady(t)
	url := "http://" + w.data
	clients := manners(t)
	held := fetching(clients["new connections"], "GET", url+"/hold", nil) // keeps the drain from ending

	var served, refused, late atomic.Int64
	var released atomic.Bool
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for how, c := range clients {
		for range 6 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					over := released.Load()
					switch a := fetch(c, "GET", url+"/quick?for=20ms", nil); {
					case a.err == nil && a.status == http.StatusOK && a.body == "ok":
						served.Add(1)
					case a.err == nil && a.status == http.StatusServiceUnavailable:
						mustBeDraining(t, how, a)
						refused.Add(1)
					case released.Load() && a.err != nil:
						late.Add(1) // the drain has ended, and with it the port
						return
					default:
						t.Errorf("%s: %v, before the drain could end (released: %v)", how, a, over)
						return
					}
				}
			})
		}
	}
	eventually(t, "load", func() (bool, string) { return served.Load() > 200, fmt.Sprint(served.Load()) })
	w.signal(t, syscall.SIGTERM)
	w.awaitLog(t, "draining")
	mustNotBeReady(t, w)
	eventually(t, "refusals", func() (bool, string) { return refused.Load() > 500, fmt.Sprint(refused.Load()) })
	if !w.running() {
		t.Error("weir ended although a request was inside")
	}
	s := w.scrape(t)
	if only := s.total(t, "weir_throttles_total", "reason", "draining"); only != s.total(t, "weir_throttles_total") {
		t.Errorf("refused by reason: %v, want only draining: who waited must get a turn", s.by(t, "weir_throttles_total", "reason"))
	}
	released.Store(true)
	f.letGo()
	if a := await(t, "the last one inside", held); a.err != nil || a.status != http.StatusOK {
		t.Errorf("the last one inside got %v, want 200", a)
	}
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d served, %d refused, %d came when the port was closed", served.Load(), refused.Load(), late.Load())
	if got := f.ended.now(); int64(got) != served.Load()+1 {
		t.Errorf("the function ended %d requests, clients got %d answers of it", got, served.Load()+1)
	}
}

func TestDrainIsCutShort(t *testing.T) {
	eachEngine(t, testDrainIsCutShort)
}

func testDrainIsCutShort(t *testing.T, engine string) {
	for _, tt := range []struct {
		name  string
		flags []string
		cut   func(*testing.T, *weir)
		says  string
	}{
		{"by a second signal", []string{"--drain-timeout=5m"}, func(t *testing.T, w *weir) { w.signal(t, syscall.SIGTERM) }, "second signal: not waiting any longer"},
		{"by a second signal of another kind", []string{"--drain-timeout=5m"}, func(t *testing.T, w *weir) { w.signal(t, os.Interrupt) }, "second signal: not waiting any longer"},
		{"by its timeout", []string{"--drain-timeout=300ms"}, func(*testing.T, *weir) {}, "drain ended early; what still ran was cut off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newHolding(t)
			w := start(t, append([]string{engine, "--upstream=" + f.url()}, tt.flags...)...)
			w.awaitReady(t)
			clients := manners(t)
			held := map[string]<-chan answer{}
			for how, c := range clients {
				held[how] = fetching(c, "GET", "http://"+w.data+"/hold", nil)
				held[how+", streaming"] = fetching(c, "GET", "http://"+w.data+"/stream", nil)
			}
			eventually(t, "all in the function", func() (bool, string) {
				return f.running.now() == len(held), fmt.Sprintf("%d are", f.running.now())
			})
			w.signal(t, syscall.SIGTERM)
			w.awaitLog(t, "draining")
			tt.cut(t, w)
			if code := w.wait(t); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if n := w.log.count(tt.says); n != 1 {
				t.Errorf("weir said %d times %q, want once", n, tt.says)
			}
			for how, c := range held {
				// What was cut off must look so: an error, or weir's own word for it.
				a := await(t, how, c)
				if a.err == nil && (a.status < 500 || a.header.Get("Proxy-Status") == "") {
					t.Errorf("%s: was cut off and got %v, as if it were the function's answer", how, a)
				}
			}
			eventually(t, "the function is told", func() (bool, string) {
				return f.running.now() == 0, fmt.Sprintf("it still runs %d", f.running.now())
			})
			mustRefuseConnections(t, w.data)
		})
	}
}

func TestDrainDelayStillAdmits(t *testing.T) {
	t.Parallel()
	f := newHolding(t)
	w := start(t, "--upstream="+f.url(), "--drain-delay=5m")
	w.awaitReady(t)
	w.signal(t, syscall.SIGTERM)
	w.awaitLog(t, "not ready any more, still admitting")
	mustNotBeReady(t, w)
	for how, c := range manners(t) {
		if a := fetch(c, "GET", "http://"+w.data+"/quick?for=1ms", nil); a.err != nil || a.status != http.StatusOK {
			t.Errorf("%s: during the drain's delay: %v, want 200", how, a)
		}
	}
	w.signal(t, syscall.SIGTERM)
	w.wait(t) // nothing was inside: that it is cut short harms nobody
	mustRefuseConnections(t, w.data)
}

func TestDrainClosesTunnelsLast(t *testing.T) {
	t.Parallel()
	f := newStormFunction(t, 10)
	w := start(t, "--upstream=http://"+f.addr, "--drain-timeout=5m")
	w.awaitReady(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+w.data+"/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	w.awaitMetric(t, 1, "weir_inflight_requests")
	w.signal(t, syscall.SIGTERM)
	w.awaitLog(t, "draining")
	w.awaitDraining(t)
	mustBeDraining(t, "h1", fetch(manners(t)["new connections"], "GET", "http://"+w.data+"/ok", nil))
	if err := c.Write(ctx, websocket.MessageText, []byte("still there")); err != nil {
		t.Errorf("writing through a tunnel during the drain: %v", err)
	}
	if _, message, err := c.Read(ctx); err != nil || string(message) != "still there" {
		t.Errorf("reading through a tunnel during the drain: %q, %v", message, err)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("closing a tunnel during the drain: %v", err)
	}
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestDrainStopsTheFunctionLast(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	env, command := inRole(t, "function", addr, "")
	w := startWith(t, env, append([]string{"--upstream=http://" + addr, "--drain-timeout=5m", "--"}, command...)...)
	clients := manners(t)
	held := fetching(clients["kept alive"], "GET", "http://"+w.data+"/hold", nil)
	w.awaitOutput(t, "begin /hold")
	w.signal(t, syscall.SIGTERM)
	w.awaitLog(t, "draining")
	mustNotBeReady(t, w)
	w.awaitDraining(t)
	for how, c := range clients {
		mustBeDraining(t, how, fetch(c, "GET", "http://"+w.data+"/", nil))
	}
	if a := fetch(clients["new connections"], "GET", "http://"+addr+"/direct", nil); a.err != nil || a.status != http.StatusOK {
		t.Errorf("the function itself during the drain: %v, want 200", a)
	}
	if strings.Contains(w.stdout.String(), "SIGTERM") {
		t.Error("the function got SIGTERM although a request was inside")
	}
	if a := fetch(clients["new connections"], "GET", "http://"+addr+"/release", nil); a.err != nil {
		t.Fatal(a)
	}
	if a := await(t, "the one inside", held); a.err != nil || a.status != http.StatusOK || a.body != "ok" {
		t.Errorf("the one inside got %v, want 200", a)
	}
	if code := w.wait(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	var course []string
	for line := range strings.Lines(w.stdout.String()) {
		if line != "begin /\n" && line != "end /\n" { // a newcomer just before the drain
			course = append(course, strings.TrimSpace(line))
		}
	}
	want := []string{"starting", "accepting", "begin /hold", "begin /direct", "end /direct", "end /hold", "SIGTERM"}
	if !slices.Equal(course, want) {
		t.Errorf("the function's course was\n%q, want\n%q", course, want)
	}
	mustRefuseConnections(t, addr)
}
