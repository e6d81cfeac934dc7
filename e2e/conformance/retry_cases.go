package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Connections to the function: kept, and when a kept one turns out to be dead,
// tried again only where that can do no harm (RFC 9110 section 9.2.2).

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// dying answers the first request of its first connection, takes the second one
// and closes without a word (or after the given bytes). Later connections are in
// order.
func (o *Origin) dying(last string) {
	o.Script(func(c *OriginConn) {
		for n := 1; ; n++ {
			if _, _, err := c.Request(); err != nil {
				return
			}
			if c.Ordinal == 1 && n == 2 {
				c.Say(last)
				return
			}
			c.Say(okResponse)
		}
	})
}

// requestsAt counts the heads that the origin saw for a target.
func (o *Origin) requestsAt(target string) int {
	n := 0
	for _, head := range o.Heads() {
		if strings.Contains(head, " "+target+" HTTP/1.1\r\n") {
			n++
		}
	}
	return n
}

// retried is a case of a request on a kept connection that dies.
func retried(name, line string, body any, last string, status, attempts int) Case {
	return Case{
		Name: "retries/" + name, Behind: Scripted,
		Run: func(t testing.TB, s *Stage) {
			s.Origin.dying(last)
			s.Do(t, "GET /first", nil).wantBody(t, 200, "ok")
			resp := s.Do(t, line, body)
			if status == http.StatusBadGateway {
				wantMade(t, resp, status)
			} else {
				wantPassed(t, resp, status)
			}
			_, target, _ := strings.Cut(line, " ")
			if n := s.Origin.requestsAt(target); n != attempts {
				t.Errorf("the function saw the request %d times, want %d", n, attempts)
			}
		},
	}
}

func retryCases() []Case {
	return []Case{
		retried("a GET on a kept connection that dies before the response goes once more", "GET /again", nil, "", 200, 2),
		retried("a HEAD likewise", "HEAD /again", nil, "", 200, 2),
		retried("an OPTIONS likewise", "OPTIONS /again", nil, "", 200, 2),
		retried("a DELETE without a body likewise, being idempotent", "DELETE /again", nil, "", 200, 2),
		retried("a POST with a body does not: 502", "POST /once", "body", "", 502, 1),
		retried("a POST without a body does not: 502", "POST /once", nil, "", 502, 1),
		retried("a PATCH does not: 502", "PATCH /once", "body", "", 502, 1),
		retried("a GET whose response has begun does not: 502", "GET /once", nil, "HTTP/1.1 2", 502, 1),
		{
			Name: "retries/a GET on a fresh connection does not: 502", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.AnswerAndClose("")
				wantMade(t, s.Do(t, "GET /fresh", nil), http.StatusBadGateway)
				if n := s.Origin.requestsAt("/fresh"); n != 1 {
					t.Errorf("the function saw the request %d times, want once", n)
				}
			},
		},
		{
			Name: "retries/once only: a function that always dies is 502", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.Script(func(c *OriginConn) {
					if _, _, err := c.Request(); err != nil || c.Ordinal > 1 {
						return
					}
					c.Say(okResponse)
					c.Request() //nolint:errcheck // then dies
				})
				s.Do(t, "GET /first", nil).wantBody(t, 200, "ok")
				wantMade(t, s.Do(t, "GET /again", nil), http.StatusBadGateway)
				if n := s.Origin.requestsAt("/again"); n != 2 {
					t.Errorf("the function saw the request %d times, want 2", n)
				}
			},
		},
		{
			Name: "retries/a request meets no dead connection out of many", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				const kept = 5
				all := make(chan struct{}, kept)
				release := make(chan struct{})
				s.Origin.Script(func(c *OriginConn) {
					for n := 1; ; n++ {
						if _, _, err := c.Request(); err != nil {
							return
						}
						if c.Ordinal <= kept && n == 2 {
							return // dies
						}
						if c.Ordinal <= kept {
							all <- struct{}{}
							<-release
						}
						c.Say(okResponse)
					}
				})
				var calls []*Call
				for range kept {
					calls = append(calls, s.Go(t, "GET /first", nil))
				}
				for range kept {
					await(t, "requests at the origin", all)
				}
				close(release)
				for _, call := range calls {
					call.Response(t).wantBody(t, 200, "ok")
				}
				s.Do(t, "GET /again", nil).wantBody(t, 200, "ok")
			},
		},
		{
			Name: "retries/a connection that the function closed while idle is not used again", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				noticed := make(chan error, 1)
				s.Origin.Script(func(c *OriginConn) {
					for {
						if _, _, err := c.Request(); err != nil {
							return
						}
						c.Say(okResponse)
						if c.Ordinal == 1 {
							closeWrite(c.Conn) //nolint:errcheck // shows in what weir does
							noticed <- c.AwaitClose()
							return
						}
					}
				})
				s.Do(t, "GET /first", nil).wantBody(t, 200, "ok")
				await(t, "weir closing its half of the idle connection", noticed)
				s.Do(t, "POST /next", "body").wantBody(t, 200, "ok") // nothing was sent on the dead one
			},
		},
		{
			Name: "retries/an upload of unknown length is not sent again", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.dying("")
				s.Do(t, "GET /first", nil).wantBody(t, 200, "ok")
				wantMade(t, s.Do(t, "POST /once", strings.NewReader("body")), http.StatusBadGateway)
				if n := s.Origin.requestsAt("/once"); n != 1 {
					t.Errorf("the function saw the request %d times, want once", n)
				}
			},
		},
		{
			Name: "upstream/connections are kept, enough of them",
			Run: func(t testing.TB, s *Stage) {
				const many = 32
				gate := s.Function.Hold("/hold")
				wave := func() {
					t.Helper()
					var calls []*Call
					var held []*Held
					for range many {
						calls = append(calls, s.Go(t, "GET /hold", nil))
					}
					for range many {
						held = append(held, gate.Next(t))
					}
					for _, h := range held {
						h.Release()
					}
					for _, call := range calls {
						call.Response(t).wantBody(t, 200, "held")
					}
					s.awaitMetric(t, 0, "weir_inflight_requests")
				}
				wave()
				first := s.Function.Conns()
				wave()
				if more := s.Function.Conns() - first; more > many/4 {
					t.Errorf("a second burst of %d requests opened %d new connections to the function: too few were kept", many, more)
				}
			},
		},
		{
			Name: "upstream/one connection serves requests one after another", Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				for i := range 20 {
					s.Do(t, fmt.Sprintf("GET /%d", i), nil).wantBody(t, 200, "ok")
					s.awaitMetric(t, 0, "weir_inflight_requests")
				}
				if n := s.Origin.Conns(); n != 1 {
					t.Errorf("20 requests one after another took %d connections, want 1", n)
				}
			},
		},
		{
			Name: "upstream/an idle connection is closed after the idle time", Behind: Scripted,
			With: Settings{Flags: Flags{"upstream-idle-timeout": "200ms"}},
			Run: func(t testing.TB, s *Stage) {
				closed := make(chan struct{}, 1)
				s.Origin.Script(func(c *OriginConn) {
					if _, _, err := c.Request(); err != nil {
						return
					}
					c.Say(okResponse)
					if _, err := c.Head(); err != nil {
						closed <- struct{}{}
					}
				})
				s.Do(t, "GET /", nil).wantBody(t, 200, "ok")
				await(t, "weir closing the idle connection", closed)
			},
		},
	}
}
