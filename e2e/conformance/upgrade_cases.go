package conformance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Upgrades (RFC 9110 section 7.8): websocket is tunnelled, nothing else is. A
// tunnel is a request that runs: it holds its slot until both directions ended.

const (
	askWebSocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	gotWebSocket = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

func askTunnel(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + askWebSocket }

// Tunnel makes path switch protocols, sending extra along with the 101, and then
// play the tunnel. When play returns, the connection is closed.
func (f *Function) Tunnel(path, extra string, play func(conn net.Conn, r *bufio.Reader)) {
	f.Handle(path, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-f.closing:
				conn.Close()
			case <-stop:
			}
		}()
		if _, err := io.WriteString(conn, gotWebSocket+extra); err != nil {
			return
		}
		play(conn, rw.Reader)
	})
}

// echoTunnel gives back what it gets, and ends its direction after the other.
func echoTunnel(conn net.Conn, r *bufio.Reader) {
	io.Copy(conn, r) //nolint:errcheck // seen by the case
}

// opened reads the 101.
func (c *Conn) opened() *Conn {
	c.t.Helper()
	head := c.Head()
	if head.Status != http.StatusSwitchingProtocols || !strings.EqualFold(head.Get("Upgrade"), "websocket") ||
		!strings.EqualFold(head.Get("Connection"), "upgrade") || head.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("status %d, fields %v, want the function's 101", head.Status, head.Fields)
	}
	return c
}

// notTunnelled is a case of an upgrade that must be served as an ordinary
// request, of which the function sees nothing.
func notTunnelled(name, lines string) Case {
	return Case{
		Name: "upgrade/" + name, Over: http1Carriers, Behind: Scripted,
		Run: func(t testing.TB, s *Stage) {
			s.Origin.Script(func(c *OriginConn) {
				for {
					h, _, err := c.Request()
					if err != nil {
						return
					}
					if token := h.fields().Get("Upgrade"); token != "" {
						c.Say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + token + "\r\n\r\n")
						c.AwaitClose() //nolint:errcheck // nothing is said in it
						return
					}
					c.Say(okResponse)
				}
			})
			c := s.Dial(t)
			c.Send("GET /a HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n")
			c.Response("GET").wantBody(t, 200, "ok")
			c.Exchange("GET /b HTTP/1.1\r\nHost: h\r\n\r\n").wantBody(t, 200, "ok")
			for _, head := range s.Origin.Heads() {
				fields := fieldsOfHead(head)
				for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
					if v, ok := fields[name]; ok {
						t.Errorf("the function got %s: %q", name, v)
					}
				}
			}
		},
	}
}

func upgradeCases() []Case {
	return slices.Concat(tunnelCases(), tunnelSlotCases(), []Case{
		notTunnelled("h2c is never tunnelled", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"),
		notTunnelled("another token is not tunnelled", "Connection: Upgrade\r\nUpgrade: foo/1\r\n"),
		notTunnelled("TLS is not tunnelled", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
		notTunnelled("an upgrade that connection does not name is not tunnelled", "Upgrade: websocket\r\n"),
		{
			Name: "upgrade/of a list only websocket can reach the function", Over: http1Carriers, Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Dial(t).Exchange("GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n").want(t, 200)
				if got := fieldsOfHead(s.Origin.Heads()[0]).Get("Upgrade"); strings.Contains(got, "h2c") {
					t.Errorf("the function got Upgrade: %s", got)
				}
			},
		},
		{
			Name: "upgrade/an answer that is not 101 is an ordinary response", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/no", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Why", "no")
					w.WriteHeader(403)
					io.WriteString(w, "no tunnel") //nolint:errcheck // seen by the case
				})
				c := s.Dial(t)
				resp := c.Exchange(askTunnel("/no"))
				wantPassed(t, resp.wantBody(t, 403, "no tunnel"), 403)
				if resp.Get("X-Why") != "no" {
					t.Errorf("fields %v", resp.Fields)
				}
				s.awaitMetric(t, 0, "weir_inflight_requests")
				c.Exchange("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").echoed(t) // on the same connection
			},
		},
		{
			Name: "upgrade/a 101 to another protocol than asked for is 502", Over: http1Carriers, Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Origin.AnswerAndClose("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
				wantMade(t, s.Dial(t).Exchange(askTunnel("/up")), http.StatusBadGateway)
			},
		},
		{
			Name: "upgrade/not of an HTTP/1.0 client", Over: http1Carriers, Behind: Scripted,
			Run: func(t testing.TB, s *Stage) {
				s.Dial(t).Exchange("GET / HTTP/1.0\r\nHost: h\r\n"+askWebSocket).wantBody(t, 200, "ok")
				if v, ok := fieldsOfHead(s.Origin.Heads()[0])["Upgrade"]; ok {
					t.Errorf("the function got Upgrade: %q (RFC 9110 7.8)", v)
				}
			},
		},
		{
			Name: "upgrade/the function sees the handshake whole", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", echoTunnel)
				c := s.Dial(t)
				c.Send("GET /up?a%2Fb HTTP/1.1\r\nHost: example.com\r\nOrigin: http://o\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" + askWebSocket)
				c.opened().Close()
				seen := s.Function.Seen()[0]
				for name, want := range map[string]string{
					"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
					"Sec-Websocket-Protocol": "chat", "Sec-Websocket-Extensions": "permessage-deflate", "Origin": "http://o", "X-Forwarded-For": "127.0.0.1",
				} {
					if got := seen.Header.Get(name); !strings.EqualFold(got, want) {
						t.Errorf("%s: the function got %q, want %q", name, got, want)
					}
				}
				if seen.Target != "/up?a%2Fb" || seen.Host != "example.com" {
					t.Errorf("the function got %s for %s", seen.Target, seen.Host)
				}
			},
		},
	})
}

