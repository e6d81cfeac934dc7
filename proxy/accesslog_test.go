package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"weir/limits"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

// lines are the lines with message "request".
func (l *logged) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.b.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if m["msg"] == "request" {
			lines = append(lines, m)
		}
	}
	return lines
}

func TestAccessLog(t *testing.T) {
	const secret = "token=s3cret"
	for _, c := range []struct {
		name              string
		which             AccessLog
		every             int
		requests, refused int // the first succeed
		least, most       int // lines
		oneIn             any
	}{
		{name: "off", which: AccessOff, requests: 3, refused: 3},
		{name: "errors", which: AccessErrors, requests: 3, refused: 3, least: 3, most: 3},
		{name: "all", which: AccessAll, requests: 3, refused: 3, least: 6, most: 6},
		{name: "sampled, each", which: AccessSampled, every: 1, requests: 3, refused: 3, least: 6, most: 6, oneIn: 1.0},
		// 400 requests at 1 in 4: outside of 40 to 200 once in 10^12 runs.
		{name: "sampled", which: AccessSampled, every: 4, requests: 200, refused: 200, least: 40, most: 200, oneIn: 4.0},
	} {
		for _, netHTTP := range []bool{false, true} {
			name := c.name + ", own engine"
			if netHTTP {
				name = c.name + ", net/http"
			}
			t.Run(name, func(t *testing.T) {
				log := &logged{}
				s := serve(t, rawOrigin(t, plainAnswer), limits.Policy{MaxInflight: 1}, Settings{AccessLog: c.which, AccessEvery: c.every},
					func(o *Options, so *ServerOptions) {
						o.Log, so.NetHTTP = slog.New(slog.NewJSONHandler(log, nil)), netHTTP
					})
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				ask := func(want int) {
					t.Helper()
					if _, err := conn.Write([]byte("GET /path?" + secret + " HTTP/1.1\r\nHost: f\r\n\r\n")); err != nil {
						t.Fatal(err)
					}
					res, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := r.Discard(int(res.ContentLength)); err != nil || res.StatusCode != want {
						t.Fatalf("status %d, want %d, %v", res.StatusCode, want, err)
					}
				}
				for range c.requests {
					eventually(t, "the slot is free", func() bool { return s.gate.Snapshot().Inflight == 0 })
					ask(http.StatusOK)
				}
				eventually(t, "the slot is free", func() bool { return s.gate.Snapshot().Inflight == 0 })
				var held limits.Slot
				if err := s.gate.Enter(t.Context(), &limits.Call{}, &held); err != nil {
					t.Fatal(err)
				}
				for range c.refused {
					ask(http.StatusTooManyRequests)
				}
				held.Leave(limits.Succeeded)
				if err := s.server.Drain(t.Context()); err != nil { // then all is written
					t.Fatal(err)
				}
				lines := log.lines(t)
				if len(lines) < c.least || len(lines) > c.most {
					t.Fatalf("%d lines, want %d to %d", len(lines), c.least, c.most)
				}
				refused := 0
				for _, l := range lines {
					if l["path"] != "/path" || l["method"] != "GET" || l["proto"] != "HTTP/1.1" || l["one_in"] != c.oneIn {
						t.Fatalf("line %v", l)
					}
					switch l["status"] {
					case 200.0:
						if l["origin"] != "function" || l["throttled"] != nil {
							t.Fatalf("line %v", l)
						}
					case 429.0:
						refused++
						if l["origin"] != "weir" || l["throttled"] != "max_inflight" {
							t.Fatalf("line %v", l)
						}
					default:
						t.Fatalf("line %v", l)
					}
				}
				if len(lines) > 0 && refused == 0 {
					t.Error("no refusal among the lines")
				}
				if bytes.Contains(log.b.Bytes(), []byte("s3cret")) {
					t.Error("the query is in the log")
				}
			})
		}
	}
}
