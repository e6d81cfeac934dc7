package plugin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
)

// of gives a data source that asks one weir.
func of(w *weir) source {
	return source{uid: "weir", sidecars: map[string]string{"checkout-0": w.admin}, order: []string{"checkout-0"}, token: token}
}

// value gives a field's value in the last row.
func value(t testing.TB, frame *data.Frame, name string) any {
	t.Helper()
	field, _ := frame.FieldByName(name)
	if field == nil || field.Len() == 0 {
		t.Fatalf("no value of %q in %v", name, frame)
	}
	v, _ := field.ConcreteAt(field.Len() - 1)
	return v
}

func answered(t testing.TB, r backend.DataResponse) data.Frames {
	t.Helper()
	if r.Error != nil || len(r.Frames) == 0 {
		t.Fatalf("not answered: %v, %d frames", r.Error, len(r.Frames))
	}
	return r.Frames
}

func TestHealth(t *testing.T) {
	t.Parallel()
	f := newFunction(t)
	w := startWeir(t, f)
	h := startPlugin(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	defer other.Close()
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	with := func(change func(*source)) source {
		s := of(w)
		change(&s)
		return s
	}
	at := func(url string) source {
		return with(func(s *source) { s.sidecars = map[string]string{"checkout-0": url} })
	}
	for name, c := range map[string]struct {
		source        source
		status, wants string
	}{
		"well":        {of(w), "OK", "checkout-0: weir "},
		"no token":    {with(func(s *source) { s.token = "" }), "ERROR", "it refuses the token (401): set the one of its --admin-token-file"},
		"wrong token": {with(func(s *source) { s.token = "another-secret" }), "ERROR", "it refuses the token (401)"},
		"bad token":   {with(func(s *source) { s.token = "another secret" }), "ERROR", "the token holds a space"},
		"unreachable": {at(gone.URL), "ERROR", "1 of 1 sidecars cannot be asked. checkout-0: no sidecar answers: "},
		"other":       {at(other.URL), "ERROR", "what answers is no weir, or one of another version"},
		"page":        {at(page.URL), "ERROR", "is not answered by a weir's management API (404 Not Found)"},
		"no sidecar":  {with(func(s *source) { s.order = nil }), "ERROR", "no sidecar is named"},
		"bad URL":     {at("ftp://x"), "ERROR", `has the scheme "ftp"`},
		"bad name": {with(func(s *source) {
			s.sidecars, s.order = map[string]string{"a/b": w.admin}, []string{"a/b"}
		}), "ERROR", `is named "a/b"`},
		"bad timeout": {with(func(s *source) { s.more = map[string]any{"timeoutSeconds": 3600} }), "ERROR", "the timeout is 3600 s"},
		"one of two": {with(func(s *source) {
			s.sidecars, s.order = map[string]string{"a": w.admin, "b": gone.URL}, []string{"a", "b"}
		}), "ERROR", "1 of 2 sidecars cannot be asked. b: no sidecar answers"},
		"two": {with(func(s *source) {
			s.sidecars, s.order = map[string]string{"a": w.admin, "b": w.admin}, []string{"a", "b"}
		}), "OK", "all 2 sidecars answer"},
	} {
		c.source.uid = strings.ReplaceAll(name, " ", "-") // a data source of its own
		status, message := h.health(t, c.source)
		if status != c.status || !strings.Contains(message, c.wants) {
			t.Errorf("%s: %s %q, want %s %q", name, status, message, c.status, c.wants)
		}
	}
	for _, secret := range []string{token, "another-secret", "another secret"} {
		if strings.Contains(h.log.String(), secret) {
			t.Error("the log holds a token")
		}
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	f := newFunction(t)
	w := startWeir(t, f)
	h := startPlugin(t)
	s := of(w)

	for range 5 {
		w.ask(t, "/ok")
	}
	var dead []string
	for n := 1; n <= 3; n++ {
		dead = append(dead, w.later(t, "/fail?secret=1"))
		eventually(t, "a dead letter", func() bool {
			r := h.query(t, s, "Viewer", "dead_letters", nil)
			return r.Error == nil && len(r.Frames) == 1 && r.Frames[0].Rows() == n
		})
	}
	w.hold(t, f)
	w.hold(t, f)
	if res := w.ask(t, "/ok"); res.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("the limit lets %s pass", res.Status)
	}
	all := map[string]any{"groups": []string{"latency", "throttles", "requests", "concurrency"}}
	var frames data.Frames
	eventually(t, "a second that tells of all of it", func() bool {
		frames = answered(t, h.query(t, s, "Viewer", "state", all))
		refused, _ := frames[0].FieldByName("throttled")
		// A picture takes more than a point.
		return refused != nil && frames[0].Rows() > 0 && value(t, frames[0], "running") == 2.0 && (*record == "" || frames[0].Rows() >= 6)
	})
	golden(t, "state", frames, func(string) bool { return false })
	if limit := value(t, frames[0], "limit"); limit != 2.0 {
		t.Errorf("the limit is %v", limit)
	}
	sum := func(name string) (sum float64) {
		field, _ := frames[0].FieldByName(name)
		for i := range field.Len() {
			if v, ok := field.ConcreteAt(i); ok {
				sum += v.(float64)
			}
		}
		return sum
	}
	// Rates of a second each: what they add up to is what was sent, or less where the
	// machine made seconds longer.
	if ended := sum("ended"); ended <= 0 || ended > 9 {
		t.Errorf("%v ended a second, summed up", ended)
	}
	if refused := sum("throttled"); refused <= 0 || refused > 1.1 {
		t.Errorf("%v refused a second, summed up", refused)
	}

	running := answered(t, h.query(t, s, "Viewer", "inflight", nil))
	golden(t, "inflight", running, func(name string) bool {
		return slices.Contains([]string{"sidecar", "method", "path", "protocol"}, name)
	})
	if age := value(t, running[0], "age"); age.(float64) <= 0 {
		t.Errorf("a request has run for %v s", age)
	}
	one := answered(t, h.query(t, s, "Viewer", "inflight", map[string]any{"limit": 1}))[0]
	if one.Rows() != 1 || len(one.Meta.Notices) != 1 || one.Meta.Notices[0].Text != "checkout-0: 2 requests run, and the oldest 1 are shown" {
		t.Errorf("%d rows, %+v", one.Rows(), one.Meta.Notices)
	}

	letters := answered(t, h.query(t, s, "Viewer", "dead_letters", nil))
	golden(t, "dead_letters", letters, func(name string) bool {
		return slices.Contains([]string{"sidecar", "state", "method", "path", "attempts", "status", "error"}, name)
	})
	waits := w.later(t, "/ok?secret=1", "Weir-Delay", "1h")
	calls := answered(t, h.query(t, s, "Viewer", "calls", map[string]any{"state": "scheduled"}))
	golden(t, "calls", calls, func(name string) bool {
		return slices.Contains([]string{"sidecar", "state", "method", "path", "attempts", "status", "error", "started", "finished"}, name)
	})
	if id := value(t, calls[0], "id"); id != waits {
		t.Errorf("the call that waits is %v, want %s", id, waits)
	}
	if every := answered(t, h.query(t, s, "Viewer", "calls", nil))[0]; every.Rows() != 4 {
		t.Errorf("%d calls in all", every.Rows())
	}
	two := answered(t, h.query(t, s, "Viewer", "calls", map[string]any{"state": "failed", "limit": 2}))[0]
	if two.Rows() != 2 || len(two.Meta.Notices) != 1 || two.Meta.Notices[0].Text != "checkout-0: 2 calls are shown; there may be more" {
		t.Errorf("%d rows, %+v", two.Rows(), two.Meta.Notices)
	}
	if id := value(t, letters[0], "id"); id != dead[2] {
		t.Errorf("the newest dead letter is %v, want %s", id, dead[2])
	}

	live := answered(t, h.query(t, s, "Viewer", "state", map[string]any{"live": true, "groups": []string{"throttles", "concurrency"}}))[0]
	if live.Meta.Channel != "ds/weir/state/checkout-0/concurrency.throttles" {
		t.Errorf("the channel is %q", live.Meta.Channel)
	}
	if reasons := len(live.Fields) - 1 - 4; reasons < 8 {
		t.Errorf("%d reasons: a stream has all of them from its start", reasons)
	}
	for name, c := range map[string]struct {
		kind string
		q    map[string]any
		want string
	}{
		"kind":    {"everything", nil, `the query type "everything" is unknown`},
		"sidecar": {"state", map[string]any{"sidecars": "http://169.254.169.254"}, `no sidecar of this data source is named "http://169.254.169.254"`},
		"state":   {"calls", map[string]any{"state": "lost"}, `no call is in a state "lost"`},
		"group":   {"state", map[string]any{"groups": []string{"money"}}, `there is no group of series "money"`},
		"limit":   {"inflight", map[string]any{"limit": 1001}, "it must be from 1 to 1000 rows"},
		"type":    {"inflight", map[string]any{"limit": "many"}, "the query cannot be read"},
	} {
		if r := h.query(t, s, "Viewer", c.kind, c.q); r.Error == nil || !strings.Contains(r.Error.Error(), c.want) {
			t.Errorf("%s: %v", name, r.Error)
		}
	}
}

func TestTopCallers(t *testing.T) {
	t.Parallel()
	f := newFunction(t)
	w := startWeir(t, f, "--caller-key=header:X-Caller", "--trusted-proxies=127.0.0.0/8", "--caller-max-inflight=1")
	h := startPlugin(t)
	s := of(w)
	held := w.hold(t, f, "X-Caller", "alice")
	if res := w.ask(t, "/ok", "X-Caller", "alice"); res.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("the limit of one caller lets %s pass", res.Status)
	}
	w.ask(t, "/ok", "X-Caller", "bob")
	inside := answered(t, h.query(t, s, "Viewer", "callers", nil))[0]
	if caller, n := value(t, inside, "caller"), value(t, inside, "inside"); caller != "" || inside.Rows() != 3 || n != int64(0) {
		t.Errorf("the last of %d rows is of %v, with %v inside", inside.Rows(), caller, n)
	}
	// alice's request has taken longer than bob's, which ran meanwhile.
	f.release()
	<-held
	var used data.Frames
	eventually(t, "alice's request has ended", func() bool {
		used = answered(t, h.query(t, s, "Viewer", "callers", map[string]any{"limit": 1}))
		inside, _ := used[0].FieldByName("inside")
		return inside.At(0) == int64(0) && used[0].Fields[1].At(0) == "alice"
	})
	golden(t, "callers", used, func(name string) bool { return name != "slot-seconds" })
	seconds, _ := used[0].FieldByName("slot-seconds")
	if most, less := seconds.At(0).(float64), seconds.At(1).(float64); most <= 0 || less > most {
		t.Errorf("alice used %v slot-seconds, bob %v", most, less)
	}

	other := startWeir(t, f)
	s = of(other)
	s.uid = "untold"
	none := answered(t, h.query(t, s, "Viewer", "callers", nil))[0]
	if n := none.Meta.Notices; none.Rows() != 0 || len(n) != 1 || n[0].Text != "checkout-0: callers are not told apart: set --caller-key" {
		t.Errorf("%d rows, %+v", none.Rows(), n)
	}
}