func tunnelCases() []Case {
	return []Case{
		{
			Name: "upgrade/websocket passes, with a real client", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Handle("/ws", serveWebSocket)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				conn, resp, err := websocket.Dial(ctx, s.scheme()+"://"+s.Weir.Addr+"/ws", &websocket.DialOptions{HTTPClient: s.newClient()})
				if err != nil {
					t.Fatalf("dialling: %v (%v)", err, resp)
				}
				defer conn.CloseNow() //nolint:errcheck // closed in order below
				conn.SetReadLimit(4 << 20)
				big := bytes.Repeat([]byte{0, 1, 0xff}, 500<<10)
				for _, message := range []struct {
					kind websocket.MessageType
					data []byte
				}{{websocket.MessageText, []byte("hello")}, {websocket.MessageBinary, big}, {websocket.MessageText, nil}} {
					if err := conn.Write(ctx, message.kind, message.data); err != nil {
						t.Fatalf("writing: %v", err)
					}
					kind, data, err := conn.Read(ctx)
					if err != nil || kind != message.kind || !bytes.Equal(data, message.data) {
						t.Fatalf("read a %v of %d bytes, %v; want the %v of %d bytes", kind, len(data), err, message.kind, len(message.data))
					}
				}
				if err := conn.Write(ctx, websocket.MessageText, []byte("close 4321")); err != nil {
					t.Fatalf("writing: %v", err)
				}
				_, _, err = conn.Read(ctx)
				if code := websocket.CloseStatus(err); code != 4321 {
					t.Errorf("closed with %v (%v), want the function's 4321", code, err)
				}
			},
		},
		{
			Name: "upgrade/bytes that the client sent early are not lost", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", echoTunnel)
				c := s.Dial(t)
				early := strings.Repeat("early ", 1000)
				c.Send(askTunnel("/up") + early)
				c.opened().Take(early)
				c.Send("late")
				c.Take("late")
			},
		},
		{
			Name: "upgrade/bytes that the function sent with the 101 are not lost", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				early := strings.Repeat("early ", 1000)
				s.Function.Tunnel("/up", early, echoTunnel)
				c := s.Dial(t)
				c.Send(askTunnel("/up"))
				c.opened().Take(early)
				c.Send("late")
				c.Take("late")
			},
		},
		{
			Name: "upgrade/the client's half closes, the function's goes on", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", func(conn net.Conn, r *bufio.Reader) {
					all, err := io.ReadAll(r)
					if err == nil {
						io.WriteString(conn, "after the end of "+string(all)) //nolint:errcheck // seen by the case
					}
				})
				c := s.Dial(t)
				c.Send(askTunnel("/up"))
				c.opened().Send("hello")
				c.CloseWrite()
				if rest := c.AwaitClose(); rest != "after the end of hello" {
					t.Errorf("got %q", rest)
				}
			},
		},
		{
			Name: "upgrade/the function's half closes, the client's goes on", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				got := make(chan string, 1)
				s.Function.Tunnel("/up", "", func(conn net.Conn, r *bufio.Reader) {
					io.WriteString(conn, "bye") //nolint:errcheck // seen by the case
					closeWrite(conn)            //nolint:errcheck // seen by the case
					all, err := io.ReadAll(r)
					if err != nil {
						all = append(all, err.Error()...)
					}
					got <- string(all)
				})
				c := s.Dial(t)
				c.Send(askTunnel("/up"))
				if rest := c.opened().AwaitClose(); rest != "bye" {
					t.Fatalf("got %q, want bye and the end", rest)
				}
				c.Send("still here")
				c.CloseWrite()
				if all := await(t, "the function reading on", got); all != "still here" {
					t.Errorf("the function got %q", all)
				}
			},
		},
		{
			Name: "upgrade/a large flow in both directions at once", Over: http1Carriers,
			Run: func(t testing.TB, s *Stage) {
				const size = 8 << 20
				s.Function.Tunnel("/up", "", echoTunnel)
				c := s.Dial(t)
				c.Send(askTunnel("/up"))
				c.opened()
				sent := make(chan error, 1)
				go func() {
					_, err := io.Copy(c.Conn, noise(size))
					sent <- errors.Join(err, closeWrite(c.Conn))
				}()
				got, err := io.ReadAll(c)
				if err := await(t, "everything being sent", sent); err != nil {
					t.Errorf("sending: %v", err)
				}
				want, _ := io.ReadAll(noise(size))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("got %d bytes of %d back, equal %v, %v", len(got), size, bytes.Equal(got, want), err)
				}
			},
		},
	}
}

