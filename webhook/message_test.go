package webhook

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample() *Outcome {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	return &Outcome{
		ID: "c1.callback.1", Call: "c1", Function: "orders", State: "succeeded", Attempts: 2, Method: "POST", Target: "/orders?x=\xff",
		EnqueuedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(2500 * time.Millisecond),
		Response: &Response{Status: 201, Header: http.Header{"Content-Type": {"application/json"}, "Set-Cookie": {"secret"}}, Body: []byte(`{"n": 1}`)},
	}
}

func TestACallbackIsWhatTheFunctionAnswered(t *testing.T) {
	m := sample().Result()
	want := http.Header{
		"Content-Type": {"application/json"}, "X-Call-Id": {"c1"}, "X-Function-Name": {"orders"}, "X-Function-Status": {"201"},
		"X-Duration-Seconds": {"1.500000"}, "Weir-Call-State": {"succeeded"},
	}
	if !reflect.DeepEqual(m.Header, want) || string(m.Body) != `{"n": 1}` || m.ID != "c1.callback.1" {
		t.Errorf("got %v %q", m.Header, m.Body)
	}
	o := sample()
	o.Response, o.State, o.StartedAt = nil, "expired", time.Time{}
	if m := o.Result(); m.Header.Get("X-Function-Status") != "503" || m.Header.Get("X-Duration-Seconds") != "0.000000" || len(m.Body) != 0 || m.Header["Content-Type"] != nil {
		t.Errorf("without an answer: %v %q", m.Header, m.Body)
	}
	o = sample()
	o.Response.Body, o.Response.Dropped = nil, true
	if m := o.Result(); m.Header.Get("Weir-Response-Dropped") != "true" {
		t.Errorf("without its body: %v", m.Header)
	}
}

func TestARecordTellsOfTheCall(t *testing.T) {
	head := `{"version":"1","id":"c1","function":"orders","state":"succeeded","attempts":2,"enqueued_at":"2026-03-01T10:00:00Z",` +
		`"started_at":"2026-03-01T10:00:01Z","finished_at":"2026-03-01T10:00:02.5Z","duration_seconds":1.5,"request":{"method":"POST","target":"/orders?x=` + "\ufffd" + `"}`
	for name, c := range map[string]struct {
		change func(*Response)
		want   string
	}{
		"JSON":          {func(*Response) {}, `{"status":201,"content_type":"application/json","json":{"n":1}}`},
		"broken JSON":   {func(r *Response) { r.Body = []byte(`{`) }, `{"status":201,"content_type":"application/json","body":"{"}`},
		"text":          {func(r *Response) { r.Header.Set("Content-Type", "text/plain"); r.Body = []byte("hi") }, `{"status":201,"content_type":"text/plain","body":"hi"}`},
		"bytes":         {func(r *Response) { r.Header.Del("Content-Type"); r.Body = []byte{0xff} }, `{"status":201,"body_base64":"/w=="}`},
		"encoded JSON":  {func(r *Response) { r.Header.Set("Content-Encoding", "br"); r.Body = []byte{0xff} }, `{"status":201,"content_type":"application/json","body_base64":"/w=="}`},
		"nothing":       {func(r *Response) { r.Body = nil }, `{"status":201,"content_type":"application/json"}`},
		"what was much": {func(r *Response) { r.Body, r.Dropped = nil, true }, `{"status":201,"content_type":"application/json","body_dropped":true}`},
	} {
		o := sample()
		c.change(o.Response)
		m, err := o.Record()
		if err != nil {
			t.Fatal(err)
		}
		if want := head + `,"response":` + c.want + "}"; string(m.Body) != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, m.Body, want)
		}
		if !json.Valid(m.Body) || m.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", name, m.Header)
		}
	}
	o := sample()
	o.Response, o.State, o.Error = nil, "failed", "connection refused"
	m, err := o.Record()
	if err != nil || strings.Contains(string(m.Body), `"response"`) || !strings.Contains(string(m.Body), `"error":"connection refused"`) {
		t.Errorf("%s, %v", m.Body, err)
	}
}

func TestCloudEvents(t *testing.T) {
	o := sample()
	o.ID = "50% \"caf\u00e9\""
	m := o.Result()
	o.AsEvent(m)
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "50%25%20%22caf%C3%A9%22", "ce-source": "/functions/orders", "ce-type": "weir.call.succeeded",
		"ce-subject": "c1", "ce-time": "2026-03-01T10:00:02.5Z", "Content-Type": "application/json",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