// One sidecar of several that is away does not hide the others, and is told of.
func TestSomeSidecarsAreAway(t *testing.T) {
	t.Parallel()
	f := newFunction(t)
	w := startWeir(t, f)
	h := startPlugin(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := source{uid: "some", sidecars: map[string]string{"a": gone.URL, "b": w.admin, "c": w.admin}, order: []string{"a", "b", "c"}, token: token}
	w.hold(t, f)
	table := answered(t, h.query(t, s, "Viewer", "inflight", nil))[0]
	if table.Rows() != 2 || value(t, table, "sidecar") != "c" {
		t.Errorf("%d rows", table.Rows())
	}
	state := answered(t, h.query(t, s, "Viewer", "state", nil))
	if len(state) != 2 {
		t.Fatalf("%d frames", len(state))
	}
	for _, frame := range []*data.Frame{table, state[0]} {
		if n := frame.Meta.Notices; len(n) != 1 || n[0].Severity != data.NoticeSeverityError || !strings.HasPrefix(n[0].Text, "a: no sidecar answers") {
			t.Errorf("the notices are %+v", n)
		}
	}
	if shown := state[0].Fields[1].Config.DisplayNameFromDS; shown != "b limit" {
		t.Errorf("a series is called %q", shown)
	}
	if only := answered(t, h.query(t, s, "Viewer", "state", map[string]any{"sidecars": "c"})); len(only) != 1 || only[0].Name != "c" {
		t.Errorf("%d frames", len(only))
	}
	if r := h.query(t, s, "Viewer", "state", map[string]any{"sidecars": "a"}); r.Error == nil || r.ErrorSource != backend.ErrorSourceDownstream {
		t.Errorf("%v of %s", r.Error, r.ErrorSource)
	}
}

func TestActionsAndRoles(t *testing.T) {
	t.Parallel()
	f := newFunction(t)
	w := startWeir(t, f)
	h := startPlugin(t)
	s := of(w)
	dead := func() []string {
		var ids []string
		frame := answered(t, h.query(t, s, "Viewer", "dead_letters", nil))[0]
		field, _ := frame.FieldByName("id")
		for i := range field.Len() {
			ids = append(ids, field.At(i).(string))
		}
		return ids
	}
	first := w.later(t, "/fail")
	eventually(t, "the first dead letter", func() bool { return len(dead()) == 1 })
	for range 3 {
		w.later(t, "/fail")
	}
	eventually(t, "four dead letters", func() bool { return len(dead()) == 4 })
	waits := w.later(t, "/ok", "Weir-Delay", "1h")

	redrive := "sidecars/checkout-0/dead-letters/" + first + "/redrive"
	all := "sidecars/checkout-0/dead-letters/redrive"
	cancel := "sidecars/checkout-0/calls/" + waits + "/cancel"
	for _, role := range []string{"", "Viewer", "None", "editor", "GrafanaAdmin"} {
		for _, path := range []string{redrive, all, cancel} {
			if status, body := h.call(t, s, role, "POST", path, "{}"); status != http.StatusForbidden || body != `{"message":"this takes the role Editor or Admin"}`+"\n" {
				t.Errorf("the role %q and %s: %d %s", role, path, status, body)
			}
		}
	}
	if n := len(dead()); n != 4 {
		t.Fatalf("%d dead letters after refusals", n)
	}
	for name, c := range map[string]struct {
		method, path, body, media string
		status                    int
	}{
		"no sidecar":    {"POST", "sidecars/other/calls/" + waits + "/cancel", "{}", "application/json", 404},
		"a URL":         {"POST", "sidecars/127.0.0.1:9465/calls/" + waits + "/cancel", "{}", "application/json", 404},
		"an odd id":     {"POST", "sidecars/checkout-0/calls/..%2F..%2Fdrain/cancel", "{}", "application/json", 400},
		"a long id":     {"POST", "sidecars/checkout-0/calls/" + strings.Repeat("a", 200) + "/cancel", "{}", "application/json", 400},
		"no call":       {"POST", "sidecars/checkout-0/calls/0000000000000000000000/cancel", "{}", "application/json", 404},
		"a form":        {"POST", redrive, "a=b", "application/x-www-form-urlencoded", 415},
		"no body":       {"POST", redrive, "", "application/json", 400},
		"no object":     {"POST", redrive, "[]", "application/json", 400},
		"more":          {"POST", redrive, `{"url": "http://x"}`, "application/json", 400},
		"twice":         {"POST", redrive, `{} {}`, "application/json", 400},
		"large":         {"POST", redrive, `{"cursor": "` + strings.Repeat("a", 5000) + `"}`, "application/json", 413},
		"another verb":  {"DELETE", redrive, "{}", "application/json", 404},
		"another place": {"POST", "sidecars/checkout-0/drain", "{}", "application/json", 404},
	} {
		if status, body := h.callWith(t, s, "Admin", c.method, c.path, c.body, c.media); status != c.status || !strings.HasPrefix(body, `{"message":"`) {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.status)
		}
	}

	f.mend()
	if status, body := h.call(t, s, "Editor", "POST", redrive, "{}"); status != http.StatusOK || body != `{"redriven":1}`+"\n" {
		t.Errorf("redrive: %d %s", status, body)
	}
	succeeded := func(id string) bool {
		r := w.ask(t, "/_weir/calls/"+id+"/response")
		return r.StatusCode == http.StatusOK
	}
	eventually(t, "the call succeeds", func() bool { return succeeded(first) })
	if status, body := h.call(t, s, "Admin", "POST", all, "{}"); status != http.StatusOK || body != `{"redriven":3}`+"\n" {
		t.Errorf("redrive all: %d %s", status, body)
	}
	eventually(t, "no dead letter is left", func() bool { return len(dead()) == 0 })
	status, body := h.call(t, s, "Editor", "POST", cancel, "{}")
	if status != http.StatusOK || !strings.Contains(body, `"state":"cancelled"`) {
		t.Errorf("cancel: %d %s", status, body)
	}
	if status, body := h.call(t, s, "Editor", "POST", cancel, "{}"); status != http.StatusConflict {
		t.Errorf("cancel again: %d %s", status, body)
	}
	if status, body := h.call(t, s, "Viewer", "GET", "sidecars", ""); status != http.StatusOK || body != `{"sidecars":["checkout-0"]}`+"\n" {
		t.Errorf("the list of sidecars: %d %s", status, body)
	}
	bad := s
	bad.uid, bad.token = "bad", "another-secret"
	if status, body := h.call(t, bad, "Admin", "POST", all, "{}"); status != http.StatusBadGateway || !strings.Contains(body, "it refuses the token") {
		t.Errorf("with a wrong token: %d %s", status, body)
	}
	log := h.log.String()
	if !strings.Contains(log, "a change was made") || !strings.Contains(log, "somebody") {
		t.Error("the log does not say who changed what")
	}
	if strings.Contains(log, token) || strings.Contains(log, "another-secret") {
		t.Error("the log holds a token")
	}
}