// serveWebSocket echoes messages; "close N" closes with that status.
func serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // seen by the case
	conn.SetReadLimit(4 << 20)
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if string(data) == "close 4321" {
			conn.Close(4321, "as asked") //nolint:errcheck // seen by the case
			return
		}
		if err := conn.Write(r.Context(), kind, data); err != nil {
			return
		}
	}
}

func tunnelSlotCases() []Case {
	one := Settings{Flags: Flags{"max-inflight": "1"}}
	open := func(t testing.TB, s *Stage) *Conn {
		t.Helper()
		c := s.Dial(t)
		c.Send(askTunnel("/up"))
		return c.opened()
	}
	return []Case{
		{
			Name: "upgrade/a tunnel holds its slot until both directions ended", Over: http1Carriers, With: one,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", echoTunnel)
				c := open(t, s)
				wantRefusal(t, s.Do(t, "GET /", nil), 429, "max_inflight", 1)
				if v := s.Metric(t, "weir_inflight_requests"); v != 1 {
					t.Errorf("%v in flight, want the tunnel", v)
				}
				c.Send("x")
				c.Take("x")
				c.CloseWrite()
				c.AwaitClose()
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
				s.Do(t, "GET /", nil).want(t, 200)
			},
		},
		{
			Name: "upgrade/a tunnel with one direction ended still holds its slot", Over: http1Carriers, With: one,
			Run: func(t testing.TB, s *Stage) {
				finish := make(chan struct{})
				half := make(chan struct{})
				s.Function.Tunnel("/up", "", func(_ net.Conn, r *bufio.Reader) {
					io.Copy(io.Discard, r) //nolint:errcheck // the client's half ends
					close(half)
					s.Function.wait(finish)
				})
				c := open(t, s)
				c.CloseWrite()
				await(t, "the half-close reaching the function", half)
				wantRefusal(t, s.Do(t, "GET /", nil), 429, "max_inflight", 1)
				close(finish)
				c.AwaitClose()
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "upgrade/a tunnel whose client resets frees its slot", Over: http1Carriers, With: one,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", echoTunnel)
				c := open(t, s)
				c.Send("x")
				c.Take("x")
				c.Abort()
				s.awaitMetric(t, 0, "weir_inflight_requests")
				s.Function.awaitIdle(t)
			},
		},
		{
			Name: "upgrade/a tunnel whose function dies frees its slot", Over: http1Carriers, With: one,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", func(conn net.Conn, _ *bufio.Reader) {
					conn.(*net.TCPConn).SetLinger(0) //nolint:errcheck // then a plain close, which serves too
				})
				c := s.Dial(t)
				c.Send(askTunnel("/up"))
				// A reset may overtake the 101.
				if resp, err := c.TryResponse("GET"); err == nil && resp.Status == 101 {
					c.AwaitClose()
				}
				c.Close()
				s.awaitMetric(t, 0, "weir_inflight_requests")
			},
		},
		{
			Name: "upgrade/a tunnel is exempt from the request's timeouts", Over: http1Carriers,
			With: Settings{Flags: Flags{
				"timeout": "2s", "response-start-timeout": "2s", "header-timeout": "2s",
				"client-idle-timeout": "2s", "client-read-timeout": "2s", "client-write-timeout": "2s",
			}},
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", echoTunnel)
				c := open(t, s)
				c.Send("x")
				c.Take("x")
				<-time.After(3 * time.Second) // longer than the timeouts: the point of the case
				c.Send("y")
				c.Take("y")
			},
		},
		{
			Name: "upgrade/over the limit is refused as an ordinary request", Over: http1Carriers, With: one,
			Run: func(t testing.TB, s *Stage) {
				s.Function.Tunnel("/up", "", echoTunnel)
				c := open(t, s)
				wantRefusal(t, s.Dial(t).Exchange(askTunnel("/up")), 429, "max_inflight", 1)
				c.Send("x")
				c.Take("x")
			},
		},
	}
}