// packet is a frame of a stream.
type packet struct {
	Schema struct {
		Fields []struct {
			Name   string
			Labels map[string]string
		}
	}
	Data struct{ Values [][]*float64 }
}

func next(t testing.TB, packets <-chan json.RawMessage) packet {
	t.Helper()
	select {
	case raw, ok := <-packets:
		var p packet
		if !ok {
			t.Fatal("the stream has ended")
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		return p
	case <-time.After(patience):
		t.Fatal("the stream sends nothing")
	}
	return packet{}
}

// fieldsOf gives the fields of a frame as Grafana compares them.
func fieldsOf(t testing.TB, frame []byte) []any {
	t.Helper()
	var f struct{ Schema struct{ Fields []any } }
	if err := json.Unmarshal(frame, &f); err != nil {
		t.Fatal(err)
	}
	return f.Schema.Fields
}

func TestStream(t *testing.T) {
	t.Parallel()
	f := newFunction(t)
	w := startWeir(t, f)
	h := startPlugin(t)
	s := of(w)
	s.sidecars["checkout-1"], s.order = w.admin, append(s.order, "checkout-1")
	const path = "state/checkout-0/concurrency.throttles"
	for p, want := range map[string]string{
		path:                               "OK",
		"state/checkout-0/latency":         "OK",
		"state/other/latency":              "NOT_FOUND",
		"state/checkout-0":                 "NOT_FOUND",
		"state/checkout-0/money":           "NOT_FOUND",
		"state/checkout-0/":                "NOT_FOUND",
		"state/checkout-0/latency.latency": "NOT_FOUND",
		"calls/checkout-0/latency":         "NOT_FOUND",
		"":                                 "NOT_FOUND",
	} {
		answer, err := h.stream.SubscribeStream(t.Context(), &pluginv2.SubscribeStreamRequest{PluginContext: s.as(t, "Viewer"), Path: p})
		if err != nil || answer.Status.String() != want {
			t.Errorf("subscribing to %q: %v, %v", p, answer, err)
		}
	}
	published, err := h.stream.PublishStream(t.Context(), &pluginv2.PublishStreamRequest{PluginContext: s.as(t, "Admin"), Path: path, Data: []byte(`{}`)})
	if err != nil || published.Status != pluginv2.PublishStreamResponse_PERMISSION_DENIED {
		t.Errorf("publishing: %v, %v", published, err)
	}

	w.hold(t, f)
	ctx, leave := context.WithCancel(t.Context())
	packets, second := h.follow(t, ctx, s, path), h.follow(t, ctx, s, "state/checkout-0/latency")
	var before float64
	var values int
	// The first second may have begun before the request.
	eventually(t, "a frame with the request", func() bool { return *next(t, packets).Data.Values[2][0] == 1 })
	for i := range 5 {
		p := next(t, packets)
		names := []string{}
		for _, field := range p.Schema.Fields {
			names = append(names, field.Name)
		}
		if !slices.Equal(names[:5], []string{"time", "limit", "running", "concurrency", "waiting"}) || names[5] != "throttled" || len(names) < 13 {
			t.Fatalf("frame %d has %v", i, names)
		}
		if values = len(p.Data.Values); values != len(names) {
			t.Fatalf("frame %d has %d values", i, values)
		}
		at := *p.Data.Values[0][0]
		if i > 0 && (at <= before || at-before < 500) {
			t.Errorf("frame %d is of %v, the one before of %v ms", i, at, before)
		}
		before = at
		if *p.Data.Values[1][0] != 2 || *p.Data.Values[2][0] != 1 {
			t.Errorf("frame %d tells of %v running, of %v", i, *p.Data.Values[2][0], *p.Data.Values[1][0])
		}
	}
	next(t, second)
	// What the query gives is what the stream goes on with: a graph keeps its history.
	frame := answered(t, h.query(t, s, "Viewer", "state", map[string]any{"live": true, "sidecars": "checkout-0", "groups": []string{"concurrency", "throttles"}}))[0]
	text, err := data.FrameToJSON(frame, data.IncludeSchemaOnly)
	if err != nil {
		t.Fatal(err)
	}
	if queried, streamed := fieldsOf(t, text), fieldsOf(t, <-packets); len(queried) != values || !reflect.DeepEqual(queried, streamed) {
		t.Errorf("the query has the fields\n%v, the stream\n%v", queried, streamed)
	}

	// The sidecar goes: the line breaks, once, and the stream goes on.
	w.stop(t)
	eventually(t, "a frame without values", func() bool {
		p := next(t, packets)
		return p.Data.Values[1][0] == nil && p.Data.Values[2][0] == nil
	})
	leave()
	for range packets {
	}
	for range second {
	}
}
